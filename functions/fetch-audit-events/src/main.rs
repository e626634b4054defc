//! `fetch-audit-events`: lists audit events and puts them on the event stream.

use std::{process::ExitCode, sync::Arc};

use fetch_audit_events::{App, handle};
use fn_hyper::{
    Handler, Invocation,
    config::{Lookup, Problems},
};

fn main() -> ExitCode {
    fn_hyper::run("fetch-audit-events", start)
}

async fn start(lookup: &Lookup) -> Result<impl Handler, Problems> {
    let app = Arc::new(App::from_config(lookup)?);
    Ok(move |call: Invocation| {
        let app = Arc::clone(&app);
        async move { handle(&app, call).await }
    })
}
