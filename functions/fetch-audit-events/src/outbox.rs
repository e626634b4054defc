//! From listed events to owed batches: gather, put, owe.

use std::collections::HashSet;

use bytes::Bytes;
use ledger::DeadLetter;
use oci_names::Ocid;
use pipeline::{Batch, Batcher, Destination, EventHash, FetchKey, Pointer, Receipt, ShipBody, ShipKey, Stage};
use tokio::sync::Mutex;
use workbench::{Deadline, put_batch};

use crate::App;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Takes the events of all units of one receipt. One batch is put at a time: the others' pages wait meanwhile, so memory
/// is one batch's, however large the scopes are.
pub(crate) struct Outbox<'a> {
    app: &'a App,
    key: &'a FetchKey,
    destinations: Vec<Destination>,
    known: &'a HashSet<EventHash>,
    deadline: Deadline,
    inner: Mutex<Inner>,
}

struct Inner {
    batcher: Batcher,
    sent: Sent,
}

/// What became of the events.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) counts: Counts,
    pub(crate) pointers: Vec<Pointer>,
    /// Units some of whose events are not owed to every destination.
    pub(crate) failed_units: HashSet<usize>,
    /// Why, for the first of them.
    pub(crate) error: Option<BoxError>,
}

/// Events, counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) listed: u64,
    pub(crate) skipped: u64,
    pub(crate) put: u64,
    pub(crate) dead: u64,
    pub(crate) batches: u32,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(
        app: &'a App,
        key: &'a FetchKey,
        destinations: Vec<Destination>,
        known: &'a HashSet<EventHash>,
        deadline: Deadline,
    ) -> Self {
        // A batch id is the region, a dot and 32 digits.
        let key_bytes = key.region.as_str().len() + 33;
        let batcher = Batcher::new(app.config.limits, key_bytes);
        Self { app, key, destinations, known, deadline, inner: Mutex::new(Inner { batcher, sent: Sent::default() }) }
    }

    /// Takes events of a unit; what fills a batch is put before this returns.
    pub(crate) async fn push(&self, unit: usize, compartment: &Ocid, events: Vec<(EventHash, Bytes)>) {
        let mut inner = self.inner.lock().await;
        let Inner { batcher, sent } = &mut *inner;
        for (id, raw) in events {
            sent.counts.listed += 1;
            if self.known.contains(&id) {
                sent.counts.skipped += 1;
                continue;
            }
            match batcher.push(unit, compartment, id, &raw) {
                Ok(full) => {
                    for batch in full {
                        self.put(batch, sent).await;
                    }
                }
                Err(too_large) => self.set_aside(unit, id, raw, &too_large, sent).await,
            }
        }
    }

    /// Puts what is left.
    pub(crate) async fn close(self) -> Sent {
        let Inner { mut batcher, mut sent } = self.inner.into_inner();
        if let Some(batch) = batcher.finish() {
            put(self.app, self.key, &self.destinations, batch, self.deadline, &mut sent).await;
        }
        sent
    }

    async fn put(&self, batch: Batch, sent: &mut Sent) {
        put(self.app, self.key, &self.destinations, batch, self.deadline, sent).await;
    }

    /// An event that no put can hold becomes a dead letter: nothing else waits for it.
    async fn set_aside(&self, unit: usize, id: EventHash, raw: Bytes, reason: &pipeline::TooLarge, sent: &mut Sent) {
        let now = self.app.config.connection.client.service_time().unwrap_or_default();
        let letter = DeadLetter {
            destination: "fetch".to_owned(),
            key: format!("{}.{id:016x}", self.key),
            reason: reason.to_string(),
            attempts: 1,
            first_try: now,
            last_try: now,
            record: raw,
        };
        match self.app.config.ledger.bury(&letter, self.deadline).await {
            Ok(()) => {
                tracing::error!(key = letter.key, reason = letter.reason, "an event was set aside as a dead letter");
                sent.counts.dead += 1;
            }
            Err(error) => {
                sent.failed_units.insert(unit);
                sent.error.get_or_insert_with(|| error.into());
            }
        }
    }
}

/// One batch: on the stream, then owed to each destination. Where any of that fails, its units are listed again.
async fn put(
    app: &App,
    key: &FetchKey,
    destinations: &[Destination],
    batch: Batch,
    deadline: Deadline,
    sent: &mut Sent,
) {
    match put_and_owe(app, key, destinations, &batch, deadline, sent).await {
        Ok(()) => {
            sent.counts.put += batch.event_ids.len() as u64;
            sent.counts.batches += 1;
        }
        Err(error) => {
            tracing::warn!(
                error = error.as_ref() as &dyn std::error::Error,
                "a batch is not owed to every destination; its scopes stay owed"
            );
            sent.failed_units.extend(batch.units);
            sent.error.get_or_insert(error);
        }
    }
}

async fn put_and_owe(
    app: &App,
    key: &FetchKey,
    destinations: &[Destination],
    batch: &Batch,
    deadline: Deadline,
    sent: &mut Sent,
) -> Result<(), BoxError> {
    let config = &app.config;
    let client = &config.connection.client;
    let names = (&app.ids, key.region.as_str());
    let location =
        put_batch(client, &config.streaming_endpoint, &config.event_stream, names, &batch.values, deadline).await?;
    let ship = ShipKey { lane: key.lane, window: key.window, batch: location.batch.as_str().into(), continuation: 0 };
    let body = ShipBody::new(location.clone(), batch.compartments.clone(), batch.event_ids.clone());
    for destination in destinations {
        let stage = Stage::Ship(destination.clone(), ship.clone());
        config.ledger.owe(&stage, &body, deadline).await?;
        sent.pointers.push(Pointer { receipt: Receipt::owed(stage), location: Some(location.clone()) });
    }
    Ok(())
}
