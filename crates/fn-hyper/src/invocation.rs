//! One call, as the platform hands it over.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use jiff::Timestamp;
use tokio::time::Instant;

/// Taken where the platform gives no deadline that can be read: the default time-out of both platforms.
const DEFAULT_TIME: Duration = Duration::from_secs(30);
/// A detached call may run for an hour; what is far beyond is a mistake, and no timer should be set by it.
const LONGEST_TIME: Duration = Duration::from_secs(24 * 3600);
/// Kept back for the answer, as is a twentieth of the time if that is more.
const LEAST_MARGIN: Duration = Duration::from_secs(1);

/// What a call brings. Nothing in it proves who called: whoever may invoke the function can set every header.
///
/// `Debug` shows neither body nor headers, since both may hold secrets.
#[derive(Clone)]
pub struct Invocation {
    /// The platform's id of this call; in every log line of the call. `unknown` where none was given.
    pub call_id: String,
    /// When the handler is stopped and the call answered 504. The time kept back for the answer is already taken off.
    pub deadline: Instant,
    /// How the call came in.
    pub intent: Intent,
    /// As the caller sent it: `fn invoke` says `text/plain` even for JSON, so do not decide by it.
    pub content_type: Option<String>,
    /// The whole body, at most 6 MiB.
    pub body: Bytes,
    /// Whether somebody waits for the answer.
    pub invoke_type: InvokeType,
    /// OCI's id of the request, to be named to its support; absent on the open server.
    pub opc_request_id: Option<String>,
}

/// How a call came in; decides how a [`Reply`](crate::Reply) is written.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Through an HTTP route: a trigger of the open server, or API Gateway.
    HttpRequest(HttpCall),
    /// As a CloudEvent. Oracle's own events do not say so: they are `Direct`.
    CloudEvent,
    /// By whoever invokes the function: a person, a rule, a topic, a connector.
    Direct,
}

/// The HTTP request behind a route.
#[derive(Clone)]
pub struct HttpCall {
    /// Method of the original request.
    pub method: Method,
    /// As the platform gives it: the open server an absolute URL, API Gateway path and query only.
    pub url: String,
    /// Headers of the original request, without the `Fn-Http-H-` that the platform puts before their names.
    pub headers: HeaderMap,
}

/// Whether somebody waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvokeType {
    /// The caller waits, for at most 300 s.
    Sync,
    /// Nobody waits: the caller was answered 202, and the call may run for up to an hour (OCI only).
    Detached,
}

impl Invocation {
    /// A call as a rule, a topic or `fn invoke` makes it; for tests and simulations.
    pub fn direct(body: impl Into<Bytes>, deadline: Instant) -> Self {
        Self {
            call_id: "unknown".to_owned(),
            deadline,
            intent: Intent::Direct,
            content_type: None,
            body: body.into(),
            invoke_type: InvokeType::Sync,
            opc_request_id: None,
        }
    }

    /// A call through an HTTP route; for tests and simulations.
    pub fn http(call: HttpCall, body: impl Into<Bytes>, deadline: Instant) -> Self {
        Self { intent: Intent::HttpRequest(call), ..Self::direct(body, deadline) }
    }

    /// The same call under another id.
    #[must_use]
    pub fn with_call_id(self, call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), ..self }
    }

    /// Reads the platform's headers; the body is still to come. `now` is the wall clock at `arrived`.
    pub(crate) fn from_headers(headers: &HeaderMap, arrived: Instant, now: Timestamp) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let time_left = text("fn-deadline").and_then(|date| time_left(&date, now));
        Self {
            call_id: text("fn-call-id").filter(|id| !id.is_empty()).unwrap_or_else(|| "unknown".to_owned()),
            deadline: arrived + without_margin(time_left.unwrap_or(DEFAULT_TIME)),
            intent: match text("fn-intent").as_deref() {
                Some("httprequest") => Intent::HttpRequest(HttpCall::from_headers(headers)),
                Some("cloudevent") => Intent::CloudEvent,
                _ => Intent::Direct,
            },
            content_type: text(header::CONTENT_TYPE.as_str()),
            body: Bytes::new(),
            invoke_type: match text("fn-invoke-type").as_deref() {
                Some("detached") => InvokeType::Detached,
                _ => InvokeType::Sync,
            },
            opc_request_id: text("opc-request-id"),
        }
    }
}

/// Whether the platform said when its patience ends.
pub(crate) fn has_deadline(headers: &HeaderMap) -> bool {
    headers
        .get("fn-deadline")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|date| date.parse::<Timestamp>().is_ok())
}

/// From `now` until `date` (RFC 3339); nothing if it is past.
fn time_left(date: &str, now: Timestamp) -> Option<Duration> {
    let left = date.parse::<Timestamp>().ok()?.duration_since(now);
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO).min(LONGEST_TIME))
}

/// Keeps back a second or a twentieth of the time, whichever is more: an answer that comes after the platform's own
/// deadline costs the container. Of less than two seconds half is kept back, so that a short time-out leaves some time.
fn without_margin(time: Duration) -> Duration {
    time - LEAST_MARGIN.max(time / 20).min(time / 2)
}

impl HttpCall {
    /// Path of the URL, as sent; `/` if it has none.
    pub fn path(&self) -> &str {
        let path = self.path_and_query().split(['?', '#']).next().unwrap_or_default();
        if path.is_empty() { "/" } else { path }
    }

    /// Query of the URL without the question mark, as sent: still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        let without_fragment = self.path_and_query().split('#').next()?;
        without_fragment.split_once('?').map(|(_, query)| query)
    }

    fn path_and_query(&self) -> &str {
        // A relative URL may well hold an absolute one in its query.
        if self.url.starts_with(['/', '?']) {
            return &self.url;
        }
        let Some((_, rest)) = self.url.split_once("://") else { return &self.url };
        rest.find(['/', '?', '#']).and_then(|begin| rest.get(begin..)).unwrap_or_default()
    }

    fn from_headers(headers: &HeaderMap) -> Self {
        let method = headers.get("fn-http-method").and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let url = headers.get("fn-http-request-url").map(|url| String::from_utf8_lossy(url.as_bytes()).into_owned());
        let mut original = HeaderMap::new();
        for (name, value) in headers {
            let name = name.as_str().strip_prefix("fn-http-h-").and_then(|name| HeaderName::try_from(name).ok());
            if let Some(name) = name {
                original.append(name, value.clone());
            }
        }
        Self { method: method.unwrap_or(Method::GET), url: url.unwrap_or_else(|| "/".to_owned()), headers: original }
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("call_id", &self.call_id)
            .field("deadline", &self.deadline)
            .field("intent", &self.intent)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .field("invoke_type", &self.invoke_type)
            .field("opc_request_id", &self.opc_request_id)
            .finish()
    }
}

impl fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query and the headers may hold the gateway's secret.
        f.debug_struct("HttpCall")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).fold(
            HeaderMap::new(),
            |mut all, (name, value)| {
                all.append(name, value);
                all
            },
        )
    }

    fn read(pairs: &[(&'static str, &'static str)]) -> Invocation {
        read_at(Instant::now(), pairs)
    }

    fn read_at(arrived: Instant, pairs: &[(&'static str, &'static str)]) -> Invocation {
        Invocation::from_headers(&headers(pairs), arrived, "2026-11-20T13:19:00Z".parse().unwrap())
    }

    #[test]
    fn the_deadline_is_the_platforms_less_a_second_or_a_twentieth() {
        let arrived = Instant::now();
        for (date, left_millis) in [
            ("2026-11-20T13:19:30Z", 28_500),
            ("2026-11-20T13:19:10Z", 9_000),
            ("2026-11-20T14:19:10+01:00", 9_000),
            ("2026-11-20T13:24:00Z", 285_000),
            ("2026-11-20T13:19:01Z", 500),
            ("2026-11-20T13:18:59Z", 0),
            ("9999-12-30T00:00:00Z", 24 * 3_600_000 / 20 * 19),
            // The default: 30 s.
            ("tomorrow", 28_500),
        ] {
            let left = read_at(arrived, &[("fn-deadline", date)]).deadline - arrived;
            assert_eq!(left, Duration::from_millis(left_millis), "{date}");
        }
        assert_eq!(read_at(arrived, &[]).deadline - arrived, Duration::from_millis(28_500));
        assert!(has_deadline(&headers(&[("fn-deadline", "2026-11-20T13:18:59Z")])));
        assert!(!has_deadline(&headers(&[("fn-deadline", "tomorrow")])) && !has_deadline(&headers(&[])));
    }

    #[test]
    fn the_platforms_headers_become_fields() {
        let call = read(&[
            ("fn-call-id", "01JD"),
            ("content-type", "text/plain"),
            ("fn-invoke-type", "detached"),
            ("opc-request-id", "A/B/C"),
        ]);
        assert_eq!((call.call_id.as_str(), call.content_type.as_deref()), ("01JD", Some("text/plain")));
        assert_eq!((call.invoke_type, call.opc_request_id.as_deref()), (InvokeType::Detached, Some("A/B/C")));
        assert!(matches!(call.intent, Intent::Direct));

        let bare = read(&[]);
        assert_eq!((bare.call_id.as_str(), bare.content_type, bare.opc_request_id), ("unknown", None, None));
        assert_eq!(bare.invoke_type, InvokeType::Sync);
        assert!(matches!(read(&[("fn-intent", "cloudevent")]).intent, Intent::CloudEvent));
    }

    #[test]
    fn an_http_route_brings_method_url_and_the_original_headers_with_repeats() {
        let Intent::HttpRequest(http) = read(&[
            ("fn-intent", "httprequest"),
            ("fn-http-method", "PUT"),
            ("fn-http-request-url", "/a?b=c"),
            ("fn-http-h-x-many", "1"),
            ("fn-http-h-x-many", "2"),
            ("opc-request-id", "A"),
        ])
        .intent
        else {
            panic!("not a route")
        };
        assert_eq!((http.method, http.url.as_str(), http.headers.len()), (Method::PUT, "/a?b=c", 2));
        assert_eq!(http.headers.get_all("x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn absolute_and_relative_urls_have_the_same_path_and_query() {
        for (url, path, query) in [
            ("/a/b?c=d", "/a/b", Some("c=d")),
            ("http://host:8080/a/b?c=d", "/a/b", Some("c=d")),
            ("https://host/a/b?c=d#e?f", "/a/b", Some("c=d")),
            ("https://host", "/", None),
            ("https://host?c", "/", Some("c")),
            ("/a?to=http://host/b", "/a", Some("to=http://host/b")),
            ("?c", "/", Some("c")),
            ("/a?", "/a", Some("")),
            ("", "/", None),
        ] {
            let call = HttpCall { method: Method::GET, url: url.to_owned(), headers: HeaderMap::new() };
            assert_eq!((call.path(), call.query()), (path, query), "{url}");
        }
    }

    #[test]
    fn debug_shows_neither_body_nor_query_nor_headers() {
        let call = HttpCall {
            method: Method::GET,
            url: "/a?key=hush".to_owned(),
            headers: headers(&[("authorization", "hush")]),
        };
        let shown = format!("{:?}", Invocation::http(call, "hush", Instant::now()).with_call_id("01JD"));
        assert!(shown.contains("01JD") && shown.contains("\"/a\"") && !shown.contains("hush"), "{shown}");
    }
}
