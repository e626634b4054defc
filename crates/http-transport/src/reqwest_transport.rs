//! The transport of production: reqwest over rustls, HTTP/1.1.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;

use crate::{Body, Request, Response, TlsRoots, Transport, TransportError, client_config};

/// A look-up, connection and handshake take at most this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A frozen container's connections die while it sleeps. The limit is checked when a connection is taken from the pool,
/// and the monotonic clock runs on during the freeze; Splunk's own limit for idle connections is 12 s.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(8);

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be set up")]
pub struct CannotBuild(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Real connections. Cheap to clone; clones share the pool.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// Builds the client; nothing is connected yet.
    ///
    /// # Errors
    /// Where TLS cannot be set up, which would be a fault of the build.
    pub fn new(roots: &TlsRoots) -> Result<Self, CannotBuild> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_config(roots).map_err(|error| CannotBuild(error.into()))?)
            .http1_only()
            // A redirect would send the token elsewhere, and a POST would become a GET.
            .redirect(reqwest::redirect::Policy::none())
            // Proxies come from the environment by default, and libraries do not read the environment.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| CannotBuild(error.into()))?;
        Ok(Self { client })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let host = request.uri().authority().map_or_else(
                || "?".to_owned(),
                |authority| match authority.port() {
                    Some(port) => format!("{}:{port}", authority.host()),
                    None => authority.host().to_owned(),
                },
            );
            let request = reqwest::Request::try_from(request)
                .map_err(|error| TransportError::NotSent { host: host.clone(), source: error.into() })?;
            let answer = self.client.execute(request).await.map_err(|error| sort(host, error))?;
            let (head, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
            let body = Body::new(body.map_err(|error| TransportError::Cut { source: error.without_url().into() }));
            Ok(http::Response::from_parts(head, body))
        })
    }
}

/// Only a failure to connect proves that the request was not seen.
fn sort(host: String, error: reqwest::Error) -> TransportError {
    let connecting = error.is_connect() || error.is_builder();
    // reqwest's text would repeat the URL, with its query.
    let source = error.without_url().into();
    if connecting { TransportError::NotSent { host, source } } else { TransportError::NoAnswer { host, source } }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers each connection's first request with `answer`, or closes where it is empty.
    async fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server of the test, ended with its runtime")]
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 1024];
                let _read = stream.read(&mut buffer).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        });
        format!("http://{address}/a?token=hush")
    }

    async fn get(url: &str) -> Result<Bytes, TransportError> {
        let transport = HttpTransport::new(&TlsRoots::default()).unwrap();
        let answer = transport.send(http::Request::get(url).body(Bytes::new()).unwrap()).await?;
        answer.into_body().collect(1024).await
    }

    #[tokio::test]
    async fn an_answer_is_read() {
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        assert_eq!(get(&url).await.unwrap(), "hi");
    }

    #[tokio::test]
    async fn a_refused_connection_was_surely_not_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a?token=hush", listener.local_addr().unwrap());
        drop(listener);
        let error = get(&url).await.unwrap_err();
        assert!(matches!(error, TransportError::NotSent { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_closed_without_an_answer_leaves_the_outcome_open() {
        let error = get(&server(b"").await).await.unwrap_err();
        assert!(matches!(error, TransportError::NoAnswer { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_not_taken_for_whole() {
        let url = server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi").await;
        assert!(matches!(get(&url).await, Err(TransportError::Cut { .. })));
    }
}
