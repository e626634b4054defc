//! The loopback port: HTTP/1.1 in front of the same handler that the simulation calls in process.

use std::convert::Infallible;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::faults::{Cut, wire_body};
use crate::{Answer, LocalOci};

/// Bodies beyond this are refused: nothing that a function sends comes near.
const MAX_BODY: usize = 256 << 20;

/// Serves `cloud` until the future is dropped; connections under way then go on to their end.
pub(crate) async fn serve(cloud: LocalOci, listener: TcpListener) {
    loop {
        // A failed accept (too many open files) passes; the connections that fail are the client's to retry.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let cloud = cloud.clone();
        let connection = async move {
            let service = service_fn(move |request| {
                let cloud = cloud.clone();
                async move { answer(&cloud, request).await }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // A connection that broke, on our side or on the client's, is nobody's business but the client's.
            served.await.ok();
        };
        #[expect(clippy::disallowed_methods, reason = "a connection of the emulator outlives the accept loop's turn")]
        tokio::spawn(connection);
    }
}

/// `Err` makes hyper close the connection without an answer.
async fn answer(
    cloud: &LocalOci,
    request: http::Request<Incoming>,
) -> Result<http::Response<BoxBody<Bytes, Cut>>, Cut> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let refusal =
            Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "the body is cut or too large");
        let body = Full::new(refusal.body).map_err(|never: Infallible| match never {}).boxed();
        let mut response = http::Response::new(body);
        *response.status_mut() = refusal.status;
        return Ok(response);
    };
    let response = cloud.handle(http::Request::from_parts(head, body.to_bytes())).await?;
    let (head, body) = response.into_parts();
    let body = wire_body(&head.headers, body);
    Ok(http::Response::from_parts(head, body))
}
