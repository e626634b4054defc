//! What is alike in all destinations that take bodies of many events by HTTP.

mod body;

mod progress;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use http::{HeaderValue, Method, StatusCode, header};
use http_transport::{Request, Transport, TransportError};
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) use self::body::Body;
use self::{body::BodyMaker, progress::Progress};
use crate::{
    Delivery, InvalidConfig, Outcome, Record, SinkFailure,
    retry::{Random, pause, retry_after},
};

/// How often one body is sent where the other side surely has not taken it. Waiting in a function is paid for: after that
/// the caller comes back later.
const ATTEMPTS: u32 = 3;

/// Below this a request is not begun: it would likely be cut, and nobody would know whether it was taken.
const MIN_REQUEST_TIME: Duration = Duration::from_millis(500);

/// More than an answer of any destination ever holds.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// A destination's own part: how an event stands in a body, where a body goes, and what an answer means.
pub(crate) trait Dialect: Send + Sync {
    /// Who answers, with its article, as reasons name it.
    const PEER: &'static str;

    /// Where to look if it refuses one event after the other.
    const SUSPECTS: &'static str;

    /// Appends the record to the body under way, with whatever separates the two; or says what becomes of a record that
    /// cannot travel, and what it has appended is taken away.
    fn append(&self, record: &Record, body: &mut BytesMut) -> Result<(), Outcome>;

    /// Sets the address and the headers that are the destination's own.
    fn address(&self, request: &mut Request);

    /// Sorts the answer to `body`, and tells it for people, without the other side's own words: they come from whoever
    /// answered.
    fn sort(&self, status: StatusCode, content: &[u8], body: &Body) -> (Answer, String);
}

/// The other side's word on one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has looked at the events.
    Verdict(Verdict),
    /// Surely not taken; later it may be.
    Busy,
    /// Surely not taken, and never will be until somebody mends the settings on one of the two sides.
    Configuration,
    /// It may have been taken.
    Unknown,
}

/// What became of the events of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All are taken.
    Taken {
        /// The other side is close to its limits.
        slow_down: bool,
    },
    /// One event spoils the body: those before it are taken, it and those behind it are not.
    BadEvent {
        /// Its place in the body; none where the answer does not say, and then nothing is known of the others.
        place: Option<usize>,
    },
    /// None is taken, for the sake of events that are not named.
    NoneTaken,
    /// Some are taken and the others never will be, and nobody says which.
    SomeTaken,
    /// The body is too large as a whole, and nothing of it is taken.
    TooLarge,
}

/// How bodies are made and sent, whatever the destination.
pub(crate) struct Manner {
    pub(crate) batch_max_bytes: usize,
    pub(crate) gzip_level: Option<u32>,
    pub(crate) user_agent: String,
    pub(crate) request_timeout: Duration,
    pub(crate) random: Random,
}

/// Sends records in bodies to one destination, and answers for each of them.
///
/// * A body that the other side is too busy for, or that found no connection, is sent up to three times, with growing
///   pauses or those that `Retry-After` asks for.
/// * A body whose outcome is unknown is not sent again here.
/// * Where one event of an unknown place spoils a body, the body is halved until that event stands alone. If others of it
///   may have been taken, then second copies, with the same ids, are the price.
/// * Where some events of a body were taken and nobody will ever say which, sending it again could only make copies: all
///   of it is refused, and what follows is sent.
/// * A body that is too large is halved, down to one event, which is then too large.
/// * A destination that refuses 20 events one by one and takes none is left alone: [`SinkFailure::RefusesAll`].
pub(crate) struct HttpSink<D> {
    pub(crate) dialect: D,
    transport: Arc<dyn Transport>,
    /// Host and port, as errors name them.
    pub(crate) host: String,
    batch_max_bytes: usize,
    gzip: Option<Compression>,
    user_agent: HeaderValue,
    request_timeout: Duration,
    random: Random,
}

impl<D: Dialect> HttpSink<D> {
    pub(crate) fn new(
        dialect: D,
        host: String,
        manner: Manner,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidConfig> {
        Ok(Self {
            dialect,
            transport,
            host,
            batch_max_bytes: manner.batch_max_bytes,
            gzip: manner.gzip_level.map(Compression::new),
            user_agent: HeaderValue::try_from(manner.user_agent).map_err(|_| InvalidConfig::UserAgent)?,
            request_timeout: manner.request_timeout,
            random: manner.random,
        })
    }

    pub(crate) async fn deliver_all(&self, records: &[Record], deadline: Instant) -> Delivery {
        let mut progress = Progress::new::<D>(records.len(), self.batch_max_bytes);
        let mut maker = BodyMaker::new(&self.dialect, self.gzip);
        while let Some(body) = progress.next_body(&mut maker, records) {
            match self.send_patiently(&body, deadline).await {
                Ok((verdict, said)) => progress.learn(&body, verdict, &said),
                Err(failure) => return progress.ended_by(&body, failure),
            }
            if progress.is_hopeless() {
                return progress.given_up(&self.host, D::SUSPECTS);
            }
        }
        progress.done()
    }

    /// Sends a body, again too where it surely was not taken and time is left.
    async fn send_patiently(&self, body: &Body, deadline: Instant) -> Result<(Verdict, String), SinkFailure> {
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
    async fn send(&self, body: &Body, deadline: Instant) -> Result<(Verdict, String), SinkFailure> {
        let host = || self.host.clone();
        let now = Instant::now();
        if deadline.saturating_duration_since(now) < MIN_REQUEST_TIME {
            return Err(SinkFailure::Deadline { host: host() });
        }
        let unknown = |answer: String| SinkFailure::Unknown { host: host(), answer };
        let until = now.checked_add(self.request_timeout).map_or(deadline, |until| until.min(deadline));
        let (head, content) = match timeout_at(until, self.exchange(self.request(body))).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(TransportError::NotSent { .. })) => return Err(SinkFailure::Unreachable { host: host() }),
            Ok(Err(error)) => return Err(unknown(error.to_string())),
            Err(_) => return Err(unknown("no answer in time".to_owned())),
        };
        let (answer, said) = self.dialect.sort(head.status, &content, body);
        match answer {
            Answer::Verdict(verdict) => Ok((verdict, said)),
            Answer::Busy => {
                Err(SinkFailure::Busy { host: host(), answer: said, retry_after: retry_after(&head.headers) })
            }
            Answer::Configuration => Err(SinkFailure::Configuration { host: host(), answer: said }),
            Answer::Unknown => Err(unknown(said)),
        }
    }

    async fn exchange(&self, request: Request) -> Result<(http::response::Parts, Bytes), TransportError> {
        let (head, body) = self.transport.send(request).await?.into_parts();
        match body.collect(ANSWER_MAX_BYTES).await {
            Ok(content) => Ok((head, content)),
            // A page of that size is not the destination's; the status still says something, and the page that it is none.
            Err(TransportError::TooLarge { .. }) => Ok((head, Bytes::from_static(b"<"))),
            Err(error) => Err(error),
        }
    }

    fn request(&self, body: &Body) -> Request {
        let mut request = Request::new(body.bytes.clone());
        *request.method_mut() = Method::POST;
        self.dialect.address(&mut request);
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::CONTENT_LENGTH, body.bytes.len().into());
        if body.is_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        request
    }
}
