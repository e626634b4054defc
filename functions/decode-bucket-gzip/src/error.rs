//! Why work ends early.

use delivery::{CannotSetUp, NotSetAside};
use siem_sinks::SinkFailure;
use workbench::NoTime;

use crate::source::FileUnreadable;

/// Something that is needed failed. What is not settled is still owed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The destination took nothing more.
    #[error("the destination did not take everything; the rest is owed again")]
    Destination(#[source] Option<SinkFailure>),
    #[error(transparent)]
    CannotSetUp(#[from] CannotSetUp),
    #[error(transparent)]
    NotSetAside(#[from] NotSetAside),
    #[error(transparent)]
    Read(#[from] FileUnreadable),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("the bucket {bucket} cannot be listed: does the function's policy let it read objects there?")]
    Bucket {
        bucket: String,
        #[source]
        source: Box<oci_client::Error>,
    },
    #[error(transparent)]
    NoTime(#[from] NoTime),
}

impl Failure {
    /// Whether the next file would fail, too.
    pub(crate) fn is_of_the_destination(&self) -> bool {
        matches!(self, Self::Destination(_) | Self::CannotSetUp(_))
    }
}

/// Why the work on a file stops before its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The call's time is over; what is settled is noted, the rest is owed.
    OutOfTime,
    /// Somebody else has the receipt now.
    TakenAway,
    Failed(Failure),
}

impl<E> From<E> for Stopped
where
    Failure: From<E>,
{
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
