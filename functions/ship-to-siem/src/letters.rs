//! Records that the destination does not take: each becomes a dead letter, and where its size alone stood in the way, a
//! summary with pointer and hash goes in its place.

use std::slice;

use jiff::Timestamp;
use ledger::{Buried, DeadLetter, letter_date};
use pipeline::{Lane, ShipKey, Whole, event_hash, reduced};
use siem_sinks::{Outcome, Record};
use workbench::Deadline;

use crate::{App, receipt::persist};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is alike in the letters of one receipt.
pub(crate) struct Letters<'a> {
    pub(crate) app: &'a App,
    pub(crate) key: &'a ShipKey,
    /// How often the receipt was tried, this time included.
    pub(crate) attempts: u32,
    pub(crate) first_try: Timestamp,
    /// When setting aside ends, for the ledger must still be told of it.
    pub(crate) sending: Deadline,
    pub(crate) deadline: Deadline,
}

impl Letters<'_> {
    /// Sets a record aside as `outcome` has it. The letter comes first: a kill between the
    /// two repeats both, and finds the letter.
    ///
    /// # Errors
    /// Where the letter cannot be written, or the summary is not settled: then the record is still owed.
    pub(crate) async fn set_aside(&self, record: &Record, outcome: &Outcome) -> Result<(), BoxError> {
        match outcome {
            Outcome::Refused(reason) => self.bury(record, reason).await.map(drop).map_err(BoxError::from),
            Outcome::TooLarge(reason) => {
                let buried = self.bury(record, reason).await?;
                self.summarise(record, reason, &buried).await
            }
            Outcome::Taken | Outcome::NotSent | Outcome::Unknown => Ok(()),
        }
    }

    pub(crate) async fn bury(&self, record: &Record, reason: &str) -> Result<Buried, ledger::Error> {
        let config = &self.app.config;
        let destination = config.destination.as_str().to_owned();
        let letter = DeadLetter {
            date: letter_date(self.key.window),
            key: letter_key(self.key, &record.raw),
            owed_to: vec![destination.clone()],
            destination,
            region: record.region.as_deref().map(str::to_owned),
            reason: reason.to_owned(),
            attempts: self.attempts,
            first_try: self.first_try,
            last_try: config.connection.client.service_time().unwrap_or(self.first_try),
            record: record.raw.clone(),
        };
        tracing::error!(key = letter.key, reason, "a record was refused for good; it lies as a dead letter");
        persist(|| config.ledger.bury(&letter, self.deadline), self.sending).await
    }

    /// Sends what stands for a record that is buried.
    async fn summarise(&self, record: &Record, reason: &str, buried: &Buried) -> Result<(), BoxError> {
        let config = &self.app.config;
        let Buried { object, sha256 } = buried;
        let whole = Whole { reason, sha256, bucket: config.ledger.bucket_name(), object };
        let summary = Record { raw: reduced(&record.raw, &whole), region: record.region.clone(), is_valid: false };
        let delivery =
            config.splunk.deliver(&config.connection.client, slice::from_ref(&summary), self.sending).await?;
        match delivery.outcomes.first() {
            Some(Outcome::Taken) => Ok(()),
            Some(Outcome::Refused(reason) | Outcome::TooLarge(reason)) => {
                tracing::error!(object, reason = &**reason, "not even the summary of a record was taken");
                Ok(())
            }
            Some(Outcome::NotSent | Outcome::Unknown) | None => {
                Err(delivery.failure.map_or_else(|| "the summary was not sent".into(), BoxError::from))
            }
        }
    }
}

/// Names a record for good, whichever batch brings it: `<span>.<region>.<hash of its id>`. A batch that is gone from its
/// stream comes again under another id, and what was refused of it finds its first letter all the same.
fn letter_key(key: &ShipKey, record: &[u8]) -> String {
    let lane = match key.lane {
        Lane::Live => "",
        Lane::Backfill => "backfill.",
    };
    format!("{lane}{}.{}.{:016x}", key.window, key.region(), event_hash(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_its_event_and_not_by_its_receipt_or_batch() {
        let hash = format!("{:016x}", event_hash(br#"{"eventId":"a"}"#));
        for (key, expected) in [
            ("20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff", "20260105T2120Z-20260105T2125Z.us-ashburn-1"),
            ("20260105T2120Z-20260105T2125Z.us-ashburn-1.00fe.3-9", "20260105T2120Z-20260105T2125Z.us-ashburn-1"),
            (
                "backfill.20260105T0000Z-20260106T0000Z.us-ashburn-1.00ff",
                "backfill.20260105T0000Z-20260106T0000Z.us-ashburn-1",
            ),
        ] {
            let named = letter_key(&key.parse().unwrap(), br#"{"eventId":"a","x":1}"#);
            assert_eq!(named, format!("{expected}.{hash}"));
        }
    }
}
