//! A file's receipt: owed, taken, and given back.

use delivery::persist;
use jiff::{SignedDuration, Timestamp};
use ledger::{Owed, Swapped, Taken, Versioned};
use pipeline::{Receipt, Stage, State};
use workbench::{Deadline, give_back, hold_until, service_time};

use crate::{
    App,
    error::{Failure, Stopped},
    file::{Body, File},
};

/// A hold that has just ended may be one that our clock ends too early.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(2);

/// Writes that a file is owed; one that is owed already stays as it is. The receipt under which it waits.
///
/// Whether it was done before is asked once it is taken: then nobody else can finish it in between.
pub(crate) async fn owe(
    app: &App,
    file: File,
    arrived_at: Timestamp,
    again: bool,
    deadline: Deadline,
) -> Result<(Receipt, Owed), ledger::Error> {
    let receipt = Receipt::owed(Stage::Object(app.config.target.name().clone(), file.key()));
    let mut body = Body::new(file, arrived_at);
    body.again = again;
    let owed = app.config.ledger.owe(&receipt.stage, &body, deadline).await?;
    Ok((receipt, owed))
}

/// A receipt that is ours until its time is over.
pub(crate) struct Held {
    pub(crate) receipt: Receipt,
    pub(crate) body: Body,
    /// The version of the receipt's object that `body` is.
    etag: String,
    /// When it was taken, by the service's clock.
    pub(crate) taken_at: Timestamp,
}

/// What came of taking.
pub(crate) enum Take {
    /// Ours.
    Held(Box<Held>),
    /// It is done, or owed or held under another name.
    Gone,
}

/// Takes a file's receipt, and makes sure that nobody else has the same file.
///
/// A second event finds what the first has left: a file that is done, that somebody works on, or whose receipt has come
/// back under another name. Then its own receipt is superfluous.
pub(crate) async fn take(app: &App, owed: &Receipt, deadline: Deadline) -> Result<Take, Failure> {
    let (ledger, client) = (&app.config.ledger, &app.config.connection.client);
    let Stage::Object(destination, key) = &owed.stage else { return Ok(Take::Gone) };
    if client.service_time().is_none() {
        // A call that begins with a doorbell has not heard the time yet.
        let peeked = ledger.object_body::<Body>(owed, deadline).await?;
        if peeked.is_none() {
            return Ok(Take::Gone);
        }
    }
    let now = service_time(client)?;
    let held = match ledger.take(owed, hold_until(now, deadline), deadline).await? {
        Taken::Held(held) => held,
        Taken::Gone => return Ok(Take::Gone),
    };
    let others = async {
        let others = ledger.object_receipts(destination, key, deadline).await?;
        // Last, for that is where a receipt ends: one that is in none of the other places is there.
        Ok((others, ledger.seen_object(destination, key, deadline).await?))
    };
    let (body, others) = tokio::join!(ledger.object_body::<Body>(&held, deadline), others);
    let (body, others, seen) = match (body, others) {
        (Ok(Some(body)), Ok((others, seen))) => (body, others, seen),
        // The sweep gave it away.
        (Ok(None), _) => return Ok(Take::Gone),
        (Err(error), _) | (_, Err(error)) => {
            give_back(ledger, &held, deadline).await;
            return Err(error.into());
        }
    };
    let Versioned { value: body, etag, .. } = body;
    if seen.is_some() && !body.again {
        ledger.replace(&held, deadline).await?;
        return Ok(Take::Gone);
    }
    let is_live = |other: &Receipt| match other.state {
        State::Owed => false,
        State::Held { until } => *other != held && until + CLOCKS_DIFFER > now,
    };
    if others.iter().any(is_live) {
        // Where the other one fails, this one is still owed.
        give_back(ledger, &held, deadline).await;
        return Ok(Take::Gone);
    }
    let is_waiting = others.iter().any(|other| other.state == State::Owed);
    if is_waiting && body.settled == 0 && body.kept.is_none() && owed.attempts == 0 && !body.again {
        // Nothing is known here that the other one does not hold.
        ledger.replace(&held, deadline).await?;
        return Ok(Take::Gone);
    }
    Ok(Take::Held(Box::new(Held { receipt: held, body, etag, taken_at: now })))
}

impl Held {
    /// Notes in the ledger how far the work is. Where the receipt is not ours any more, nothing more may be sent.
    pub(crate) async fn note(&mut self, app: &App, deadline: Deadline) -> Result<(), Stopped> {
        let ledger = &app.config.ledger;
        let note = || ledger.note_progress(&self.receipt, &self.body, &self.etag, deadline);
        match persist(note, deadline).await? {
            Swapped::Written(etag) => {
                self.etag = etag;
                Ok(())
            }
            Swapped::Lost => Err(Stopped::TakenAway),
        }
    }

    /// How many calls in a row have ended before anything more of the file was settled.
    pub(crate) fn stalled(&self) -> u32 {
        self.receipt.attempts.saturating_sub(self.body.grew_at)
    }
}
