//! Streaming: streams, their partitions and what lies on them, for the services and for tests.

mod cursor;
mod group;
mod partition;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::receiver::fingerprint;
use crate::rng::Rng;
use crate::tenancy::REGIONS;

use group::Group;
pub use partition::Message;
use partition::Partition;
pub(crate) use wire::serve;

/// The service's limits and habits; the defaults are the documented ones, throttles off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// How long a message is kept, 24 to 168.
    pub retention_hours: u32,
    /// The decoded bytes of keys and values that one PutMessages may carry.
    pub put_max_bytes: usize,
    /// What PutMessages answers above that: 400 `InvalidParameter` or 413 `RequestEntityTooLarge` (sources disagree).
    pub oversize_status: u16,
    /// The decoded bytes after which GetMessages ends its page. One message always fits.
    pub page_max_bytes: usize,
    /// How long a cursor is good.
    pub cursor_lifetime: SignedDuration,
    /// Bytes a second that one partition takes; more is 429.
    pub write_max_bytes_per_sec: Option<u64>,
    /// Bytes a second that one partition gives; more is 429.
    pub read_max_bytes_per_sec: Option<u64>,
    /// GetMessages calls a second on one partition; more is 429.
    pub gets_max_per_sec: Option<u64>,
    /// After so many messages of one PutMessages, another producer's message slips onto the same partition.
    pub foreign_every: Option<usize>,
    /// After so many messages of a partition, an offset is left out.
    pub gap_every: Option<u64>,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            retention_hours: 24,
            put_max_bytes: 1 << 20,
            oversize_status: 400,
            page_max_bytes: 1 << 20,
            cursor_lifetime: SignedDuration::from_mins(5),
            write_max_bytes_per_sec: None,
            read_max_bytes_per_sec: None,
            gets_max_per_sec: None,
            foreign_every: None,
            gap_every: None,
        }
    }
}

/// What went over one stream through the API. Bytes are decoded keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// PutMessages calls that took at least one message.
    pub puts: u64,
    /// GetMessages calls that were answered 200.
    pub gets: u64,
    /// Messages taken.
    pub messages_put: u64,
    /// Messages given.
    pub messages_got: u64,
    /// Bytes taken.
    pub bytes_put: u64,
    /// Bytes given.
    pub bytes_got: u64,
}

/// All streams of the tenancy. A clone is the same set.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    settings: StreamSettings,
    streams: BTreeMap<String, Stream>,
    random: u64,
}

#[derive(Debug)]
struct Stream {
    name: String,
    region: String,
    time_created: Timestamp,
    /// Counts how often the stream was made anew: cursors from before are void.
    generation: u64,
    partitions: Vec<Partition>,
    groups: BTreeMap<String, Group>,
    totals: StreamTotals,
}

impl Streams {
    /// No stream yet, on `clock`.
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::default() }))
    }

    /// Makes a stream in `region` (an id) and gives its OCID, which follows from the name: the same name in the same
    /// region is the same, existing stream.
    pub fn create(&self, name: &str, partitions: u32, region: &str) -> String {
        let id = named_ocid("stream", region, name);
        let stream = Stream {
            name: name.to_owned(),
            region: region.to_owned(),
            time_created: self.0.clock.now(),
            generation: 0,
            partitions: (0..partitions.max(1)).map(|_| Partition::default()).collect(),
            groups: BTreeMap::new(),
            totals: StreamTotals::default(),
        };
        self.lock().streams.entry(id.clone()).or_insert(stream);
        id
    }

    /// Changes the service's limits and habits, for all streams and from now on.
    pub fn configure(&self, change: impl FnOnce(&mut StreamSettings)) {
        change(&mut self.lock().settings);
    }

    /// Puts another producer's message onto a partition, uncounted. Gives its offset; `None` where there is no such
    /// stream or partition.
    pub fn put_foreign(&self, stream: &str, partition: u32, key: Option<&[u8]>, value: &[u8]) -> Option<u64> {
        let mut state = self.lock();
        let State { settings, streams, .. } = &mut *state;
        let partition = streams.get_mut(stream)?.partitions.get_mut(partition as usize)?;
        let key = key.map(Bytes::copy_from_slice);
        Some(partition.append(key, Bytes::copy_from_slice(value), self.0.clock.now(), settings.gap_every).0)
    }

    /// Everything retained on a stream, by partition and offset. Empty where there is no such stream.
    pub fn messages(&self, stream: &str) -> Vec<Message> {
        let mut state = self.lock();
        let State { settings, streams, .. } = &mut *state;
        let mut messages = Vec::new();
        for (index, partition) in
            streams.get_mut(stream).into_iter().flat_map(|stream| &mut stream.partitions).enumerate()
        {
            partition.expire(settings.oldest(self.0.clock.now()));
            messages.extend(partition.messages().map(|message| Message { partition: index as u32, ..message.clone() }));
        }
        messages
    }

    /// Drops the messages of a partition whose offset is below `before`, as if their retention were over.
    pub fn trim(&self, stream: &str, partition: u32, before: u64) {
        let mut state = self.lock();
        let stream = state.streams.get_mut(stream);
        if let Some(partition) = stream.and_then(|stream| stream.partitions.get_mut(partition as usize)) {
            partition.trim(before);
        }
    }

    /// Empties a stream as if it had been deleted and made again: offsets begin at 0, cursors and groups are gone.
    pub fn recreate(&self, stream: &str) {
        if let Some(stream) = self.lock().streams.get_mut(stream) {
            stream.generation += 1;
            stream.partitions.iter_mut().for_each(|partition| *partition = Partition::default());
            stream.groups.clear();
        }
    }

    /// What went over a stream. Zero where there is no such stream.
    pub fn totals(&self, stream: &str) -> StreamTotals {
        self.lock().streams.get(stream).map(|stream| stream.totals).unwrap_or_default()
    }

    /// The next offset that a consumer group would read of each partition; empty where there is no such group.
    pub fn committed(&self, stream: &str, group: &str) -> Vec<u64> {
        let state = self.lock();
        let group = state.streams.get(stream).and_then(|stream| stream.groups.get(group));
        group.map(|group| group.committed.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamSettings {
    /// The time from which on messages are retained at `now`.
    fn oldest(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(SignedDuration::from_hours(i64::from(self.retention_hours))).unwrap_or(Timestamp::MIN)
    }
}

impl State {
    /// A number for what the service leaves to chance. The sequence is the same in every run.
    fn random(&mut self) -> u64 {
        self.random += 1;
        Rng::of(0x5eed, self.random).next()
    }
}

/// The OCID that a resource of that type gets from its region (an id) and name.
pub(crate) fn named_ocid(kind: &str, region: &str, name: &str) -> String {
    let key = REGIONS.iter().find(|(id, _)| *id == region).map_or(region.to_owned(), |(_, key)| key.to_lowercase());
    let unique = Rng::of(fingerprint(format!("{kind}/{region}/{name}").as_bytes()), 0).base32(52);
    format!("ocid1.{kind}.oc1.{key}.amaaaaaa{unique}")
}

#[cfg(test)]
mod tests;
