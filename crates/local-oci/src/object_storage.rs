//! Object Storage: buckets and objects in memory.

mod list;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::md5::md5;
use crate::rng::Rng;

pub(crate) use wire::serve;

/// All buckets of the tenancy.
#[derive(Debug)]
pub struct ObjectStorage {
    clock: Clock,
    namespace: String,
    home: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    etags: Rng,
    rename_gap: Option<Duration>,
}

#[derive(Debug)]
struct Bucket {
    region: String,
    time_created: Timestamp,
    objects: BTreeMap<String, Object>,
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
    pub(crate) fn new(clock: Clock, seed: u64, namespace: &str, home: &str) -> Self {
        let etags = Rng::of(seed, u64::MAX - 5);
        let state = Mutex::new(State { buckets: BTreeMap::new(), etags, rename_gap: None });
        Self { clock, namespace: namespace.to_owned(), home: home.to_owned(), state }
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
        let bucket = Bucket { region: region.to_owned(), time_created, objects: BTreeMap::new() };
        self.lock().buckets.entry(name.to_owned()).or_insert(bucket);
    }

    /// The names in a bucket, sorted; none where there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        self.lock().buckets.get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The bytes of an object.
    pub fn get(&self, bucket: &str, object: &str) -> Option<Bytes> {
        Some(self.lock().buckets.get(bucket)?.objects.get(object)?.bytes.clone())
    }

    /// Puts an object as if somebody else had. Gives its etag; `None` where there is no such bucket.
    pub fn put(&self, bucket: &str, object: &str, bytes: impl Into<Bytes>) -> Option<String> {
        let now = self.clock.now();
        let mut state = self.lock();
        let object_type = vec![("content-type".to_owned(), "application/octet-stream".to_owned())];
        let made = state.object(bytes.into(), object_type, now);
        let etag = made.etag.clone();
        state.buckets.get_mut(bucket)?.objects.insert(object.to_owned(), made);
        Some(etag)
    }

    /// Deletes an object as if somebody else had. Whether it was there.
    pub fn delete(&self, bucket: &str, object: &str) -> bool {
        self.lock().buckets.get_mut(bucket).is_some_and(|bucket| bucket.objects.remove(object).is_some())
    }

    /// Puts a gap between a rename's check and its effect: renames of one source that meet in it all succeed. That a
    /// rename is atomic is not documented. `None`, the default, is atomic.
    pub fn set_rename_gap(&self, gap: Option<Duration>) {
        self.lock().rename_gap = gap;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new object with an etag of its own: a UUID, unrelated to the content.
    fn object(&mut self, bytes: Bytes, headers: Vec<(String, String)>, now: Timestamp) -> Object {
        let (md5, etag) = (md5(&bytes), Self::new_etag(&mut self.etags));
        Object { bytes, md5, etag, headers, time_created: now, time_modified: now }
    }

    fn new_etag(etags: &mut Rng) -> String {
        let (high, low) = (etags.next(), etags.next());
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", (low >> 50) | 0x8000, low & 0xffff_ffff_ffff)
    }
}
