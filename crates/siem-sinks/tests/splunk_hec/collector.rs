//! A collector on the other side of the seam: it plays scripted answers first, then acts by the rules.

use std::sync::Mutex;

use bytes::Bytes;
use http::HeaderMap;
use http_transport::{BoxFuture, Request, Response, Transport, TransportError};
use serde_json::{Value, value::RawValue};

use crate::double::{Reply, Tape, unpacked};

/// An answer of the collector with this code.
pub(crate) fn hec(status: u16, code: u16) -> Reply {
    Reply::answer(status, format!(r#"{{"text":"hush","code":{code}}}"#))
}

#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) tape: Tape,
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
        Self { tape: Tape::playing(script), ..Self::default() }
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
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

impl Transport for Collector {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.tape.play(request, |head, body| self.act(&head.headers, body)))
    }
}
