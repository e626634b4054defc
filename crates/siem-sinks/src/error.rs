//! Why a destination could not be set up, and why it took nothing more.

use std::time::Duration;

/// A destination's settings do not fit. No value is repeated: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The address is not one that a token may be sent to.
    #[error("the URL must be https:// and a host (http:// for a loopback host only), without user, query or fragment")]
    Url,
    /// The token cannot be sent in a header or query.
    #[error("the token must be visible ASCII without blanks")]
    Token,
    /// A type of logs has no blanks.
    #[error("the log type must be visible ASCII without blanks")]
    LogType,
    /// The user agent cannot be sent in a header.
    #[error("the user agent cannot be sent in a header")]
    UserAgent,
    /// A limit of 0 would send nothing.
    #[error("{setting} must be greater than 0")]
    Zero {
        /// The field of the configuration.
        setting: &'static str,
    },
    /// The destination takes no more.
    #[error("{setting} must be at most {max}")]
    AboveLimit {
        /// The field of the configuration.
        setting: &'static str,
        /// The most that it may be.
        max: usize,
    },
    /// gzip knows the levels 1 (quick) to 9 (small).
    #[error("the gzip level must lie between 1 and 9")]
    GzipLevel,
}

/// Why a sink sent nothing more. Never holds a token, a path, a query, a record's content or text of the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkFailure {
    /// No connection: the destination surely saw nothing.
    #[error("could not connect to {host}")]
    Unreachable {
        /// Host and port.
        host: String,
    },
    /// The destination asks to be left alone for a while, and surely has not taken what was sent last.
    #[error("{host} is busy: {answer}")]
    Busy {
        /// Host and port.
        host: String,
        /// Status and code.
        answer: String,
        /// How long it asked to wait.
        retry_after: Option<Duration>,
    },
    /// It refuses what is configured (token, index, address): nothing gets through until somebody mends it.
    #[error("{host} refuses the configuration: {answer}")]
    Configuration {
        /// Host and port.
        host: String,
        /// Status and code.
        answer: String,
    },
    /// It refuses one event after the other and has taken none: the events are hardly all at fault.
    #[error(
        "{host} has refused {refused} events one by one and taken none, the last with {answer}: look at {suspects}"
    )]
    RefusesAll {
        /// Host and port.
        host: String,
        /// How many events it refused in this delivery.
        refused: usize,
        /// Status and code of the last refusal.
        answer: String,
        /// What may be at fault, other than the events.
        suspects: &'static str,
    },
    /// Nobody knows whether it took what was sent last.
    #[error("{host} may or may not have taken the last body: {answer}")]
    Unknown {
        /// Host and port.
        host: String,
        /// Status and code, or what came instead of an answer.
        answer: String,
    },
    /// There was no time left for one more request.
    #[error("no time left to send to {host}")]
    Deadline {
        /// Host and port.
        host: String,
    },
}
