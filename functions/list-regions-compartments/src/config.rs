//! The keys of `list-regions-compartments`.

use std::str::FromStr;

use fn_hyper::config::{Problems, Reader, Switch, within};
use ledger::Ledger;
use oci_client::Endpoint;
use oci_names::Ocid;
use pipeline::{Destination, Looks, Minute};
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
    /// Rings `decode-bucket-gzip`, where log files are decoded.
    pub object_topic: Option<Ocid>,
    /// The destinations that a backfill may name.
    pub destinations: Vec<Destination>,
    /// Work units in one notification; 0 for no bound but bytes.
    pub records_per_fn: u32,
    /// What a caller through the gateway must know.
    pub gateway_secret: Option<SecretCell>,
    /// Where the first run begins.
    pub start: Option<Minute>,
    /// When a window is looked at again.
    pub looks: Looks,
    /// The widest window.
    pub max_window_minutes: u32,
    /// How old the list of regions and compartments may become.
    pub scopes_max_age_minutes: u32,
    /// How far delivery may be behind before the gateway's caller is told.
    pub lag_objective_minutes: u32,
    /// Whether metrics are posted.
    pub metrics: bool,
    /// Where they belong; `None` for the function's own compartment.
    pub metrics_compartment: Option<Ocid>,
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
    // The topic that wakes decode-bucket-gzip, where log files of a bucket are exported, too: for those whose event never
    // came, and those that are not done.
    let object_topic = keys.maybe("object_topic", ocid_of("onstopic"));
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
    // A third look, for what is listed later still: an hour, a day. 0, the default, is never. It must come after the second.
    let look_again_after_minutes = keys.optional("look_again_after_minutes", 0, within(0..=10_080));
    if let (Some(third), Some(second)) = (look_again_after_minutes, late_after_minutes)
        && third > 0
        && (second == 0 || third <= second)
    {
        keys.problem("look_again_after_minutes", "expected 0, or more than late_after_minutes, which must not be 0");
    }
    // After an outage windows are at most this wide: an hour of a busy scope still fits a call.
    let max_window_minutes = keys.optional("max_window_minutes", 60, within(1..=180));
    // New compartments are found this much later, and are then exported from their creation on.
    let scopes_max_age_minutes = keys.optional("scopes_max_age_minutes", 60, within(1..=1_440));
    // How far the oldest undelivered minute may be behind before the scheduled answer to the gateway turns to 503: an hour
    // leaves room for a second look and a few failed runs.
    let lag_objective_minutes = keys.optional("lag_objective_minutes", 60, within(10..=10_080));
    // Custom metrics in the namespace siem_pipeline; off where Monitoring is not used.
    let metrics = keys.optional("metrics", Switch::On, Switch::from_str);
    // The compartment that the metrics belong to. Default: the function's own, as its token says, else the tenancy.
    let metrics_compartment = keys.maybe("metrics_compartment", compartment);
    keys.finish(|| {
        let common = common?;
        Some(Config {
            connection: common.connection,
            ledger: common.ledger,
            streaming_endpoint: common.streaming_endpoint,
            stream: stream?,
            audit_topic: audit_topic?,
            splunk_topic: splunk_topic?,
            object_topic,
            destinations: destinations?,
            records_per_fn: records_per_fn?,
            gateway_secret,
            start,
            looks: Looks {
                second_after: Some(late_after_minutes?).filter(|minutes| *minutes > 0),
                third_after: Some(look_again_after_minutes?).filter(|minutes| *minutes > 0),
            },
            max_window_minutes: max_window_minutes?,
            scopes_max_age_minutes: scopes_max_age_minutes?,
            lag_objective_minutes: lag_objective_minutes?,
            metrics: metrics? == Switch::On,
            metrics_compartment,
        })
    })
}

fn compartment(value: &str) -> Result<Ocid, &'static str> {
    let ocid = value.parse::<Ocid>().ok().filter(|ocid| matches!(ocid.resource_type(), "compartment" | "tenancy"));
    ocid.ok_or("expected the OCID of a compartment or of the tenancy")
}
