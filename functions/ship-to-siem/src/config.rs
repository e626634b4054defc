//! The keys of `ship-to-siem`.

use std::str::FromStr;

use fn_hyper::config::{Problems, Reader, text, within};
use ledger::Ledger;
use oci_client::Endpoint;
use pipeline::Destination;
use siem_sinks::HecEnvelope;
use url::Url;
use workbench::{Connection, SecretCell, common_keys};

use crate::destination::{SplunkDestination, SplunkSettings, splunk_url};

/// What the function runs with.
pub struct Config {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
    /// Where the event stream's messages are got.
    pub streaming_endpoint: Endpoint,
    /// Whose receipts this function works on.
    pub destination: Destination,
    /// Where it sends.
    pub splunk: SplunkDestination,
    /// Calls that may end without a word while they work on one event alone, before it becomes a dead letter.
    pub max_attempts: u32,
}

/// Reads the configuration.
///
/// # Errors
/// Every problem with it; none repeats a value.
pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let mut keys = Reader::new(lookup);
    let common = common_keys(&mut keys, lookup);
    // The one destination that this function sends to, of those that fetch-audit-events knows.
    let destination = keys.optional("destination", default_destination(), |name: &str| {
        name.parse::<Destination>().map_err(|_| DESTINATION)
    });
    // The collector's host, as in input-prd-p-….cloud.splunk.com, or its URL.
    let url = keys.required("splunk_url", text);
    // Its port, where splunk_url names none.
    let port = keys.maybe("splunk_hec_port", within(1..=u16::MAX));
    let url = url.and_then(|url| match splunk_url(&url, port) {
        Ok(url) => Some(url),
        Err(reason) => {
            keys.problem("splunk_url", reason);
            None
        }
    });
    // The OCID of the vault secret that holds the HEC token; the token itself is taken with a warning.
    let token = keys.secret("splunk_hec_token").map(SecretCell::new);
    let defaults = HecEnvelope::default();
    // The index; default: the token's own.
    let index = keys.maybe("splunk_index_name", text);
    // source and host of each event; {region} is replaced by the region that the event was fetched in.
    let source = keys.optional("splunk_source_name", defaults.source, text);
    let host = keys.optional("source_host_name", defaults.host, text);
    // One sourcetype for all audit events, to which `splunk/props.conf` belong.
    let sourcetype = keys.optional("splunk_sourcetype", defaults.sourcetype, text);
    // Certificate authorities to trust besides the public ones: PEM text, or the OCID of a secret that holds it.
    let ca = keys.maybe("splunk_ca_pem", text);
    // Bytes of a body before compression; Splunk Cloud advises to stay below 1 MB.
    let batch_max_bytes = keys.optional("splunk_batch_max_bytes", 900_000, within(10_000..=5_000_000));
    // How long one request may take.
    let timeout_secs = keys.optional("splunk_timeout_secs", 30, within(1..=120));
    // Calls that may end without a word while they work on one event alone, before it becomes a dead letter. A destination
    // that is down counts for nothing here.
    let max_attempts = keys.optional("max_attempts", 5, within(3..=100));
    keys.finish(|| {
        let common = common?;
        let envelope = HecEnvelope { host: host?, source: source?, sourcetype: sourcetype?, index };
        let settings = SplunkSettings {
            url: url?,
            envelope,
            batch_max_bytes: batch_max_bytes?,
            timeout: std::time::Duration::from_secs(timeout_secs?),
        };
        Some(Config {
            connection: common.connection,
            ledger: common.ledger,
            streaming_endpoint: common.streaming_endpoint,
            destination: destination?,
            splunk: SplunkDestination::new(settings, token?, ca),
            max_attempts: max_attempts?,
        })
    })
}

const DESTINATION: &str = "expected one name of lower-case letters, digits and hyphens";

fn default_destination() -> Destination {
    #[expect(clippy::expect_used, reason = "a constant of the right form")]
    Destination::from_str("splunk").expect("a destination's name")
}

/// What [`splunk_url`] gives back.
pub(crate) type CollectorUrl = Result<Url, &'static str>;
