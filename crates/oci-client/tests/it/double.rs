//! A transport that plays a queue of answers and remembers the requests.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use oci_client::{Client, Deadline, Endpoints, Principal, RetryPolicy};
use oci_names::Ocid;
use tokio::time::Instant;

/// What happens to one request.
pub(crate) enum Play {
    /// An answer; the body comes in these pieces, and ends behind the last as `end` says.
    Answer { status: u16, headers: Vec<(&'static str, String)>, pieces: Vec<Bytes>, end: End },
    /// The connection was refused.
    NotSent,
    /// The connection closed without an answer.
    NoAnswer,
    /// Nothing comes, ever.
    Silence,
    /// The same, after that time.
    After(Duration, Box<Play>),
}

/// How an answer's body ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Whole,
    Cut,
    Stalled,
}

impl Play {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self::After(time, Box::new(self))
    }

    pub(crate) fn cut(self) -> Self {
        self.ending(End::Cut)
    }

    pub(crate) fn stalled(self) -> Self {
        self.ending(End::Stalled)
    }

    fn ending(mut self, how: End) -> Self {
        if let Self::Answer { end, .. } = &mut self {
            *end = how;
        }
        self
    }
}

/// An answer with this body, whole.
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Play {
    pieces(status, vec![body.into()])
}

/// An answer whose body comes in pieces.
pub(crate) fn pieces(status: u16, pieces: Vec<Bytes>) -> Play {
    Play::Answer { status, headers: vec![("opc-request-id", "SERVICE/ID".to_owned())], pieces, end: End::Whole }
}

/// An error as the services write it.
pub(crate) fn refusal(status: u16, code: &str) -> Play {
    answer(status, format!(r#"{{"code":"{code}","message":"no"}}"#))
}

/// A request that was sent, and when.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) request: http::Request<Bytes>,
    pub(crate) at: Instant,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.request.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn uri(&self) -> String {
        self.request.uri().to_string()
    }
}

/// The transport; requests past the end of the queue fail the test.
pub(crate) struct Double {
    plays: Mutex<VecDeque<Play>>,
    sent: Mutex<Vec<Sent>>,
}

impl Double {
    pub(crate) fn new(plays: impl IntoIterator<Item = Play>) -> Arc<Self> {
        Arc::new(Self { plays: Mutex::new(plays.into_iter().collect()), sent: Mutex::default() })
    }

    /// A client over this transport, with an API key.
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        self.client_of(api_key())
    }

    pub(crate) fn client_of(self: &Arc<Self>, principal: Principal) -> Client {
        let retry = RetryPolicy { seed: Some(1), ..RetryPolicy::default() };
        Client::new(self.clone(), principal, Endpoints::new("iad".parse().unwrap())).with_retry(retry)
    }

    /// A client whose container's clock stands still at the time that the tests' answers tell.
    pub(crate) fn client_at(self: &Arc<Self>, own: &str) -> Client {
        let own: jiff::Timestamp = own.parse().unwrap();
        self.client().with_own_clock(Arc::new(move || own))
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        assert_eq!(self.plays.lock().unwrap().len(), 0, "answers that nobody asked for");
        self.sent.lock().unwrap().clone()
    }

    /// How long after the first request each one was sent, in milliseconds.
    pub(crate) fn times_ms(&self) -> Vec<u128> {
        let sent = self.sent();
        sent.iter().map(|each| (each.at - sent[0].at).as_millis()).collect()
    }
}

impl Transport for Double {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let host = request.uri().host().unwrap().to_owned();
        self.sent.lock().unwrap().push(Sent { request, at: Instant::now() });
        let play = self.plays.lock().unwrap().pop_front().expect("a request too many");
        Box::pin(async move {
            let play = match play {
                Play::After(time, play) => {
                    tokio::time::sleep(time).await;
                    *play
                }
                play => play,
            };
            match play {
                Play::Answer { status, headers, pieces, end } => {
                    let mut response = http::Response::builder().status(status);
                    for (name, value) in headers {
                        response = response.header(name, value);
                    }
                    let last = match end {
                        End::Whole => stream::empty().boxed(),
                        End::Cut => stream::iter([Err(TransportError::Cut { source: "reset".into() })]).boxed(),
                        End::Stalled => stream::pending().boxed(),
                    };
                    let frames = stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece)))).chain(last);
                    Ok(response.body(Body::new(StreamBody::new(frames))).unwrap())
                }
                Play::NotSent => Err(TransportError::NotSent { host, source: "refused".into() }),
                Play::NoAnswer => Err(TransportError::NoAnswer { host, source: "closed".into() }),
                Play::Silence | Play::After(..) => std::future::pending().await,
            }
        })
    }
}

pub(crate) const SIGNING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/signing");

pub(crate) fn api_key() -> Principal {
    let text = "[DEFAULT]\nuser=ocid1.user.oc1..u\ntenancy=ocid1.tenancy.oc1..t\n\
                fingerprint=1d:75:6e:a7:bf:99:10:44:77:b8:41:0d:3b:4f:68:8d\nkey_file=~/test-key.pem\n";
    Principal::from_config_text(text, "DEFAULT", Path::new(SIGNING)).unwrap()
}

pub(crate) fn ocid(text: &str) -> Ocid {
    text.parse().unwrap()
}

pub(crate) fn in_secs(seconds: u64) -> Deadline {
    Deadline::now() + Duration::from_secs(seconds)
}
