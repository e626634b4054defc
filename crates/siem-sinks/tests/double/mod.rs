//! The other side of the seam, whichever destination it stands for: it plays scripted answers first, then acts by the
//! destination's rules. Shared by the tests of all destinations.

use std::{collections::VecDeque, io::Read as _, sync::Mutex, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, StatusCode, request};
use http_transport::{Body, Request, Response, TransportError};
use siem_sinks::{Delivery, Outcome, Proven, Record, SinkFailure};
use tokio::time::{Instant, sleep};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// An answer made up beforehand; nothing is taken.
    Answer { status: u16, headers: Vec<(&'static str, &'static str)>, body: String },
    /// By the rules.
    ByRule,
    /// By the rules, but the answer is lost.
    TakenInSilence,
    /// The connection breaks before anything is taken.
    Broken,
    /// By the rules, but the answer's body breaks off.
    CutAnswer,
    /// No connection.
    Unreachable,
    /// The request is read, and then nothing ever comes.
    Silent,
}

impl Reply {
    pub(crate) fn answer(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn page(status: u16) -> Self {
        Self::answer(status, "<html>hush</html>")
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value));
        }
        self
    }
}

/// A request as it came in.
pub(crate) struct Seen {
    pub(crate) head: request::Parts,
    /// As sent.
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

/// What is still to be played, and every request that came.
#[derive(Default)]
pub(crate) struct Tape {
    script: Mutex<VecDeque<Reply>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
}

impl Tape {
    pub(crate) fn playing(script: impl IntoIterator<Item = Reply>) -> Self {
        Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() }
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// When each request came, in milliseconds after the first.
    pub(crate) fn arrivals(&self) -> Vec<u128> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| (request.at - seen[0].at).as_millis()).collect()
    }

    /// Each request's content, unpacked.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| unpacked(&seen.head.headers, &seen.body)).collect()
    }

    /// Takes one request; `act` is the destination's rules, which answer with status and body.
    pub(crate) async fn play(
        &self,
        request: Request,
        act: impl Fn(&request::Parts, &Bytes) -> (u16, String),
    ) -> Result<Response, TransportError> {
        let (head, body) = request.into_parts();
        let reply = self.script.lock().unwrap().pop_front().unwrap_or(Reply::ByRule);
        self.seen.lock().unwrap().push(Seen { head: head.clone(), body: body.clone(), at: Instant::now() });
        // Every exchange takes a while, so that the paused clock moves.
        sleep(Duration::from_millis(10)).await;
        let host = || "the double".to_owned();
        match reply {
            Reply::Answer { status, headers, body } => {
                let mut answer = answer(status, Body::from_bytes(body));
                for (name, value) in headers {
                    answer.headers_mut().insert(name, value.parse().unwrap());
                }
                Ok(answer)
            }
            Reply::ByRule => {
                let (status, text) = act(&head, &body);
                Ok(answer(status, Body::from_bytes(text)))
            }
            Reply::TakenInSilence => {
                act(&head, &body);
                Err(TransportError::NoAnswer { host: host(), source: "reset".into() })
            }
            Reply::Broken => Err(TransportError::NoAnswer { host: host(), source: "reset".into() }),
            Reply::CutAnswer => {
                let (status, _) = act(&head, &body);
                Ok(answer(status, Body::new(CutBody)))
            }
            Reply::Unreachable => Err(TransportError::NotSent { host: host(), source: "refused".into() }),
            Reply::Silent => std::future::pending().await,
        }
    }
}

pub(crate) fn unpacked(headers: &HeaderMap, body: &Bytes) -> String {
    if headers.get("content-encoding").is_none() {
        return String::from_utf8(body.to_vec()).unwrap();
    }
    let mut plain = String::new();
    MultiGzDecoder::new(&body[..]).read_to_string(&mut plain).unwrap();
    plain
}

fn answer(status: u16, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// A body whose one piece is the error.
struct CutBody;

impl http_body::Body for CutBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, TransportError>>> {
        std::task::Poll::Ready(Some(Err(TransportError::Cut { source: "cut".into() })))
    }
}

pub(crate) fn records<T: AsRef<str>>(raws: &[T]) -> Vec<Record> {
    raws.iter()
        .map(|raw| Record {
            raw: raw.as_ref().to_owned().into(),
            region: Some("eu-frankfurt-1".into()),
            proven: Proven::Nothing,
        })
        .collect()
}

pub(crate) fn events(count: usize) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"eventId":"e{n}"}}"#)).collect()
}

pub(crate) fn in_secs(secs: u64) -> Instant {
    Instant::now() + Duration::from_secs(secs)
}

/// One letter a record: Taken, Refused, too Large, Not sent, Unknown.
pub(crate) fn letters(delivery: &Delivery) -> String {
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Taken => 'T',
        Outcome::Refused(_) => 'R',
        Outcome::TooLarge(_) => 'L',
        Outcome::NotSent => 'N',
        Outcome::Unknown => 'U',
    };
    delivery.outcomes.iter().map(letter).collect()
}

pub(crate) fn kind(delivery: &Delivery) -> &'static str {
    match delivery.failure {
        None => "none",
        Some(SinkFailure::Unreachable { .. }) => "unreachable",
        Some(SinkFailure::Busy { .. }) => "busy",
        Some(SinkFailure::Configuration { .. }) => "configuration",
        Some(SinkFailure::RefusesAll { .. }) => "refuses all",
        Some(SinkFailure::Unknown { .. }) => "unknown",
        Some(SinkFailure::Deadline { .. }) => "deadline",
    }
}
