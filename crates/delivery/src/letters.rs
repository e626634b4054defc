//! Records that the destination does not take: each becomes a dead letter, and where its size alone stood in the way, a
//! summary with pointer and hash goes in its place.

use std::slice;

use jiff::{Timestamp, civil::Date};
use ledger::{Buried, DeadLetter};
use pipeline::{Whole, reduced};
use siem_sinks::{Outcome, Proven, Record, SinkFailure};
use workbench::Deadline;

use crate::{CannotSetUp, Parties, persist};

/// What is alike in the letters of one piece of work.
pub struct Letters<'a> {
    /// Who sends, keeps and refuses.
    pub parties: Parties<'a>,
    /// The day under which the letters lie. It must not depend on when the work is tried, so that a repeat finds them.
    pub date: Date,
    /// How often the work was tried, this time included.
    pub attempts: u32,
    /// When this try began, by the service's clock.
    pub first_try: Timestamp,
    /// When setting aside ends, for the ledger must still be told of it.
    pub setting_aside: Deadline,
    /// When the call ends.
    pub deadline: Deadline,
}

/// A record could not be set aside: it is still owed.
#[derive(Debug, thiserror::Error)]
pub enum NotSetAside {
    /// The letter cannot be written.
    #[error("the dead letter cannot be written")]
    Letter(#[from] ledger::Error),
    /// The destination cannot be set up for the summary.
    #[error(transparent)]
    CannotSetUp(#[from] CannotSetUp),
    /// It is not certain that the destination has the summary.
    #[error("the summary that stands for a record is not delivered")]
    Summary {
        /// What came between.
        source: Option<SinkFailure>,
    },
}

impl Letters<'_> {
    /// Sets a record aside as `outcome` has it, under a `key` that names the record for good; nothing where it is neither
    /// refused nor too large. The letter comes first: a kill between the two repeats both, and finds the letter.
    ///
    /// # Errors
    /// Where the letter cannot be written, or the summary is not settled: then the record is still owed.
    pub async fn set_aside(&self, key: String, record: &Record, outcome: &Outcome) -> Result<(), NotSetAside> {
        match outcome {
            Outcome::Refused(reason) => {
                self.bury(key, record, reason).await?;
                Ok(())
            }
            Outcome::TooLarge(reason) => {
                let buried = self.bury(key, record, reason).await?;
                self.summarise(record, reason, &buried).await
            }
            Outcome::Taken | Outcome::NotSent | Outcome::Unknown => Ok(()),
        }
    }

    /// Writes the letter of a record, whoever refuses it.
    ///
    /// # Errors
    /// Where the letter cannot be written.
    pub async fn bury(&self, key: String, record: &Record, reason: &str) -> Result<Buried, ledger::Error> {
        let Parties { client, ledger, target } = self.parties;
        let destination = target.name().as_str().to_owned();
        let letter = DeadLetter {
            date: self.date,
            key,
            owed_to: vec![destination.clone()],
            destination,
            region: record.region.as_deref().map(str::to_owned),
            reason: reason.to_owned(),
            attempts: self.attempts,
            first_try: self.first_try,
            last_try: client.service_time().unwrap_or(self.first_try),
            record: record.raw.clone(),
        };
        tracing::error!(key = letter.key, reason, "a record was refused for good; it lies as a dead letter");
        persist(|| ledger.bury(&letter, self.deadline), self.setting_aside).await
    }

    /// Sends what stands for a record that is buried.
    async fn summarise(&self, record: &Record, reason: &str, buried: &Buried) -> Result<(), NotSetAside> {
        let Parties { client, ledger, target } = self.parties;
        let Buried { object, sha256 } = buried;
        let whole = Whole { reason, sha256, bucket: ledger.bucket_name(), object };
        let summary =
            Record { raw: reduced(&record.raw, &whole), region: record.region.clone(), proven: Proven::Nothing };
        let delivery = target.deliver(client, slice::from_ref(&summary), self.setting_aside).await?;
        match delivery.outcomes.first() {
            Some(Outcome::Taken) => Ok(()),
            Some(Outcome::Refused(reason) | Outcome::TooLarge(reason)) => {
                tracing::error!(object, reason = &**reason, "not even the summary of a record was taken");
                Ok(())
            }
            Some(Outcome::NotSent | Outcome::Unknown) | None => Err(NotSetAside::Summary { source: delivery.failure }),
        }
    }
}
