//! A receiver's connections: HTTP/1.1, and an end without an answer where a fault wants one.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::{Cut, wire_body};

/// What a connection is read up to, whatever the settings say.
const READ_MAX_BYTES: usize = 900 << 20;

/// Serves each connection with `connection`, until the future is dropped.
pub(super) async fn accept<C, F>(listener: TcpListener, connection: C)
where
    C: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, for example: passes.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        #[expect(clippy::disallowed_methods, reason = "a connection of a receiver outlives the accept loop's turn")]
        tokio::spawn(connection(stream));
    }
}

/// Answers the requests of one connection with `handle`, to its end.
pub(super) async fn serve_connection<H, F>(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, handle: H)
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<Bytes>, Cut>>,
{
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, READ_MAX_BYTES).collect().await.map_err(|_| Cut)?.to_bytes();
        let (head, body) = handle(Request::from_parts(head, body)).await?.into_parts();
        let body = wire_body(&head.headers, body);
        Ok::<_, Cut>(Response::from_parts(head, body))
    });
    // A connection that breaks is the sender's to notice.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).await.ok();
}
