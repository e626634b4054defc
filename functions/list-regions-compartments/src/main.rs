//! `list-regions-compartments`: plans the windows and sweeps the ledger.

use std::{process::ExitCode, sync::Arc};

use fn_hyper::{
    Handler, Invocation,
    config::{Lookup, Problems},
};
use list_regions_compartments::{App, handle};

fn main() -> ExitCode {
    fn_hyper::run("list-regions-compartments", start)
}

async fn start(lookup: &Lookup) -> Result<impl Handler, Problems> {
    let app = Arc::new(App::from_config(lookup)?);
    Ok(move |call: Invocation| {
        let app = Arc::clone(&app);
        async move { handle(&app, call).await }
    })
}
