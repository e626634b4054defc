//! The seam to every destination: records in, an answer for each of them out.

use std::sync::Arc;

use bytes::Bytes;
use http_transport::BoxFuture;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::{InvalidConfig, SinkFailure};

/// One event on its way to a destination.
#[derive(Clone)]
pub struct Record {
    /// The event as it was received: one JSON object. A sink passes every token of it on byte for byte and
    /// reads only what it routes on.
    pub raw: Bytes,
    /// Where it was fetched, for an audit event does not say so itself.
    pub region: Option<Arc<str>>,
    /// What is known of `raw`, so that a sink that needs it does not look again.
    pub proven: Proven,
}

/// What somebody has proven of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proven {
    /// Nothing: a sink that splices it into a body checks it.
    #[default]
    Nothing,
    /// It is one JSON object in UTF-8.
    Object,
    /// The same, and no white space stands between its tokens.
    CompactObject,
}

impl std::fmt::Debug for Record {
    /// Without the event: it may be confidential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("raw_bytes", &self.raw.len()).field("region", &self.region).finish()
    }
}

/// A destination.
///
/// The contract that the compiler cannot state:
/// * The answer holds one outcome a record, in the order of the records, whatever happened.
/// * Records are sent in order. After a failure that is not one record's own, nothing more is sent.
/// * A sink sends a record again within a call only if the destination surely has not taken it, or has refused the body for
///   one bad event without saying which.
/// * It ends by `deadline`. Dropping the future before leaves every outcome unknown.
/// * It never refuses a record for a fault of the configuration: an event must not be lost because a token was changed late.
pub trait Sink: Send + Sync {
    /// Sends `records` once each; `deadline` bounds every wait.
    fn deliver<'a>(&'a self, records: &'a [Record], deadline: Instant) -> BoxFuture<'a, Delivery>;

    /// Sends with another token from the next request on: the old one may have been replaced in the vault.
    ///
    /// # Errors
    /// `Token` where it is none; the old one stays.
    fn renew_token(&self, token: &SecretString) -> Result<(), InvalidConfig>;
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What became of each record, in their order.
    pub outcomes: Vec<Outcome>,
    /// The destination took what it was given but is close to its limits: wait before the next batch.
    pub slow_down: bool,
    /// Why nothing more was sent; none where every record is taken, refused or too large.
    pub failure: Option<SinkFailure>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination's own word that it has the record.
    Taken,
    /// It will never be taken as it is; the reason names no content of the record.
    Refused(Arc<str>),
    /// Its size alone stands in the way: the destination's limit, or the configured one. A shorter event in its place may
    /// be taken. The reason names no content of the record.
    TooLarge(Arc<str>),
    /// Surely not taken: it may be sent again without making a second copy.
    NotSent,
    /// It may have been taken: sending it again may make a second copy, with the same id.
    Unknown,
}

impl Outcome {
    /// Whether the destination has given its last word on the record.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Taken | Self::Refused(_) | Self::TooLarge(_) => true,
            Self::NotSent | Self::Unknown => false,
        }
    }
}
