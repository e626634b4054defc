//! A body for the collector, taken apart.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header;
use http_transport::Request;
use pipeline::{EventHash, event_hash};
use serde_json::value::RawValue;

/// One envelope of a body: its own bytes, and its event's hash.
#[derive(Debug)]
pub struct Envelope {
    /// As it stood in the body.
    pub bytes: String,
    /// Of the event in it.
    pub hash: EventHash,
}

/// The envelopes of a post, in order.
pub fn envelopes(request: &Request) -> Vec<Envelope> {
    #[derive(serde::Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        event: &'a RawValue,
    }
    let is_packed = request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let mut plain = Vec::new();
    if is_packed {
        MultiGzDecoder::new(&request.body()[..]).read_to_end(&mut plain).expect("a body that we packed");
    } else {
        plain.extend_from_slice(request.body());
    }
    let mut envelopes = Vec::new();
    for raw in serde_json::Deserializer::from_slice(&plain).into_iter::<Box<RawValue>>() {
        let raw = raw.expect("a body of envelopes");
        let inner: Inner<'_> = serde_json::from_str(raw.get()).expect("an envelope with an event");
        let hash = event_hash(inner.event.get().as_bytes());
        envelopes.push(Envelope { bytes: raw.get().to_owned(), hash });
    }
    envelopes
}

/// The same request for the first envelopes alone.
pub fn first(request: &Request, envelopes: &[Envelope]) -> Request {
    let body: String = envelopes.iter().map(|envelope| envelope.bytes.as_str()).collect();
    let mut part = Request::new(Bytes::from(body));
    *part.method_mut() = request.method().clone();
    *part.uri_mut() = request.uri().clone();
    *part.headers_mut() = request.headers().clone();
    part.headers_mut().remove(header::CONTENT_ENCODING);
    let length = part.body().len();
    part.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    part
}

/// The collector's refusal of the event at that place of a body.
pub fn refusal(place: usize) -> http::Response<Bytes> {
    let body = format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{place}}}"#);
    let mut answer = http::Response::new(Bytes::from(body));
    *answer.status_mut() = http::StatusCode::BAD_REQUEST;
    answer
}
