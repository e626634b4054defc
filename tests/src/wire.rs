//! The wire without sockets: requests go to the emulator, or to the collector, by function call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use local_oci::{LocalOci, receiver::HecReceiver};
use tokio::sync::Notify;

/// Where the emulator is reached; no socket listens there.
pub const OCI: &str = "http://127.0.0.1:1";

/// Where the collector is reached.
pub const SPLUNK: &str = "http://127.0.0.2:8088";

/// Where another collector is reached.
pub const SECOND: &str = "http://127.0.0.3:8088";

/// The collectors by their URLs. A clone is the same set.
pub type Collectors = Arc<Mutex<BTreeMap<&'static str, HecReceiver>>>;

/// The emulator and the collectors, called in process.
#[derive(Clone)]
pub struct InProcess {
    /// The emulator.
    pub cloud: LocalOci,
    /// The destinations.
    pub collectors: Collectors,
    /// Ends callers.
    pub killer: Arc<Killer>,
}

/// Ends whoever makes a certain wire call: the call hangs for ever, and whoever waits for [`Killer::strike`] drops him.
#[derive(Default)]
pub struct Killer {
    calls: AtomicU64,
    aim: Mutex<Option<(u64, Moment)>>,
    struck: Notify,
}

/// On which side of its effect a call is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has not taken effect.
    Before,
    /// It has, and its answer is lost.
    After,
}

impl Killer {
    /// Strikes at wire call number `call`, counted from 1 and from now.
    pub fn aim(&self, call: u64, moment: Moment) {
        self.calls.store(0, Ordering::Relaxed);
        *self.aim.lock().unwrap() = Some((call, moment));
    }

    /// Strikes no more; whether it did.
    pub fn has_struck(&self) -> bool {
        let (call, _) = self.aim.lock().unwrap().take().expect("an aim");
        self.calls.load(Ordering::Relaxed) >= call
    }

    /// Comes back when somebody is to be dropped.
    pub async fn strike(&self) {
        self.struck.notified().await;
    }

    async fn meet(&self, call: u64, moment: Moment) {
        let hit = *self.aim.lock().unwrap() == Some((call, moment));
        if hit {
            self.struck.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Transport for InProcess {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let call = self.killer.calls.fetch_add(1, Ordering::Relaxed) + 1;
            self.killer.meet(call, Moment::Before).await;
            let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let url = format!("http://{host}");
            let collector = self.collectors.lock().unwrap().get(url.as_str()).cloned();
            let is_head = request.method() == http::Method::HEAD;
            let answer = match collector {
                Some(collector) => collector.handle(request).await.map_err(|_| no_answer(&host))?,
                None => self.cloud.handle(request).await.map_err(|_| no_answer(&host))?,
            };
            self.killer.meet(call, Moment::After).await;
            Ok(answer_of(answer, is_head))
        })
    }
}

fn no_answer(host: &str) -> TransportError {
    TransportError::NoAnswer { host: host.to_owned(), source: "connection reset".into() }
}

/// A body shorter than its `content-length` breaks off, as it would on a socket; a HEAD has none.
fn answer_of(answer: http::Response<Bytes>, is_head: bool) -> Response {
    let (head, body) = answer.into_parts();
    let promised = head.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if is_head || promised.is_none_or(|promised: usize| promised <= body.len()) {
        return http::Response::from_parts(head, Body::from_bytes(body));
    }
    let frames = [Ok(Frame::data(body)), Err(TransportError::Cut { source: "connection reset".into() })];
    http::Response::from_parts(head, Body::new(StreamBody::new(stream::iter(frames))))
}
