//! Dead letters of a file.

use bytes::Bytes;
use delivery::{Ends, Letters};
use futures_util::{StreamExt, stream};
use jiff::tz::TimeZone;
use ledger::item_letter;
use pipeline::FileTally;
use siem_sinks::{Proven, Record};

use super::Work;
use crate::{
    batch::{Batch, Piece},
    error::Failure,
};

/// Letters written at once.
const LETTERS_AT_ONCE: usize = 8;

impl Work<'_> {
    /// Writes a letter for each piece that is no record.
    pub(super) async fn bury(&self, pieces: &[Piece]) -> Result<(), ledger::Error> {
        let letters = self.letters(Ends::before(self.time.deadline));
        // Futures first, stream second: closures that borrow inside a stream's adaptors defeat the compiler's proof of `Send`.
        let burying: Vec<_> = pieces.iter().map(|piece| self.bury_piece(&letters, piece)).collect();
        let buried: Vec<Result<(), ledger::Error>> = stream::iter(burying).buffered(LETTERS_AT_ONCE).collect().await;
        buried.into_iter().collect()
    }

    async fn bury_piece(&self, letters: &Letters<'_>, piece: &Piece) -> Result<(), ledger::Error> {
        let record = self.record(piece.bytes.clone());
        let reason = format!("no record: {}", piece.reason);
        letters.bury(self.letter_key(piece.place, &piece.bytes), &record, &reason).await.map(drop)
    }

    /// A record that stood alone and ended one call after the other.
    pub(super) async fn bury_poison(&mut self, batch: &Batch, at: usize) -> Result<(), Failure> {
        let (Some(record), Some(place)) = (batch.records.get(at), batch.places.get(at)) else { return Ok(()) };
        let reason = format!("{} calls ended while they worked on it", self.held.stalled());
        self.letters(Ends::before(self.time.deadline))
            .bury(self.letter_key(*place, &record.raw), record, &reason)
            .await?;
        self.count(FileTally { dead: 1, ..FileTally::default() });
        // What ended the calls is out of the way.
        self.mark_settled(batch, place + 1);
        Ok(())
    }

    pub(super) fn letters(&self, ends: Ends) -> Letters<'_> {
        let config = &self.app.config;
        let body = &self.held.body;
        Letters {
            parties: config.parties(),
            date: body.arrived_at.to_zoned(TimeZone::UTC).date(),
            attempts: self.held.receipt.attempts + 1,
            first_try: self.held.taken_at,
            setting_aside: ends.setting_aside,
            deadline: self.time.deadline,
        }
    }

    /// Names an item of this version of the file, whoever comes upon it.
    pub(super) fn letter_key(&self, place: u64, item: &[u8]) -> String {
        item_letter(&self.held.body.file.key(), place, item)
    }

    pub(super) fn record(&self, raw: Bytes) -> Record {
        Record { raw, region: None, proven: Proven::Nothing }
    }
}
