//! Object Storage: buckets and objects in memory.

mod lifecycle;
mod list;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::cloud::Cloud;
use crate::events;
use crate::md5::md5;
use crate::rng::Rng;

pub use lifecycle::LifecycleRule;
pub(crate) use wire::serve;

/// All buckets of the tenancy.
#[derive(Debug)]
pub struct ObjectStorage {
    cloud: Weak<Cloud>,
    clock: Clock,
    namespace: String,
    home: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    making: Making,
    rename_gap: Option<Duration>,
}

/// What a change needs beside its bucket.
#[derive(Debug)]
struct Making {
    etags: Rng,
    /// What the Events service is still to be told.
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Bucket {
    name: String,
    region: String,
    /// Its OCID; `None` is the root.
    compartment: Option<String>,
    emits_events: bool,
    lifecycle: Vec<LifecycleRule>,
    time_created: Timestamp,
    objects: BTreeMap<String, Object>,
}

/// A change of an object in a bucket that emits events.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) cause: Cause,
    pub(crate) bucket: String,
    pub(crate) region: String,
    /// The bucket's compartment; `None` is the root.
    pub(crate) compartment: Option<String>,
    pub(crate) object: String,
    pub(crate) etag: String,
    pub(crate) at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Created,
    Overwritten,
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// PutObject and DeleteObject, on the wire or not.
    Call,
    Rename,
    Lifecycle,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    md5: [u8; 16],
    etag: String,
    /// `content-type`, `content-encoding`, `cache-control`, `opc-meta-…`: given back as they came.
    headers: Vec<(String, String)>,
    time_created: Timestamp,
    time_modified: Timestamp,
}

impl ObjectStorage {
    pub(crate) fn new(cloud: Weak<Cloud>, clock: Clock, seed: u64, namespace: &str, home: &str) -> Self {
        let making = Making { etags: Rng::of(seed, u64::MAX - 5), changes: Vec::new() };
        let state = Mutex::new(State { buckets: BTreeMap::new(), making, rename_gap: None });
        Self { cloud, clock, namespace: namespace.to_owned(), home: home.to_owned(), state }
    }

    /// The tenancy's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Makes an empty bucket in the home region; one of that name stays as it is.
    pub fn create_bucket(&self, name: &str) {
        self.create_bucket_in(name, &self.home);
    }

    /// Makes an empty bucket in `region` (an id); one of that name stays as it is.
    pub fn create_bucket_in(&self, name: &str, region: &str) {
        let time_created = self.clock.now();
        let bucket = Bucket {
            name: name.to_owned(),
            region: region.to_owned(),
            compartment: None,
            emits_events: false,
            lifecycle: Vec::new(),
            time_created,
            objects: BTreeMap::new(),
        };
        self.lock().buckets.entry(name.to_owned()).or_insert(bucket);
    }

    /// Moves a bucket, which is made in the root, to a compartment (its OCID): where rules look for its events.
    pub fn move_bucket(&self, bucket: &str, compartment: &str) {
        self.on(bucket, |_, bucket| bucket.compartment = Some(compartment.to_owned()));
    }

    /// Switches "emit object events" of a bucket, which is off at first. While it is on and a rule matches, changes must be
    /// made inside a tokio runtime, from which the events are delivered.
    pub fn set_object_events(&self, bucket: &str, emits_events: bool) {
        self.on(bucket, |_, bucket| bucket.emits_events = emits_events);
    }

    /// Puts these rules in the place of the bucket's life cycle. They are carried out when the bucket is next touched, and by
    /// [`ObjectStorage::tick`].
    pub fn set_lifecycle(&self, bucket: &str, rules: Vec<LifecycleRule>) {
        self.on(bucket, |_, bucket| bucket.lifecycle = rules);
    }

    /// Carries out the life cycle of all buckets as of now.
    pub fn tick(&self) {
        let names: Vec<String> = self.lock().buckets.keys().cloned().collect();
        for name in names {
            self.on(&name, |_, _| ());
        }
    }

    /// The names in a bucket, sorted; none where there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        self.on(bucket, |_, bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The bytes of an object.
    pub fn get(&self, bucket: &str, object: &str) -> Option<Bytes> {
        self.on(bucket, |_, bucket| bucket.objects.get(object).map(|object| object.bytes.clone()))?
    }

    /// The etag of an object.
    pub fn etag(&self, bucket: &str, object: &str) -> Option<String> {
        self.on(bucket, |_, bucket| bucket.objects.get(object).map(|object| object.etag.clone()))?
    }

    /// Puts an object as if somebody else had. Gives its etag; `None` where there is no such bucket.
    pub fn put(&self, bucket: &str, object: &str, bytes: impl Into<Bytes>) -> Option<String> {
        let now = self.clock.now();
        let bytes = bytes.into();
        let digest = md5(&bytes);
        self.on(bucket, |making, bucket| {
            let etag = making.etag();
            let headers = vec![("content-type".to_owned(), "application/octet-stream".to_owned())];
            let made =
                Object { bytes, md5: digest, etag: etag.clone(), headers, time_created: now, time_modified: now };
            bucket.insert(object, made, Cause::Call, making);
            etag
        })
    }

    /// Deletes an object as if somebody else had. Whether it was there.
    pub fn delete(&self, bucket: &str, object: &str) -> bool {
        let now = self.clock.now();
        let removed = self.on(bucket, |making, bucket| bucket.remove(object, Cause::Call, now, making));
        removed.flatten().is_some()
    }

    /// Puts a gap between a rename's check and its effect: renames of one source that meet in it all succeed. That a
    /// rename is atomic is not documented. `None`, the default, is atomic.
    pub fn set_rename_gap(&self, gap: Option<Duration>) {
        self.lock().rename_gap = gap;
    }

    /// Runs `act` on a bucket whose life cycle has been carried out, and tells the Events service what changed.
    fn on<T>(&self, bucket: &str, act: impl FnOnce(&mut Making, &mut Bucket) -> T) -> Option<T> {
        let now = self.clock.now();
        let mut state = self.lock();
        let State { buckets, making, .. } = &mut *state;
        let result = buckets.get_mut(bucket).map(|bucket| {
            bucket.sweep(now, making);
            act(making, bucket)
        });
        let changes = std::mem::take(&mut making.changes);
        drop(state);
        if let Some(cloud) = self.cloud.upgrade().filter(|_| !changes.is_empty()) {
            changes.iter().for_each(|change| events::emit(&cloud, change));
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Making {
    /// A new etag: a UUID, unrelated to the content.
    fn etag(&mut self) -> String {
        let (high, low) = (self.etags.next(), self.etags.next());
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", (low >> 50) | 0x8000, low & 0xffff_ffff_ffff)
    }
}

impl Bucket {
    fn insert(&mut self, name: &str, object: Object, cause: Cause, making: &mut Making) {
        let (etag, at) = (object.etag.clone(), object.time_modified);
        let replaced = self.objects.insert(name.to_owned(), object);
        let kind = if replaced.is_some() { ChangeKind::Overwritten } else { ChangeKind::Created };
        self.tell(kind, cause, name, &etag, at, making);
    }

    fn remove(&mut self, name: &str, cause: Cause, at: Timestamp, making: &mut Making) -> Option<Object> {
        let removed = self.objects.remove(name)?;
        self.tell(ChangeKind::Deleted, cause, name, &removed.etag, at, making);
        Some(removed)
    }

    fn tell(&self, kind: ChangeKind, cause: Cause, object: &str, etag: &str, at: Timestamp, making: &mut Making) {
        if self.emits_events {
            making.changes.push(Change {
                kind,
                cause,
                bucket: self.name.clone(),
                region: self.region.clone(),
                compartment: self.compartment.clone(),
                object: object.to_owned(),
                etag: etag.to_owned(),
                at,
            });
        }
    }
}
