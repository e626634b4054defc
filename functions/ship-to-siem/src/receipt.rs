//! One receipt: taken, read, sent, and then the ledger told the truth.

use std::sync::Arc;

use delivery::{Ends, Letters, persist, slow_down};
use jiff::{SignedDuration, Timestamp};
use ledger::{Taken, letter_date};
use pipeline::{EventRange, Lane, Pointer, Receipt, ShipKey, Tally, event_hash, unpack};
use siem_sinks::{Outcome as RecordOutcome, Proven, Record};
use workbench::{CannotRead, Deadline, Opened, give_back, hold_until, open_batch, service_time};

use crate::App;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The largest inflated batch that is read: four times what fetch makes by default, and as much as it can be set to.
const INFLATED_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// So many holders that ended without a word, and the batch is cut in halves until what ends them stands alone.
const ATTEMPTS_WHOLE: u32 = 2;

/// The longest retention of a stream. A stream that is gone answers as one that may not be read, so what was put before
/// then is taken for lost.
const RETENTION_MAX: SignedDuration = SignedDuration::from_hours(168);

/// What became of a receipt.
pub(crate) enum Outcome {
    /// It was done, or somebody else has it.
    Gone,
    /// Every record is delivered or dead.
    Shipped(Tally),
    /// The destination failed; what it has not taken is owed again.
    Owed(Tally),
    /// It is not to be sent as it is: cut in halves, or listed anew, which is owed now.
    Replaced,
}

pub(crate) async fn ship(app: &App, pointer: &Pointer, key: &ShipKey, deadline: Deadline) -> Result<Outcome, BoxError> {
    let (ledger, client) = (&app.config.ledger, &app.config.connection.client);
    let location = match &pointer.location {
        Some(location) => location.clone(),
        None => match ledger.ship_body(&pointer.receipt, deadline).await? {
            Some(body) => body.location,
            None => return Ok(Outcome::Gone),
        },
    };
    // Reading waits until the race is won; the cursor costs little and tells the service's time.
    let opened = open_batch(client, &app.config.streaming_endpoint, &location, deadline).await;
    let started = service_time(client)?;
    let held = match ledger.take(&pointer.receipt, hold_until(started, deadline), deadline).await? {
        Taken::Held(held) => held,
        Taken::Gone => return Ok(Outcome::Gone),
    };
    let work = Work { app, held, key, started, deadline };
    let outcome = work.run(opened).await;
    if outcome.is_err() {
        give_back(ledger, &work.held, deadline).await;
    }
    outcome
}

struct Work<'a> {
    app: &'a App,
    held: Receipt,
    key: &'a ShipKey,
    started: Timestamp,
    deadline: Deadline,
}

impl Work<'_> {
    /// On an error the receipt may still be held.
    async fn run(&self, opened: Result<Opened<'_>, CannotRead>) -> Result<Outcome, BoxError> {
        let is_suspect = self.held.attempts >= ATTEMPTS_WHOLE;
        if is_suspect && let Some(outcome) = self.split().await? {
            return Ok(outcome);
        }
        let read = match opened {
            Ok(opened) => opened.read(self.deadline).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(values) => match records(&values, self.key) {
                Ok(records) if is_suspect && self.held.attempts >= self.app.config.max_attempts => {
                    self.bury(&records).await
                }
                Ok(records) => self.send(&records).await,
                // Damaged on the stream, and so as good as gone.
                Err(error) => self.plan_anew(error.into()).await,
            },
            Err(error @ CannotRead::Gone { .. }) => self.plan_anew(error.into()).await,
            Err(CannotRead::Client(error)) if error.status().is_some_and(|status| status.as_u16() == 404) => {
                self.look_for(error.into()).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what the receipt names of the batch's `records`.
    async fn send(&self, records: &[Record]) -> Result<Outcome, BoxError> {
        let (app, deadline) = (self.app, self.deadline);
        let Some((range, rest)) = self.named(records) else { return self.plan_anew(TOO_FEW.into()).await };
        let Ends { sending, setting_aside } = Ends::before(deadline);
        let delivery = app.config.target.deliver(&app.config.connection.client, rest, sending).await?;
        let letters = self.letters(setting_aside);
        let mut tally = Tally::default();
        for (record, outcome) in rest.iter().zip(&delivery.outcomes) {
            match outcome {
                RecordOutcome::Taken => tally.sent += 1,
                RecordOutcome::Refused(_) | RecordOutcome::TooLarge(_) => {
                    let key = letter_key(self.key, &record.raw);
                    if let Err(error) = letters.set_aside(key, record, outcome).await {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a refused record cannot be set aside; it stays owed"
                        );
                        break;
                    }
                    tally.dead += 1;
                }
                RecordOutcome::NotSent | RecordOutcome::Unknown => break,
            }
        }
        let settled = range.from() + tally.sent + tally.dead;
        let Some(left) = EventRange::new(settled, range.until()) else {
            self.persist(|| app.config.ledger.finish_batch(&self.held, None, tally, deadline)).await?;
            if delivery.slow_down {
                slow_down().await;
            }
            return Ok(Outcome::Shipped(tally));
        };
        if let Some(failure) = &delivery.failure {
            tracing::error!(
                error = failure as &dyn std::error::Error,
                sent = tally.sent,
                left = left.until() - left.from(),
                "the destination did not take everything; the rest is owed again"
            );
        }
        self.owe_rest(EventRange::new(range.from(), settled), left, tally).await?;
        Ok(Outcome::Owed(tally))
    }

    /// Owes what is left: as it was, or, where part is `settled`, under a receipt for the rest.
    async fn owe_rest(&self, settled: Option<EventRange>, left: EventRange, tally: Tally) -> Result<(), BoxError> {
        let (ledger, deadline) = (&self.app.config.ledger, self.deadline);
        let Some(settled) = settled else { return Ok(ledger.give_back(&self.held, deadline).await?) };
        let body = self.persist(|| ledger.ship_body(&self.held, deadline)).await?;
        let Some(body) = body else { return Err(TAKEN_AWAY.into()) };
        let rest = [left];
        self.persist(|| ledger.owe_ranges(&self.held, &rest, &body, deadline)).await?;
        self.persist(|| ledger.finish_batch(&self.held, Some(settled), tally, deadline)).await?;
        Ok(())
    }

    async fn persist<T, F>(&self, step: impl Fn() -> F) -> Result<T, ledger::Error>
    where
        F: Future<Output = Result<T, ledger::Error>>,
    {
        persist(step, self.deadline).await
    }

    /// The events that the receipt names, and their places in the batch.
    fn named<'r>(&self, records: &'r [Record]) -> Option<(EventRange, &'r [Record])> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let range = self.key.range.or(EventRange::new(0, count))?;
        Some((range, records.get(range.places())?))
    }

    /// Cuts the receipt in halves. `None` where one event stands alone.
    async fn split(&self) -> Result<Option<Outcome>, BoxError> {
        let (ledger, deadline) = (&self.app.config.ledger, self.deadline);
        let Some(body) = ledger.ship_body(&self.held, deadline).await? else { return Err(TAKEN_AWAY.into()) };
        let range = self.key.range.or(EventRange::new(0, body.events));
        let Some((early, late)) = range.and_then(EventRange::halves) else { return Ok(None) };
        tracing::error!(receipt = %self.held, "calls end in the middle of this batch: cut in halves");
        let halves = [early, late];
        self.persist(|| ledger.owe_ranges(&self.held, &halves, &body, deadline)).await?;
        // A half that is delivered while the whole still waits would be delivered with it again.
        self.persist(|| ledger.replace(&self.held, deadline)).await?;
        Ok(Some(Outcome::Replaced))
    }

    /// An event that stood alone and ended one call after the other becomes a dead letter.
    async fn bury(&self, records: &[Record]) -> Result<Outcome, BoxError> {
        let Some((_, [record])) = self.named(records) else { return self.plan_anew(TOO_FEW.into()).await };
        let reason = format!("{} calls ended while they worked on it", self.held.attempts);
        self.letters(self.deadline).bury(letter_key(self.key, &record.raw), record, &reason).await?;
        let tally = Tally { sent: 0, dead: 1 };
        self.persist(|| self.app.config.ledger.finish_batch(&self.held, None, tally, self.deadline)).await?;
        Ok(Outcome::Shipped(tally))
    }

    fn letters(&self, setting_aside: Deadline) -> Letters<'_> {
        Letters {
            parties: self.app.config.parties(),
            date: letter_date(self.key.window),
            attempts: self.held.attempts + 1,
            first_try: self.started,
            setting_aside,
            deadline: self.deadline,
        }
    }

    /// The stream is not there, or may not be read: `error` does not tell which.
    async fn look_for(&self, error: BoxError) -> Result<Outcome, BoxError> {
        let body = self.app.config.ledger.ship_body(&self.held, self.deadline).await?;
        let put_at = body.and_then(|body| body.put_at);
        if put_at.is_some_and(|put_at| self.started.duration_since(put_at) > RETENTION_MAX) {
            return self.plan_anew(error).await;
        }
        Err(error)
    }

    /// The batch is not on the stream any more: owes that exactly its events are listed anew, in place of this receipt.
    async fn plan_anew(&self, reason: BoxError) -> Result<Outcome, BoxError> {
        let (ledger, deadline) = (&self.app.config.ledger, self.deadline);
        let Some(body) = ledger.ship_body(&self.held, deadline).await? else { return Err(TAKEN_AWAY.into()) };
        let Some((key, work)) = body.planned_anew(self.app.config.target.name(), self.key) else { return Err(reason) };
        self.persist(|| ledger.owe_listing(&key, &work, deadline)).await?;
        self.persist(|| ledger.replace(&self.held, deadline)).await?;
        tracing::warn!(
            receipt = %self.held,
            error = reason.as_ref() as &dyn std::error::Error,
            events = work.anew.map_or(0, |anew| anew.ids.len()),
            "a batch is gone from the event stream; its events are listed anew"
        );
        Ok(Outcome::Replaced)
    }
}

const TOO_FEW: &str = "the batch holds fewer events than its receipt names";
const TAKEN_AWAY: &str = "the receipt is gone while it was held: the sweep gave it away, and it is sent once more";

/// The records of a batch, in order.
fn records(values: &[bytes::Bytes], key: &ShipKey) -> Result<Vec<Record>, pipeline::CannotUnpack> {
    let region: Arc<str> = key.region().into();
    let mut records = Vec::new();
    for value in values {
        for some in unpack(value, INFLATED_MAX_BYTES) {
            records.extend(some?.into_iter().map(|raw| Record {
                raw,
                region: Some(Arc::clone(&region)),
                proven: Proven::Nothing,
            }));
        }
    }
    Ok(records)
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
