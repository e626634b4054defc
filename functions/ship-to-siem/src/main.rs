//! `ship-to-siem`: sends batches of events to the SIEM.

use std::{process::ExitCode, sync::Arc};

use fn_hyper::{
    Handler, Invocation,
    config::{Lookup, Problems},
};
use ship_to_siem::{App, handle};

fn main() -> ExitCode {
    fn_hyper::run("ship-to-siem", start)
}

async fn start(lookup: &Lookup) -> Result<impl Handler, Problems> {
    let app = Arc::new(App::from_config(lookup)?);
    Ok(move |call: Invocation| {
        let app = Arc::clone(&app);
        async move { handle(&app, call).await }
    })
}
