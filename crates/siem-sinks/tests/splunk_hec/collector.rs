//! A collector on the other side of the seam: it plays scripted answers first, then acts by the rules.

use std::{collections::VecDeque, io::Read as _, sync::Mutex, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, StatusCode, request};
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use serde_json::{Value, value::RawValue};
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
    pub(crate) fn hec(status: u16, code: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: format!(r#"{{"text":"hush","code":{code}}}"#) }
    }

    pub(crate) fn page(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: "<html>hush</html>".to_owned() }
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

#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) script: Mutex<VecDeque<Reply>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// The `event` of each object that was taken, byte for byte.
    pub(crate) taken: Mutex<Vec<String>>,
    /// Larger bodies (before compression) are answered 413, or code 6 where `says_code_6`.
    pub(crate) max_bytes: Option<usize>,
    pub says_code_6: bool,
    /// Leaves `invalid-event-number` away.
    pub(crate) hides_the_number: bool,
}

impl Collector {
    pub(crate) fn playing(script: impl IntoIterator<Item = Reply>) -> Self {
        Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() }
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
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

    /// Splunk's rules: objects are taken one by one up to the first bad one. An event `{"bad":N}` is answered with code N.
    fn act(&self, headers: &HeaderMap, body: &Bytes) -> (u16, String) {
        let plain = unpacked(headers, body);
        if plain.is_empty() {
            return (400, r#"{"text":"No data","code":5}"#.to_owned());
        }
        if self.max_bytes.is_some_and(|max_bytes| plain.len() > max_bytes) {
            return if self.says_code_6 {
                (400, r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#.to_owned())
            } else {
                (413, r#"{"text":"Content-Length too large","code":413}"#.to_owned())
            };
        }
        let mut objects = serde_json::Deserializer::from_str(&plain).into_iter::<Box<RawValue>>();
        let mut number = 0;
        loop {
            let code = match objects.next() {
                None => return (200, r#"{"text":"Success","code":0}"#.to_owned()),
                Some(Err(_)) => 6,
                Some(Ok(object)) => match self.index(&object) {
                    Ok(()) => {
                        number += 1;
                        continue;
                    }
                    Err(code) => code,
                },
            };
            let place =
                if self.hides_the_number { String::new() } else { format!(r#","invalid-event-number":{number}"#) };
            return (400, format!(r#"{{"text":"x","code":{code}{place}}}"#));
        }
    }

    fn index(&self, object: &RawValue) -> Result<(), u64> {
        #[derive(serde::Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            event: &'a RawValue,
        }
        let event = serde_json::from_str::<Object<'_>>(object.get()).map_err(|_| 12_u64)?.event.get();
        match serde_json::from_str::<Value>(event).map_err(|_| 6_u64)?.get("bad").and_then(Value::as_u64) {
            Some(code) => Err(code),
            None => {
                self.taken.lock().unwrap().push(event.to_owned());
                Ok(())
            }
        }
    }
}

fn unpacked(headers: &HeaderMap, body: &Bytes) -> String {
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

impl Transport for Collector {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let reply = self.script.lock().unwrap().pop_front().unwrap_or(Reply::ByRule);
            let headers = head.headers.clone();
            self.seen.lock().unwrap().push(Seen { head, body: body.clone(), at: Instant::now() });
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
                    let (status, text) = self.act(&headers, &body);
                    Ok(answer(status, Body::from_bytes(text)))
                }
                Reply::TakenInSilence => {
                    self.act(&headers, &body);
                    Err(TransportError::NoAnswer { host: host(), source: "reset".into() })
                }
                Reply::Broken => Err(TransportError::NoAnswer { host: host(), source: "reset".into() }),
                Reply::CutAnswer => {
                    let (status, _) = self.act(&headers, &body);
                    Ok(answer(status, Body::new(CutBody)))
                }
                Reply::Unreachable => Err(TransportError::NotSent { host: host(), source: "refused".into() }),
                Reply::Silent => std::future::pending().await,
            }
        })
    }
}
