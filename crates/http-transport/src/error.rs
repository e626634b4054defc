//! What can go wrong between two hosts, sorted by what the caller may conclude.

/// Whatever lay beneath.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Nothing usable came back. Never holds a URL beyond the host: a URL can be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Lookup, connect or TLS failed: the request was surely not seen.
    #[error("could not connect to {host}")]
    NotSent {
        /// Host and port.
        host: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The request may have been seen, but no answer came.
    #[error("no answer from {host}")]
    NoAnswer {
        /// Host and port.
        host: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The answer broke off within its body.
    #[error("the answer broke off")]
    Cut {
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The answer's body is larger than the caller wanted to read.
    #[error("the answer is larger than {cap} bytes")]
    TooLarge {
        /// The limit in bytes.
        cap: usize,
    },
}
