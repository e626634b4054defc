//! The answer to a call, and the one place that writes a status to the platform's socket.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::invocation::Intent;

/// Named to the platform in each answer, as its own kits do.
const FDK_VERSION: HeaderValue = HeaderValue::from_static(concat!("fn-hyper/", env!("CARGO_PKG_VERSION")));
const FDK_RUNTIME: HeaderValue = HeaderValue::from_static(concat!("rust/", env!("CARGO_PKG_RUST_VERSION")));

const FN_FDK_VERSION: HeaderName = HeaderName::from_static("fn-fdk-version");
const FN_FDK_RUNTIME: HeaderName = HeaderName::from_static("fn-fdk-runtime");
const FN_HTTP_STATUS: HeaderName = HeaderName::from_static("fn-http-status");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a handler answers.
///
/// The socket's status speaks to the platform, not to the caller: see [`SocketStatus`]. A caller through an HTTP route
/// gets a status of its own with [`Reply::http`]; every other caller learns only whether the call succeeded, and the
/// platform drops the body of a failure. So the reason belongs in the log, and only what a stranger may read in here.
#[derive(Debug, Clone)]
pub struct Reply {
    status: SocketStatus,
    /// What a caller through an HTTP route sees in place of `status`.
    http_status: Option<StatusCode>,
    http_headers: HeaderMap,
    content_type: HeaderValue,
    body: Bytes,
}

/// The statuses that the platform takes from a function. Any other, 202 and 204 too, ends the container.
///
/// Source: Fn container contract, section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketStatus {
    /// 200: the call succeeded; headers and body are passed on.
    Succeeded,
    /// 502: the call failed; the caller gets 502 and none of our body. A topic, rule or connector counts a failure.
    Failed,
    /// 504: the deadline struck; the caller gets 504 and none of our body.
    TimedOut,
}

impl SocketStatus {
    /// The number on the wire.
    pub fn code(self) -> StatusCode {
        match self {
            Self::Succeeded => StatusCode::OK,
            Self::Failed => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Reply {
    /// The call did what it was asked to; `body` is plain text unless [`Reply::with_content_type`] says otherwise.
    pub fn success(body: impl Into<Bytes>) -> Self {
        Self::new(SocketStatus::Succeeded, TEXT, body.into())
    }

    /// Success, with a JSON text for a body.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::new(SocketStatus::Succeeded, JSON, text.into())
    }

    /// The call failed: 502 for every caller. `public_text` goes into the call's log line and, since the platform drops
    /// it, to nobody else but a caller who reads the socket; it must be fit for strangers all the same.
    pub fn failure(public_text: impl Into<Bytes>) -> Self {
        Self::new(SocketStatus::Failed, TEXT, public_text.into())
    }

    /// Nobody here knows what the call asks for, and nothing was done. `error` must be fit for strangers.
    pub fn not_understood(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "the call was not understood; nothing was changed");
        Self::failure(format!("the call was not understood: {error}"))
    }

    /// The call ran out of time: 504 for every caller.
    pub fn timeout() -> Self {
        Self::new(SocketStatus::TimedOut, TEXT, Bytes::from_static(b"out of time"))
    }

    /// An answer with a status for a caller through an HTTP route, who gets `status` and `body` as they are.
    ///
    /// For any other caller a status from 400 up is a failure, and one below a success: a rule or a topic must not take
    /// a refusal for work done.
    pub fn http(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let socket = if status.as_u16() < 400 { SocketStatus::Succeeded } else { SocketStatus::Failed };
        Self { http_status: Some(status), ..Self::new(socket, TEXT, body.into()) }
    }

    /// The same answer with another `Content-Type`.
    #[must_use]
    pub fn with_content_type(self, content_type: HeaderValue) -> Self {
        Self { content_type, ..self }
    }

    /// The same answer with one more header for a caller through an HTTP route; other callers do not get it.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if name == header::CONTENT_TYPE {
            return self.with_content_type(value);
        }
        self.http_headers.append(name, value);
        self
    }

    /// Whether the call counts as done for a caller that is not an HTTP route.
    pub fn is_success(&self) -> bool {
        self.status == SocketStatus::Succeeded
    }

    /// What the platform is told about a call that did not come through an HTTP route.
    pub fn status(&self) -> SocketStatus {
        self.status
    }

    /// What a caller through an HTTP route sees, if that was set.
    pub fn http_status(&self) -> Option<StatusCode> {
        self.http_status
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    fn new(status: SocketStatus, content_type: HeaderValue, body: Bytes) -> Self {
        Self { status, http_status: None, http_headers: HeaderMap::new(), content_type, body }
    }

    /// What a caller of this kind gets on the socket.
    pub(crate) fn status_for(&self, intent: &Intent) -> SocketStatus {
        match (intent, self.http_status) {
            // The status travels in a header, and a body reaches the caller only on a 200.
            (Intent::HttpRequest(_), Some(_)) => SocketStatus::Succeeded,
            _ => self.status,
        }
    }

    /// The answer as it goes over the socket to a caller of this kind.
    pub(crate) fn into_response(self, intent: &Intent) -> Response<Full<Bytes>> {
        let status = self.status_for(intent);
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = status.code();
        let headers = response.headers_mut();
        headers.insert(FN_FDK_VERSION, FDK_VERSION);
        headers.insert(FN_FDK_RUNTIME, FDK_RUNTIME);
        headers.insert(header::CONTENT_TYPE, self.content_type);
        if let (Intent::HttpRequest(_), SocketStatus::Succeeded) = (intent, status) {
            headers.insert(FN_HTTP_STATUS, self.http_status.unwrap_or(StatusCode::OK).as_u16().into());
            for (name, value) in &self.http_headers {
                if let Ok(prefixed) = HeaderName::try_from(format!("fn-http-h-{name}")) {
                    headers.append(prefixed, value.clone());
                }
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::HttpCall;

    fn route() -> Intent {
        Intent::HttpRequest(HttpCall { method: Method::GET, url: "/".to_owned(), headers: HeaderMap::new() })
    }

    /// Socket status and `Fn-Http-Status` of an answer to a caller of this kind.
    fn check(reply: Reply, intent: &Intent) -> (u16, Option<String>) {
        let response = reply.into_response(intent);
        let http_status = response.headers().get(FN_HTTP_STATUS).map(|status| status.to_str().unwrap().to_owned());
        (response.status().as_u16(), http_status)
    }

    #[test]
    fn a_route_gets_its_status_in_a_header_and_everyone_else_success_or_failure() {
        let http = |status: u16| Reply::http(StatusCode::from_u16(status).unwrap(), "");
        for (reply, direct, routed) in [
            (Reply::success("a"), 200, (200, Some("200"))),
            (Reply::json("{}"), 200, (200, Some("200"))),
            (Reply::failure("a"), 502, (502, None)),
            (Reply::timeout(), 504, (504, None)),
            (http(200), 200, (200, Some("200"))),
            (http(202), 200, (200, Some("202"))),
            (http(204), 200, (200, Some("204"))),
            (http(302), 200, (200, Some("302"))),
            (http(400), 502, (200, Some("400"))),
            (http(404), 502, (200, Some("404"))),
            (http(500), 502, (200, Some("500"))),
            (http(502), 502, (200, Some("502"))),
            (http(504), 502, (200, Some("504"))),
        ] {
            assert_eq!(check(reply.clone(), &Intent::Direct), (direct, None), "{reply:?}");
            assert_eq!(check(reply.clone(), &Intent::CloudEvent), (direct, None), "{reply:?}");
            assert_eq!(check(reply.clone(), &route()), (routed.0, routed.1.map(str::to_owned)), "{reply:?}");
            assert_eq!(reply.is_success(), direct == 200);
        }
    }

    #[test]
    fn headers_for_the_caller_are_prefixed_for_a_route_and_left_out_for_everyone_else() {
        let reply = Reply::http(StatusCode::FOUND, "")
            .with_header(header::LOCATION, HeaderValue::from_static("/a"))
            .with_header(HeaderName::from_static("x-many"), HeaderValue::from_static("1"))
            .with_header(HeaderName::from_static("x-many"), HeaderValue::from_static("2"))
            .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));

        let routed = reply.clone().into_response(&route());
        assert_eq!(routed.headers()["fn-http-h-location"], "/a");
        assert_eq!(routed.headers().get_all("fn-http-h-x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(routed.headers()[header::CONTENT_TYPE], "text/html");
        assert!(!routed.headers().contains_key("location") && !routed.headers().contains_key("fn-http-h-content-type"));

        let direct = reply.into_response(&Intent::Direct);
        assert_eq!(direct.headers()[header::CONTENT_TYPE], "text/html");
        assert_eq!(direct.headers().len(), 3, "{:?}", direct.headers());
    }

    #[test]
    fn every_answer_names_the_kit_and_the_language() {
        for reply in [Reply::success(""), Reply::failure(""), Reply::timeout()] {
            let response = reply.into_response(&Intent::Direct);
            assert!(response.headers()[FN_FDK_VERSION].to_str().unwrap().starts_with("fn-hyper/"));
            assert!(response.headers()[FN_FDK_RUNTIME].to_str().unwrap().starts_with("rust/1."));
        }
    }
}
