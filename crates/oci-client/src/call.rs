//! One call of a service: what it asks, and the signed request that comes of it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use http_transport::Request;
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::{
    Client, Error,
    clock::http_date,
    signer::{SignedBody, ToSign, content_sha256},
    target::Target,
};

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";
const USER_AGENT: &str = concat!("oci-client/", env!("CARGO_PKG_VERSION"));
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// The id of a request: ours when sent, the service's when answered.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");

/// What to ask, before it is signed.
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// Further headers, all unsigned.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content,
    pub(crate) repeat: Repeat,
    /// Which header carries our own request id.
    pub(crate) id_header: HeaderName,
}

impl Call {
    /// A GET, which may always be repeated.
    pub(crate) fn read(operation: &'static str, target: Target) -> Self {
        Self::new(operation, Method::GET, target, Content::None, Repeat::Always)
    }

    /// A POST of JSON whose digest is signed.
    pub(crate) fn post_json(
        operation: &'static str,
        target: Target,
        details: &impl Serialize,
        repeat: Repeat,
    ) -> Result<Self, Error> {
        let body = serde_json::to_vec(details)
            .map_err(|_| Error::Invalid { operation, what: "details that cannot be written as JSON" })?;
        Ok(Self::new(operation, Method::POST, target, Content::Json(body.into()), repeat))
    }

    /// A call with no further headers.
    pub(crate) fn new(
        operation: &'static str,
        method: Method,
        target: Target,
        content: Content,
        repeat: Repeat,
    ) -> Self {
        Self { operation, method, target, headers: Vec::new(), content, repeat, id_header: REQUEST_ID }
    }

    /// The body's length in bytes.
    pub(crate) fn content_len(&self) -> usize {
        match &self.content {
            Content::None => 0,
            Content::Json(body) | Content::UnsignedJson(body) | Content::UnsignedBytes(body) => body.len(),
        }
    }
}

/// A request's body.
pub(crate) enum Content {
    /// None, and no headers about one.
    None,
    /// JSON whose digest is signed.
    Json(Bytes),
    /// JSON without a digest, as the official SDKs send PutMessages.
    UnsignedJson(Bytes),
    /// Bytes without a digest, as the official SDKs send PutObject.
    UnsignedBytes(Bytes),
}

/// Whether an operation may be sent again when an attempt has failed: a fact of the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or a second time changes nothing more.
    Always,
    /// A second time is harmless, but if the first one did take effect, the second one is refused: such a refusal is
    /// [`Error::OutcomeUnknown`].
    Guarded,
    /// A second time adds a second effect: only what was surely not processed is sent again.
    UnlessProcessed,
    /// A second effect is harmless, and a refusal for its rate is the caller's to bear.
    UnlessThrottled,
}

impl Client {
    /// The request as it will be sent, dated and signed now.
    pub(crate) fn signed(&self, call: &Call, request_id: &str) -> Result<Request, Error> {
        let invalid = |what| Error::Invalid { operation: call.operation, what };
        let uri = call.target.uri().ok_or_else(|| invalid("a name that does not survive in a URL"))?;
        let now = self.core.clock.now();
        let date = http_date(now).ok_or_else(|| invalid("a date that cannot be written"))?;
        let (body, content_type, digest) = match &call.content {
            Content::None => (Bytes::new(), None, None),
            Content::Json(body) => (body.clone(), Some(JSON), Some(content_sha256(body))),
            Content::UnsignedJson(body) => (body.clone(), Some(JSON), None),
            Content::UnsignedBytes(body) => (body.clone(), Some(OCTETS), None),
        };
        let host = call.target.endpoint().authority();
        let length = body.len().to_string();
        let signed_body = content_type.zip(digest.as_deref()).map(|(content_type, content_sha256)| SignedBody {
            content_length: &length,
            content_type,
            content_sha256,
        });
        let to_sign =
            ToSign { method: call.method.as_str(), target: call.target.as_str(), host, date: &date, body: signed_body };

        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(header::ACCEPT, JSON)
            .header(header::USER_AGENT, USER_AGENT)
            .header(&call.id_header, request_id)
            .header(header::DATE, &date)
            .header(header::HOST, host);
        if let Some(credentials) = self.core.principal.credentials(now) {
            let authorization = to_sign.authorization(&credentials.key, credentials.key_id.expose_secret())?;
            let mut authorization =
                HeaderValue::try_from(authorization).map_err(|_| invalid("a key id that is no header"))?;
            authorization.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(content_type) = content_type {
            // Sent for an empty body too: it is signed, and clients leave it out by themselves.
            request = request.header(header::CONTENT_LENGTH, &length).header(header::CONTENT_TYPE, content_type);
        }
        if let Some(digest) = &digest {
            request = request.header(CONTENT_SHA256, digest);
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        request.body(body).map_err(|_| invalid("a header that cannot be sent"))
    }
}
