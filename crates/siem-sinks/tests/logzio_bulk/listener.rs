//! A bulk listener on the other side of the seam: it plays scripted answers first, then acts by the documented rules.

use std::sync::Mutex;

use bytes::Bytes;
use http::request;
use http_transport::{BoxFuture, Request, Response, Transport, TransportError};
use serde_json::{Map, Value};

use crate::{
    TOKEN,
    double::{Reply, Tape, unpacked},
};

/// The limits that Logz.io documents, before compression.
const BODY_MAX_BYTES: usize = 10 * 1024 * 1024;
const LINE_MAX_BYTES: usize = 500_000;

/// An answer that counts lines, of which `taken` were good and `malformed` were not.
pub(crate) fn counts(taken: usize, malformed: usize) -> Reply {
    Reply::answer(400, counted(taken, malformed, 0, 0))
}

fn counted(taken: usize, malformed: usize, oversized: usize, empty: usize) -> String {
    format!(
        r#"{{"malformedLines":{malformed},"successfulLines":{taken},"oversizedLines":{oversized},"emptyLogLines":{empty}}}"#
    )
}

#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) tape: Tape,
    /// Each line that was taken, byte for byte.
    pub(crate) taken: Mutex<Vec<String>>,
    /// In place of the documented limits of body and line.
    pub(crate) body_max_bytes: Option<usize>,
    pub(crate) line_max_bytes: Option<usize>,
    /// Answers a 400 without counts.
    pub(crate) hides_the_counts: bool,
}

impl Listener {
    pub(crate) fn playing(script: impl IntoIterator<Item = Reply>) -> Self {
        Self { tape: Tape::playing(script), ..Self::default() }
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// The good lines are taken, the others counted. An object `{"bad":…}` is malformed, for a reason of the listener's own.
    fn act(&self, head: &request::Parts, body: &Bytes) -> (u16, String) {
        let token = format!("token={TOKEN}");
        if !head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == token)) {
            return (401, "hush".to_owned());
        }
        let plain = unpacked(&head.headers, body);
        if plain.len() > self.body_max_bytes.unwrap_or(BODY_MAX_BYTES) {
            return (413, String::new());
        }
        let (mut taken, mut malformed, mut oversized, mut empty) = (0, 0, 0, 0);
        for line in plain.split_terminator('\n') {
            let is_good = |line| serde_json::from_str::<Map<String, Value>>(line).is_ok_and(|o| !o.contains_key("bad"));
            if line.is_empty() {
                empty += 1;
            } else if line.len() > self.line_max_bytes.unwrap_or(LINE_MAX_BYTES) {
                oversized += 1;
            } else if is_good(line) {
                taken += 1;
                self.taken.lock().unwrap().push(line.to_owned());
            } else {
                malformed += 1;
            }
        }
        if malformed + oversized + empty == 0 && taken > 0 {
            (200, String::new())
        } else if self.hides_the_counts {
            (400, "hush".to_owned())
        } else {
            (400, counted(taken, malformed, oversized, empty))
        }
    }
}

impl Transport for Listener {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.tape.play(request, |head, body| self.act(head, body)))
    }
}
