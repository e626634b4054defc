//! Plans: scopes × windows → work units on the work stream, receipts in the ledger, doorbells on topic 1. Sweeps: takes
//! back what vanished holders held and rings every owed receipt again, for all functions.
//!
//! Called by the schedule (through the gateway, whose callers must know the secret, or by an alarm), or by hand with a
//! backfill. It reads no audit event and sends none.

mod backfill;
mod call;
mod config;
mod gate;
mod health;
mod plan;
mod planner;
mod prove;
mod refresh;
mod schedule;
mod sweep;

pub use call::handle;
pub use config::{Config, read};
pub use gate::SECRET_HEADER;

use fn_hyper::config::Problems;
use workbench::Ids;

/// The function, ready for calls.
pub struct App {
    /// What was configured.
    pub config: Config,
    /// Names for batches and leases.
    pub ids: Ids,
}

impl App {
    /// Reads the configuration; nothing is called yet.
    ///
    /// # Errors
    /// Every problem with the configuration.
    pub fn from_config(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        Ok(Self { config: read(lookup)?, ids: Ids::random() })
    }
}
