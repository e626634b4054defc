//! `decode-bucket-gzip`: sends the records of log files in a bucket to the SIEM.

use std::{process::ExitCode, sync::Arc};

use decode_bucket_gzip::{App, handle};
use fn_hyper::{
    Handler, Invocation,
    config::{Lookup, Problems},
};

fn main() -> ExitCode {
    fn_hyper::run("decode-bucket-gzip", start)
}

async fn start(lookup: &Lookup) -> Result<impl Handler, Problems> {
    let app = Arc::new(App::from_config(lookup)?);
    Ok(move |call: Invocation| {
        let app = Arc::clone(&app);
        async move { handle(&app, call).await }
    })
}
