//! One file, from its receipt to its end: one batch is sent while the next is read.

mod bury;

mod rest;

mod send;

use std::time::Duration;

use delivery::{persist, slow_down};
use pipeline::FileTally;
use tokio::time::Instant;
use workbench::{CallTime, give_back, release};

use crate::{
    App, after,
    batch::{Batch, End, Filler},
    error::{Failure, Stopped},
    file::Kept,
    receipt::Held,
    source::FileUnreadable,
};

/// Bytes of records, and seconds, after which the ledger is told what is settled: each time costs a signature and a request,
/// and what it is not told is sent again if the process is killed.
const NOTE_BYTES: usize = 16_000_000;
const NOTE_AFTER: Duration = Duration::from_secs(5);

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

/// Works on a file that is held, until it is done or the time is over; `is_first` where the call's whole time was for it.
/// The tally is what this call did to it, whatever the outcome.
pub(crate) async fn work(
    app: &App,
    held: Held,
    time: CallTime,
    is_first: bool,
) -> (FileTally, Result<Outcome, Failure>) {
    let mut work = Work {
        app,
        held,
        time,
        tally: FileTally::default(),
        slow_down: false,
        unnoted_bytes: 0,
        noted: Instant::now(),
    };
    let from = work.progress();
    let outcome = match work.run().await {
        Ok(outcome) => Ok(outcome),
        Err(Stopped::OutOfTime) => Ok(Outcome::HandedOn),
        Err(Stopped::TakenAway) => Ok(Outcome::TakenAway),
        Err(Stopped::Failed(failure)) => Err(failure),
    };
    let (ledger, receipt, deadline) = (&app.config.ledger, &work.held.receipt, time.deadline);
    match &outcome {
        // A call whose whole time was not enough for anything counts against the file; a late start does not.
        Ok(Outcome::HandedOn) if is_first && from == work.progress() => release(ledger, receipt, deadline).await,
        Ok(Outcome::HandedOn) | Err(_) => give_back(ledger, receipt, deadline).await,
        Ok(Outcome::Decoded) => {
            after::put_away(app, &work.held.body.file, deadline).await;
            work.drop_kept().await;
        }
        Ok(Outcome::SetAside | Outcome::Lost | Outcome::TakenAway) => {}
    }
    if work.slow_down {
        slow_down().await;
    }
    (work.tally, outcome)
}

struct Work<'a> {
    app: &'a App,
    held: Held,
    time: CallTime,
    /// What this call did to the file.
    tally: FileTally,
    slow_down: bool,
    /// Bytes of settled records that the ledger does not know of.
    unnoted_bytes: usize,
    noted: Instant,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<Outcome, Stopped> {
        if let Some(damage) = self.held.body.damage.clone() {
            return self.set_aside(damage).await;
        }
        let calls = self.held.stalled();
        if calls > self.app.config.max_attempts {
            return self.set_aside(format!("{calls} calls ended before anything more of it was settled")).await;
        }
        let time = self.time;
        let mut filler = Filler::resume(self.app, &self.held.body);
        let (mut batch, mut end) = filler.fill(time).await;
        while let End::Full = end {
            self.unnoted_bytes += batch.bytes;
            let may_wait = self.unnoted_bytes < NOTE_BYTES && self.noted.elapsed() < NOTE_AFTER;
            let (sent, next) = tokio::join!(self.send_and_note(&batch, may_wait), filler.fill(time));
            sent?;
            if time.is_over() {
                if self.unnoted_bytes > 0 {
                    self.note().await?;
                }
                // The next batch may take longer than is left; another call reads it again.
                return Err(Stopped::OutOfTime);
            }
            (batch, end) = next;
        }
        self.end(&batch, end).await
    }

    /// Sends the last batch, and says how the file stands.
    async fn end(&mut self, batch: &Batch, end: End) -> Result<Outcome, Stopped> {
        // What the receipt becomes next need not be noted in it.
        let ends_here = match &end {
            End::File | End::Damage(_) => true,
            End::Failed(error) => matches!(error, FileUnreadable::Overwritten | FileUnreadable::Gone),
            End::Full | End::Time => false,
        };
        self.send_and_note(batch, ends_here).await?;
        match end {
            End::File => {
                self.finish().await?;
                Ok(Outcome::Decoded)
            }
            End::Full | End::Time => Err(Stopped::OutOfTime),
            End::Damage(reason) => self.set_aside(reason).await,
            End::Failed(error @ (FileUnreadable::Overwritten | FileUnreadable::Gone)) => self.lose(&error).await,
            End::Failed(error) => Err(error.into()),
        }
    }

    /// Sends a batch and notes in the receipt what of it is settled; where all is, that `may_wait`.
    async fn send_and_note(&mut self, batch: &Batch, may_wait: bool) -> Result<(), Stopped> {
        let sent = self.send(batch).await;
        match &sent {
            Ok(()) if may_wait => return Ok(()),
            Err(Stopped::TakenAway) => return sent,
            Ok(()) | Err(Stopped::OutOfTime | Stopped::Failed(_)) => {}
        }
        // Also of a batch of which only part was taken: that part must not be sent again.
        let noted = self.note().await;
        match sent {
            Err(Stopped::Failed(first)) => Err(Stopped::Failed(first)),
            sent => noted.and(sent),
        }
    }

    async fn note(&mut self) -> Result<(), Stopped> {
        self.held.note(self.app, self.time.deadline).await?;
        (self.unnoted_bytes, self.noted) = (0, Instant::now());
        Ok(())
    }

    /// By what the ledger can tell that something was done.
    fn progress(&self) -> (u64, Option<Kept>) {
        (self.held.body.settled, self.held.body.kept.clone())
    }

    /// Where another holder has the receipt, the file is not done before that one says so: to move it now would take it away
    /// from under that one's hands.
    async fn finish(&mut self) -> Result<(), Stopped> {
        let (ledger, tally, receipt) = (&self.app.config.ledger, self.held.body.tally, &self.held.receipt);
        let is_done = persist(|| ledger.finish_object(receipt, tally, self.time.deadline), self.time.deadline).await?;
        if is_done { Ok(()) } else { Err(Stopped::TakenAway) }
    }
}
