//! From listed events to owed batches: gather, put, owe.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use ledger::{Buried, DeadLetter, letter_date};
use oci_names::Ocid;
use pipeline::{
    Account, Anew, Batch, Batcher, Destination, EventHash, FetchKey, Owing, Pointer, Receipt, Redactor, ShipBody,
    ShipKey, Stage, Whole, reduced,
};
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
    wanted: Option<Wanted>,
    redactor: Option<Arc<Redactor>>,
    deadline: Deadline,
    inner: Mutex<Inner>,
}

/// Of work that is planned anew: nothing else is taken.
struct Wanted {
    ids: HashSet<EventHash>,
    summarised: HashSet<EventHash>,
}

struct Inner {
    /// By who still lacks the events: one batcher in all first attempts.
    batchers: BTreeMap<Lacking, Batcher>,
    /// Our own reads, which a summary replaces, by who still lacks them.
    own_reads: BTreeMap<Lacking, Group>,
    sent: Sent,
}

/// Events that one summary stands for, and where they come from.
#[derive(Default)]
struct Group {
    ids: Vec<EventHash>,
    units: BTreeSet<usize>,
    compartments: BTreeSet<Ocid>,
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
    pub(crate) account: Account,
    pub(crate) batches: u32,
    pub(crate) pointers: Vec<Pointer>,
    /// Units some of whose events are not owed to every destination.
    pub(crate) failed_units: HashSet<usize>,
    /// Why, for the first of them.
    pub(crate) error: Option<BoxError>,
    /// Of work that is planned anew: what was listed of it, by unit.
    pub(crate) found: Vec<(usize, EventHash)>,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(
        app: &'a App,
        key: &'a FetchKey,
        destinations: &'a [Addressee],
        anew: Option<&Anew>,
        redactor: Option<Arc<Redactor>>,
        deadline: Deadline,
    ) -> Self {
        let owed = destinations.iter().map(|addressee| (addressee.destination.clone(), Owing::default())).collect();
        let sent = Sent { account: Account { owed, ..Account::default() }, ..Sent::default() };
        let inner = Inner { batchers: BTreeMap::new(), own_reads: BTreeMap::new(), sent };
        let wanted = anew.map(|anew| Wanted {
            ids: anew.ids.iter().copied().collect(),
            summarised: anew.summarised.iter().copied().collect(),
        });
        Self { app, key, destinations, wanted, redactor, deadline, inner: Mutex::new(inner) }
    }

    /// Takes events of a unit; what fills a batch is put before this returns.
    pub(crate) async fn push(&self, unit: usize, compartment: &Ocid, events: Vec<(EventHash, Bytes)>) {
        let mut inner = self.inner.lock().await;
        let Inner { batchers, own_reads, sent } = &mut *inner;
        for (id, raw) in events {
            let own_reads_config = self.app.config.own_reads.as_ref();
            let is_own_read = match &self.wanted {
                None => own_reads_config.is_some_and(|own| own.is_own_read(&raw)),
                Some(wanted) => {
                    let is_summarised = wanted.summarised.contains(&id);
                    if !is_summarised && !wanted.ids.contains(&id) {
                        continue;
                    }
                    sent.found.push((unit, id));
                    is_summarised && own_reads_config.is_some()
                }
            };
            let lacks = |(place, addressee): (usize, &Addressee)| (!addressee.known.contains(&id)).then_some(place);
            let lacking: Lacking = self.destinations.iter().enumerate().filter_map(lacks).collect();
            if lacking.is_empty() {
                sent.account.listed += 1;
                self.count(sent, &lacking, 1);
                continue;
            }
            if is_own_read {
                let group = own_reads.entry(lacking).or_default();
                group.ids.push(id);
                group.units.insert(unit);
                group.compartments.insert(compartment.clone());
                continue;
            }
            // Before anything leaves this function, the bucket of dead letters included.
            let raw = match &self.redactor {
                Some(redactor) => {
                    let redacted = redactor.redact(&raw);
                    sent.account.redacted += u64::from(redacted.count);
                    redacted.bytes
                }
                None => raw,
            };
            let batcher = batchers.entry(lacking.clone()).or_insert_with(|| self.batcher());
            match batcher.push(unit, compartment, id, &raw) {
                Ok(full) => {
                    for batch in full {
                        self.put(&lacking, batch, sent).await;
                    }
                }
                Err(too_large) => {
                    let Some(summary) = self.set_aside(unit, id, raw, &too_large, sent).await else { continue };
                    // Under the event's own id: later looks know it, and every destination learns of it.
                    match batcher.push(unit, compartment, id, &summary) {
                        Ok(full) => {
                            for batch in full {
                                self.put(&lacking, batch, sent).await;
                            }
                        }
                        Err(error) => tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "not even the summary of an event fits on the stream; the event lies as a dead letter alone"
                        ),
                    }
                }
            }
        }
    }

    /// Sums up our own reads, and puts what is left.
    pub(crate) async fn close(self) -> Sent {
        let mut inner = self.inner.lock().await;
        let Inner { batchers, own_reads, sent } = &mut *inner;
        for (lacking, group) in std::mem::take(own_reads) {
            let batcher = batchers.entry(lacking.clone()).or_insert_with(|| self.batcher());
            self.sum_up(&lacking, group, batcher, sent).await;
        }
        for (lacking, batcher) in batchers {
            if let Some(batch) = batcher.finish() {
                self.put(lacking, batch, sent).await;
            }
        }
        std::mem::take(sent)
    }

    fn batcher(&self) -> Batcher {
        // A batch id is the region, a dot and 32 digits.
        Batcher::new(self.app.config.limits, self.key.region.as_str().len() + 33)
    }

    /// Puts one summary as the last record of its batch: with it, what it stands for is on its way.
    async fn sum_up(&self, lacking: &Lacking, group: Group, batcher: &mut Batcher, sent: &mut Sent) {
        let (Some(unit), Some(compartment)) = (group.units.first(), group.compartments.first()) else { return };
        // Nothing is grouped where nothing knows our own reads.
        let Some(own_reads) = &self.app.config.own_reads else { return };
        let (id, summary) = own_reads.summary(&self.key.region, self.key.window, &group.ids);
        let full = match batcher.push(*unit, compartment, id, &summary) {
            Ok(full) => full,
            // A summary is some hundred bytes.
            Err(too_large) => {
                sent.failed_units.extend(group.units);
                sent.error.get_or_insert_with(|| too_large.into());
                return;
            }
        };
        for mut batch in full.into_iter().chain(batcher.finish()) {
            if batch.event_ids.last() == Some(&id) {
                batch.units.extend(&group.units);
                batch.compartments.extend(group.compartments.iter().cloned());
                batch.compartments.sort_unstable();
                batch.compartments.dedup();
                batch.summarised.clone_from(&group.ids);
            }
            self.put(lacking, batch, sent).await;
        }
    }

    /// Counts `events` that every destination but those in `lacking` knew before, and those were just given.
    fn count(&self, sent: &mut Sent, lacking: &Lacking, events: u64) {
        for (place, addressee) in self.destinations.iter().enumerate() {
            let owing = sent.account.owed.entry(addressee.destination.clone()).or_default();
            if lacking.contains(&place) {
                owing.put += events;
            } else {
                owing.known += events;
            }
        }
    }

    /// An event that no put can hold becomes a dead letter: nothing else waits for it. What travels in its place; none
    /// where the letter cannot be written, and then its unit is listed again.
    async fn set_aside(
        &self,
        unit: usize,
        id: EventHash,
        raw: Bytes,
        reason: &pipeline::TooLarge,
        sent: &mut Sent,
    ) -> Option<Bytes> {
        let config = &self.app.config;
        // The listing that gave the event told the time; where it could not be believed, the window's end is near enough.
        let now = config.connection.client.service_time().unwrap_or(self.key.window.until().start());
        let letter = DeadLetter {
            date: letter_date(self.key.window),
            destination: "fetch".to_owned(),
            // By the event alone: whatever look or continuation meets it again finds its letter.
            key: format!("{}.{id:016x}", self.key.region),
            owed_to: config.destinations.iter().map(|destination| destination.as_str().to_owned()).collect(),
            region: Some(self.key.region.as_str().to_owned()),
            reason: reason.to_string(),
            attempts: 1,
            first_try: now,
            last_try: now,
            record: raw,
        };
        match config.ledger.bury(&letter, self.deadline).await {
            Ok(Buried { object, sha256 }) => {
                tracing::error!(key = letter.key, reason = letter.reason, "an event was set aside as a dead letter");
                sent.account.dead += 1;
                let whole = Whole {
                    reason: &letter.reason,
                    sha256: &sha256,
                    bucket: config.ledger.bucket_name(),
                    object: &object,
                };
                Some(reduced(&letter.record, &whole))
            }
            Err(error) => {
                sent.failed_units.insert(unit);
                sent.error.get_or_insert_with(|| error.into());
                None
            }
        }
    }

    /// One batch: on the stream, then owed to each destination that lacks it. Where any of that fails, its units are
    /// listed again.
    async fn put(&self, lacking: &Lacking, batch: Batch, sent: &mut Sent) {
        match self.put_and_owe(lacking, &batch, sent).await {
            Ok(()) => {
                let records = batch.event_ids.len() as u64;
                let summaries = u64::from(!batch.summarised.is_empty());
                sent.account.listed += records - summaries + batch.summarised.len() as u64;
                sent.account.filtered += batch.summarised.len() as u64;
                sent.account.summaries += summaries;
                self.count(sent, lacking, records);
                sent.batches += 1;
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
        let ship = ShipKey { lane: key.lane, window: key.window, batch: location.batch.as_str().into(), range: None };
        let mut body = ShipBody::new(location.clone(), batch.compartments.clone(), batch.event_ids.clone());
        body.summarised.clone_from(&batch.summarised);
        body.put_at = client.service_time();
        for addressee in lacking.iter().filter_map(|place| self.destinations.get(*place)) {
            let stage = Stage::Ship(addressee.destination.clone(), ship.clone());
            config.ledger.owe(&stage, &body, deadline).await?;
            sent.pointers.push(Pointer { receipt: Receipt::owed(stage), location: Some(location.clone()) });
        }
        Ok(())
    }
}
