//! The life of a function's process: environment, start, socket, calls.

use std::{panic::AssertUnwindSafe, process::ExitCode};

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::config::{Lookup, Problems, Reader};
use crate::listener::{self, Address};
use crate::log_frame::LogFrame;
use crate::serve::{Handler, State, serve};
use crate::telemetry;

/// Each DNS look-up takes a blocking thread, and the open server allows fifty threads in all.
const MAX_BLOCKING_THREADS: usize = 8;

/// Runs a function until its container is removed: the whole body of its `main`.
///
/// `name` stands in the log where the platform gives no `FN_FN_NAME` (the open server does not). `start` is called once,
/// before the socket appears, with the environment as its look-up; what it gives back answers every call.
///
/// * What the platform's own variables get wrong (`FN_FORMAT`, `FN_LISTENER`, or a folder where no socket can be made)
///   is fatal: one line on stderr and a failing exit code.
/// * A faulty configuration is not. All its problems go to the log at once, the socket opens, and each call is answered
///   502 (401 and nothing else to a caller through an HTTP route): a container that exits at start looks like a broken
///   image. The same holds for a `start` that panics.
/// * SIGTERM ends the process at once with success. The platform never sends it; plain docker does, and waits ten
///   seconds for a process that ignores it.
///
/// Source: Fn container contract, sections 1, 4 and 7.
pub fn run<S, F, H>(name: &str, start: S) -> ExitCode
where
    S: FnOnce(&'static Lookup) -> F,
    F: Future<Output = Result<H, Problems>>,
    H: Handler,
{
    let lookup: &'static Lookup = &environment;
    let function = lookup("FN_FN_NAME").filter(|given| !given.is_empty()).unwrap_or_else(|| name.to_owned());
    // A log that stays silent would hide what is wrong with its level.
    let mut keys = Reader::new(lookup);
    let level = telemetry::read_level(&mut keys);
    let problems = keys.finish(|| Some(())).err().unwrap_or_default();
    telemetry::install(&function, level.unwrap_or(LevelFilter::INFO));

    match serve_until_sigterm(lookup, problems, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            tracing::error!(error = &fatal as &dyn std::error::Error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

/// What ends the process before it could serve.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("the platform's environment is not usable")]
    Environment(#[from] listener::Error),
    #[error("no asynchronous runtime")]
    Runtime(#[source] std::io::Error),
}

fn serve_until_sigterm<S, F, H>(lookup: &'static Lookup, problems: Problems, start: S) -> Result<(), Fatal>
where
    S: FnOnce(&'static Lookup) -> F,
    F: Future<Output = Result<H, Problems>>,
    H: Handler,
{
    // Before anything is built: a wrong environment must not cost a start, nor hide behind a faulty configuration.
    let address = Address::from_environment(lookup)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .map_err(Fatal::Runtime)?;
    let ended = runtime.block_on(async {
        let mut sigterm = signal(SignalKind::terminate()).map_err(Fatal::Runtime)?;
        tokio::select! {
            ended = start_and_serve(lookup, &address, problems, start) => ended,
            _ = sigterm.recv() => Ok(()),
        }
    });
    // A look-up of a host name may hang in a blocking thread; nobody is left to wait for it.
    runtime.shutdown_background();
    ended
}

async fn start_and_serve<S, F, H>(
    lookup: &'static Lookup,
    address: &Address,
    mut problems: Problems,
    start: S,
) -> Result<(), Fatal>
where
    S: FnOnce(&'static Lookup) -> F,
    F: Future<Output = Result<H, Problems>>,
    H: Handler,
{
    // The panic hook has logged the message by the time the panic is caught.
    let started = AssertUnwindSafe(async { start(lookup).await }).catch_unwind().await;
    let state = match started {
        Ok(Ok(handler)) if problems.is_empty() => State::Ready(handler),
        Ok(Ok(_)) => State::Faulty,
        Ok(Err(more)) => {
            problems.extend(more);
            State::Faulty
        }
        Err(_panic) => State::Faulty,
    };
    for problem in &problems {
        tracing::error!(key = problem.key(), "faulty configuration: {}", problem.text());
    }
    let log_frame = LogFrame::from_environment(lookup);
    let listener = listener::open(address)?;
    serve(listener, &state, log_frame.as_ref()).await;
    Ok(())
}

/// The process's environment; a value that is not UTF-8 counts as absent.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment; everyone else is handed a look-up"
)]
fn environment(key: &str) -> Option<String> {
    std::env::var(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_a_path_and_lacks_what_nobody_set() {
        let lookup: &Lookup = &environment;
        assert!(Reader::new(lookup).maybe("PATH", crate::config::text).is_some());
        assert_eq!(lookup("fn_hyper_no_such_key"), None);
    }
}
