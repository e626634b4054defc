//! Sending a batch, and what of it is settled then.

use std::ops::Range;

use delivery::Ends;
use pipeline::FileTally;
use siem_sinks::{Outcome as RecordOutcome, Record};

use super::Work;
use crate::{
    batch::Batch,
    error::{Failure, Stopped},
};

/// So many holders that ended without a word, and records are sent one by one, until what ends them stands alone.
const ATTEMPTS_TOGETHER: u32 = 2;

impl Work<'_> {
    /// Sends a batch; the body then says how much of it is settled, on an error, too.
    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), Stopped> {
        self.bury(&batch.no_records).await?;
        if self.held.stalled() >= ATTEMPTS_TOGETHER {
            return self.send_one_by_one(batch).await;
        }
        self.deliver(batch, 0..batch.records.len()).await?;
        self.mark_settled(batch, batch.until);
        Ok(())
    }

    /// Sends the records of a batch one by one, and notes before each that it is the next: should it end the call, the
    /// ledger knows which it was.
    async fn send_one_by_one(&mut self, batch: &Batch) -> Result<(), Stopped> {
        for at in 0..batch.records.len() {
            self.mark_settled(batch, batch.places.get(at).copied().unwrap_or(batch.until));
            if self.time.is_over() {
                return Err(Stopped::OutOfTime);
            }
            self.note().await?;
            if self.held.stalled() >= self.app.config.max_attempts {
                self.bury_poison(batch, at).await?;
            } else {
                self.deliver(batch, at..at + 1).await?;
            }
        }
        self.mark_settled(batch, batch.until);
        Ok(())
    }

    /// Sends some records of a batch and sets aside what is refused; the body says up to where, on an error, too.
    async fn deliver(&mut self, batch: &Batch, which: Range<usize>) -> Result<(), Failure> {
        let records = batch.records.get(which.clone()).unwrap_or_default();
        let places = batch.places.get(which).unwrap_or_default();
        let delivered = self.deliver_records(records, places).await;
        delivered.map_err(|(place, failure)| {
            self.mark_settled(batch, place);
            failure
        })
    }

    /// # Errors
    /// The first place that is not settled, and why.
    async fn deliver_records(&mut self, records: &[Record], places: &[u64]) -> Result<(), (u64, Failure)> {
        if records.is_empty() {
            return Ok(());
        }
        let app = self.app;
        let ends = Ends::before(self.time.deadline);
        let first = places.first().copied().unwrap_or_default();
        let delivery = app.config.target.deliver(&app.config.connection.client, records, ends.sending).await;
        let delivery = delivery.map_err(|error| (first, error.into()))?;
        self.slow_down |= delivery.slow_down;
        for ((record, outcome), place) in records.iter().zip(&delivery.outcomes).zip(places) {
            let mut of_record = FileTally::default();
            match outcome {
                RecordOutcome::Taken => of_record.sent = 1,
                RecordOutcome::Refused(_) | RecordOutcome::TooLarge(_) => {
                    let set_aside =
                        self.letters(ends).set_aside(self.letter_key(*place, &record.raw), record, outcome).await;
                    set_aside.map_err(|error| (*place, error.into()))?;
                    of_record.dead = 1;
                }
                RecordOutcome::NotSent | RecordOutcome::Unknown => {
                    return Err((*place, Failure::Destination(delivery.failure)));
                }
            }
            self.count(of_record);
        }
        Ok(())
    }

    pub(super) fn count(&mut self, tally: FileTally) {
        self.held.body.tally += tally;
        self.tally += tally;
    }

    /// Notes in the body that all items before `until` are settled.
    pub(super) fn mark_settled(&mut self, batch: &Batch, until: u64) {
        let from = self.held.body.settled;
        let is_new = |place: &u64| (from..until).contains(place);
        let filtered = batch.left_out.iter().filter(|place| is_new(place)).count() as u64;
        let no_records = batch.no_records.iter().filter(|piece| is_new(&piece.place)).count() as u64;
        self.count(FileTally { sent: 0, dead: no_records, filtered });
        let body = &mut self.held.body;
        body.no_records += no_records;
        if until > body.settled {
            body.settled = until;
            body.grew_at = self.held.receipt.attempts;
        }
        if batch.point.items <= body.settled {
            body.point = batch.point.clone();
        }
    }
}
