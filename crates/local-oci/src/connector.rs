//! Connector Hub: the tenancy's audit records, in the Logging service's layout, as gzip objects in a bucket.
//!
//! The records are those of the Audit service, own reads included; which of them are written follows from when they were
//! processed. The samples of such files disagree on framing and layout, so both are settings.
//!
//! Source: the reference's section on Logging v2 records and Connector Hub files.

mod file;
mod record;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::LocalOci;
use crate::receiver::fingerprint;
use crate::rng::Rng;
use crate::streaming::named_ocid;

pub use file::Framing;
use record::Record;
pub use record::{Datetime, Layout};

/// What a connector is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorSettings {
    /// The target bucket, in the home region.
    pub bucket: String,
    /// The target's `objectNamePrefix`; empty: none.
    pub prefix: String,
    /// How long a file collects, by the cloud's clock: `batchRolloverTimeInMs`.
    pub rollover: SignedDuration,
    /// How long a file's records may be before the next file of the interval begins: `batchRolloverSizeInMBs`, here in bytes and
    /// before compression (unverified).
    pub rollover_max_bytes: usize,
    /// How long after the Audit service an event reaches the Logging service.
    pub ingestion_lag: SignedDuration,
    /// The query: only records with such a `data.request.action`; empty: all.
    pub actions: Vec<String>,
    /// Bare records, or wrapped ones.
    pub layout: Layout,
    /// How records follow each other.
    pub framing: Framing,
    /// How many gzip members a file has, at least one; they are cut anywhere.
    pub gzip_members: usize,
    /// What the framing's random choices follow from.
    pub seed: u64,
}

impl ConnectorSettings {
    /// The usual values: 420 s or 100 MB a file under `audit/`, all records, bare, one after another, one gzip member.
    pub fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: "audit".to_owned(),
            rollover: SignedDuration::from_secs(420),
            rollover_max_bytes: 100_000_000,
            ingestion_lag: SignedDuration::from_secs(7),
            actions: Vec::new(),
            layout: Layout::Bare,
            framing: Framing::Concatenated,
            gzip_members: 1,
            seed: 1,
        }
    }
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenObject {
    /// Its name.
    pub name: String,
    /// The etag that it was put with.
    pub etag: String,
    /// How many records it holds.
    pub records: usize,
    /// Its bytes, uncompressed.
    pub bytes: usize,
    /// Its bytes as it lies in the bucket.
    pub gzip_bytes: usize,
}

/// A record as it was written, to hold against what arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRecord {
    /// Its `id`, which is the audit event's `eventId`.
    pub id: String,
    /// Which file it is in: its place in [`Connector::objects`].
    pub object: usize,
    /// [`fingerprint`] of the record without white space between its tokens, wrapper included.
    pub record: u64,
    /// The same of its `logContent`; the same number where records are bare.
    pub content: u64,
    /// When the Logging service had it.
    pub ingested: Timestamp,
}

/// A connector, and what it has written. A clone is the same connector.
#[derive(Debug, Clone)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    settings: ConnectorSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What was ingested before is written.
    from: Timestamp,
    objects: Vec<WrittenObject>,
    records: Vec<WrittenRecord>,
}

impl Connector {
    /// A connector that begins with what is ingested at `from`. Makes its bucket, where that is not there.
    pub fn new(cloud: &LocalOci, settings: ConnectorSettings, from: Timestamp) -> Self {
        cloud.storage().create_bucket(&settings.bucket);
        let home = cloud.tenancy().home_region();
        let id = named_ocid("serviceconnector", home, &format!("{}/{}", settings.bucket, settings.prefix));
        let state = State { from, objects: Vec::new(), records: Vec::new() };
        Self(Arc::new(Inner { id, settings, state: Mutex::new(state) }))
    }

    /// Its OCID, which follows from bucket and prefix.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Rolls over at the end of each interval of the cloud's clock, up to `until`, where the last interval is cut short.
    ///
    /// An event is ingested some seconds after it was processed: go on a little longer than the day to have all of it.
    pub async fn run(&self, cloud: &LocalOci, until: Timestamp) {
        loop {
            let from = self.lock().from;
            if from >= until {
                return;
            }
            // An interval of no time would never end.
            let interval = self.0.settings.rollover.max(SignedDuration::from_secs(1));
            let end = from.checked_add(interval).unwrap_or(Timestamp::MAX).min(until);
            cloud.clock().sleep_until(end).await;
            self.roll_over(cloud, end);
        }
    }

    /// Writes what was ingested since the last time and before `until`, which must not lie ahead. Gives the number of files;
    /// without a record there is none.
    pub fn roll_over(&self, cloud: &LocalOci, until: Timestamp) -> usize {
        let _busy = cloud.clock().busy();
        let mut state = self.lock();
        let (settings, from) = (&self.0.settings, state.from);
        state.from = until.max(from);
        let before = |at: Timestamp| at.checked_sub(settings.ingestion_lag).unwrap_or(Timestamp::MIN);
        let mut files: Vec<Vec<Record>> = Vec::new();
        let mut bytes = usize::MAX;
        for event in cloud.audit().processed(before(from), before(until)) {
            let ingested = event.processed.checked_add(settings.ingestion_lag).unwrap_or(event.processed);
            let record = Record::of(&event, cloud.tenancy().id(), ingested, settings.layout);
            if !settings.actions.is_empty() && !settings.actions.contains(&record.action) {
                continue;
            }
            bytes = bytes.saturating_add(record.text.len());
            match files.last_mut().filter(|_| bytes <= settings.rollover_max_bytes) {
                Some(file) => file.push(record),
                None => {
                    bytes = record.text.len();
                    files.push(vec![record]);
                }
            }
        }
        for (number, records) in files.iter().enumerate() {
            self.write(cloud, &mut state, records, &self.name(from, until, number));
        }
        files.len()
    }

    /// The files so far, in order.
    pub fn objects(&self) -> Vec<WrittenObject> {
        self.lock().objects.clone()
    }

    /// The records so far, in order.
    pub fn records(&self) -> Vec<WrittenRecord> {
        self.lock().records.clone()
    }

    fn name(&self, from: Timestamp, until: Timestamp, number: usize) -> String {
        let time = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let prefix = &self.0.settings.prefix;
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{prefix}{slash}{}/{}_{}.{number}.log.gz", self.0.id, time(from), time(until))
    }

    fn write(&self, cloud: &LocalOci, state: &mut State, records: &[Record], name: &str) {
        let settings = &self.0.settings;
        let object = state.objects.len();
        let body = settings.framing.body(records, &mut Rng::of(settings.seed, object as u64));
        let packed = file::packed(&body, settings.gzip_members);
        let (bytes, gzip_bytes, records_in) = (body.len(), packed.len(), records.len());
        // The bucket was made with the connector, and nothing takes a bucket away.
        let etag = cloud.storage().put(&settings.bucket, name, packed).unwrap_or_default();
        state.objects.push(WrittenObject { name: name.to_owned(), etag, records: records_in, bytes, gzip_bytes });
        state.records.extend(records.iter().map(|record| WrittenRecord {
            id: record.id.clone(),
            object,
            record: fingerprint(record.text.as_bytes()),
            content: record.content,
            ingested: record.ingested,
        }));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
