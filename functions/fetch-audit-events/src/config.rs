//! The keys of `fetch-audit-events`.

use std::{fmt, str::FromStr};

use fn_hyper::config::{Problems, Reader, Switch, within};
use ledger::Ledger;
use oci_client::Endpoint;
use oci_names::Ocid;
use pipeline::{BatchLimits, Destination, Encoding, OwnReads};
use workbench::{Connection, SecretCell, common_keys, destinations, ocid_of};

use crate::redaction::Redaction;

/// What the function runs with.
pub struct Config {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
    /// Where both streams' messages are put and got.
    pub streaming_endpoint: Endpoint,
    /// The event stream.
    pub event_stream: Ocid,
    /// Rings `ship-to-siem`.
    pub splunk_topic: Ocid,
    /// Who is owed every event.
    pub destinations: Vec<Destination>,
    /// How batches are cut.
    pub limits: BatchLimits,
    /// Scopes listed at once.
    pub lists_at_once: usize,
    /// What is withheld of events before they are put; `None` where the operator has turned it off.
    pub redaction: Option<Redaction>,
    /// Knows the events of our own listing, which a summary stands for; `None` where they are delivered one by one.
    pub own_reads: Option<OwnReads>,
}

/// Reads the configuration.
///
/// # Errors
/// Every problem with it; none repeats a value.
pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let mut keys = Reader::new(lookup);
    let common = common_keys(&mut keys, lookup);
    // The work stream. Its units' place is in the doorbell; this is the event stream, too, where that has no key of its own.
    let stream = keys.required("stream_ocid", ocid_of("stream"));
    // The stream that takes the events, behind the same messages endpoint. Default: stream_ocid.
    let event_stream = keys.maybe("event_stream_ocid", ocid_of("stream"));
    // The topic that wakes ship-to-siem: ocid1.onstopic.….
    let splunk_topic = keys.required("splunk_topic", ocid_of("onstopic"));
    let destinations = destinations(&mut keys);
    // Events in one batch. 0, the default, cuts by bytes alone: fewest calls, so the lowest price.
    let events_max = keys.optional("records_per_fn", 0, within(0..=1_000_000));
    // packed: many events a message, gzip; plain: one a message, for other consumers of the stream.
    let encoding = keys.optional("stream_encoding", Encoding::Packed, Encoding::from_str);
    // Events of a batch before compression: what ship-to-siem holds in memory.
    let inflated_max_bytes = keys.optional("batch_inflated_max_bytes", 4_000_000, within(100_000..=16_000_000));
    // Scopes listed at once: 16 hide the round trips and stay below the service's throttle.
    let lists_at_once = keys.optional("lists_at_once", 16, within(1..=64));
    let redaction = redaction_keys(&mut keys);
    let own_reads = own_reads_keys(&mut keys, lookup, common.as_ref().map(|common| &common.connection));
    keys.finish(|| {
        let limits = BatchLimits {
            stream_max_bytes: STREAM_MAX_BYTES,
            inflated_max_bytes: inflated_max_bytes?,
            events_max: events_max?,
            encoding: encoding?,
        };
        let work_stream = stream?;
        let common = common?;
        Some(Config {
            connection: common.connection,
            ledger: common.ledger,
            streaming_endpoint: common.streaming_endpoint,
            event_stream: event_stream.unwrap_or(work_stream),
            splunk_topic: splunk_topic?,
            destinations: destinations?,
            limits,
            lists_at_once: lists_at_once?,
            redaction: redaction?,
            own_reads: own_reads?,
        })
    })
}

/// Reads what is withheld of events. The inner `None` means nothing.
fn redaction_keys(keys: &mut Reader<'_>) -> Option<Option<Redaction>> {
    // on: credentials are withheld, the events are delivered; off: events are delivered byte for byte. The default is on, for
    // the SIEM has more readers than the tenancy, and a token in it can still be used.
    let redact = keys.optional("redact", Switch::On, Switch::from_str);
    // Members whose values are withheld besides authorization, cookie and the like, in any case and at any depth, also where
    // they are written out in a text (`name: …`): `x-vault-token,client_secret`.
    let names = keys.maybe("redact_keys", list(1));
    // Texts: a string that holds one of them is withheld, compared byte for byte: `ocid1.credential.,sk_live_`.
    let values = keys.maybe("redact_values", list(VALUE_MIN_BYTES));
    // With it, what is withheld is replaced by its HMAC-SHA-256 in place of a constant, so that equal values can be told to be
    // equal. The OCID of a vault secret; 16 bytes or more, or else its values could be guessed.
    let key = keys.maybe_secret("redact_hmac_key").map(SecretCell::new);
    let on = redact? == Switch::On;
    Some(on.then(|| Redaction::new(&names.unwrap_or_default(), &values.unwrap_or_default(), key)))
}

/// Reads what becomes of the events that our own listing leaves in the trail. The inner `None` means nothing.
fn own_reads_keys(
    keys: &mut Reader<'_>,
    lookup: &dyn Fn(&str) -> Option<String>,
    connection: Option<&Connection>,
) -> Option<Option<OwnReads>> {
    // Each listing leaves an event in each compartment that it looks into. summary: one event a listing stands for those of its
    // region and window; keep: they are delivered one by one. The default is summary, for they can be most of a quiet tenancy.
    let what = keys.optional("own_reads", OwnReadsAre::Summary, OwnReadsAre::from_str);
    // Whose reads those are, as events name it in principalId: an OCID. Default: FN_FN_ID, the function's OCID by the platform,
    // else what the resource principal's token says, else the user of oci_config_file. Neither variable nor claim is
    // documented; where they are wrong the reads are delivered one by one, until this key names the principal.
    let principal = keys.maybe("own_principal", Ocid::from_str);
    if what? == OwnReadsAre::Keep {
        return Some(None);
    }
    let of_platform = || lookup("FN_FN_ID").and_then(|id| id.trim().parse().ok());
    let of_principal = || connection.and_then(|connection| connection.client.principal_id());
    let principal = principal.or_else(of_platform).or_else(of_principal);
    if principal.is_none() && connection.is_some() {
        tracing::warn!(
            "nobody says who this function is, so its own reads are delivered one by one: set own_principal"
        );
    }
    Some(principal.map(|principal| OwnReads::new(principal.as_str())))
}

/// Shorter ones stand in too many strings by chance.
const VALUE_MIN_BYTES: usize = 4;

/// Parses texts of at least `min` bytes each, separated by commas.
fn list(min: usize) -> impl Fn(&str) -> Result<Vec<String>, String> {
    move |value| {
        let all: Vec<String> = value.split(',').map(|one| one.trim().to_owned()).collect();
        if all.iter().all(|one| one.len() >= min) {
            Ok(all)
        } else {
            Err(format!("expected texts of {min} bytes or more, separated by commas"))
        }
    }
}

/// The key `own_reads`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnReadsAre {
    Summary,
    Keep,
}

impl FromStr for OwnReadsAre {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "summary" => Ok(Self::Summary),
            "keep" => Ok(Self::Keep),
            _ => Err("expected summary or keep"),
        }
    }
}

impl fmt::Display for OwnReadsAre {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Summary => "summary",
            Self::Keep => "keep",
        })
    }
}

/// One put takes 1 MiB of decoded keys and values; the sources do not agree on whether that is 1,000,000 or 1,048,576.
const STREAM_MAX_BYTES: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "ocid1.fnfunc.oc1.iad.f";

    fn with<T>(table: &[(&str, &str)], read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Result<T, String> {
        let lookup = |key: &str| table.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        let mut keys = Reader::new(&lookup);
        let value = read(&mut keys);
        keys.finish(|| value).map_err(|problems| problems.to_string())
    }

    fn redaction(table: &[(&str, &str)]) -> Result<Option<Redaction>, String> {
        with(table, redaction_keys)
    }

    #[test]
    fn redaction_is_on_unless_it_is_turned_off_by_its_name() {
        assert!(redaction(&[]).unwrap().is_some());
        assert!(redaction(&[("redact", "on")]).unwrap().is_some());
        assert!(redaction(&[("redact", "off")]).unwrap().is_none());
        for value in ["OFF", "false", "0", "none"] {
            assert_eq!(redaction(&[("redact", value)]).unwrap_err(), "redact: expected on or off");
        }
    }

    #[test]
    fn lists_have_no_gaps_and_texts_are_not_too_short_to_mean_anything() {
        assert!(redaction(&[("redact_keys", "x-vault-token, k"), ("redact_values", "sk_live_ ,hush")]).is_ok());
        let problem = |key: &str, value: &str| redaction(&[(key, value)]).unwrap_err();
        assert_eq!(
            problem("redact_keys", "a,,b"),
            "redact_keys: expected texts of 1 bytes or more, separated by commas"
        );
        assert_eq!(
            problem("redact_values", "hush-hush,abc"),
            "redact_values: expected texts of 4 bytes or more, separated by commas"
        );
    }

    #[test]
    fn own_reads_are_those_of_the_configured_principal_else_of_the_function() {
        let check = |table: &[(&str, &str)], principal: Option<&str>| {
            let lookup = |key: &str| table.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
            let own_reads = with(table, |keys| own_reads_keys(keys, &lookup, None)).unwrap();
            assert_eq!(own_reads.map(|own| own.principal().to_owned()).as_deref(), principal, "{table:?}");
        };
        check(&[], None);
        check(&[("FN_FN_ID", FUNCTION)], Some(FUNCTION));
        check(&[("FN_FN_ID", "01D3FYRN4CNG8G00GZJ0000002")], None);
        check(&[("FN_FN_ID", FUNCTION), ("own_principal", "ocid1.user.oc1..u")], Some("ocid1.user.oc1..u"));
        check(&[("FN_FN_ID", FUNCTION), ("own_reads", "summary")], Some(FUNCTION));
        check(&[("FN_FN_ID", FUNCTION), ("own_reads", "keep")], None);
    }
}
