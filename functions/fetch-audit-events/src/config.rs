//! The keys of `fetch-audit-events`.

use std::str::FromStr;

use fn_hyper::config::{Problems, Reader, within};
use ledger::Ledger;
use oci_client::Endpoint;
use oci_names::Ocid;
use pipeline::{BatchLimits, Destination, Encoding};
use workbench::{Connection, common_keys, destinations, ocid_of};

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
        })
    })
}

/// One put takes 1 MiB of decoded keys and values; the sources do not agree on whether that is 1,000,000 or 1,048,576.
const STREAM_MAX_BYTES: usize = 1_000_000;
