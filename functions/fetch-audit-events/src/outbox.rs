//! From listed events to owed batches: gather, put, owe.

use std::collections::{BTreeMap, HashSet};

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
    destinations: &'a [Addressee],
    deadline: Deadline,
    inner: Mutex<Inner>,
}

struct Inner {
    /// By who still lacks the events: one batcher in all first attempts.
    batchers: BTreeMap<Lacking, Batcher>,
    sent: Sent,
}

/// A destination, and the events that are on their way to it already.
pub(crate) struct Addressee {
    pub(crate) destination: Destination,
    pub(crate) known: HashSet<EventHash>,
}

/// The destinations that lack an event, by their place in the list.
type Lacking = Vec<usize>;

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
    pub(crate) fn new(app: &'a App, key: &'a FetchKey, destinations: &'a [Addressee], deadline: Deadline) -> Self {
        let inner = Inner { batchers: BTreeMap::new(), sent: Sent::default() };
        Self { app, key, destinations, deadline, inner: Mutex::new(inner) }
    }

    /// Takes events of a unit; what fills a batch is put before this returns.
    pub(crate) async fn push(&self, unit: usize, compartment: &Ocid, events: Vec<(EventHash, Bytes)>) {
        let mut inner = self.inner.lock().await;
        let Inner { batchers, sent } = &mut *inner;
        for (id, raw) in events {
            sent.counts.listed += 1;
            let lacks = |(place, addressee): (usize, &Addressee)| (!addressee.known.contains(&id)).then_some(place);
            let lacking: Lacking = self.destinations.iter().enumerate().filter_map(lacks).collect();
            if lacking.is_empty() {
                sent.counts.skipped += 1;
                continue;
            }
            // A batch id is the region, a dot and 32 digits.
            let key_bytes = self.key.region.as_str().len() + 33;
            let limits = self.app.config.limits;
            let batcher = batchers.entry(lacking.clone()).or_insert_with(|| Batcher::new(limits, key_bytes));
            match batcher.push(unit, compartment, id, &raw) {
                Ok(full) => {
                    for batch in full {
                        self.put(&lacking, batch, sent).await;
                    }
                }
                Err(too_large) => self.set_aside(unit, id, raw, &too_large, sent).await,
            }
        }
    }

    /// Puts what is left.
    pub(crate) async fn close(self) -> Sent {
        let mut inner = self.inner.lock().await;
        let Inner { batchers, sent } = &mut *inner;
        for (lacking, batcher) in batchers {
            if let Some(batch) = batcher.finish() {
                self.put(lacking, batch, sent).await;
            }
        }
        std::mem::take(sent)
    }

    /// An event that no put can hold becomes a dead letter: nothing else waits for it.
    async fn set_aside(&self, unit: usize, id: EventHash, raw: Bytes, reason: &pipeline::TooLarge, sent: &mut Sent) {
        // The listing that gave the event told the time.
        let now = self.app.config.connection.client.service_time().unwrap_or_default();
        let letter = DeadLetter {
            destination: "fetch".to_owned(),
            // By the event alone: whatever look or continuation meets it again finds its letter.
            key: format!("{}.{id:016x}", self.key.region),
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

    /// One batch: on the stream, then owed to each destination that lacks it. Where any of that fails, its units are
    /// listed again.
    async fn put(&self, lacking: &Lacking, batch: Batch, sent: &mut Sent) {
        match self.put_and_owe(lacking, &batch, sent).await {
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

    async fn put_and_owe(&self, lacking: &Lacking, batch: &Batch, sent: &mut Sent) -> Result<(), BoxError> {
        let (config, key, deadline) = (&self.app.config, self.key, self.deadline);
        let names = (&self.app.ids, key.region.as_str());
        let (client, endpoint, stream) = (&config.connection.client, &config.streaming_endpoint, &config.event_stream);
        let location = put_batch(client, endpoint, stream, names, &batch.values, deadline).await?;
        let ship =
            ShipKey { lane: key.lane, window: key.window, batch: location.batch.as_str().into(), continuation: 0 };
        let body = ShipBody::new(location.clone(), batch.compartments.clone(), batch.event_ids.clone());
        for addressee in lacking.iter().filter_map(|place| self.destinations.get(*place)) {
            let stage = Stage::Ship(addressee.destination.clone(), ship.clone());
            config.ledger.owe(&stage, &body, deadline).await?;
            sent.pointers.push(Pointer { receipt: Receipt::owed(stage), location: Some(location.clone()) });
        }
        Ok(())
    }
}
