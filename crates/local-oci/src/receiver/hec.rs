//! A Splunk HTTP Event Collector that answers by its rules, not by a script, and remembers what it took.
//!
//! Source: the reference's pages on HEC (4.1 to 4.7, 14), of which some rows were observed and not promised.

mod acks;
mod body;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::listen;
use super::rules::Rules;
use super::store::{Store, Taken};
use crate::faults::Cut;

use acks::Acks;
use body::{Code, Problem};
pub use settings::{AckMode, HecFault, HecSettings, HecToken, Oversize};

/// One event as it was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The event's own id; `None` where neither the event nor its fields hold one.
    pub id: Option<String>,
    /// [`fingerprint`](crate::receiver::fingerprint) of the exact bytes of `event`.
    pub fingerprint: u64,
    /// The envelope's `time`, in microseconds since the epoch.
    pub time_micros: Option<i64>,
    /// The number of the post that brought it, from 0 (posts that brought nothing do not count).
    pub post: u32,
    /// The index that it went to.
    pub index: String,
    /// The envelope's source, if any.
    pub source: Option<String>,
    /// The envelope's host, if any.
    pub host: Option<String>,
    /// The envelope's sourcetype, if any.
    pub sourcetype: Option<String>,
}

/// What events have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    index: String,
    source: Option<String>,
    host: Option<String>,
    sourcetype: Option<String>,
}

impl From<Taken<Labels>> for Arrival {
    fn from(taken: Taken<Labels>) -> Self {
        let Taken { id, fingerprint, time_micros, post, labels } = taken;
        let Labels { index, source, host, sourcetype } = labels;
        Self { id, fingerprint, time_micros, post, index, source, host, sourcetype }
    }
}

/// The receiver. A clone is the same receiver.
#[derive(Clone)]
pub struct HecReceiver(Arc<Inner>);

struct Inner {
    settings: HecSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    store: Store<Labels>,
    acks: Acks,
    faults: Rules<HecFault>,
    answers: BTreeMap<u16, u64>,
    requests: u64,
    bytes: u64,
}

impl fmt::Debug for HecReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HecReceiver").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl HecReceiver {
    /// An empty receiver.
    pub fn new(settings: HecSettings) -> Self {
        Self(Arc::new(Inner { settings, state: Mutex::default() }))
    }

    /// Answers one request, in process.
    ///
    /// # Errors
    /// [`Cut`], where a fault ends the connection without an answer.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cut> {
        let fault = self.fault(&request);
        let fault = fault.as_ref();
        match fault {
            Some(HecFault::Busy { code, retry_after_secs }) => return Ok(self.busy(*code, *retry_after_secs)),
            Some(HecFault::BalancerPage { status }) => return Ok(balancer_page(*status)),
            Some(HecFault::CutBefore | HecFault::CutAfterReading { kept: false }) => return Err(Cut),
            Some(HecFault::Silent { kept: false }) => pending().await,
            Some(HecFault::Slow(duration)) => tokio::time::sleep(*duration).await,
            Some(
                HecFault::CutAfterReading { kept: true }
                | HecFault::Silent { kept: true }
                | HecFault::SlowDown { .. }
                | HecFault::Half
                | HecFault::FirstThenBusy { .. },
            )
            | None => {}
        }
        let response = self.answer(&request, fault);
        match fault {
            Some(HecFault::Silent { .. }) => pending().await,
            Some(HecFault::CutAfterReading { .. } | HecFault::Half) => Err(Cut),
            _ => Ok(response),
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

    /// Spoils the next `times` requests (all where `None`) to the event endpoints.
    pub fn inject(&self, fault: HecFault, times: Option<u64>) {
        self.inject_when(fault, times, |_| true);
    }

    /// Spoils those requests to the event endpoints for which `condition` holds; it is asked once a request.
    pub fn inject_when(
        &self,
        fault: HecFault,
        times: Option<u64>,
        condition: impl Fn(&Request<Bytes>) -> bool + Send + 'static,
    ) {
        self.lock().faults.push(fault, times, condition);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// How many events were taken, copies included.
    pub fn count(&self) -> usize {
        self.lock().store.len()
    }

    /// How many of them carry no event id.
    pub fn unparseable(&self) -> usize {
        self.lock().store.unparseable()
    }

    /// Every arrival of the event of that id, in order.
    pub fn received(&self, id: &str) -> Vec<Arrival> {
        self.lock().store.received(id).into_iter().map(Arrival::from).collect()
    }

    /// Every arrival, in order: a picture of the moment.
    pub fn iter(&self) -> impl Iterator<Item = Arrival> {
        let count = self.count();
        (0..count).filter_map(|index| self.lock().store.get(index).map(Arrival::from))
    }

    /// The raw bytes of the event that arrived as number `index`; only where the settings keep them.
    pub fn raw(&self, index: usize) -> Option<Bytes> {
        self.lock().store.raw(index)
    }

    /// How many requests reached the event endpoints, spoiled ones included, and their bytes as sent.
    pub fn traffic(&self) -> (u64, u64) {
        let state = self.lock();
        (state.requests, state.bytes)
    }

    /// How often each HEC code was answered (413, 404 and so on stand for themselves).
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

    /// The first fault in force for this request, if it is one to the event endpoints.
    fn fault(&self, request: &Request<Bytes>) -> Option<HecFault> {
        if !matches!(Endpoint::of(request.uri().path()), Some(Endpoint::Event | Endpoint::Raw)) {
            return None;
        }
        let mut state = self.lock();
        state.requests += 1;
        state.bytes += request.body().len() as u64;
        state.faults.strike(request, HecFault::name)
    }

    fn busy(&self, code: u16, retry_after_secs: Option<u64>) -> Response<Bytes> {
        let mut response = self.reply(&Problem::new(Code(code)), None);
        if let Some(secs) = retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }

    fn answer(&self, request: &Request<Bytes>, fault: Option<&HecFault>) -> Response<Bytes> {
        let Some(endpoint) = Endpoint::of(request.uri().path()) else {
            return self.reply(&Problem::new(Code(404)), None);
        };
        let expected = if endpoint == Endpoint::Health { Method::GET } else { Method::POST };
        if *request.method() != expected {
            return self.reply(&Problem::new(Code(405)), None);
        }
        let served = match endpoint {
            Endpoint::Health => return self.reply(&Problem::new(Code::HEALTHY), None),
            Endpoint::Event | Endpoint::Raw => self.take(request, endpoint, fault),
            Endpoint::Ack => match self.query_acks(request) {
                Ok(response) => return response,
                Err(problem) => Err((problem, None)),
            },
        };
        match served {
            Ok(ack_id) => match fault {
                Some(HecFault::FirstThenBusy { code, retry_after_secs, .. }) => self.busy(*code, *retry_after_secs),
                Some(HecFault::SlowDown { code }) => self.reply(&Problem::new(Code(*code)), ack_id),
                _ => self.reply(&Problem::new(Code::SUCCESS), ack_id),
            },
            Err((problem, ack_id)) => self.reply(&problem, ack_id),
        }
    }

    /// Takes the events of a post; `Ok` holds the id to ask acknowledgement for, and `Err` one for the part taken.
    fn take(
        &self,
        request: &Request<Bytes>,
        endpoint: Endpoint,
        fault: Option<&HecFault>,
    ) -> Result<Option<u64>, (Problem, Option<u64>)> {
        let refused = |code| (Problem::new(code), None);
        let token = self.token(request).map_err(refused)?;
        let channel = channel(request).map_err(refused)?;
        if channel.is_none() && (token.ack || endpoint == Endpoint::Raw) {
            return Err(refused(Code::CHANNEL_MISSING));
        }
        let settings = &self.0.settings;
        let body = body::inflate(request.headers(), request.body(), settings).map_err(|problem| (problem, None))?;
        let parsed = match endpoint {
            Endpoint::Raw => body::raw_lines(&body, request.uri().query(), token),
            _ => body::events(&body, token, settings),
        };
        let mut state = self.lock();
        let good = parsed.events.len();
        let taken = fault.map_or(good, |fault| fault.takes(good));
        if taken > 0 {
            state.store.begin_post();
        }
        for event in parsed.events.iter().take(taken) {
            let labels = Labels {
                index: event.index.to_string(),
                source: event.source.as_deref().map(str::to_owned),
                host: event.host.as_deref().map(str::to_owned),
                sourcetype: event.sourcetype.as_deref().map(str::to_owned),
            };
            state.store.push(event.raw, event.id.as_deref(), event.time_micros, labels, settings.keep_raw);
        }
        let has_ack = token.ack && taken > 0;
        let ack_id = channel.filter(|_| has_ack).map(|channel| state.acks.issue(&token.value, &channel, settings.acks));
        match parsed.problem {
            None => Ok(ack_id),
            Some(problem) => Err((problem, ack_id)),
        }
    }

    fn query_acks(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        #[derive(serde::Deserialize)]
        struct Asked {
            acks: Vec<u64>,
        }
        let token = self.token(request).map_err(Problem::new)?;
        if !token.ack {
            return Err(Problem::new(Code::ACK_DISABLED));
        }
        let channel = channel(request).map_err(Problem::new)?.ok_or(Problem::new(Code::CHANNEL_MISSING))?;
        let asked: Asked =
            serde_json::from_slice(request.body()).map_err(|_| Problem::new(Code::INVALID_DATA_FORMAT))?;
        let acks = self.lock().acks.query(&token.value, &channel, &asked.acks, self.0.settings.acks);
        Ok(json(StatusCode::OK, &serde_json::json!({ "acks": acks })))
    }

    fn token(&self, request: &Request<Bytes>) -> Result<&HecToken, Code> {
        let settings = &self.0.settings;
        let authorization = request.headers().get(header::AUTHORIZATION);
        let in_query = || query(request.uri().query(), "token");
        let value = match authorization.map(HeaderValue::to_str) {
            None => match in_query() {
                Some(token) if settings.allows_query_token => token,
                Some(_) => return Err(Code::QUERY_AUTHORIZATION),
                None => return Err(Code::TOKEN_REQUIRED),
            },
            Some(Err(_)) => return Err(Code::INVALID_AUTHORIZATION),
            Some(Ok(text)) => match text.split_once(' ') {
                Some(("Splunk", token)) if !token.is_empty() => token.to_owned(),
                Some(("Basic", pair)) => basic_password(pair).ok_or(Code::INVALID_AUTHORIZATION)?,
                _ => return Err(Code::INVALID_AUTHORIZATION),
            },
        };
        let token = settings.tokens.iter().find(|token| token.value == value).ok_or(Code::INVALID_TOKEN)?;
        if token.enabled { Ok(token) } else { Err(Code::TOKEN_DISABLED) }
    }

    fn reply(&self, problem: &Problem, ack_id: Option<u64>) -> Response<Bytes> {
        *self.lock().answers.entry(problem.code.0).or_default() += 1;
        let mut value = serde_json::json!({ "text": problem.code.text(), "code": problem.code.0 });
        if let Some(object) = value.as_object_mut() {
            object.extend(problem.number.map(|number| ("invalid-event-number".to_owned(), number.into())));
            object.extend(ack_id.map(|id| ("ackId".to_owned(), id.into())));
        }
        json(problem.code.status(), &value)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Event,
    Raw,
    Ack,
    Health,
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/services/collector" | "/services/collector/event" | "/services/collector/event/1.0" => Some(Self::Event),
            "/services/collector/raw" | "/services/collector/raw/1.0" => Some(Self::Raw),
            "/services/collector/ack" => Some(Self::Ack),
            "/services/collector/health" | "/services/collector/health/1.0" => Some(Self::Health),
            _ => None,
        }
    }
}

fn query(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn basic_password(pair: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
    Some(text.split_once(':')?.1.to_owned())
}

/// The channel that the request names; one that is no GUID is code 11.
fn channel(request: &Request<Bytes>) -> Result<Option<String>, Code> {
    let headers: &HeaderMap = request.headers();
    let header = headers.get("x-splunk-request-channel").map(|value| value.to_str().unwrap_or("?").to_owned());
    let Some(channel) = header.or_else(|| query(request.uri().query(), "channel")) else { return Ok(None) };
    let groups: Vec<usize> = channel.split('-').map(str::len).collect();
    let is_guid = groups == [8, 4, 4, 4, 12] && channel.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    if is_guid { Ok(Some(channel.to_ascii_lowercase())) } else { Err(Code::INVALID_CHANNEL) }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

fn balancer_page(status: u16) -> Response<Bytes> {
    let page =
        "<html><body><h1>503 Service Unavailable</h1>No server is available to handle this request.</body></html>";
    let mut response = Response::new(Bytes::from_static(page.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

#[cfg(test)]
mod tests;
