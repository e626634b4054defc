//! Calls over the socket: one HTTP/1.1 request in, one answer out, within the deadline and in spite of panics.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use crate::body::{BODY_MAX_BYTES, BodyError, read_whole};
use crate::clock;
use crate::invocation::{Invocation, has_deadline};
use crate::log_frame::LogFrame;
use crate::reply::Reply;

/// hyper's own limit of 100 is within reach of a gateway's request, each of whose headers comes in prefixed, beside
/// some thirty of the platform's. hyper refuses more with a 431, and that would cost the container.
const MAX_HEADERS: usize = 400;
/// Of a refusal's body in the call's log line.
const REASON_MAX_CHARS: usize = 300;
/// Between two attempts to accept a connection when the first failed, for want of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers calls: any `Fn(Invocation) -> impl Future<Output = Reply>`, or a type of its own.
///
/// The platform sends one call at a time. The future is dropped when the deadline strikes or the platform hangs up, at
/// whatever point it awaits: what must not be lost has to be stored before. It is not polled again after its answer,
/// so nothing may be left running. A panic is answered 502, and the next call finds the handler as the panic left it.
///
/// ```
/// # use fn_hyper::{Handler, Invocation, Reply};
/// struct App { greeting: String }
///
/// impl Handler for App {
///     async fn handle(&self, call: Invocation) -> Reply {
///         Reply::success(format!("{}, call {}", self.greeting, call.call_id))
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Answers one call.
    fn handle(&self, call: Invocation) -> impl Future<Output = Reply> + Send;
}

impl<H, F> Handler for H
where
    H: Fn(Invocation) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send,
{
    fn handle(&self, call: Invocation) -> impl Future<Output = Reply> + Send {
        self(call)
    }
}

/// What came of the start.
pub(crate) enum State<H> {
    Ready(H),
    /// The configuration cannot be used; its problems are in the log.
    Faulty,
}

/// Serves calls for ever.
///
/// No idle connection is ever closed from this side: a close that meets the freezing of the container fails the next
/// call. So no timer is given to hyper, and there is no limit on connections (the platform keeps one at most).
pub(crate) async fn serve<H: Handler>(listener: UnixListener, state: &State<H>, log_frame: Option<&LogFrame>) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = accept(&listener) => connections.push(connection(stream, state, log_frame)),
            Some(()) = connections.next() => {}
        }
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<H: Handler>(stream: UnixStream, state: &State<H>, log_frame: Option<&LogFrame>) {
    let service = service_fn(|request| async {
        let response = match (request.uri().path(), request.method()) {
            ("/call", &Method::POST) => call(request, state, log_frame).await,
            ("/call", _) => refusal(StatusCode::METHOD_NOT_ALLOWED),
            _ => refusal(StatusCode::NOT_FOUND),
        };
        Ok::<_, Infallible>(response)
    });
    let served = http1::Builder::new()
        .keep_alive(true)
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // The platform hung up in mid-call, or what called is not the platform.
        tracing::warn!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

/// For requests that the platform never sends; these alone may have other statuses than a [`Reply`].
fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

async fn call<H: Handler>(
    request: Request<Incoming>,
    state: &State<H>,
    log_frame: Option<&LogFrame>,
) -> Response<Full<Bytes>> {
    let arrived = Instant::now();
    if let Some(log_frame) = log_frame {
        log_frame.print(request.headers());
    }
    let invocation = Invocation::from_headers(request.headers(), arrived, clock::now());
    // At the level of errors, for a span below the log's level would take the call id from the lines above it.
    let span = tracing::error_span!("call", call_id = invocation.call_id);
    async {
        if !has_deadline(request.headers()) {
            tracing::warn!("the platform gave no deadline that can be read; 30 s are assumed");
        }
        let intent = invocation.intent.clone();
        let reply = answer(invocation, request.into_body(), state).await;
        tracing::info!(
            status = reply.status_for(&intent).code().as_u16(),
            http_status = reply.http_status().map(|status| status.as_u16()),
            elapsed_ms = u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason = reason(&reply),
            "call answered"
        );
        reply.into_response(&intent)
    }
    .instrument(span)
    .await
}

/// The public text of an answer that is no success, cut to what a log line bears.
fn reason(reply: &Reply) -> Option<String> {
    let is_told = !reply.is_success() && !reply.body().is_empty();
    is_told.then(|| String::from_utf8_lossy(reply.body()).chars().take(REASON_MAX_CHARS).collect())
}

/// The answer to a call, in time and whatever happens within.
async fn answer<H: Handler>(invocation: Invocation, body: Incoming, state: &State<H>) -> Reply {
    let deadline = invocation.deadline;
    // The time limit lies within the guard, so that it also covers what a handler does when it is dropped.
    let guarded = AssertUnwindSafe(async {
        // Polled first, a handler would begin even when its time is up.
        if deadline <= Instant::now() {
            return None;
        }
        timeout_at(deadline, handle(invocation, body, state)).await.ok()
    });
    match guarded.catch_unwind().await {
        Ok(Some(reply)) if reply.body().len() > BODY_MAX_BYTES => {
            tracing::error!(bytes = reply.body().len(), "the answer is larger than the platform takes");
            Reply::failure("the answer is too large")
        }
        Ok(Some(reply)) => reply,
        Ok(None) => {
            tracing::warn!("the deadline struck before the call was done");
            Reply::timeout()
        }
        // The panic hook has logged what it was.
        Err(_panic) => Reply::failure("the function panicked"),
    }
}

async fn handle<H: Handler>(mut invocation: Invocation, body: Incoming, state: &State<H>) -> Reply {
    invocation.body = match read_whole(body, BODY_MAX_BYTES).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => {
            tracing::error!(body_max_bytes = BODY_MAX_BYTES, "the call's body is too large");
            return Reply::http(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        }
        Err(BodyError::Cut(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the call's body broke off");
            return Reply::failure("the body broke off");
        }
    };
    match state {
        State::Ready(handler) => handler.handle(invocation).await,
        State::Faulty => {
            tracing::error!("not handled, for the start failed: see its lines");
            // A stranger at the gateway learns nothing; for everyone else a refusal is a failure.
            Reply::http(StatusCode::UNAUTHORIZED, "")
        }
    }
}
