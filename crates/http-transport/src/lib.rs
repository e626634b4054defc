//! One seam for HTTP: a request in, an answer out.
//!
//! Everything that leaves a function goes through [`Transport`]: to Oracle Cloud (`oci-client`) and to destinations
//! (`siem-sinks`). Two things stand behind it: [`HttpTransport`] (reqwest over rustls) in production, and the router of
//! `local-oci` called in process in the simulation, where no sockets exist.
//!
//! It does not sign, retry, follow redirects, decompress or add headers of its own: a signed request is sent as it is.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use http_transport::{HttpTransport, TlsRoots, Transport};
//!
//! let transport = HttpTransport::new(&TlsRoots::default())?;
//! let request = http::Request::get("https://example.com/").body(bytes::Bytes::new())?;
//! let answer = transport.send(request).await?;
//! let body = answer.into_body().collect(64 * 1024).await?;
//! # Ok(()) }
//! ```

mod body;
mod error;
mod reqwest_transport;
mod tls;

pub use body::Body;
pub use error::TransportError;
pub use futures_util::future::BoxFuture;
pub use reqwest_transport::{CannotBuild, HttpTransport};
pub use tls::{InvalidRoots, TlsRoots};

use tls::client_config;

/// A request, whole and as it will be sent.
pub type Request = http::Request<bytes::Bytes>;

/// An answer whose head has arrived and whose body is still to be read.
pub type Response = http::Response<Body>;

/// Sends one request and gives back the head of its answer.
///
/// The contract that the compiler cannot state:
/// * A request is sent at most once, save where the connection was surely dead before a byte of it was written.
/// * `NotSent` means that the other side surely has not seen the request. Every other error means that nobody knows.
/// * Dropping the future may or may not have sent the request: the caller must treat it as unknown.
/// * There is no time limit inside beyond the one for connecting; the caller bounds the wait by its deadline.
pub trait Transport: Send + Sync {
    /// Sends `request`; the answer's body is read from what comes back.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>>;
}
