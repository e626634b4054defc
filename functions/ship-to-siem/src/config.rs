//! The keys of `ship-to-siem`.

use delivery::{Parties, Target, target_keys};
use fn_hyper::config::{Problems, Reader, within};
use ledger::Ledger;
use oci_client::Endpoint;
use workbench::{Connection, common_keys};

/// What the function runs with.
pub struct Config {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
    /// Where the event stream's messages are got.
    pub streaming_endpoint: Endpoint,
    /// Where it sends; the receipts of that name are its own.
    pub target: Target,
    /// Calls that may end without a word while they work on one event alone, before it becomes a dead letter.
    pub max_attempts: u32,
}

impl Config {
    pub(crate) fn parties(&self) -> Parties<'_> {
        Parties { client: &self.connection.client, ledger: &self.ledger, target: &self.target }
    }
}

/// Reads the configuration.
///
/// # Errors
/// Every problem with it; none repeats a value.
pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let mut keys = Reader::new(lookup);
    let common = common_keys(&mut keys, lookup);
    // The one destination that this function sends to, of those that fetch-audit-events knows.
    let target = target_keys(&mut keys);
    // Calls that may end without a word while they work on one event alone, before it becomes a dead letter. A destination
    // that is down counts for nothing here.
    let max_attempts = keys.optional("max_attempts", 5, within(3..=100));
    keys.finish(|| {
        let common = common?;
        Some(Config {
            connection: common.connection,
            ledger: common.ledger,
            streaming_endpoint: common.streaming_endpoint,
            target: target?,
            max_attempts: max_attempts?,
        })
    })
}
