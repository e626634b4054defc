//! What Splunk does to events behind its collector.

use siem_sinks::Record;

/// Warns of events that a server with its defaults would cut: the collector takes them either way, and no answer tells what
/// the server's props do to them.
pub(crate) fn warn_of_long(records: &[Record], sourcetype: &str) {
    let long = longer_than_truncate(records);
    if long > 0 {
        tracing::warn!(
            long,
            sourcetype,
            "events of more than 10,000 bytes: Splunk cuts them unless the props of the sourcetype say TRUNCATE = 0"
        );
    }
}

/// What Splunk keeps of an event of a sourcetype without a `TRUNCATE` of its own.
const TRUNCATE_BYTES: usize = 10_000;

fn longer_than_truncate(records: &[Record]) -> usize {
    records.iter().filter(|record| record.raw.len() > TRUNCATE_BYTES).count()
}

#[cfg(test)]
mod tests {
    use siem_sinks::{HecEnvelope, Proven};

    use super::*;

    #[test]
    fn r_49_events_that_splunk_would_cut_by_default_are_counted_and_the_props_that_prevent_it_are_shipped() {
        let records = [9_999, 10_000, 10_001, 200_000].map(|bytes| Record {
            raw: vec![b'x'; bytes].into(),
            region: None,
            proven: Proven::Nothing,
        });
        assert_eq!(longer_than_truncate(&records), 2);
        let props = include_str!("../../../splunk/props.conf");
        let stanza = format!("[{}]", HecEnvelope::default().sourcetype);
        assert!(
            props.lines().any(|line| line == stanza) && props.lines().any(|line| line == "TRUNCATE = 0"),
            "{props}"
        );
    }
}
