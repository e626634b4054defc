//! The API gateway: unsigned routes that end in functions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::answer::Answer;
use crate::call::Call;
use crate::cloud::Cloud;
use crate::functions::{FnResponse, Intent, Invocation, invoke, text_headers};
use crate::router::Operation;
use crate::verify::Caller;

/// How long the gateway waits for a function.
const BACKEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The routes. They lie under `/gateway` on the emulator's port; that prefix stands for the gateway's host name.
#[derive(Debug, Default)]
pub struct Gateway {
    routes: Mutex<BTreeMap<String, String>>,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Leads `path`, such as `/v1/plan`, to a function, whatever the method. The function sees path and query.
    pub fn route(&self, path: &str, function: &str) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), function.to_owned());
    }

    fn function(&self, path: &str) -> Option<String> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

/// Answers a call of a route.
///
/// Source: the reference's page on the Fn contract, sections 2 and 3.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, _caller: &Caller) -> Answer {
    let Operation::Gateway { path } = operation else { return refusal(StatusCode::NOT_FOUND) };
    let Some(function) = cloud.gateway.function(path) else { return refusal(StatusCode::NOT_FOUND) };
    let own = [header::CONTENT_LENGTH.as_str()];
    let headers: Vec<_> = text_headers(&call.headers).filter(|(name, _)| !own.contains(&name.as_str())).collect();
    let url = call.target.split_once("/gateway").map_or(call.target.as_str(), |(_, url)| url).to_owned();
    let content_type = call.header("content-type").map(|value| ("Content-Type".to_owned(), value.to_owned()));
    let intent = Intent::HttpRequest { method: call.method.to_string(), url, headers };
    let mut invocation = Invocation::new(&function, call.body.clone(), intent);
    invocation.headers.extend(content_type);
    invocation.headers.push(("oci-subject-type".to_owned(), "resource".to_owned()));
    match tokio::time::timeout(BACKEND_TIMEOUT, invoke(cloud, invocation)).await {
        Ok(Ok(response)) => passed_back(response),
        Ok(Err(_)) => refusal(StatusCode::BAD_GATEWAY),
        // The function runs on; only the caller hears no more of it.
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT),
    }
}

/// `Fn-Http-Status` is the status; headers pass under their prefix alone, and `Content-Type`.
fn passed_back(response: FnResponse) -> Answer {
    let status = match response.header("fn-http-status").map(str::parse) {
        None => StatusCode::OK,
        Some(Ok(status)) => status,
        Some(Err(_)) => return refusal(StatusCode::BAD_GATEWAY),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &response.headers {
        let name = name.to_ascii_lowercase();
        let passed = name.strip_prefix("fn-http-h-").or((name == "content-type").then_some("content-type"));
        let Some(Ok(name)) = passed.map(HeaderName::try_from) else { continue };
        let is_the_connections =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&name);
        if let Ok(value) = HeaderValue::try_from(value)
            && !is_the_connections
        {
            headers.append(name, value);
        }
    }
    Answer { status, headers, body: response.body }
}

/// The gateway's own errors: `{"code":502,"message":"Bad Gateway"}`.
fn refusal(status: StatusCode) -> Answer {
    let message = status.canonical_reason().unwrap_or("Error");
    Answer::json(status, serde_json::json!({ "code": status.as_u16(), "message": message }).to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::functions::{Backend, BackendDied, FnRequest, FunctionBackend, FunctionSpec};
    use crate::{Clock, LocalOci, Settings};

    /// Answers with what it was asked, and as the body tells it to.
    struct Mirror;

    impl FunctionBackend for Mirror {
        fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
            Box::pin(async move {
                let status = match &request.body[..] {
                    b"fail" => 502,
                    b"hang" => {
                        tokio::time::sleep(Duration::from_secs(100)).await;
                        200
                    }
                    _ => 200,
                };
                let seen: Vec<String> =
                    request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                let headers = vec![
                    own("Content-Type", "text/x"),
                    own("Fn-Http-Status", if request.body.is_empty() { "200" } else { "404" }),
                    own("Fn-Http-H-X-Own", "1"),
                    own("Fn-Http-H-X-Own", "2"),
                    own("X-Dropped", "3"),
                ];
                Ok(FnResponse { status, headers, body: seen.join("\n").into() })
            })
        }
    }

    async fn call(cloud: &LocalOci, method: &str, target: &str, body: &'static str) -> http::Response<Bytes> {
        let request = http::Request::builder().method(method).uri(format!("http://localhost{target}"));
        let request = request.header("x-one", "a").header("x-one", "b").header("content-type", "application/json");
        cloud.handle(request.body(Bytes::from_static(body.as_bytes())).expect("a request")).await.expect("an answer")
    }

    fn cloud() -> LocalOci {
        let cloud = LocalOci::new(Settings::new(Clock::real()));
        let mut spec = FunctionSpec::new("mirror", Backend::InProcess(Arc::new(Mirror)));
        spec.timeout_secs = 300;
        let function = cloud.functions().create(spec).expect("deployed");
        cloud.gateway().route("/v1/plan", &function);
        cloud
    }

    #[tokio::test]
    async fn a_route_hands_over_the_http_call_and_gives_back_what_is_prefixed() {
        let cloud = cloud();
        let response = call(&cloud, "PUT", "/gateway/v1/plan?a=1&b=%20", "x").await;
        assert_eq!(response.status(), 404, "the function's own status");
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/x");
        assert_eq!(headers.get_all("x-own").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!headers.contains_key("x-dropped") && !headers.contains_key("fn-http-status"));
        let seen = String::from_utf8(response.body().to_vec()).expect("text");
        for line in [
            "Fn-Intent: httprequest",
            "Fn-Http-Method: PUT",
            "Fn-Http-Request-Url: /v1/plan?a=1&b=%20",
            "Fn-Http-H-x-one: a",
            "Fn-Http-H-x-one: b",
            "Fn-Http-H-content-type: application/json",
            "Content-Type: application/json",
        ] {
            assert!(seen.lines().any(|seen| seen == line), "{line} in {seen}");
        }
    }

    #[tokio::test]
    async fn the_gateway_s_own_errors_have_its_own_shape() {
        let cloud = cloud();
        let failed = call(&cloud, "POST", "/gateway/v1/plan", "fail").await;
        assert_eq!(
            (failed.status().as_u16(), &failed.body()[..]),
            (502, &br#"{"code":502,"message":"Bad Gateway"}"#[..])
        );
        let unknown = call(&cloud, "GET", "/gateway/v1/other", "").await;
        assert_eq!(
            (unknown.status().as_u16(), &unknown.body()[..]),
            (404, &br#"{"code":404,"message":"Not Found"}"#[..])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_takes_longer_than_a_minute_runs_on_without_its_caller() {
        let cloud = cloud();
        let late = call(&cloud, "POST", "/gateway/v1/plan", "hang").await;
        assert_eq!(late.status(), 504);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let reports = cloud.functions().reports();
        assert_eq!(reports.first().and_then(|report| report.outcomes.get("answered")), Some(&1));
    }
}
