//! What every function stands on: its client and ledger as configured, batches on streams, doorbells and secrets.
//!
//! Here `oci-client`, `ledger` and `pipeline` meet for the first time. It knows no destination and no function.

mod batches;
mod connection;
mod doorbells;
mod holding;
mod ids;
mod secrets;
mod time;

pub use batches::{CannotPut, CannotRead, Opened, open_batch, put_batch};
pub use connection::{
    Common, Connection, WithLedger, common_keys, connection_keys, destinations, ledger_keys, ocid_of,
};
pub use doorbells::{Rung, ring};
pub use holding::{give_back, release};
pub use ids::Ids;
pub use secrets::{CannotLoad, SecretCell};
pub use time::{CallTime, Deadline, NoTime, hold_until, service_time};
