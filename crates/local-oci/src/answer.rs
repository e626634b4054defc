//! What a service answers, in the shape that every Oracle Cloud service shares.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// An answer before the common headers (`date`, `opc-request-id`) are put on.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers of this answer alone.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// An answer whose body is `json` as it stands.
    pub fn json(status: StatusCode, json: impl Into<Bytes>) -> Self {
        let mut answer = Self { status, headers: HeaderMap::new(), body: json.into() };
        answer.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    }

    /// 200 with `value` as JSON.
    pub fn ok(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::json(StatusCode::OK, body),
            Err(error) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string()),
        }
    }

    /// The error body that all services share: `{"code":…,"message":…}`.
    pub fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "code": code, "message": message }).to_string())
    }

    /// The same answer with one more header; a value that no header can hold is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// An error that a service answers, until it becomes an [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 400 `MissingParameter`.
    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MissingParameter", format!("{name} is required"))
    }

    /// 400 `InvalidParameter`.
    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    /// 404 `NotAuthorizedOrNotFound`: missing and forbidden look the same.
    pub(crate) fn not_authorized_or_not_found() -> Self {
        let message = "Authorization failed or requested resource not found.";
        Self::new(StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound", message)
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::error(refused.status, refused.code, &refused.message)
    }
}
