//! One receipt: taken, read, sent, and then the ledger told the truth.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ledger::{DeadLetter, Taken};
use oci_client::Client;
use pipeline::{Pointer, Receipt, ShipBody, ShipKey, unpack};
use siem_sinks::{Outcome as RecordOutcome, Record};
use tokio::time::Instant;
use workbench::{Deadline, hold_until, open_batch};

use crate::App;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sending ends this long before the call does.
const LEDGER_RESERVE: Duration = Duration::from_secs(10);

/// What a destination that nears its limits is given before the next batch.
const SLOW_DOWN: Duration = Duration::from_secs(1);

/// The largest inflated batch that is read: four times what fetch makes by default, and as much as it can be set to.
const INFLATED_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What became of a receipt.
pub(crate) enum Outcome {
    /// It was done, or somebody else has it.
    Gone,
    /// Every record is delivered or dead.
    Shipped { delivered: u64, dead: u64 },
    /// The destination failed; what it has not taken is owed again.
    Owed { delivered: u64, dead: u64 },
}

pub(crate) async fn ship(app: &App, pointer: &Pointer, key: &ShipKey, deadline: Deadline) -> Result<Outcome, BoxError> {
    let (ledger, client) = (&app.config.ledger, &app.config.connection.client);
    // A continuation's body says how much is done already; else the doorbell says all.
    let (location, done) = match &pointer.location {
        Some(location) if key.continuation == 0 => (location.clone(), 0),
        _ => match ledger.ship_body(&pointer.receipt, deadline).await? {
            Some(body) => (body.location, body.done as usize),
            None => return Ok(Outcome::Gone),
        },
    };
    // Reading waits until the race is won; the cursor costs little and tells the service's time.
    let opened = open_batch(client, &app.config.streaming_endpoint, &location, deadline).await?;
    let started = now(client)?;
    let held = match ledger.take(&pointer.receipt, hold_until(started, deadline), deadline).await? {
        Taken::Held(held) => held,
        Taken::Gone => return Ok(Outcome::Gone),
    };
    let read = match opened.read(deadline).await {
        Ok(values) => records(&values, key).map_err(BoxError::from),
        Err(error) => Err(error.into()),
    };
    let records = match read {
        Ok(records) => records,
        Err(error) => {
            give_back(app, &held, deadline).await;
            return Err(error);
        }
    };
    let work = Work { app, held, key, records: &records, started, deadline };
    work.send(done).await
}

struct Work<'a> {
    app: &'a App,
    held: Receipt,
    key: &'a ShipKey,
    records: &'a [Record],
    started: Timestamp,
    deadline: Deadline,
}

impl Work<'_> {
    async fn send(&self, done: usize) -> Result<Outcome, BoxError> {
        let (app, deadline) = (self.app, self.deadline);
        let rest = self.records.get(done..).unwrap_or_default();
        // The ledger must still be told what became of it.
        let left = deadline.saturating_duration_since(Instant::now());
        let sending = deadline - (left / 4).min(LEDGER_RESERVE);
        let delivery = match app.config.splunk.deliver(&app.config.connection.client, rest, sending).await {
            Ok(delivery) => delivery,
            Err(error) => {
                give_back(app, &self.held, deadline).await;
                return Err(error.into());
            }
        };
        let (mut delivered, mut dead, mut settled) = (0, 0, 0);
        for (index, (record, outcome)) in rest.iter().zip(&delivery.outcomes).enumerate() {
            match outcome {
                RecordOutcome::Taken => delivered += 1,
                RecordOutcome::Refused(reason) => {
                    if let Err(error) = self.bury(done + index, record, reason).await {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a refused record cannot be laid down; it stays owed"
                        );
                        break;
                    }
                    dead += 1;
                }
                RecordOutcome::NotSent | RecordOutcome::Unknown => break,
            }
            settled += 1;
        }
        if settled == rest.len() {
            app.config.ledger.finish(&self.held, deadline).await?;
            // Only once the ledger knows: a kill in this pause must not send the batch again.
            if delivery.slow_down {
                tracing::warn!("the destination's queue is nearly full: pausing");
                tokio::time::sleep(SLOW_DOWN).await;
            }
            return Ok(Outcome::Shipped { delivered, dead });
        }
        if let Some(failure) = &delivery.failure {
            tracing::error!(
                error = failure as &dyn std::error::Error,
                delivered,
                left = rest.len() - settled,
                "the destination did not take everything; the rest is owed again"
            );
        }
        self.owe_rest(done + settled, settled > 0).await?;
        Ok(Outcome::Owed { delivered, dead })
    }

    /// Owes what is left: as it was, or, where part is settled, under a new receipt that says how much.
    async fn owe_rest(&self, done: usize, progressed: bool) -> Result<(), BoxError> {
        let (ledger, deadline) = (&self.app.config.ledger, self.deadline);
        if !progressed {
            return Ok(ledger.give_back(&self.held, deadline).await?);
        }
        let body: Option<ShipBody> = ledger.ship_body(&self.held, deadline).await?;
        let Some(mut body) = body else {
            return Err(
                "the receipt is gone while it was held: the sweep gave it away, and it is sent once more".into()
            );
        };
        // At most as many as the batch holds.
        body.done = u32::try_from(done).unwrap_or(u32::MAX);
        Ok(ledger.hand_on(&self.held, &body, deadline).await?)
    }

    async fn bury(&self, index: usize, record: &Record, reason: &str) -> Result<(), ledger::Error> {
        let client = &self.app.config.connection.client;
        let letter = DeadLetter {
            destination: self.app.config.destination.as_str().to_owned(),
            key: format!("{}.{index}", self.key),
            reason: reason.to_owned(),
            attempts: self.held.attempts + 1,
            first_try: self.started,
            last_try: client.service_time().unwrap_or(self.started),
            record: record.raw.clone(),
        };
        tracing::error!(key = letter.key, reason, "a record was refused for good; it lies as a dead letter");
        self.app.config.ledger.bury(&letter, self.deadline).await
    }
}

/// The records of a batch, in order.
fn records(values: &[bytes::Bytes], key: &ShipKey) -> Result<Vec<Record>, pipeline::CannotUnpack> {
    let region: Arc<str> = key.region().into();
    let mut records = Vec::new();
    for value in values {
        for some in unpack(value, INFLATED_MAX_BYTES) {
            records.extend(some?.into_iter().map(|raw| Record { raw, region: Some(Arc::clone(&region)) }));
        }
    }
    Ok(records)
}

async fn give_back(app: &App, held: &Receipt, deadline: Deadline) {
    if let Err(error) = app.config.ledger.give_back(held, deadline).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the receipt stays held until its time is over");
    }
}

fn now(client: &Client) -> Result<Timestamp, BoxError> {
    client.service_time().ok_or_else(|| "the service gave no time".into())
}
