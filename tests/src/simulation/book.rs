//! What is true: kept beside the pipeline, from the emulator's bucket, the collectors and the trail, and never asked of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use local_oci::{ExpectedEvent, LocalOci};
use pipeline::{EventHash, EventRange, FetchBody, Receipt, ShipBody, Stage, WorkUnit, event_hash};

use super::files::is_letter;
use crate::house::BUCKET;

/// A region and a compartment.
pub type Scope = (String, String);

/// An event of the trail.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its hash.
    pub hash: EventHash,
    /// Where it is listed.
    pub scope: Scope,
    /// Which window it belongs to.
    pub processed: Timestamp,
    /// When it is listed first.
    pub visible: Timestamp,
}

/// A fetch receipt, as it was written last.
#[derive(Debug, Clone)]
struct FetchReceipt {
    units: Vec<WorkUnit>,
    /// Of work that is listed anew: what it promises to list.
    wanted: Option<HashSet<EventHash>>,
    written: Timestamp,
}

/// One arrival.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Whose.
    pub hash: EventHash,
    /// What its bytes are known by.
    pub fingerprint: u64,
    /// Its number at the collector.
    pub index: usize,
}

/// The book.
#[derive(Debug, Default)]
pub struct Book {
    events: Vec<Event>,
    by_hash: HashMap<EventHash, usize>,
    /// By processed time.
    by_scope: BTreeMap<Scope, Vec<usize>>,
    fetches: HashMap<String, FetchReceipt>,
    batches: HashMap<String, Arc<Vec<EventHash>>>,
    /// What each summary stands for.
    summaries: HashMap<EventHash, Vec<EventHash>>,
    /// Receipts whose writer never heard what came of it, by name.
    tried: HashMap<String, (Bytes, Timestamp)>,
    /// Minutes that some first look was ever planned for, by scope: half-open and merged.
    planned: BTreeMap<Scope, Vec<(i64, i64)>>,
    cache: HashMap<String, (Bytes, Arc<Content>)>,
    /// What arrived, by destination, in order.
    pub arrivals: Vec<Vec<Arrival>>,
    delivered: Vec<HashMap<EventHash, u32>>,
    allowed: Vec<HashMap<EventHash, u32>>,
}

/// What an object of the bucket says of events.
#[derive(Debug)]
enum Content {
    Units(Vec<WorkUnit>),
    /// Work that is listed anew: these events alone.
    Wanted(Vec<EventHash>),
    Ids(Vec<EventHash>),
    Letter {
        destination: String,
        hash: EventHash,
    },
    Nothing,
}

/// The bucket at one moment.
#[derive(Debug, Default)]
struct View {
    owed: Vec<HashSet<EventHash>>,
    units: HashMap<Scope, Vec<(i64, i64)>>,
    wanted: HashSet<EventHash>,
    dead: HashSet<(String, EventHash)>,
}

/// The hash of an event of that id.
pub fn hash_of(id: &str) -> EventHash {
    event_hash(format!(r#"{{"eventId":"{id}"}}"#).as_bytes())
}

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

fn scope_of(unit: &WorkUnit) -> Scope {
    (unit.region.as_str().to_owned(), unit.compartment.as_str().to_owned())
}

impl Book {
    /// An empty one for so many destinations.
    pub fn new(destinations: usize) -> Self {
        Self {
            arrivals: vec![Vec::new(); destinations],
            delivered: vec![HashMap::new(); destinations],
            allowed: vec![HashMap::new(); destinations],
            ..Self::default()
        }
    }

    /// Enters events of the trail.
    pub fn enter(&mut self, events: impl IntoIterator<Item = ExpectedEvent>) {
        for event in events {
            let scope = (event.region, event.compartment);
            let hash = hash_of(&event.id);
            let index = self.events.len();
            let (processed, visible) = (event.processed, event.visible_from);
            self.events.push(Event { id: event.id, hash, scope: scope.clone(), processed, visible });
            self.by_hash.insert(hash, index);
            let line = self.by_scope.entry(scope).or_default();
            let at = line.partition_point(|other| self.events[*other].processed <= processed);
            line.insert(at, index);
        }
    }

    /// The event of that hash.
    pub fn event(&self, hash: EventHash) -> Option<&Event> {
        self.by_hash.get(&hash).and_then(|index| self.events.get(*index))
    }

    /// All of them.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// A receipt was written at `now`.
    pub fn receipt_written(&mut self, name: &str, body: &[u8], now: Timestamp) {
        let Some(stage) = stage(name) else { return };
        if stage.starts_with("fetch/") {
            let Ok(body) = serde_json::from_slice::<FetchBody>(body) else { return };
            for unit in body.units.iter().filter(|unit| unit.look == 1) {
                let line = self.planned.entry(scope_of(unit)).or_default();
                add(line, (minute(unit.start()), minute(unit.end())));
            }
            let wanted = body.anew.map(|anew| anew.ids.into_iter().chain(anew.summarised).collect());
            self.fetches.insert(stage.to_owned(), FetchReceipt { units: body.units, wanted, written: now });
        } else if stage.starts_with("ship/")
            && let Ok(body) = serde_json::from_slice::<ShipBody>(body)
        {
            if let (Some(summary), false) = (body.event_ids.last(), body.summarised.is_empty()) {
                self.summaries.insert(*summary, body.summarised.clone());
            }
            let own = range(name).and_then(|range| body.event_ids.get(range.places())).unwrap_or(&body.event_ids);
            self.batches.insert(stage.to_owned(), Arc::new(own.to_vec()));
        }
    }

    /// A receipt may have been written: nobody heard.
    pub fn receipt_tried(&mut self, name: &str, body: &Bytes, now: Timestamp) {
        self.tried.insert(name.to_owned(), (body.clone(), now));
    }

    /// A receipt of that name was there: if its writer never heard, it was written all the same.
    pub fn receipt_met(&mut self, name: &str) {
        if let Some((body, at)) = self.tried.remove(name) {
            self.receipt_written(name, &body, at);
        }
    }

    /// The ids of a batch that was once owed.
    pub fn batch(&self, name: &str) -> Option<Arc<Vec<EventHash>>> {
        stage(name).and_then(|stage| self.batches.get(stage)).cloned()
    }

    /// Something arrived.
    pub fn arrived(&mut self, destination: usize, arrival: Arrival) {
        self.arrivals[destination].push(arrival);
        *self.delivered[destination].entry(arrival.hash).or_default() += 1;
    }

    /// Whether the event arrived.
    pub fn is_delivered(&self, destination: usize, hash: EventHash) -> bool {
        self.delivered[destination].contains_key(&hash)
    }

    /// Nobody knows what came of these: each may come once more.
    pub fn allow(&mut self, destination: usize, hashes: &[EventHash]) {
        for hash in hashes {
            *self.allowed[destination].entry(*hash).or_default() += 1;
        }
    }

    /// How often each event came beyond the first, and how many of those copies nothing explains.
    pub fn copies(&self, destination: usize) -> Vec<(EventHash, u32, u32)> {
        let mut copies: Vec<_> = (self.delivered[destination].iter())
            .filter(|(_, count)| **count > 1)
            .map(|(hash, count)| {
                let allowed = self.allowed[destination].get(hash).copied().unwrap_or(0);
                (*hash, count - 1, (count - 1).saturating_sub(allowed))
            })
            .collect();
        copies.sort_unstable();
        copies
    }

    /// What a success of fetch claims for a receipt that it was rung for: an event that it should have listed, and that
    /// is nowhere; or that there is no such receipt.
    ///
    /// `began` is when the call did, where the receipt was owed then; else what counts is what could be seen when the
    /// receipt was written.
    pub fn missing_of_fetch(
        &mut self,
        cloud: &LocalOci,
        destinations: &[String],
        name: &str,
        began: Option<Timestamp>,
    ) -> Option<String> {
        let stage = stage(name)?;
        let Some(receipt) = self.fetches.get(stage).cloned() else {
            return Some(format!("{name} was never written"));
        };
        let as_of = began.unwrap_or(receipt.written);
        let mut view = None;
        for unit in &receipt.units {
            let Some(line) = self.by_scope.get(&scope_of(unit)).cloned() else { continue };
            let from = line.partition_point(|index| self.events[*index].processed < unit.start());
            for index in line.into_iter().skip(from) {
                let event = self.events[index].clone();
                if event.processed >= unit.end() {
                    break;
                }
                let is_promised = receipt.wanted.as_ref().is_none_or(|wanted| wanted.contains(&event.hash));
                if event.visible > as_of || !is_promised {
                    continue;
                }
                if let Some(missing) = self.is_missing(cloud, destinations, &event, &mut view, true) {
                    return Some(format!("{name}: {} of {} is not {missing}", event.id, event.processed));
                }
            }
        }
        None
    }

    /// What a success of ship claims.
    pub fn missing_of_ship(
        &mut self,
        cloud: &LocalOci,
        destinations: &[String],
        destination: usize,
        name: &str,
    ) -> Option<String> {
        let Some(ids) = self.batch(name) else { return Some(format!("{name} was never written")) };
        let mut view = None;
        for hash in ids.iter() {
            if self.is_delivered(destination, *hash) {
                continue;
            }
            let view = view.get_or_insert_with(|| self.view(cloud, destinations));
            let whose = &destinations[destination];
            let is_dead = view.dead.contains(&(whose.clone(), *hash));
            let is_listed_again =
                view.wanted.contains(hash) || self.event(*hash).is_some_and(|event| view.holds(event));
            let is_summed_up_again = self.summaries.get(hash).is_some_and(|all| {
                let counts = |(summary, members): (&EventHash, &Vec<EventHash>), one: &EventHash| {
                    self.is_delivered(destination, *summary) && members.contains(one)
                };
                all.iter().all(|one| {
                    view.wanted.contains(one)
                        || view.owed[destination].contains(one)
                        || self.summaries.iter().any(|summary| counts(summary, one))
                })
            });
            if !is_dead && !view.owed[destination].contains(hash) && !is_listed_again && !is_summed_up_again {
                return Some(format!("{name}: {} is neither delivered to {whose} nor dead nor owed", self.name(*hash)));
            }
        }
        None
    }

    fn name(&self, hash: EventHash) -> String {
        self.event(hash).map_or_else(|| format!("an event of hash {hash:016x}"), |event| event.id.clone())
    }

    /// Where an event is neither delivered nor dead nor owed.
    fn is_missing(
        &mut self,
        cloud: &LocalOci,
        destinations: &[String],
        event: &Event,
        view: &mut Option<View>,
        units_count: bool,
    ) -> Option<String> {
        for (place, destination) in destinations.iter().enumerate() {
            if self.is_delivered(place, event.hash) {
                continue;
            }
            let view = view.get_or_insert_with(|| self.view(cloud, destinations));
            let letter = |whose: &str| view.dead.contains(&(whose.to_owned(), event.hash));
            let owed = view.owed[place].contains(&event.hash) || (units_count && view.holds(event));
            if !owed && !letter(destination) && !letter("fetch") {
                return Some(format!("delivered to {destination}, dead or owed"));
            }
        }
        None
    }

    /// The first minute before `until` that no receipt was ever written for, in one of these scopes.
    pub fn unplanned(&self, scopes: &[Scope], from: Timestamp, until: Timestamp) -> Option<String> {
        let (from, until) = (minute(from), minute(until));
        scopes.iter().find_map(|scope| {
            let line = self.planned.get(scope).map(Vec::as_slice).unwrap_or_default();
            let covered = line.iter().find(|(start, _)| *start <= from).map_or(from, |(_, end)| *end);
            (covered < until).then(|| {
                let at = Timestamp::from_second(covered * 60).unwrap_or_default();
                format!("{at} of {} in {} was never planned, and the position is past it", scope.1, scope.0)
            })
        })
    }

    /// Dead letters of the trail: destination and event.
    pub fn dead(&mut self, cloud: &LocalOci) -> Vec<(String, EventHash)> {
        let mut dead = Vec::new();
        for name in cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with("dead/")) {
            if is_letter(&name) {
                continue;
            }
            match &*self.content(cloud, &name) {
                Content::Letter { destination, hash } => dead.push((destination.clone(), *hash)),
                _ => dead.push((format!("unreadable {name}"), 0)),
            }
        }
        dead
    }

    fn view(&mut self, cloud: &LocalOci, destinations: &[String]) -> View {
        let mut view = View { owed: vec![HashSet::new(); destinations.len()], ..View::default() };
        for name in cloud.storage().objects(BUCKET) {
            if !["owed/", "held/", "dead/"].iter().any(|folder| name.starts_with(folder)) {
                continue;
            }
            match &*self.content(cloud, &name) {
                Content::Units(units) => {
                    for unit in units {
                        view.units
                            .entry(scope_of(unit))
                            .or_default()
                            .push((unit.start().as_second(), unit.end().as_second()));
                    }
                }
                Content::Wanted(ids) => view.wanted.extend(ids),
                Content::Ids(ids) => {
                    let whose = name.split('/').nth(2);
                    let place = destinations.iter().position(|known| Some(known.as_str()) == whose);
                    if let Some(place) = place {
                        view.owed[place].extend(ids);
                    }
                }
                Content::Letter { destination, hash } => {
                    view.dead.insert((destination.clone(), *hash));
                }
                Content::Nothing => {}
            }
        }
        view
    }

    /// What an object says; read once as long as its bytes stay where they are.
    fn content(&mut self, cloud: &LocalOci, name: &str) -> Arc<Content> {
        let Some(bytes) = cloud.storage().get(BUCKET, name) else { return Arc::new(Content::Nothing) };
        match self.cache.get(name) {
            // The bytes are kept, so that nothing else can come to lie in their place.
            Some((known, content)) if known.as_ptr() == bytes.as_ptr() => Arc::clone(content),
            _ => {
                let content = Arc::new(read(name, &bytes));
                self.cache.insert(name.to_owned(), (bytes, Arc::clone(&content)));
                content
            }
        }
    }
}

impl View {
    fn holds(&self, event: &Event) -> bool {
        let at = event.processed.as_second();
        self.wanted.contains(&event.hash)
            || self
                .units
                .get(&event.scope)
                .is_some_and(|line| line.iter().any(|(from, until)| (*from..*until).contains(&at)))
    }
}

/// `owed/<stage>~…` or `held/<stage>~…`.
fn stage(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("owed/").or_else(|| name.strip_prefix("held/"))?;
    rest.split('~').next()
}

fn read(name: &str, bytes: &Bytes) -> Content {
    if name.starts_with("dead/") {
        #[derive(serde::Deserialize)]
        struct Letter {
            destination: String,
            bytes: String,
        }
        let letter: Option<Letter> = serde_json::from_slice(bytes).ok();
        let letter = letter.and_then(|letter| Some((STANDARD.decode(letter.bytes).ok()?, letter.destination)));
        return letter.map_or(Content::Nothing, |(record, destination)| Content::Letter {
            destination,
            hash: event_hash(&record),
        });
    }
    if name.contains("/fetch/") {
        return serde_json::from_slice::<FetchBody>(bytes).map_or(Content::Nothing, |body| match body.anew {
            Some(anew) => Content::Wanted(anew.ids.into_iter().chain(anew.summarised).collect()),
            None => Content::Units(body.units),
        });
    }
    if name.contains("/object/") {
        return Content::Nothing;
    }
    let range = range(name);
    serde_json::from_slice::<ShipBody>(bytes)
        .map_or(Content::Nothing, |body| Content::Ids(body.on_their_way(range).collect()))
}

/// The places that a ship receipt's name names.
fn range(name: &str) -> Option<EventRange> {
    match name.parse::<Receipt>().ok()?.stage {
        Stage::Ship(_, key) => key.range,
        Stage::Fetch(_) | Stage::Object(..) => None,
    }
}

/// Adds a stretch to a merged line.
fn add(line: &mut Vec<(i64, i64)>, (mut from, mut until): (i64, i64)) {
    line.retain(|(start, end)| {
        let apart = *end < from || until < *start;
        if !apart {
            from = from.min(*start);
            until = until.max(*end);
        }
        apart
    });
    let at = line.partition_point(|(start, _)| *start < from);
    line.insert(at, (from, until));
}

#[cfg(test)]
mod tests {
    use super::add;

    #[test]
    fn stretches_merge_where_they_touch() {
        let mut line = Vec::new();
        for stretch in [(5, 10), (20, 30), (10, 12), (13, 14), (12, 13)] {
            add(&mut line, stretch);
        }
        assert_eq!(line, [(5, 14), (20, 30)]);
    }
}
