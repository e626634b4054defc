//! Splunk's HTTP Event Collector.

mod config;

mod body;

mod answer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use flate2::Compression;
use http::{HeaderValue, Method, Uri, header};
use http_transport::{BoxFuture, Request, Transport, TransportError};
use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::config::HecConfig;
use self::{
    answer::{Answer, Said, sort},
    body::{Body, BodyMaker},
};
use crate::{
    Delivery, InvalidConfig, Outcome, Record, Sink, SinkFailure,
    format::HecFormat,
    retry::{Random, pause, retry_after},
};

/// How often one body is sent where the other side surely has not taken it. Waiting in a function is paid for: after that
/// the caller comes back later.
const ATTEMPTS: u32 = 3;

/// How many events the collector may refuse one by one in a delivery in which it takes none, before the delivery ends: so
/// many faulty events in a row are a faulty setting, and what is refused for good costs somebody's time later.
const REFUSALS_MAX: usize = 20;

/// Below this a request is not begun: it would likely be cut, and nobody would know whether it was taken.
const MIN_REQUEST_TIME: Duration = Duration::from_millis(500);

/// More than an answer of the collector ever holds.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

const CHANNEL: &str = "x-splunk-request-channel";

/// Sends events to one HTTP Event Collector, without acknowledgement: its `Success` is taken for delivery.
///
/// * A body that the collector is too busy for, or that found no connection, is sent up to three times, with growing
///   pauses or those that `Retry-After` asks for.
/// * A body whose outcome is unknown is not sent again here.
/// * Where one event spoils a body, the collector has taken those before it; the event is refused, those behind it are
///   sent anew. Where it does not say which event it is, the body is halved until the event stands alone; then second
///   copies, with the same ids, are the price.
/// * A body that is too large is halved, down to one event, which is then too large.
/// * A collector that refuses 20 events one by one and takes none is left alone: [`SinkFailure::RefusesAll`].
pub struct SplunkHec {
    transport: Arc<dyn Transport>,
    uri: Uri,
    host: String,
    authorization: Mutex<HeaderValue>,
    channel: HeaderValue,
    user_agent: HeaderValue,
    format: HecFormat,
    batch_max_bytes: usize,
    event_max_bytes: usize,
    gzip: Option<Compression>,
    request_timeout: Duration,
    random: Random,
}

impl SplunkHec {
    /// Sets the destination up; nothing is sent.
    ///
    /// # Errors
    /// The first setting that does not fit.
    pub fn new(config: HecConfig, transport: Arc<dyn Transport>) -> Result<Self, InvalidConfig> {
        config.check_limits()?;
        let (uri, host) = config::endpoint(&config.url)?;
        let random = Random::new(config.seed);
        Ok(Self {
            transport,
            uri,
            host,
            authorization: Mutex::new(config::authorization(&config.token)?),
            channel: channel(&random),
            user_agent: HeaderValue::try_from(config.user_agent).map_err(|_| InvalidConfig::UserAgent)?,
            format: HecFormat::new(&config.envelope),
            batch_max_bytes: config.batch_max_bytes,
            event_max_bytes: config.event_max_bytes,
            gzip: config.gzip_level.map(Compression::new),
            request_timeout: config.request_timeout,
            random,
        })
    }

    /// Sends with another token from the next request on: the old one may have been replaced in the vault.
    ///
    /// # Errors
    /// `Token` where it fits into no header; the old one stays.
    pub fn renew_token(&self, token: &SecretString) -> Result<(), InvalidConfig> {
        let authorization = config::authorization(token)?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = authorization;
        Ok(())
    }
}

impl Sink for SplunkHec {
    fn deliver<'a>(&'a self, records: &'a [Record], deadline: Instant) -> BoxFuture<'a, Delivery> {
        Box::pin(self.deliver_all(records, deadline))
    }
}

/// What became of one body: the collector's word, or why there is none to act upon.
#[derive(Debug)]
enum Verdict {
    Taken { slow_down: bool },
    BadEvent { place: Option<usize>, said: Said },
    TooLarge { said: Said },
}

impl SplunkHec {
    async fn deliver_all(&self, records: &[Record], deadline: Instant) -> Delivery {
        let mut delivery =
            Delivery { outcomes: vec![Outcome::NotSent; records.len()], slow_down: false, failure: None };
        let mut maker = BodyMaker::new(&self.format, self.event_max_bytes, self.gzip);
        // What the collector takes, as far as it has said; and what is tried while the one bad event of a body is sought.
        let mut limit = self.batch_max_bytes;
        let mut max_bytes = limit;
        let mut next = 0;
        let mut refusals = Refusals::default();
        while let Some(body) = maker.next_body(records, next, max_bytes, &mut delivery.outcomes) {
            match self.send_patiently(&body, deadline).await {
                Ok(Verdict::Taken { slow_down }) => {
                    mark(&mut delivery.outcomes, &body.members, &Outcome::Taken);
                    delivery.slow_down |= slow_down;
                    refusals.some_taken = true;
                    next = body.next;
                }
                Ok(Verdict::BadEvent { said, .. }) if body.members.len() == 1 => {
                    mark(&mut delivery.outcomes, &body.members, &Outcome::Refused(reason(said)));
                    refusals.count(said);
                    next = body.next;
                    max_bytes = limit;
                }
                Ok(Verdict::TooLarge { said }) if body.members.len() == 1 => {
                    mark(&mut delivery.outcomes, &body.members, &Outcome::TooLarge(reason(said)));
                    refusals.count(said);
                    next = body.next;
                    max_bytes = limit;
                }
                Ok(Verdict::BadEvent { place: Some(place), said }) if place < body.members.len() => {
                    let (taken, rest) = body.members.split_at(place);
                    mark(&mut delivery.outcomes, taken, &Outcome::Taken);
                    refusals.some_taken |= !taken.is_empty();
                    if let Some(&bad) = rest.first() {
                        mark(&mut delivery.outcomes, &[bad], &Outcome::Refused(reason(said)));
                        refusals.count(said);
                        next = bad + 1;
                    }
                }
                // Bodies of half the size from the same place on; the last halving leaves one event.
                Ok(Verdict::TooLarge { .. }) => {
                    limit = body.plain_bytes / 2;
                    max_bytes = limit;
                }
                Ok(Verdict::BadEvent { .. }) => {
                    // Some may be taken; should what follows fail, that must be known.
                    mark(&mut delivery.outcomes, &body.members, &Outcome::Unknown);
                    max_bytes = body.plain_bytes / 2;
                }
                Err(failure) => {
                    if let SinkFailure::Unknown { .. } = failure {
                        mark(&mut delivery.outcomes, &body.members, &Outcome::Unknown);
                    }
                    delivery.failure = Some(failure);
                    break;
                }
            }
            if let Some(said) = refusals.are_too_many()
                && delivery.outcomes.iter().any(|outcome| matches!(outcome, Outcome::NotSent | Outcome::Unknown))
            {
                let (host, answer) = (self.host.clone(), said.to_string());
                delivery.failure = Some(SinkFailure::RefusesAll { host, refused: refusals.events, answer });
                break;
            }
        }
        delivery
    }

    /// Sends a body, again too where it surely was not taken and time is left.
    async fn send_patiently(&self, body: &Body, deadline: Instant) -> Result<Verdict, SinkFailure> {
        let mut attempt = 1;
        loop {
            let failure = match self.send(body, deadline).await {
                Ok(verdict) => return Ok(verdict),
                Err(failure) => failure,
            };
            let asked = match &failure {
                SinkFailure::Busy { retry_after, .. } => *retry_after,
                SinkFailure::Unreachable { .. } => None,
                SinkFailure::Configuration { .. }
                | SinkFailure::RefusesAll { .. }
                | SinkFailure::Unknown { .. }
                | SinkFailure::Deadline { .. } => return Err(failure),
            };
            let pause = pause(attempt, &self.random, asked);
            let time_left = deadline.saturating_duration_since(Instant::now());
            if attempt == ATTEMPTS || pause.saturating_add(MIN_REQUEST_TIME) > time_left {
                return Err(failure);
            }
            tracing::warn!(host = self.host, attempt, pause_ms = pause.as_millis(), %failure, "sending again");
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// Sends a body once.
    async fn send(&self, body: &Body, deadline: Instant) -> Result<Verdict, SinkFailure> {
        let host = || self.host.clone();
        let now = Instant::now();
        if deadline.saturating_duration_since(now) < MIN_REQUEST_TIME {
            return Err(SinkFailure::Deadline { host: host() });
        }
        let unknown = |answer: &str| SinkFailure::Unknown { host: host(), answer: answer.to_owned() };
        let until = now.checked_add(self.request_timeout).map_or(deadline, |until| until.min(deadline));
        let (head, content) = match timeout_at(until, self.exchange(self.request(body))).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(TransportError::NotSent { .. })) => return Err(SinkFailure::Unreachable { host: host() }),
            Ok(Err(error)) => return Err(unknown(&error.to_string())),
            Err(_) => return Err(unknown("no answer in time")),
        };
        let (answer, said) = sort(head.status, &content, body.plain_bytes);
        match answer {
            Answer::Taken { slow_down } => Ok(Verdict::Taken { slow_down }),
            Answer::BadEvent { place } => Ok(Verdict::BadEvent { place, said }),
            Answer::TooLarge => Ok(Verdict::TooLarge { said }),
            Answer::Busy => Err(SinkFailure::Busy {
                host: host(),
                answer: said.to_string(),
                retry_after: retry_after(&head.headers),
            }),
            Answer::Configuration => Err(SinkFailure::Configuration { host: host(), answer: said.to_string() }),
            Answer::Unknown => Err(unknown(&said.to_string())),
        }
    }

    async fn exchange(&self, request: Request) -> Result<(http::response::Parts, Bytes), TransportError> {
        let (head, body) = self.transport.send(request).await?.into_parts();
        match body.collect(ANSWER_MAX_BYTES).await {
            Ok(content) => Ok((head, content)),
            // A page of that size is not the collector's; the status still says something.
            Err(TransportError::TooLarge { .. }) => Ok((head, Bytes::new())),
            Err(error) => Err(error),
        }
    }

    /// The index stands in each envelope and nowhere else; so nothing is in the query.
    fn request(&self, body: &Body) -> Request {
        let mut request = Request::new(body.bytes.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers
            .insert(header::AUTHORIZATION, self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone());
        headers.insert(CHANNEL, self.channel.clone());
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, body.bytes.len().into());
        if body.is_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        request
    }
}

impl std::fmt::Debug for SplunkHec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplunkHec").field("host", &self.host).finish_non_exhaustive()
    }
}

fn mark(outcomes: &mut [Outcome], members: &[usize], outcome: &Outcome) {
    for &index in members {
        if let Some(place) = outcomes.get_mut(index) {
            *place = outcome.clone();
        }
    }
}

fn reason(said: Said) -> Arc<str> {
    format!("refused by the collector: {said}").into()
}

/// What the collector has refused of one delivery, event by event.
#[derive(Default)]
struct Refusals {
    some_taken: bool,
    events: usize,
    last: Option<Said>,
}

impl Refusals {
    fn count(&mut self, said: Said) {
        self.events += 1;
        self.last = Some(said);
    }

    /// The last refusal, where so many of them can hardly be the events' fault.
    fn are_too_many(&self) -> Option<Said> {
        self.last.filter(|_| !self.some_taken && self.events >= REFUSALS_MAX)
    }
}

/// One channel for the life of the client, as the collector asks for.
#[expect(clippy::expect_used, reason = "a GUID is hexadecimal digits and hyphens")]
fn channel(random: &Random) -> HeaderValue {
    HeaderValue::try_from(random.guid()).expect("a GUID fits into a header")
}
