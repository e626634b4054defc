//! Reads log files that land in a bucket and sends their records to one destination.
//!
//! An Events rule calls it for each object, the sweep for each that is not done, and a person for any. Order: owe the file →
//! take it → read, send and note the progress, batch by batch → keep its receipt under `seen/` → keep, delete or move the
//! file. Success means that what the call was given is delivered, lies as a dead letter, or is owed.
//!
//! Reading, inflating, cutting and sending overlap, and memory does not depend on the file: one batch is sent while the
//! next is read.

mod after;
mod ask;
mod batch;
mod call;
mod config;
mod error;
mod file;
mod keep;
mod listing;
mod receipt;
mod search;
mod select;
mod source;
mod work;

pub use call::{Summary, handle};
pub use config::{After, Config, read};

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
