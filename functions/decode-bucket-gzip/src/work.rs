//! One file, from its receipt to its end: one batch is sent while the next is read.

use std::{ops::Range, sync::Arc, time::Duration};

use delivery::{CannotSetUp, Ends, Letters, NotSetAside, Parties, persist, slow_down};
use futures_util::{StreamExt, stream};
use jiff::tz::TimeZone;
use ledger::kept_folder;
use log_decoder::Decoder;
use pipeline::FileTally;
use siem_sinks::{Outcome as RecordOutcome, Proven, Record, SinkFailure};
use tokio::time::Instant;
use workbench::Deadline;

use crate::{
    App, after,
    batch::{Batch, End, Filler, Piece},
    keep,
    receipt::{Held, give_back},
    source::{CannotRead, Source},
};

/// So many holders that ended without a word, and records are sent one by one, until what ends them stands alone.
const ATTEMPTS_TOGETHER: u32 = 2;

/// Bytes of records, and seconds, after which the ledger is told what is settled: each time costs a signature and a request,
/// and what it is not told is sent again if the process is killed.
const NOTE_BYTES: usize = 16_000_000;
const NOTE_AFTER: Duration = Duration::from_secs(5);

/// Letters written at once.
const LETTERS_AT_ONCE: usize = 8;

/// What became of a file in this call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Every record is taken, dead or left out.
    Decoded,
    /// The rest of it lies as a dead letter, with its bytes.
    SetAside,
    /// It was overwritten or deleted before it was read: a dead letter says so, and nobody has its bytes.
    Lost,
    /// There was no time for all of it: the rest is owed.
    HandedOn,
    /// Somebody else has its receipt now.
    TakenAway,
}

/// Why a file's work ended early. What is not settled is still owed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The destination took nothing more.
    #[error("the destination did not take everything; the rest is owed again")]
    Destination(#[source] Option<SinkFailure>),
    #[error(transparent)]
    CannotSetUp(#[from] CannotSetUp),
    #[error(transparent)]
    NotSetAside(#[from] NotSetAside),
    #[error(transparent)]
    Read(#[from] CannotRead),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

/// What came of sending a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// All of it is settled.
    All,
    /// The call's time was over before that; the body says how much is.
    OutOfTime,
    /// Somebody else has the receipt now.
    TakenAway,
}

/// What a call did to a file, whatever the outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) tally: FileTally,
    pub(crate) destination_failed: bool,
}

/// Works on a file that is held, until it is done or `until`; `is_first` where the call's whole time was for it.
pub(crate) async fn work(
    app: &App,
    held: Held,
    (until, deadline): (Instant, Deadline),
    is_first: bool,
    done: &mut Done,
) -> Result<Outcome, Failure> {
    let mut work = Work { app, held, until, deadline, done, slow_down: false, unnoted_bytes: 0, noted: Instant::now() };
    let from = (work.held.body.done, work.held.body.kept.clone());
    let outcome = work.run().await;
    match &outcome {
        Ok(Outcome::HandedOn) => {
            // A call whose whole time was not enough for anything counts against the file; a late start does not.
            let has_grown = from != (work.held.body.done, work.held.body.kept.clone());
            let receipt = &work.held.receipt;
            if has_grown || !is_first {
                give_back(app, receipt, deadline).await;
            } else if let Err(error) = app.config.ledger.release(receipt, deadline).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the receipt stays held until its time is over"
                );
            }
        }
        Ok(Outcome::Decoded) => {
            after::settle(app, &work.held.body.file, deadline).await;
            work.drop_kept().await;
        }
        Ok(Outcome::SetAside | Outcome::Lost | Outcome::TakenAway) => {}
        Err(_) => give_back(app, &work.held.receipt, deadline).await,
    }
    if work.slow_down {
        slow_down().await;
    }
    outcome
}

struct Work<'a> {
    app: &'a App,
    held: Held,
    /// When the last batch is filled.
    until: Instant,
    deadline: Deadline,
    done: &'a mut Done,
    slow_down: bool,
    /// Bytes of settled records that the ledger does not know of.
    unnoted_bytes: usize,
    noted: Instant,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<Outcome, Failure> {
        if self.held.body.damage.is_none() && self.held.stalled() > self.app.config.max_attempts {
            let calls = self.held.stalled();
            return self.set_aside(format!("{calls} calls ended before anything more of it was settled")).await;
        }
        if let Some(damage) = self.held.body.damage.clone() {
            return self.set_aside(damage).await;
        }
        let app = self.app;
        let body = &self.held.body;
        let region: Option<Arc<str>> = Some(app.config.connection.client.region().as_str().into());
        let decoder = Decoder::resume(app.config.limits, body.point.clone(), body.done);
        let left = app.config.malformed_max.saturating_sub(body.no_records);
        let source = Source::at(app, body, body.point.offset);
        let mut filler = Filler::new(source, decoder, &app.config.select, region, body.done, left);
        let (until, deadline) = (self.until, self.deadline);
        let mut batch = filler.fill(until, deadline).await;
        loop {
            let end = std::mem::take(&mut batch.end);
            let next = match end {
                End::Full => {
                    self.unnoted_bytes += batch.bytes;
                    let may_wait = self.unnoted_bytes < NOTE_BYTES && self.noted.elapsed() < NOTE_AFTER;
                    let (settled, next) = tokio::join!(self.settle(&batch, may_wait), filler.fill(until, deadline));
                    match settled? {
                        Sent::All => {}
                        Sent::OutOfTime => return Ok(Outcome::HandedOn),
                        Sent::TakenAway => return Ok(Outcome::TakenAway),
                    }
                    if Instant::now() >= until {
                        if self.unnoted_bytes > 0 && !self.note().await? {
                            return Ok(Outcome::TakenAway);
                        }
                        // The next batch may take longer than is left; another call reads it again.
                        return Ok(Outcome::HandedOn);
                    }
                    next
                }
                end => return self.end(&batch, end).await,
            };
            batch = next;
        }
    }

    /// Settles the last batch, and says how the file stands.
    async fn end(&mut self, batch: &Batch, end: End) -> Result<Outcome, Failure> {
        // What the receipt becomes next need not be noted in it.
        let ends_here = match &end {
            End::File | End::Damage(_) => true,
            End::Failed(error) => matches!(error, CannotRead::Overwritten | CannotRead::Gone),
            End::Full | End::Time => false,
        };
        match self.settle(batch, ends_here).await? {
            Sent::All => {}
            Sent::OutOfTime => return Ok(Outcome::HandedOn),
            Sent::TakenAway => return Ok(Outcome::TakenAway),
        }
        match end {
            End::File => {
                self.finish().await?;
                Ok(Outcome::Decoded)
            }
            End::Full | End::Time => Ok(Outcome::HandedOn),
            End::Damage(reason) => self.set_aside(reason).await,
            End::Failed(error @ (CannotRead::Overwritten | CannotRead::Gone)) => self.lose(&error).await,
            End::Failed(error) => Err(error.into()),
        }
    }

    /// Sends a batch and notes in the receipt what of it is settled; where all is, that `may_wait`.
    async fn settle(&mut self, batch: &Batch, may_wait: bool) -> Result<Sent, Failure> {
        let sent = self.send(batch).await;
        match sent {
            Ok(Sent::All) if may_wait => return Ok(Sent::All),
            Ok(Sent::TakenAway) => return Ok(Sent::TakenAway),
            Ok(Sent::All | Sent::OutOfTime) | Err(_) => {}
        }
        // Also of a batch of which only part was taken: that part must not be sent again.
        let is_ours = self.note().await;
        let sent = sent?;
        Ok(if is_ours? { sent } else { Sent::TakenAway })
    }

    async fn note(&mut self) -> Result<bool, ledger::Error> {
        let is_ours = self.held.note(self.app, self.deadline).await?;
        (self.unnoted_bytes, self.noted) = (0, Instant::now());
        Ok(is_ours)
    }

    /// Sends a batch; the body then says how much of it is settled. On an error that is part of it.
    async fn send(&mut self, batch: &Batch) -> Result<Sent, Failure> {
        self.bury(&batch.no_records).await?;
        if self.held.stalled() >= ATTEMPTS_TOGETHER {
            return self.send_one_by_one(batch).await;
        }
        self.deliver(batch, 0..batch.records.len()).await?;
        self.settled(batch, batch.until);
        Ok(Sent::All)
    }

    /// Sends the records of a batch one by one, and notes before each that it is the next: should it end the call, the
    /// ledger knows which it was.
    async fn send_one_by_one(&mut self, batch: &Batch) -> Result<Sent, Failure> {
        for at in 0..batch.records.len() {
            self.settled(batch, batch.places.get(at).copied().unwrap_or(batch.until));
            if Instant::now() >= self.until {
                return Ok(Sent::OutOfTime);
            }
            if !self.held.note(self.app, self.deadline).await? {
                return Ok(Sent::TakenAway);
            }
            if self.held.stalled() >= self.app.config.max_attempts {
                self.bury_poison(batch, at).await?;
            } else {
                self.deliver(batch, at..at + 1).await?;
            }
        }
        self.settled(batch, batch.until);
        Ok(Sent::All)
    }

    /// Sends some records of a batch and sets aside what is refused; the body says up to where, on an error, too.
    async fn deliver(&mut self, batch: &Batch, which: Range<usize>) -> Result<(), Failure> {
        let records = batch.records.get(which.clone()).unwrap_or_default();
        let places = batch.places.get(which).unwrap_or_default();
        let delivered = self.deliver_records(records, places).await;
        delivered.map_err(|(place, failure)| {
            self.settled(batch, place);
            self.done.destination_failed = matches!(failure, Failure::Destination(_));
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
        let ends = Ends::before(self.deadline);
        let first = places.first().copied().unwrap_or_default();
        let delivery = app.config.target.deliver(&app.config.connection.client, records, ends.sending).await;
        let delivery = delivery.map_err(|error| (first, error.into()))?;
        self.slow_down |= delivery.slow_down;
        for ((record, outcome), place) in records.iter().zip(&delivery.outcomes).zip(places) {
            let mut of_record = FileTally::default();
            match outcome {
                RecordOutcome::Taken => of_record.sent = 1,
                RecordOutcome::Refused(_) | RecordOutcome::TooLarge(_) => {
                    let set_aside = self.letters(ends).set_aside(self.letter_key(*place), record, outcome).await;
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

    fn count(&mut self, FileTally { sent, dead, filtered }: FileTally) {
        for tally in [&mut self.held.body.tally, &mut self.done.tally] {
            tally.sent += sent;
            tally.dead += dead;
            tally.filtered += filtered;
        }
    }

    /// Writes a letter for each piece that is no record.
    async fn bury(&self, pieces: &[Piece]) -> Result<(), ledger::Error> {
        let letters = self.letters(Ends::before(self.deadline));
        // Futures first, stream second: closures that borrow inside a stream's adaptors defeat the compiler's proof of `Send`.
        let burying: Vec<_> = pieces.iter().map(|piece| self.bury_piece(&letters, piece)).collect();
        let buried: Vec<Result<(), ledger::Error>> = stream::iter(burying).buffered(LETTERS_AT_ONCE).collect().await;
        buried.into_iter().collect()
    }

    async fn bury_piece(&self, letters: &Letters<'_>, piece: &Piece) -> Result<(), ledger::Error> {
        let record = self.record(piece.bytes.clone());
        let reason = format!("no record: {}", piece.reason);
        letters.bury(self.letter_key(piece.place), &record, &reason).await.map(drop)
    }

    /// A record that stood alone and ended one call after the other.
    async fn bury_poison(&mut self, batch: &Batch, at: usize) -> Result<(), Failure> {
        let (Some(record), Some(place)) = (batch.records.get(at), batch.places.get(at)) else { return Ok(()) };
        let reason = format!("{} calls ended while they worked on it", self.held.stalled());
        self.letters(Ends::before(self.deadline)).bury(self.letter_key(*place), record, &reason).await?;
        self.count(FileTally { dead: 1, ..FileTally::default() });
        // What ended the calls is out of the way.
        self.settled(batch, place + 1);
        Ok(())
    }

    /// Notes in the body that all items before `until` are settled.
    fn settled(&mut self, batch: &Batch, until: u64) {
        let from = self.held.body.done;
        let is_new = |place: &u64| (from..until).contains(place);
        let filtered = batch.left_out.iter().filter(|place| is_new(place)).count() as u64;
        let no_records = batch.no_records.iter().filter(|piece| is_new(&piece.place)).count() as u64;
        self.count(FileTally { sent: 0, dead: no_records, filtered });
        let body = &mut self.held.body;
        body.no_records += no_records;
        if until > body.done {
            body.done = until;
            body.grew_at = self.held.receipt.attempts;
        }
        if batch.point.items <= body.done {
            body.point = batch.point.clone();
        }
    }

    async fn finish(&mut self) -> Result<(), ledger::Error> {
        let (ledger, tally, receipt) = (&self.app.config.ledger, self.held.body.tally, &self.held.receipt);
        persist(|| ledger.finish_object(receipt, tally, self.deadline), self.deadline).await
    }

    /// Keeps what is left of the file's bytes, and lays down the letter that names them.
    async fn set_aside(&mut self, reason: String) -> Result<Outcome, Failure> {
        tracing::error!(reason, "the rest of a log file cannot be read; it is set aside");
        self.held.body.damage = Some(reason.clone());
        if !self.held.note(self.app, self.deadline).await? {
            return Ok(Outcome::TakenAway);
        }
        let is_whole = match keep::keep(self.app, &mut self.held.body, self.until, self.deadline).await {
            Ok(is_whole) => is_whole,
            Err(error @ (CannotRead::Overwritten | CannotRead::Gone)) => return self.lose(&error).await,
            Err(error) => {
                self.held.note(self.app, self.deadline).await?;
                return Err(error.into());
            }
        };
        if !is_whole {
            let is_ours = self.held.note(self.app, self.deadline).await?;
            return Ok(if is_ours { Outcome::HandedOn } else { Outcome::TakenAway });
        }
        self.bury_rest(&reason).await?;
        self.finish().await?;
        Ok(Outcome::SetAside)
    }

    /// The file's bytes are nobody's any more: a letter says which file it was, and how far it was read.
    async fn lose(&mut self, why: &CannotRead) -> Result<Outcome, Failure> {
        let reason = match &self.held.body.damage {
            Some(damage) => format!("{damage}; {why}"),
            None => why.to_string(),
        };
        tracing::error!(reason, object = self.held.body.file.object, "a log file is lost to us");
        self.bury_rest(&reason).await?;
        self.finish().await?;
        Ok(Outcome::Lost)
    }

    /// The letter of what is left of a file: where it is kept, if it is, and what of it was settled.
    async fn bury_rest(&mut self, reason: &str) -> Result<(), Failure> {
        let body = &self.held.body;
        let key = body.file.key();
        let kept = body.kept.as_ref().map(|kept| {
            let folder = kept_folder(self.app.config.target.name(), &key);
            serde_json::json!({ "folder": folder, "from": kept.from, "until": kept.until })
        });
        let rest = serde_json::json!({
            "namespace": body.file.namespace, "bucket": body.file.bucket, "object": body.file.object,
            "eTag": body.file.etag, "reason": reason, "settled": body.done, "sent": body.tally.sent, "kept": kept,
            "point": body.point,
        });
        let record = self.record(rest.to_string().into());
        let letters = self.letters(Ends::before(self.deadline));
        letters.bury(format!("object.{key}.rest"), &record, reason).await?;
        self.count(FileTally { dead: 1, ..FileTally::default() });
        Ok(())
    }

    /// What was kept of a file that is delivered.
    async fn drop_kept(&self) {
        let Some(kept) = &self.held.body.kept else { return };
        let (config, key) = (&self.app.config, self.held.body.file.key());
        if let Err(error) = config.ledger.drop_kept(config.target.name(), &key, kept.offsets(), self.deadline).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was kept of a delivered file is left over");
        }
    }

    fn letters(&self, ends: Ends) -> Letters<'_> {
        let config = &self.app.config;
        let body = &self.held.body;
        Letters {
            parties: Parties { client: &config.connection.client, ledger: &config.ledger, target: &config.target },
            date: body.since.to_zoned(TimeZone::UTC).date(),
            attempts: self.held.receipt.attempts + 1,
            first_try: self.held.since,
            setting_aside: ends.setting_aside,
            deadline: self.deadline,
        }
    }

    /// Names an item of this version of the file, whoever comes upon it.
    fn letter_key(&self, place: u64) -> String {
        format!("object.{}.{place:09}", self.held.body.file.key())
    }

    fn record(&self, raw: bytes::Bytes) -> Record {
        Record { raw, region: None, proven: Proven::Nothing }
    }
}

/// A file is not begun in the last part of a call: a batch, its answer and the ledger must fit.
pub(crate) fn filling_ends(deadline: Deadline) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - (left / 2).min(Duration::from_secs(40))
}
