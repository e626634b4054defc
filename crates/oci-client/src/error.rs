//! What can go wrong between a function and a service, sorted by what the caller may conclude.

use std::{fmt, time::Duration};

use http::StatusCode;
use http_transport::TransportError;

use crate::{InvalidEndpoint, PrincipalError};

/// A call failed. No variant's text holds a key, a token or a body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No answer, or one that broke off.
    #[error("{operation}: no usable answer (opc-request-id {request_id})")]
    Transport {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// The id that was sent with the request.
        request_id: String,
        /// What the transport says; it names the host.
        #[source]
        source: TransportError,
    },
    /// The service answered with an error.
    #[error("{operation}: {status} {code} (opc-request-id {request_id})")]
    Service {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// The HTTP status.
        status: StatusCode,
        /// The service's own code, such as `NotAuthorizedOrNotFound`; empty where the answer has none (HEAD, proxies).
        code: String,
        /// The service's text, for the log and not for a caller.
        message: ServiceMessage,
        /// The id under which the service knows the call.
        request_id: String,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer is not of the documented shape.
    #[error("{operation}: unexpected answer at {at} (opc-request-id {request_id})")]
    Decode {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// Where in the answer, never what stood there.
        at: String,
        /// The id under which the service knows the call.
        request_id: String,
    },
    /// The answer is longer than the caller wanted to read.
    #[error("{operation}: the answer is larger than {cap} bytes (opc-request-id {request_id})")]
    TooLarge {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// The limit in bytes.
        cap: usize,
        /// The id under which the service knows the call.
        request_id: String,
    },
    /// An attempt may have taken effect, and a later one could not tell: a rename whose answer was lost and whose
    /// repeat finds no source, a conditional put whose repeat loses against, perhaps, itself. Look before going on.
    #[error("{operation}: may have taken effect (opc-request-id {request_id})")]
    OutcomeUnknown {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// The id that was sent with the request.
        request_id: String,
        /// How the last attempt failed.
        #[source]
        last: Box<Error>,
    },
    /// The deadline came first.
    #[error("{operation}: the deadline came first (opc-request-id {request_id})")]
    Deadline {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// Whether a request was under way, so that it may have been processed.
        sent: bool,
        /// The id that was, or would have been, sent with the request.
        request_id: String,
    },
    /// The principal cannot sign.
    #[error("no credentials to sign with")]
    Principal(#[from] PrincipalError),
    /// The endpoint is not one.
    #[error("no usable endpoint")]
    Endpoint(#[from] InvalidEndpoint),
    /// What was asked for breaks a documented rule of the service; nothing was sent.
    #[error("{operation}: {what}")]
    Invalid {
        /// The operation as the API reference names it.
        operation: &'static str,
        /// The rule that is broken, without the value.
        what: &'static str,
    },
}

impl Error {
    /// Whether the same call may succeed later. Whether it may be *repeated* is another question: see
    /// [`Error::is_outcome_unknown`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !matches!(source, TransportError::TooLarge { .. }),
            Self::Service { status, code, .. } => match status.as_u16() {
                429 => true,
                501 => false,
                500..=599 => true,
                409 => matches!(code.as_str(), "IncorrectState" | "LockConflict"),
                // The credentials are renewed by the platform; the request itself is sound.
                401 => true,
                // Also a passing glitch on valid requests (observed).
                404 => code == BUCKET_NOT_FOUND,
                _ => false,
            },
            // A garbled answer is likelier than a changed API.
            Self::Decode { .. } | Self::OutcomeUnknown { .. } | Self::Deadline { .. } => true,
            // Nothing is wrong with the request.
            Self::Principal(_) => true,
            Self::TooLarge { .. } | Self::Endpoint(_) | Self::Invalid { .. } => false,
        }
    }

    /// Whether the request may have been processed in spite of the error. Says nothing about reads, which change nothing.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !matches!(source, TransportError::NotSent { .. }),
            // 429 and 503 turn a request away at the door; a proxy's 502 or 504 and a crash within do not say.
            Self::Service { status, .. } => status.is_server_error() && !matches!(status.as_u16(), 501 | 503),
            Self::Decode { .. } | Self::TooLarge { .. } | Self::OutcomeUnknown { .. } => true,
            Self::Deadline { sent, .. } => *sent,
            Self::Principal(_) | Self::Endpoint(_) | Self::Invalid { .. } => false,
        }
    }

    /// The service's code, where a service answered with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Service { code, .. } if !code.is_empty() => Some(code),
            _ => None,
        }
    }

    /// The status, where a service answered with an error.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Service { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the service asks to wait, where it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Service { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// 404 of any kind; also stands for "not allowed".
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// The bucket answered and holds no such object. Never true for `BucketNotFound`, nor for a HEAD, whose 404 has no
    /// body to tell the two apart.
    pub fn is_object_not_found(&self) -> bool {
        self.is_not_found() && self.code() == Some("ObjectNotFound")
    }

    /// An `if-match`, `if-none-match` or rename condition did not hold, and nothing was changed.
    pub fn is_precondition_failed(&self) -> bool {
        match self.status().map(|status| status.as_u16()) {
            Some(412) => true,
            // Documented as 412; tolerated as 409, for the reference is thin on renames.
            Some(409) => matches!(self.code(), Some("IfMatchFailed" | "IfNoneMatchFailed" | "NoEtagMatch")),
            _ => false,
        }
    }

    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status() == Some(StatusCode::UNAUTHORIZED)
    }
}

/// "No bucket", "not allowed to see it", and now and then a glitch.
const BUCKET_NOT_FOUND: &str = "BucketNotFound";

/// A service's own words about an error: for the log, not for a caller.
///
/// Cut to 500 characters; withheld where a proxy has echoed the request's credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ServiceMessage(String);

impl ServiceMessage {
    pub(crate) fn new(text: &str) -> Self {
        const MAX_CHARS: usize = 500;
        let lower = text.to_ascii_lowercase();
        if ["st$", "signature=", "keyid=", "authorization:", "bearer ", "private key-"]
            .iter()
            .any(|mark| lower.contains(mark))
        {
            return Self("[withheld: it seems to repeat credentials]".to_owned());
        }
        Self(text.chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServiceMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(status: u16, code: &str) -> Error {
        Error::Service {
            operation: "GetObject",
            status: StatusCode::from_u16(status).unwrap(),
            code: code.to_owned(),
            message: ServiceMessage::default(),
            request_id: "A/B".to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn each_status_and_code_says_whether_to_try_again_and_whether_it_may_have_happened() {
        for (status, code, retryable, unknown) in [
            (400, "InvalidParameter", false, false),
            (401, "NotAuthenticated", true, false),
            (403, "NotAuthorized", false, false),
            (404, "NotAuthorizedOrNotFound", false, false),
            (404, "ObjectNotFound", false, false),
            (404, "BucketNotFound", true, false),
            (409, "IncorrectState", true, false),
            (409, "LockConflict", true, false),
            (409, "ResourceAlreadyExists", false, false),
            (412, "IfMatchFailed", false, false),
            (429, "TooManyRequests", true, false),
            (500, "InternalServerError", true, true),
            (501, "MethodNotImplemented", false, false),
            (502, "", true, true),
            (503, "ServiceUnavailable", true, false),
            (504, "", true, true),
        ] {
            let error = service(status, code);
            assert_eq!((error.is_retryable(), error.is_outcome_unknown()), (retryable, unknown), "{error}");
        }
    }

    #[test]
    fn a_missing_object_is_told_from_a_missing_bucket_and_from_a_lost_race() {
        for (status, code, object_not_found, precondition_failed) in [
            (404, "ObjectNotFound", true, false),
            (404, "BucketNotFound", false, false),
            (404, "", false, false),
            (412, "IfNoneMatchFailed", false, true),
            (412, "", false, true),
            (409, "IfMatchFailed", false, true),
            (409, "IncorrectState", false, false),
        ] {
            let error = service(status, code);
            assert_eq!(
                (error.is_object_not_found(), error.is_precondition_failed()),
                (object_not_found, precondition_failed),
                "{error}"
            );
        }
    }

    #[test]
    fn a_message_that_repeats_credentials_is_withheld() {
        for text in [
            r#"bad header: Signature version="1",keyId="ST$eyJ.hush.x",signature="hush""#,
            "AUTHORIZATION: hush",
            "-----BEGIN PRIVATE KEY----- hush",
        ] {
            assert!(!ServiceMessage::new(text).as_str().contains("hush"), "{text}");
        }
        let usual = "Authorization failed or requested resource not found.";
        assert_eq!(ServiceMessage::new(usual).as_str(), usual);
        assert_eq!(ServiceMessage::new("no\r\nsuch thing").as_str(), "no  such thing");
        assert_eq!(ServiceMessage::new(&"é".repeat(600)).as_str().chars().count(), 500);
    }
}
