//! The Fn container contract on hyper: what every function's `main` runs on.
//!
//! A function is started by the Fn platform (the open server, or OCI Functions, which is built on it), opens a unix
//! socket and answers one `POST /call` after the other. This crate does that part: it makes the socket, turns requests
//! into [`Invocation`]s with a [deadline](Invocation::deadline), turns [`Reply`]s into the three statuses that the
//! platform allows, catches panics, writes the log as JSON lines and reads the [configuration](config).
//!
//! It does not retry, does not keep anything between calls, never works after the answer (a frozen container would
//! lose it), authorises nobody (a direct caller can forge every `Fn-` header) and knows neither Oracle Cloud's services
//! nor any SIEM. It cannot interrupt a handler that blocks the thread: the deadline strikes where a handler awaits.
//!
//! All of a function's `main.rs` is [`run`] and a `start`:
//!
//! ```no_run
//! use std::{process::ExitCode, str::FromStr, sync::Arc};
//!
//! use fn_hyper::config::{Lookup, Problems, Reader};
//! use fn_hyper::{Handler, Invocation, Reply};
//!
//! fn main() -> ExitCode {
//!     fn_hyper::run("count-bytes", start)
//! }
//!
//! /// Called once, before the socket appears: reads the configuration, builds the clients.
//! async fn start(lookup: &Lookup) -> Result<impl Handler, Problems> {
//!     let mut keys = Reader::new(lookup);
//!     let factor = keys.optional("factor", 1, usize::from_str);
//!     let app = Arc::new(keys.finish(|| Some(App { factor: factor? }))?);
//!     Ok(move |call: Invocation| {
//!         let app = Arc::clone(&app);
//!         async move { Reply::success(app.count(&call).to_string()) }
//!     })
//! }
//!
//! struct App {
//!     factor: usize,
//! }
//!
//! impl App {
//!     fn count(&self, call: &Invocation) -> usize {
//!         call.body.len() * self.factor
//!     }
//! }
//! ```
//!
//! A handler can be driven without a socket, too, by a test or a simulation:
//!
//! ```
//! use std::time::Duration;
//!
//! use fn_hyper::{Handler, Invocation, Reply};
//! use tokio::time::Instant;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let handler = |call: Invocation| async move { Reply::json(call.body) };
//! let call = Invocation::direct("{}", Instant::now() + Duration::from_secs(30));
//! assert!(handler.handle(call).await.is_success());
//! # });
//! ```

mod body;
mod clock;
pub mod config;
mod invocation;
mod listener;
mod log_frame;
mod reply;
mod run;
mod serve;
mod telemetry;

pub use invocation::{HttpCall, Intent, Invocation, InvokeType};
pub use reply::{Reply, SocketStatus};
pub use run::run;
pub use serve::Handler;
