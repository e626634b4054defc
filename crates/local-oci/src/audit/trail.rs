//! What the trail keeps, and the search in it. No clock and no wire.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::ExpectedEvent;
use crate::generate::{EventNumber, Generator, OwnRead};
use crate::receiver::fingerprint;
use crate::verify::Caller;

#[derive(Debug)]
pub(super) struct State {
    pub(super) scopes: Vec<Scope>,
    pub(super) scope_ids: HashMap<(String, String), u32>,
    /// The plan's events, scope after scope, each by processed time.
    pub(super) planned: Vec<Planned>,
    pub(super) reads: Vec<Read>,
    pub(super) readers: Vec<(Caller, String)>,
    pub(super) added: Vec<Added>,
    /// The last listings under way, so that a long one is not sorted out again at each page.
    pub(super) snapshots: VecDeque<(Query, Arc<[Item]>)>,
}

#[derive(Debug)]
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) compartment: String,
    pub(super) name: String,
    pub(super) planned: Range<usize>,
    pub(super) reads: Vec<u32>,
    pub(super) added: Vec<u32>,
}

/// 24 bytes: a million of them must not hurt.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) processed_ms: i64,
    pub(super) hidden_ms: u32,
    pub(super) index: u32,
    /// 0 until it was listed.
    pub(super) fingerprint: u64,
}

#[derive(Debug)]
pub(super) struct Read {
    pub(super) at_ms: i64,
    pub(super) start_s: i64,
    pub(super) end_s: i64,
    pub(super) scope: u32,
    pub(super) reader: u32,
    pub(super) fingerprint: u64,
}

#[derive(Debug)]
pub(super) struct Added {
    pub(super) id: String,
    pub(super) bytes: Bytes,
    pub(super) processed_ms: i64,
    pub(super) visible_ms: i64,
}

/// One listing: what was asked, and when its first page was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) scope: u32,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) as_of_ms: i64,
}

/// Where a listed event lies: in `planned`, `reads` or `added`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Planned(u32),
    Read(u32),
    Added(u32),
}

impl State {
    /// The plan's events, and nothing else yet.
    pub(super) fn of(generator: &Generator) -> Self {
        let width = generator.compartments().len() as u32;
        let mut drawn: Vec<(u32, Planned)> = Vec::with_capacity(generator.events() as usize);
        for index in 0..generator.events() {
            let event = generator.draw(index);
            let processed_ms = event.processed.as_millisecond();
            let hidden_ms = u32::try_from(event.visible_from.as_millisecond() - processed_ms).unwrap_or(u32::MAX);
            let scope = event.place.region * width + event.place.compartment;
            drawn.push((scope, Planned { processed_ms, hidden_ms, index, fingerprint: 0 }));
        }
        drawn.sort_unstable_by_key(|(scope, planned)| (*scope, planned.processed_ms, planned.index));
        let (mut scopes, mut scope_ids) = (Vec::new(), HashMap::new());
        for region in generator.regions() {
            for (compartment, name) in generator.compartments() {
                let id = scopes.len() as u32;
                let from = drawn.partition_point(|(scope, _)| *scope < id);
                let planned = from..drawn.partition_point(|(scope, _)| *scope <= id);
                scope_ids.insert((region.clone(), compartment.clone()), id);
                scopes.push(Scope::new(region, compartment, name, planned));
            }
        }
        Self {
            scopes,
            scope_ids,
            planned: drawn.into_iter().map(|(_, planned)| planned).collect(),
            reads: Vec::new(),
            readers: Vec::new(),
            added: Vec::new(),
            snapshots: VecDeque::new(),
        }
    }

    /// The number of a scope, which may be new: of a region or compartment made after the plan.
    pub(super) fn scope(&mut self, region: &str, compartment: &str, name: &str) -> u32 {
        let next = self.scopes.len() as u32;
        let id = *self.scope_ids.entry((region.to_owned(), compartment.to_owned())).or_insert(next);
        match self.scopes.get_mut(id as usize) {
            Some(scope) if scope.name.is_empty() => name.clone_into(&mut scope.name),
            Some(_) => {}
            None => self.scopes.push(Scope::new(region, compartment, name, 0..0)),
        }
        id
    }

    pub(super) fn expected(&self, seed: u64, scope: usize, until_ms: i64) -> Vec<ExpectedEvent> {
        let scope = &self.scopes[scope];
        let planned = self.planned[scope.planned.clone()].iter().map(|planned| {
            let id = EventNumber::Generated(planned.index).id(seed);
            (id, planned.processed_ms, planned.visible_ms(), planned.fingerprint, false)
        });
        let reads = scope.reads.iter().map(|number| {
            let read = &self.reads[*number as usize];
            (EventNumber::OwnRead(*number).id(seed), read.at_ms, read.visible_ms(), read.fingerprint, true)
        });
        let added = scope.added.iter().map(|number| {
            let added = &self.added[*number as usize];
            (added.id.clone(), added.processed_ms, added.visible_ms, fingerprint(&added.bytes), false)
        });
        let rows = planned.chain(reads).chain(added).filter(|(_, processed_ms, ..)| *processed_ms < until_ms);
        rows.map(|(id, processed_ms, visible_ms, print, is_own_read)| ExpectedEvent {
            id,
            region: scope.region.clone(),
            compartment: scope.compartment.clone(),
            processed: timestamp(processed_ms),
            visible_from: timestamp(visible_ms),
            fingerprint: (print != 0).then_some(print),
            is_own_read,
        })
        .collect()
    }

    pub(super) fn items(&self, query: Query) -> Vec<Item> {
        let scope = &self.scopes[query.scope as usize];
        let window = query.start_ms..query.end_ms;
        let mut items = Vec::new();
        let planned = &self.planned[scope.planned.clone()];
        let from = planned.partition_point(|planned| planned.processed_ms < query.start_ms);
        let mine = planned.iter().enumerate().skip(from);
        for (at, planned) in mine.take_while(|(_, planned)| planned.processed_ms < query.end_ms) {
            if planned.visible_ms() <= query.as_of_ms {
                items.push(Item::Planned((scope.planned.start + at) as u32));
            }
        }
        let from = scope.reads.partition_point(|number| self.reads[*number as usize].at_ms < query.start_ms);
        for number in scope.reads.iter().skip(from) {
            let read = &self.reads[*number as usize];
            if read.at_ms >= query.end_ms || read.visible_ms() > query.as_of_ms {
                break;
            }
            items.push(Item::Read(*number));
        }
        for number in &scope.added {
            let added = &self.added[*number as usize];
            if window.contains(&added.processed_ms) && added.visible_ms <= query.as_of_ms {
                items.push(Item::Added(*number));
            }
        }
        items
    }

    /// What was processed in `[from_ms, until_ms)`: when, where and what, by time.
    pub(super) fn processed(&self, from_ms: i64, until_ms: i64) -> Vec<(i64, u32, Item)> {
        let mut found = Vec::new();
        for scope in 0..self.scopes.len() as u32 {
            let query = Query { scope, start_ms: from_ms, end_ms: until_ms, as_of_ms: i64::MAX };
            found.extend(self.items(query).into_iter().map(|item| (self.processed_ms(item), scope, item)));
        }
        found.sort_unstable();
        found
    }

    fn processed_ms(&self, item: Item) -> i64 {
        match item {
            Item::Planned(position) => self.planned[position as usize].processed_ms,
            Item::Read(number) => self.reads[number as usize].at_ms,
            Item::Added(number) => self.added[number as usize].processed_ms,
        }
    }

    pub(super) fn render_read(&self, generator: &Generator, number: u32) -> String {
        let read = &self.reads[number as usize];
        let scope = &self.scopes[read.scope as usize];
        let (caller, user_agent) = &self.readers[read.reader as usize];
        let own_read = OwnRead {
            at: timestamp(read.at_ms),
            compartment: &scope.compartment,
            compartment_name: &scope.name,
            start: timestamp(read.start_s * 1000),
            end: timestamp(read.end_s * 1000),
            caller,
            user_agent,
        };
        generator.render_own_read(number, &own_read)
    }
}

impl Scope {
    pub(super) fn new(region: &str, compartment: &str, name: &str, planned: Range<usize>) -> Self {
        let (region, compartment, name) = (region.to_owned(), compartment.to_owned(), name.to_owned());
        Self { region, compartment, name, planned, reads: Vec::new(), added: Vec::new() }
    }
}

impl Planned {
    pub(super) fn visible_ms(&self) -> i64 {
        self.processed_ms + i64::from(self.hidden_ms)
    }
}

impl Read {
    /// A millisecond after it was made: a listing under way never shows a read of its own pages.
    pub(super) fn visible_ms(&self) -> i64 {
        self.at_ms + 1
    }
}

pub(super) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
