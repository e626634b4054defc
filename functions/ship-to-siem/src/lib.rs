//! Reads batches of events from the event stream and sends them to one destination.
//!
//! Order: take the receipt → send → keep it under `seen/`. Success means that every record of the receipt is taken by the
//! destination or lies as a dead letter; where it is not, the receipt is owed again and the call fails, so that nobody
//! takes a destination that is down for one that works. A direct call redrives dead letters.

mod call;
mod config;
mod receipt;

pub use call::{Summary, handle};
pub use config::{Config, read};

use fn_hyper::config::Problems;

/// The function, ready for calls.
pub struct App {
    /// What was configured.
    pub config: Config,
}

impl App {
    /// Reads the configuration; nothing is called yet.
    ///
    /// # Errors
    /// Every problem with the configuration.
    pub fn from_config(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        Ok(Self { config: read(lookup)? })
    }
}
