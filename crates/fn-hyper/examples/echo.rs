//! A function that answers with what it was sent, and misbehaves on request: what the tests of the contract call.
//!
//! The first word of a direct call's body, or the path of a route, says what to do.

use std::{process::ExitCode, str::FromStr, sync::Arc, time::Duration};

use fn_hyper::config::{Lookup, Problems, Reader, Switch};
use fn_hyper::{Handler, Intent, Invocation, Reply};
use http::{HeaderName, HeaderValue, StatusCode};

fn main() -> ExitCode {
    fn_hyper::run("echo", start)
}

struct App {
    greeting: Option<String>,
}

async fn start(lookup: &Lookup) -> Result<impl Handler, Problems> {
    let mut keys = Reader::new(lookup);
    let greeting = keys.maybe("greeting", fn_hyper::config::text);
    let start_millis = keys.optional("start_millis", 0, u64::from_str);
    let start_panics = keys.optional("start_panics", Switch::Off, Switch::from_str);
    let (pause, panics) = keys.finish(|| Some((Duration::from_millis(start_millis?), start_panics?)))?;
    assert!(panics == Switch::Off, "asked to panic in the start");
    tokio::time::sleep(pause).await;

    let app = Arc::new(App { greeting });
    Ok(move |call: Invocation| {
        let app = Arc::clone(&app);
        async move { app.answer(call).await }
    })
}

impl App {
    async fn answer(&self, call: Invocation) -> Reply {
        tracing::info!("the handler began");
        if let Intent::HttpRequest(http) = &call.intent {
            let seen = format!("{} {} {:?} {:?}", http.method, http.path(), http.query(), http.headers);
            return match http.path() {
                "/fail" => Reply::failure("asked to fail"),
                "/timeout" => Reply::timeout(),
                "/missing" => Reply::http(StatusCode::NOT_FOUND, "no such thing")
                    .with_header(HeaderName::from_static("x-why"), HeaderValue::from_static("gone"))
                    .with_content_type(HeaderValue::from_static("text/x-why")),
                _ => Reply::success(seen),
            };
        }
        match call.body.split(u8::is_ascii_whitespace).next().unwrap_or_default() {
            b"fail" => Reply::failure("asked to fail"),
            b"bad-json" => Reply::failure("the body is no JSON"),
            b"timeout" => Reply::timeout(),
            b"panic" => panic!("asked to panic"),
            b"forever" => std::future::pending().await,
            b"panic-when-dropped" => {
                let _guard = PanicWhenDropped;
                std::future::pending().await
            }
            b"refuse" => Reply::http(StatusCode::NOT_FOUND, "no such thing")
                .with_header(HeaderName::from_static("x-why"), HeaderValue::from_static("gone")),
            b"accept" => Reply::http(StatusCode::ACCEPTED, "later"),
            b"flood" => Reply::success(vec![b'x'; 7 * 1024 * 1024]),
            b"length" => Reply::success(call.body.len().to_string()),
            _ => {
                let greeting = self.greeting.as_deref().unwrap_or_default();
                Reply::success([greeting.as_bytes(), &call.body].concat())
            }
        }
    }
}

struct PanicWhenDropped;

impl Drop for PanicWhenDropped {
    fn drop(&mut self) {
        panic!("asked to panic when dropped");
    }
}
