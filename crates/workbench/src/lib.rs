//! What every function stands on: its client and ledger as configured, batches on streams, doorbells and secrets.
//!
//! Here `oci-client`, `ledger` and `pipeline` meet for the first time. It knows no destination and no function.

mod batches;
mod connection;
mod doorbells;
mod ids;
mod secrets;

pub use batches::{CannotPut, CannotRead, Opened, open_batch, put_batch};
pub use connection::{
    Common, Connection, WithLedger, common_keys, connection_keys, destinations, ledger_keys, ocid_of,
};
pub use doorbells::{Rung, ring};
pub use ids::Ids;
pub use secrets::{CannotLoad, SecretCell};

use jiff::{SignedDuration, Timestamp};

/// When to stop waiting.
pub type Deadline = tokio::time::Instant;

/// Until when a receipt is held, by the service's clock: a little longer than this call can last, so that the sweep
/// never gives away what is still worked on.
pub fn hold_until(service_time: Timestamp, deadline: Deadline) -> Timestamp {
    const MARGIN: SignedDuration = SignedDuration::from_secs(60);
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::ZERO);
    service_time.saturating_add(left + MARGIN).unwrap_or(Timestamp::MAX)
}
