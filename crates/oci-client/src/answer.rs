//! What comes back: answers of success, refusals, and the wait for either.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_transport::{Body, TransportError};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::{Deadline, Error, error::ServiceMessage, retry};

/// The longest wait for the head of an answer, and for its body, as in the official SDKs; single reads of a stream have
/// been seen to take ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

const NEXT_PAGE: HeaderName = HeaderName::from_static("opc-next-page");

/// An answer of success.
pub(crate) struct Answer {
    pub(crate) operation: &'static str,
    pub(crate) request_id: String,
    pub(crate) headers: HeaderMap,
    /// Empty where the body is left to be streamed.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body as JSON, borrowing from it where the type does.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        // serde's own text may repeat a value.
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unexpected(format!("line {} column {} of the body", error.line(), error.column())))
    }

    /// A header that the operation always answers with.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<&str, Error> {
        text(&self.headers, name).ok_or_else(|| self.unexpected(format!("header {name}")))
    }

    /// The token of the next page; none at the end.
    pub(crate) fn next_page(&self) -> Option<&str> {
        text(&self.headers, &NEXT_PAGE)
    }

    /// The object's version, bare; quotes are tolerated.
    pub(crate) fn etag(&self) -> Result<String, Error> {
        Ok(self.header(&header::ETAG)?.trim_matches('"').to_owned())
    }

    /// The error for an answer whose shape is not the documented one.
    pub(crate) fn unexpected(&self, at: impl Into<String>) -> Error {
        Error::Decode { operation: self.operation, at: at.into(), request_id: self.request_id.clone() }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may be a secret.
        f.debug_struct("Answer")
            .field("operation", &self.operation)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// A header's text; an empty one counts as absent.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

/// A service's code is one word; anything else is somebody's prose and stays out of our errors.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The error that an answer of no success stands for; `now` is the service's.
pub(crate) fn refusal(
    operation: &'static str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    request_id: String,
    now: Timestamp,
) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    let retry_after = text(headers, &header::RETRY_AFTER).and_then(|value| retry::retry_after(value, now));
    // A proxy's page is kept as a message; the code is the service's alone.
    let (code, message) = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if is_code(&refusal.code) => (refusal.code, refusal.message.unwrap_or_default()),
        _ => (String::new(), String::from_utf8_lossy(body).into_owned()),
    };
    Error::Service { operation, status, code, message: ServiceMessage::new(&message), request_id, retry_after }
}

/// Whose wait it is, for the errors of waiting.
pub(crate) struct Waiting<'a> {
    pub(crate) operation: &'static str,
    pub(crate) request_id: &'a str,
    pub(crate) deadline: Deadline,
}

impl Waiting<'_> {
    /// Waits for the transport until the deadline, and no longer than [`SILENCE_MAX`].
    pub(crate) async fn wait<T>(
        &self,
        host: &str,
        what: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, Error> {
        let silence = Instant::now() + SILENCE_MAX;
        match timeout_at(self.deadline.min(silence), what).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(self.failed(source)),
            Err(_) if self.deadline <= silence => {
                Err(Error::Deadline { operation: self.operation, sent: true, request_id: self.request_id.to_owned() })
            }
            Err(elapsed) => {
                Err(self.failed(TransportError::NoAnswer { host: host.to_owned(), source: elapsed.into() }))
            }
        }
    }

    /// Waits for the whole body.
    pub(crate) async fn collect(&self, host: &str, body: Body, cap: usize) -> Result<Bytes, Error> {
        self.wait(host, body.collect(cap)).await
    }

    fn failed(&self, source: TransportError) -> Error {
        let (operation, request_id) = (self.operation, self.request_id.to_owned());
        match source {
            TransportError::TooLarge { cap } => Error::TooLarge { operation, cap, request_id },
            source => Error::Transport { operation, request_id, source },
        }
    }
}
