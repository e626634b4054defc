//! What happened, held against what arrived.

use jiff::Timestamp;
use local_oci::ExpectedEvent;
use local_oci::connector::WrittenRecord;

/// So many ids are named of what is lost or altered.
const NAMED_MAX: usize = 5;

/// An event or a record that arrives, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) id: String,
    /// Of its bytes; `None` where it was never handed out.
    pub(crate) fingerprint: Option<u64>,
    /// Whether it must have arrived.
    pub(crate) is_due: bool,
}

impl Expected {
    /// An event of the trail: due if it was processed before the horizon.
    pub(crate) fn event(event: ExpectedEvent, horizon: Timestamp) -> Self {
        Self { id: event.id, fingerprint: event.fingerprint, is_due: event.processed < horizon }
    }

    /// A record of a log file: due once it is written.
    pub(crate) fn record(record: WrittenRecord) -> Self {
        Self { id: record.id, fingerprint: Some(record.record), is_due: true }
    }
}

/// The outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// What was due: events processed before the horizon, or records of files.
    pub(crate) generated: u64,
    /// That of it which arrived.
    pub(crate) delivered: u64,
    /// That of it which did not.
    pub(crate) lost: u64,
    /// Arrivals that are not the bytes that were listed or written; and arrivals of nothing expected at all.
    pub(crate) altered: u64,
    /// Arrivals, of anything, beyond its first.
    pub(crate) duplicated: u64,
    /// Events processed at the horizon or later that arrived all the same.
    pub(crate) beyond: u64,
    /// The first ids of what was lost or altered.
    pub(crate) named: Vec<String>,
}

impl Comparison {
    /// Compares everything that was to arrive with the fingerprints of its arrivals. `count` is the number of all arrivals:
    /// those that belong to nothing expected are what is left of it.
    pub(crate) fn new(
        expected: impl Iterator<Item = Expected>,
        count: usize,
        arrivals: impl Fn(&str) -> Vec<u64>,
    ) -> Self {
        let mut found = Self::default();
        let mut known = 0;
        for event in expected {
            let prints = arrivals(&event.id);
            known += prints.len();
            let is_due = event.is_due;
            let altered = prints.iter().filter(|print| Some(**print) != event.fingerprint).count() as u64;
            found.generated += u64::from(is_due);
            found.delivered += u64::from(is_due && !prints.is_empty());
            found.lost += u64::from(is_due && prints.is_empty());
            found.beyond += u64::from(!is_due && !prints.is_empty());
            found.altered += altered;
            found.duplicated += prints.len().saturating_sub(1) as u64;
            let is_wrong = altered > 0 || (is_due && prints.is_empty());
            if is_wrong && found.named.len() < NAMED_MAX {
                found.named.push(event.id);
            }
        }
        found.altered += count.saturating_sub(known) as u64;
        found
    }

    /// What is wrong, where anything is lost or altered. `what` is what they are: `"events"`.
    pub(crate) fn problem(&self, what: &str) -> Option<String> {
        let (lost, altered) = (self.lost, self.altered);
        let is_wrong = lost > 0 || altered > 0;
        is_wrong.then(|| format!("{lost} {what} lost, {altered} altered: {}", self.named.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;

    use super::*;

    const HORIZON: Timestamp = Timestamp::UNIX_EPOCH;

    fn event(id: &str, seconds: i64, fingerprint: Option<u64>) -> Expected {
        let processed = HORIZON.checked_add(SignedDuration::from_secs(seconds)).expect("a time");
        let event = ExpectedEvent {
            id: id.to_owned(),
            region: "r-1".to_owned(),
            compartment: "c".to_owned(),
            processed,
            visible_from: processed,
            fingerprint,
            is_own_read: false,
        };
        Expected::event(event, HORIZON)
    }

    /// Compares `a` and `b`, due, and `later`, which is not, with the arrivals.
    fn check(arrived: &[(&str, u64)], expected: Comparison, fails: bool) {
        let events = [event("a", -2, Some(1)), event("b", -1, Some(2)), event("later", 0, Some(3))];
        let mut arrivals: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (id, print) in arrived {
            arrivals.entry(id).or_default().push(*print);
        }
        let prints = |id: &str| arrivals.get(id).cloned().unwrap_or_default();
        let found = Comparison::new(events.into_iter(), arrived.len(), prints);
        assert_eq!(found, expected, "{arrived:?}");
        assert_eq!(found.problem("events").is_some(), fails, "{arrived:?}");
    }

    fn all() -> Comparison {
        Comparison { generated: 2, delivered: 2, ..Comparison::default() }
    }

    #[test]
    fn what_is_due_must_arrive_and_what_is_later_may() {
        check(&[("a", 1), ("b", 2)], all(), false);
        check(&[("b", 2), ("later", 3), ("a", 1)], Comparison { beyond: 1, ..all() }, false);
        let named = vec!["b".to_owned()];
        check(&[("a", 1)], Comparison { delivered: 1, lost: 1, named, ..all() }, true);
    }

    #[test]
    fn a_copy_is_counted_and_no_failure() {
        check(&[("a", 1), ("a", 1), ("b", 2), ("a", 1)], Comparison { duplicated: 2, ..all() }, false);
    }

    #[test]
    fn other_bytes_are_altered_also_in_a_copy_or_in_an_event_that_is_not_due() {
        let named = vec!["a".to_owned()];
        check(&[("a", 7), ("b", 2)], Comparison { altered: 1, named: named.clone(), ..all() }, true);
        let copy = Comparison { altered: 1, duplicated: 1, named, ..all() };
        check(&[("a", 1), ("a", 7), ("b", 2)], copy, true);
        let named = vec!["later".to_owned()];
        check(&[("a", 1), ("b", 2), ("later", 7)], Comparison { altered: 1, beyond: 1, named, ..all() }, true);
    }

    #[test]
    fn an_arrival_of_no_event_is_altered() {
        check(&[("a", 1), ("b", 2), ("stranger", 9)], Comparison { altered: 1, ..all() }, true);
    }

    #[test]
    fn an_event_that_nobody_listed_is_lost() {
        let events = [event("a", -1, None)];
        let found = Comparison::new(events.into_iter(), 0, |_| Vec::new());
        assert_eq!((found.lost, found.delivered), (1, 0));
    }
}
