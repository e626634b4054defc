//! The receipts of log files: whether one is done, how far it is, and the bytes that are kept of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_client::{ListObjects, Precondition};
use pipeline::{Destination, FileTally, ObjectKey, Receipt, SeenObject, Stage};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Deadline, Error, Ledger, Swapped, Versioned, error::refusal, state::to_json};

/// The largest part of a file that is kept as one object.
pub const KEPT_PART_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A receipt names one file and holds the beginning of one record.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Fourteen days of the files of some thirty-five connectors.
const LISTED_MAX: usize = 100_000;

/// The files of one destination that wait, are worked on, or are done.
#[derive(Debug, Clone, Default)]
pub struct ObjectWork {
    /// What waits; a file may have more than one receipt.
    pub owed: BTreeMap<ObjectKey, Receipt>,
    /// What somebody works on.
    pub held: BTreeMap<ObjectKey, Receipt>,
    /// What is done, and what became of it.
    pub seen: BTreeMap<ObjectKey, FileTally>,
}

impl ObjectWork {
    /// Whether anything is known of the file.
    pub fn knows(&self, key: &ObjectKey) -> bool {
        self.owed.contains_key(key) || self.held.contains_key(key) || self.seen.contains_key(key)
    }
}

impl Ledger {
    /// All log files of `destination` that the ledger knows.
    ///
    /// # Errors
    /// Where the bucket cannot be listed, or holds more than can be looked through.
    pub async fn objects(&self, destination: &Destination, deadline: Deadline) -> Result<ObjectWork, Error> {
        let mut work = ObjectWork::default();
        // In the order in which a receipt travels, so that one that moves on meanwhile is met in its next place; and the
        // first once more for one that was given back.
        for folder in ["owed", "held", "seen", "owed"] {
            let prefix = format!("{folder}/object/{destination}/");
            for name in self.names(&prefix, deadline).await? {
                if let Ok(seen) = name.parse::<SeenObject>() {
                    work.seen.insert(seen.key, seen.tally);
                } else if let Ok(receipt) = name.parse::<Receipt>()
                    && let Stage::Object(_, key) = &receipt.stage
                {
                    let place = if folder == "owed" { &mut work.owed } else { &mut work.held };
                    place.insert(key.clone(), receipt);
                }
            }
        }
        Ok(work)
    }

    /// What became of a log file, where all its records are settled.
    ///
    /// # Errors
    /// Where the bucket cannot be listed.
    pub async fn seen_object(
        &self,
        destination: &Destination,
        key: &ObjectKey,
        deadline: Deadline,
    ) -> Result<Option<FileTally>, Error> {
        let names = self.names(&format!("{}{key}~", SeenObject::folder(destination)), deadline).await?;
        Ok(names.iter().find_map(|name| name.parse::<SeenObject>().ok()).map(|seen| seen.tally))
    }

    /// All receipts of a log file, owed or held. One that changes its place meanwhile is met in one of them.
    ///
    /// # Errors
    /// Where the bucket cannot be listed.
    pub async fn object_receipts(
        &self,
        destination: &Destination,
        key: &ObjectKey,
        deadline: Deadline,
    ) -> Result<Vec<Receipt>, Error> {
        let prefix = |folder| format!("{folder}/object/{destination}/{key}~");
        let mut receipts = Vec::new();
        // Whichever way it goes, owed to held or back, it is in a place that is still to be listed.
        for folder in ["held", "owed", "held"] {
            let names = self.names(&prefix(folder), deadline).await?;
            receipts.extend(names.iter().filter_map(|name| name.parse::<Receipt>().ok()));
        }
        Ok(receipts)
    }

    /// What a log file's receipt holds; `None` where it is not there under that name.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn object_body<T: DeserializeOwned>(
        &self,
        receipt: &Receipt,
        deadline: Deadline,
    ) -> Result<Option<Versioned<T>>, Error> {
        let name = receipt.to_string();
        match self.bucket.get(&name, BODY_MAX_BYTES, deadline).await {
            Ok(object) => {
                let value = serde_json::from_slice(&object.body).map_err(|source| Error::Corrupt { name, source })?;
                Ok(Some(Versioned { value, etag: object.etag, read_at: object.date }))
            }
            Err(error) if error.is_object_not_found() => Ok(None),
            Err(error) => Err(Error::bucket("read", &name)(error)),
        }
    }

    /// Notes in a held receipt how far its work is, over the version `etag`. [`Swapped::Lost`] where somebody else has it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn note_progress(
        &self,
        held: &Receipt,
        body: &(impl Serialize + Sync),
        etag: &str,
        deadline: Deadline,
    ) -> Result<Swapped, Error> {
        let name = held.to_string();
        let swapped = self.swap(&name, body, Some(etag), deadline).await?;
        if swapped != Swapped::Lost {
            return Ok(swapped);
        }
        // A write whose answer was lost to an earlier call of this function is refused like somebody else's.
        let ours = to_json(&name, body)?;
        match self.bucket.get(&name, BODY_MAX_BYTES, deadline).await {
            Ok(object) if object.body == ours => Ok(Swapped::Written(object.etag)),
            Ok(_) => Ok(Swapped::Lost),
            Err(error) if error.is_object_not_found() => Ok(Swapped::Lost),
            Err(error) => Err(Error::bucket("read", &name)(error)),
        }
    }

    /// All records of a log file are settled: its receipt is kept under `seen/`, where a second event finds it. False where
    /// somebody else has taken the receipt, and the file is not done before that one says so.
    ///
    /// # Errors
    /// Where that cannot be written; the work will be done once more.
    pub async fn finish_object(&self, held: &Receipt, tally: FileTally, deadline: Deadline) -> Result<bool, Error> {
        let Stage::Object(destination, key) = &held.stage else {
            return self.replace(held, deadline).await.map(|()| true);
        };
        let seen = SeenObject { destination: destination.clone(), key: key.clone(), tally };
        let is_seen = self.keep_as_seen(held, &seen.to_string(), deadline).await?;
        Ok(is_seen || self.seen_object(destination, key, deadline).await?.is_some())
    }

    /// Keeps a part of a log file's bytes, those from `offset` on, at most [`KEPT_PART_MAX_BYTES`]. One that is kept already
    /// stays.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn keep_part(
        &self,
        destination: &Destination,
        key: &ObjectKey,
        offset: u64,
        bytes: Bytes,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let name = kept(destination, key, offset);
        match self.bucket.put(&name, bytes, Precondition::IfNoneMatch, deadline).await {
            Ok(_) => Ok(()),
            // The name says which bytes of which version of the file they are, and all parts but the last are of one length.
            Err(error) if refusal(&error).is_precondition_failed() => Ok(()),
            Err(error) => Err(Error::bucket("write", &name)(error)),
        }
    }

    /// The part of a log file's bytes that begins at `offset`; `None` where it is not kept.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn kept_part(
        &self,
        destination: &Destination,
        key: &ObjectKey,
        offset: u64,
        deadline: Deadline,
    ) -> Result<Option<Bytes>, Error> {
        let name = kept(destination, key, offset);
        match self.bucket.get(&name, KEPT_PART_MAX_BYTES, deadline).await {
            Ok(object) => Ok(Some(object.body)),
            Err(error) if error.is_object_not_found() => Ok(None),
            Err(error) => Err(Error::bucket("read", &name)(error)),
        }
    }

    /// Removes the kept parts of a log file that is delivered: those that begin at these offsets.
    ///
    /// # Errors
    /// Where one cannot be removed; a life-cycle rule or a later call may.
    pub async fn drop_kept(
        &self,
        destination: &Destination,
        key: &ObjectKey,
        offsets: impl Iterator<Item = u64> + Send,
        deadline: Deadline,
    ) -> Result<(), Error> {
        for offset in offsets {
            let name = kept(destination, key, offset);
            match self.bucket.delete(&name, None, deadline).await {
                Ok(()) => {}
                Err(error) if refusal(&error).is_object_not_found() => {}
                Err(error) => return Err(Error::bucket("delete", &name)(error)),
            }
        }
        Ok(())
    }

    /// Where the search for files whose event never came goes on in `bucket`; the start where nothing is noted.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn search_from(
        &self,
        destination: &Destination,
        bucket: &str,
        deadline: Deadline,
    ) -> Result<Option<String>, Error> {
        self.read(&search(destination, bucket), deadline).await
    }

    /// Notes where the search goes on. Two that search at once search twice, no more.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn search_on(
        &self,
        destination: &Destination,
        bucket: &str,
        from: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let name = search(destination, bucket);
        let body = to_json(&name, &from.unwrap_or_default())?;
        self.bucket.put(&name, body, Precondition::None, deadline).await.map_err(Error::bucket("write", &name))?;
        Ok(())
    }

    /// All names under `prefix`.
    async fn names(&self, prefix: &str, deadline: Deadline) -> Result<Vec<String>, Error> {
        let range = ListObjects { prefix: Some(prefix.to_owned()), ..ListObjects::default() };
        let listing =
            self.bucket.list_all(&range, LISTED_MAX, deadline).await.map_err(Error::bucket("list", prefix))?;
        if listing.next_start_with.is_some() {
            return Err(Error::TooMany { prefix: prefix.to_owned() });
        }
        Ok(listing.objects.into_iter().map(|object| object.name).collect())
    }
}

/// The folder in which the bytes of a log file are kept.
pub fn kept_folder(destination: &Destination, key: &ObjectKey) -> String {
    format!("kept/object/{destination}/{key}/")
}

fn kept(destination: &Destination, key: &ObjectKey, offset: u64) -> String {
    format!("{}{offset:015}", kept_folder(destination, key))
}

fn search(destination: &Destination, bucket: &str) -> String {
    format!("search/{destination}/{bucket}")
}
