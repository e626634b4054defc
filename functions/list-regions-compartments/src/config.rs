//! The keys of `list-regions-compartments`.

use std::str::FromStr;

use fn_hyper::config::{Problems, Reader, within};
use ledger::Ledger;
use oci_client::Endpoint;
use oci_names::Ocid;
use pipeline::{Destination, Minute};
use workbench::{Connection, SecretCell, common_keys, destinations, ocid_of};

/// What the function runs with.
pub struct Config {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
    /// The work stream.
    pub stream: Ocid,
    /// Where its messages are put.
    pub streaming_endpoint: Endpoint,
    /// Rings `fetch-audit-events`.
    pub audit_topic: Ocid,
    /// Rings `ship-to-siem`.
    pub splunk_topic: Ocid,
    /// The destinations that a backfill may name.
    pub destinations: Vec<Destination>,
    /// Work units in one notification; 0 for no bound but bytes.
    pub records_per_fn: u32,
    /// What a caller through the gateway must know.
    pub gateway_secret: Option<SecretCell>,
    /// Where the first run begins.
    pub start: Option<Minute>,
    /// When a window is looked at again, minutes after its end; 0 for never.
    pub late_after_minutes: u32,
    /// The widest window.
    pub max_window_minutes: u32,
    /// How old the list of regions and compartments may become.
    pub scopes_max_age_minutes: u32,
}

/// Reads the configuration.
///
/// # Errors
/// Every problem with it; none repeats a value.
pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let mut keys = Reader::new(lookup);
    let common = common_keys(&mut keys, lookup);
    // The stream that takes the work units, and its messages endpoint: ocid1.stream.…, https://cell-1.streaming.….
    let stream = keys.required("stream_ocid", ocid_of("stream"));
    // The topic that wakes fetch-audit-events: ocid1.onstopic.….
    let audit_topic = keys.required("audit_topic", ocid_of("onstopic"));
    // The topic that wakes ship-to-siem; the sweep rings it for batches whose doorbell was lost.
    let splunk_topic = keys.required("splunk_topic", ocid_of("onstopic"));
    // Destinations by name, separated by commas; one ship-to-siem runs for each.
    let destinations = destinations(&mut keys);
    // Work units in one notification. 0, the default, cuts by bytes alone: fewest calls, so the lowest price.
    let records_per_fn = keys.optional("records_per_fn", 0, within(0..=100_000));
    // The value of the header X-Siem-Tick, or the OCID of the vault secret that holds it. Without it, callers through the
    // gateway are refused: for a schedule that needs no gateway.
    let gateway_secret = keys.maybe_secret("gateway_secret").map(SecretCell::new);
    // The first minute of processed time to export, RFC 3339; read by the first run alone. Default: late_after_minutes ago.
    let start = keys.maybe("start", Minute::from_str);
    // Events may be listed some 15 minutes late; 20 leaves a margin.
    let late_after_minutes = keys.optional("late_after_minutes", 20, within(0..=1_440));
    // After an outage windows are at most this wide: an hour of a busy scope still fits a call.
    let max_window_minutes = keys.optional("max_window_minutes", 60, within(1..=180));
    // New compartments are found this much later, and are then exported from their creation on.
    let scopes_max_age_minutes = keys.optional("scopes_max_age_minutes", 60, within(1..=1_440));
    keys.finish(|| {
        let common = common?;
        Some(Config {
            connection: common.connection,
            ledger: common.ledger,
            streaming_endpoint: common.streaming_endpoint,
            stream: stream?,
            audit_topic: audit_topic?,
            splunk_topic: splunk_topic?,
            destinations: destinations?,
            records_per_fn: records_per_fn?,
            gateway_secret,
            start,
            late_after_minutes: late_after_minutes?,
            max_window_minutes: max_window_minutes?,
            scopes_max_age_minutes: scopes_max_age_minutes?,
        })
    })
}
