//! Reads its work units, lists the audit events of each scope in its region, puts them on the event stream in batches, and
//! rings for what it wrote.
//!
//! Order: take the receipt → put a batch → owe it to every destination → … → remove the receipt. A kill at any place
//! leaves a receipt; whoever works on it next skips the events that are already on their way.

mod call;
mod config;
mod listing;
mod outbox;
mod receipt;
mod redaction;

pub use call::{Summary, handle};
pub use config::{Config, read};
pub use redaction::Redaction;

use fn_hyper::config::Problems;
use workbench::Ids;

/// The function, ready for calls.
pub struct App {
    /// What was configured.
    pub config: Config,
    /// Names for batches.
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
