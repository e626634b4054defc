//! A Logz.io bulk listener that answers by its rules, not by a script, and remembers the lines that it took.
//!
//! Source: the reference's page on Logz.io bulk (10.1). What it leaves open (a wrong path or method) is answered as
//! plain HTTP would.

mod settings;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::rules::Rules;
use super::store::{Store, Taken};
use super::{listen, own_id};
use crate::faults::Cut;

pub use settings::{LogzioFault, LogzioSettings};

/// The type of lines whose post names none.
const DEFAULT_TYPE: &str = "http-bulk";

/// One line as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogzioLine {
    /// The record's own id, or that of its `logContent`; `None` where there is none.
    pub id: Option<String>,
    /// [`fingerprint`](crate::receiver::fingerprint) of the exact bytes of the line, without its line feed.
    pub fingerprint: u64,
    /// The number of the post that brought it, from 0 (posts that brought nothing do not count).
    pub post: u32,
    /// The post's `type`.
    pub log_type: String,
}

impl From<Taken<String>> for LogzioLine {
    fn from(taken: Taken<String>) -> Self {
        let Taken { id, fingerprint, post, labels, .. } = taken;
        Self { id, fingerprint, post, log_type: labels }
    }
}

/// The listener. A clone is the same listener.
#[derive(Clone)]
pub struct LogzioReceiver(Arc<Inner>);

struct Inner {
    settings: LogzioSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: Store<String>,
    faults: Rules<LogzioFault>,
    answers: BTreeMap<u16, u64>,
    requests: u64,
    bytes: u64,
}

/// What became of the lines of a post: the body of a 400, in its own spelling and order.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    malformed_lines: usize,
    successful_lines: usize,
    oversized_lines: usize,
    empty_log_lines: usize,
}

impl fmt::Debug for LogzioReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogzioReceiver").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl LogzioReceiver {
    /// An empty listener.
    pub fn new(settings: LogzioSettings) -> Self {
        Self(Arc::new(Inner { settings, state: Mutex::default() }))
    }

    /// Answers one request, in process.
    ///
    /// # Errors
    /// [`Cut`], where a fault ends the connection without an answer.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cut> {
        let fault = self.fault(&request);
        match &fault {
            Some(LogzioFault::Busy { status, retry_after_secs }) => {
                return Ok(self.counted(busy(*status, *retry_after_secs)));
            }
            Some(LogzioFault::CutBefore | LogzioFault::CutAfterReading { kept: false }) => return Err(Cut),
            Some(LogzioFault::Silent { kept: false }) => pending().await,
            Some(LogzioFault::Slow(duration)) => tokio::time::sleep(*duration).await,
            Some(
                LogzioFault::CutAfterReading { kept: true }
                | LogzioFault::Silent { kept: true }
                | LogzioFault::Half
                | LogzioFault::HalfMalformed
                | LogzioFault::FirstThenBusy { .. },
            )
            | None => {}
        }
        let response = self.answer(&request, fault.as_ref());
        match fault {
            Some(LogzioFault::Silent { .. }) => pending().await,
            Some(LogzioFault::CutAfterReading { .. } | LogzioFault::Half) => Err(Cut),
            _ => Ok(self.counted(response)),
        }
    }

    /// Serves plain HTTP/1.1 on `listener` until the future is dropped.
    pub async fn serve(&self, listener: TcpListener) {
        let receiver = self.clone();
        let connection = move |stream| {
            let receiver = receiver.clone();
            async move { receiver.serve_connection(stream).await }
        };
        listen::accept(listener, connection).await;
    }

    /// Serves one connection, plain or behind TLS, to its end.
    pub async fn serve_connection(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        listen::serve_connection(io, |request| self.handle(request)).await;
    }

    /// Spoils the next `times` requests (all where `None`).
    pub fn inject(&self, fault: LogzioFault, times: Option<u64>) {
        self.inject_when(fault, times, |_| true);
    }

    /// Spoils those requests for which `condition` holds; it is asked once a request.
    pub fn inject_when(
        &self,
        fault: LogzioFault,
        times: Option<u64>,
        condition: impl Fn(&Request<Bytes>) -> bool + Send + 'static,
    ) {
        self.lock().faults.push(fault, times, condition);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// How many lines were taken, copies included.
    pub fn count(&self) -> usize {
        self.lock().store.len()
    }

    /// How many of them carry no id.
    pub fn unparseable(&self) -> usize {
        self.lock().store.unparseable()
    }

    /// Every arrival of the record of that id, in order.
    pub fn received(&self, id: &str) -> Vec<LogzioLine> {
        self.lock().store.received(id).into_iter().map(LogzioLine::from).collect()
    }

    /// Every line, in order: a picture of the moment.
    pub fn iter(&self) -> impl Iterator<Item = LogzioLine> {
        let count = self.count();
        (0..count).filter_map(|index| self.lock().store.get(index).map(LogzioLine::from))
    }

    /// The raw bytes of the line that arrived as number `index`; only where the settings keep them.
    pub fn raw(&self, index: usize) -> Option<Bytes> {
        self.lock().store.raw(index)
    }

    /// How many requests came, spoiled ones included, and their bytes as sent.
    pub fn traffic(&self) -> (u64, u64) {
        let state = self.lock();
        (state.requests, state.bytes)
    }

    /// How often each status was answered.
    pub fn answers(&self) -> BTreeMap<u16, u64> {
        self.lock().answers.clone()
    }

    /// How often each fault has struck: `"Half" → 3`.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().faults.struck()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first fault in force for this request.
    fn fault(&self, request: &Request<Bytes>) -> Option<LogzioFault> {
        let mut state = self.lock();
        state.requests += 1;
        state.bytes += request.body().len() as u64;
        state.faults.strike(request, LogzioFault::name)
    }

    fn counted(&self, response: Response<Bytes>) -> Response<Bytes> {
        *self.lock().answers.entry(response.status().as_u16()).or_default() += 1;
        response
    }

    fn answer(&self, request: &Request<Bytes>, fault: Option<&LogzioFault>) -> Response<Bytes> {
        if request.uri().path() != "/" {
            return empty(StatusCode::NOT_FOUND);
        }
        if *request.method() != Method::POST {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let settings = &self.0.settings;
        if !query(request, "token").is_some_and(|token| settings.tokens.contains(&token)) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        let Some(body) = inflated(request, settings) else { return empty(StatusCode::BAD_REQUEST) };
        if body.len() > settings.body_max_bytes {
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let log_type = query(request, "type").unwrap_or_else(|| DEFAULT_TYPE.to_owned());
        let (good, mut counts) = sorted(&body, settings);
        let taken = fault.map_or(good.len(), |fault| fault.takes(good.len()));
        let mut state = self.lock();
        if taken > 0 {
            state.store.begin_post();
        }
        for line in good.iter().take(taken) {
            state.store.push(line, record_id(line).as_deref(), None, log_type.clone(), settings.keep_raw);
        }
        drop(state);
        match fault {
            Some(LogzioFault::FirstThenBusy { status, retry_after_secs, .. }) => {
                return busy(*status, *retry_after_secs);
            }
            Some(LogzioFault::HalfMalformed) => {
                counts.malformed_lines += counts.successful_lines - taken;
                counts.successful_lines = taken;
            }
            _ => {}
        }
        counts.answer()
    }
}

impl Counts {
    fn answer(&self) -> Response<Bytes> {
        if self.malformed_lines + self.oversized_lines + self.empty_log_lines == 0 {
            return empty(StatusCode::OK);
        }
        // Numbers under fixed names: it cannot fail.
        let mut response = Response::new(Bytes::from(serde_json::to_vec(self).unwrap_or_default()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// The body as lines are read from it; `None` where it is no gzip although it should be.
fn inflated<'a>(request: &'a Request<Bytes>, settings: &LogzioSettings) -> Option<Cow<'a, [u8]>> {
    let is_packed = request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    if !is_packed || !settings.takes_gzip {
        return Some(Cow::Borrowed(request.body()));
    }
    let mut body = Vec::new();
    let limit = settings.body_max_bytes as u64 + 1;
    flate2::read::MultiGzDecoder::new(&request.body()[..]).take(limit).read_to_end(&mut body).ok()?;
    Some(Cow::Owned(body))
}

/// The good lines of a body, and the counts of all. A line feed ends a line, so that none follows the last one; an empty
/// body is an empty line.
fn sorted<'a>(body: &'a [u8], settings: &LogzioSettings) -> (Vec<&'a [u8]>, Counts) {
    let (mut good, mut counts) = (Vec::new(), Counts::default());
    for line in body.strip_suffix(b"\n").unwrap_or(body).split(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            counts.empty_log_lines += 1;
        } else if line.len() > settings.line_max_bytes {
            counts.oversized_lines += 1;
        } else if is_object(line) {
            good.push(line);
        } else {
            counts.malformed_lines += 1;
        }
    }
    counts.successful_lines = good.len();
    (good, counts)
}

fn is_object(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<&RawValue>(line).is_ok()
}

/// The record's own id, or that of what it wraps.
fn record_id(line: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Wrapper<'a> {
        #[serde(borrow, rename = "logContent")]
        content: &'a RawValue,
    }
    own_id(line).or_else(|| {
        let wrapper: Wrapper<'_> = serde_json::from_slice(line).ok()?;
        own_id(wrapper.content.get().as_bytes())
    })
}

fn query(request: &Request<Bytes>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn busy(status: u16, retry_after_secs: Option<u64>) -> Response<Bytes> {
    let mut response = empty(StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE));
    if let Some(secs) = retry_after_secs {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

#[cfg(test)]
mod tests;
