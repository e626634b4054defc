//! The audit trail: the plan's events, the events of our own reads, and what a test puts in.
//!
//! An event has three times. Its *event time* is in its text. Its *processed* time is what windows select by. Its
//! *visible-from* time is when a listing first shows it; usually that is the processed time, and where it is later,
//! the event turns up in windows that were read already.

mod list;
mod trail;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::generate::{EventNumber, Generator};
use crate::receiver::fingerprint;
use crate::rng::{Rng, mix};
use crate::tenancy::{Tenancy, TenancyPlan};
use crate::verify::Caller;

pub(crate) use list::serve;
use trail::{Added, Item, Query, Read, State};

/// How the Audit service behaves where its documentation leaves it open.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditSettings {
    /// The most events on a page. The page size is the service's own; there is no `limit`.
    pub page_max_events: usize,
    /// Whether pages differ in size, from one event up to the most.
    pub pages_vary: bool,
    /// The share of pages that come empty with a next page, `0.0..1.0`.
    pub empty_pages: f64,
    /// Whether a window with seconds is refused (400); else they are cut off.
    pub strict_minutes: bool,
    /// Whether each ListEvents leaves an event in the trail that it read, as the real service does.
    pub own_reads: bool,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { page_max_events: 500, pages_vary: true, empty_pages: 0.1, strict_minutes: true, own_reads: true }
    }
}

/// An event for [`Audit::add`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedEvent {
    /// The JSON object, as it is listed. Its `eventId` is its id.
    pub bytes: Bytes,
    /// What windows select by.
    pub processed: Timestamp,
    /// When listings first show it; before `processed` means at `processed`.
    pub visible_from: Timestamp,
}

/// An event that a pipeline must have carried, to hold against what arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedEvent {
    /// Its `eventId`.
    pub id: String,
    /// The id of the region where it was listed.
    pub region: String,
    /// The OCID of the compartment where it was listed; the tenancy's for the root.
    pub compartment: String,
    /// What windows select by.
    pub processed: Timestamp,
    /// When listings first showed it.
    pub visible_from: Timestamp,
    /// [`fingerprint`] of its bytes; `None` while nobody listed it.
    pub fingerprint: Option<u64>,
    /// Whether it is the trace of a listing of ours.
    pub is_own_read: bool,
}

/// An event as the Logging service gets it, whether or not a listing shows it yet.
#[derive(Debug)]
pub(crate) struct ProcessedEvent {
    pub(crate) region: String,
    pub(crate) processed: Timestamp,
    pub(crate) bytes: Bytes,
}

/// The trail.
#[derive(Debug)]
pub struct Audit {
    clock: Clock,
    seed: u64,
    settings: AuditSettings,
    generator: Arc<Generator>,
    state: Mutex<State>,
}

const SNAPSHOTS: usize = 32;

impl Audit {
    pub(crate) fn new(plan: &TenancyPlan, settings: AuditSettings, tenancy: &Tenancy, clock: Clock) -> Self {
        let generator = Arc::new(Generator::new(plan, tenancy));
        let state = Mutex::new(State::of(&generator));
        Self { clock, seed: plan.seed, settings, generator, state }
    }

    /// Puts an event into a region's (an id's) and compartment's trail. Give it a visible-from time that has not
    /// passed where a listing may be under way: a listing shows what was visible at its first page.
    pub fn add(&self, region: &str, compartment: &str, event: AddedEvent) {
        let id = serde_json::from_slice::<serde_json::Value>(&event.bytes).ok();
        let id = id.and_then(|event| event["eventId"].as_str().map(str::to_owned)).unwrap_or_default();
        let mut state = self.lock();
        let scope = state.scope(region, compartment, "");
        let number = state.added.len() as u32;
        let processed_ms = event.processed.as_millisecond();
        let visible_ms = event.visible_from.as_millisecond().max(processed_ms);
        state.added.push(Added { id, bytes: event.bytes, processed_ms, visible_ms });
        if let Some(scope) = state.scopes.get_mut(scope as usize) {
            scope.added.push(number);
        }
        // On a clock that stands still, the next listing is as of the same time as the last.
        state.snapshots.retain(|(query, _)| query.scope != scope);
    }

    /// Every event whose processed time is before `until`: the plan's, those of our own reads, and those added.
    pub fn expected(&self, until: Timestamp) -> impl Iterator<Item = ExpectedEvent> + '_ {
        // Scope by scope: a million events at once would be a hundred megabytes of ids.
        let scopes = self.lock().scopes.len();
        (0..scopes).flat_map(move |scope| self.lock().expected(self.seed, scope, until.as_millisecond()))
    }

    /// The bytes of the event of that id as it is listed; `None` for an id that this trail does not know.
    pub fn event(&self, id: &str) -> Option<Bytes> {
        let state = self.lock();
        if let Some(added) = state.added.iter().find(|added| added.id == id) {
            return Some(added.bytes.clone());
        }
        match EventNumber::parse(id, self.seed)? {
            EventNumber::Generated(index) if index < self.generator.events() => {
                drop(state);
                Some(self.generator.render(index).into())
            }
            EventNumber::OwnRead(number) if (number as usize) < state.reads.len() => {
                Some(state.render_read(&self.generator, number).into())
            }
            EventNumber::Generated(_) | EventNumber::OwnRead(_) => None,
        }
    }

    /// Every event that was processed in `[from, until)`, in that order.
    pub(crate) fn processed(&self, from: Timestamp, until: Timestamp) -> Vec<ProcessedEvent> {
        let found = self.lock().processed(from.as_millisecond(), until.as_millisecond());
        let event = |(processed_ms, scope, item): (i64, u32, Item)| {
            let region = self.lock().scopes[scope as usize].region.clone();
            ProcessedEvent { region, processed: trail::timestamp(processed_ms), bytes: self.text(item) }
        };
        found.into_iter().map(event).collect()
    }

    fn text(&self, item: Item) -> Bytes {
        let state = self.lock();
        match item {
            Item::Added(number) => state.added[number as usize].bytes.clone(),
            Item::Read(number) => state.render_read(&self.generator, number).into(),
            Item::Planned(position) => {
                let index = state.planned[position as usize].index;
                drop(state);
                self.generator.render(index).into()
            }
        }
    }

    /// How many reads of the trail have left an event in it.
    pub fn own_reads(&self) -> usize {
        self.lock().reads.len()
    }

    /// The items of a listing, in the order of its pages: seeded, but sorted by nothing.
    fn listing(&self, query: Query) -> Arc<[Item]> {
        let mut state = self.lock();
        if let Some((_, items)) = state.snapshots.iter().find(|(kept, _)| *kept == query) {
            return Arc::clone(items);
        }
        let mut items = state.items(query);
        Rng::of(self.seed ^ mix(u64::from(query.scope)), query.start_ms.unsigned_abs()).shuffle(&mut items);
        let items: Arc<[Item]> = items.into();
        if state.snapshots.len() >= SNAPSHOTS {
            state.snapshots.pop_front();
        }
        state.snapshots.push_back((query, Arc::clone(&items)));
        items
    }

    /// The bytes of some items; remembers the fingerprints of those that are listed for the first time.
    fn render(&self, items: &[Item]) -> Vec<Bytes> {
        let mut rendered = Vec::with_capacity(items.len());
        for item in items {
            let mut state = self.lock();
            rendered.push(match *item {
                Item::Added(number) => state.added[number as usize].bytes.clone(),
                Item::Read(number) => {
                    let bytes = Bytes::from(state.render_read(&self.generator, number));
                    state.reads[number as usize].fingerprint = fingerprint(&bytes);
                    bytes
                }
                Item::Planned(position) => {
                    let index = state.planned[position as usize].index;
                    let known = state.planned[position as usize].fingerprint;
                    drop(state);
                    let bytes = Bytes::from(self.generator.render(index));
                    if known == 0 {
                        self.lock().planned[position as usize].fingerprint = fingerprint(&bytes);
                    }
                    bytes
                }
            });
        }
        rendered
    }

    /// Leaves the event of one ListEvents in the trail that it read.
    fn remember_read(&self, query: Query, caller: &Caller, user_agent: &str) {
        let mut state = self.lock();
        let known = state.readers.iter().position(|(kept, agent)| kept == caller && agent == user_agent);
        let reader = known.unwrap_or_else(|| {
            state.readers.push((caller.clone(), user_agent.to_owned()));
            state.readers.len() - 1
        }) as u32;
        let number = state.reads.len() as u32;
        // Never before the last one, whatever the machine's clock does: the reads of a scope are searched by time.
        let last_ms = state.reads.last().map_or(i64::MIN, |read| read.at_ms);
        let at_ms = self.clock.now().as_millisecond().max(last_ms);
        let (start_s, end_s) = (query.start_ms / 1000, query.end_ms / 1000);
        state.reads.push(Read { at_ms, start_s, end_s, scope: query.scope, reader, fingerprint: 0 });
        state.scopes[query.scope as usize].reads.push(number);
    }

    fn scope(&self, region: &str, compartment: &str, name: &str) -> u32 {
        self.lock().scope(region, compartment, name)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
