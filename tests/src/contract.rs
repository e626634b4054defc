//! A handler in a container's place: a call as the platform makes it, and its answer, without a socket.

use fn_hyper::{HttpCall, Invocation, Reply, SocketStatus};
use local_oci::{FnRequest, FnResponse};

/// As the contract's server reads the platform's headers.
pub fn invocation(request: &FnRequest) -> Invocation {
    let header = |name: &str| {
        let found = request.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    // A twentieth is kept back for the answer.
    let deadline = tokio::time::Instant::now() + request.timeout.mul_f64(0.95);
    if header("fn-intent").as_deref() != Some("httprequest") {
        return Invocation::direct(request.body.clone(), deadline);
    }
    let mut headers = http::HeaderMap::new();
    for (name, value) in &request.headers {
        if let Some(name) = name.to_ascii_lowercase().strip_prefix("fn-http-h-") {
            headers.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
    }
    let method = header("fn-http-method").unwrap().parse().unwrap();
    let http = HttpCall { method, url: header("fn-http-request-url").unwrap(), headers };
    Invocation::http(http, request.body.clone(), deadline)
}

/// As the contract's server writes a reply.
pub fn response(reply: &Reply, is_route: bool) -> FnResponse {
    let routed = reply.http_status().filter(|_| is_route);
    let status = if routed.is_some() { SocketStatus::Succeeded } else { reply.status() };
    let headers = routed.map(|status| ("Fn-Http-Status".to_owned(), status.as_u16().to_string())).into_iter().collect();
    FnResponse { status: status.code().as_u16(), headers, body: reply.body().clone() }
}
