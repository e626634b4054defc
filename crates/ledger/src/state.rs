//! The two objects that are changed by compare-and-set: positions and scopes.

use bytes::Bytes;
use jiff::Timestamp;
use oci_client::{ListObjects, Precondition};
use pipeline::{Positions, Scopes};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Deadline, Error, Ledger, error::refusal};

const POSITIONS: &str = "positions.json";
const SCOPES: &str = "scopes.json";

/// What the audit pipeline leaves, dead letters aside: windows begin with a year. Log files come and go without a position.
const AUDITS: [&str; 8] =
    ["owed/fetch/", "owed/ship/", "held/fetch/", "held/ship/", "seen/2", "seen/backfill.", "proof/", SCOPES];

/// What anybody of us leaves.
const OURS: [&str; 9] = ["owed/", "held/", "hush/", "seen/", "dead/", "proof/", "kept/", "search/", SCOPES];

/// 20 regions × 10,000 compartments take about 2 MB.
const STATE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A value and the version that it was read at.
#[derive(Debug, Clone)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// What the next write must find.
    pub etag: String,
    /// The service's time at the reading; none where it gave none that can be right.
    pub read_at: Option<Timestamp>,
}

/// What lies in the bucket, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// There are objects of the audit pipeline, which has a position.
    pub ledger: bool,
    /// There are others.
    pub foreign: bool,
}

/// What came of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// Written; the new version.
    Written(String),
    /// Somebody else was first.
    Lost,
}

impl Ledger {
    /// The planner's position; `None` before the first run.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn positions(&self, deadline: Deadline) -> Result<Option<Versioned<Positions>>, Error> {
        self.read_state(POSITIONS, deadline).await
    }

    /// Replaces the position that was read at `previous`; `None` creates it.
    ///
    /// # Errors
    /// Where it cannot be written; a lost race is no error.
    pub async fn swap_positions(
        &self,
        next: &Positions,
        previous: Option<&str>,
        deadline: Deadline,
    ) -> Result<Swapped, Error> {
        self.swap(POSITIONS, next, previous, deadline).await
    }

    /// The known scopes; `None` before the first run.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn scopes(&self, deadline: Deadline) -> Result<Option<Versioned<Scopes>>, Error> {
        self.read_state(SCOPES, deadline).await
    }

    /// Replaces the scopes that were read at `previous`; `None` creates them.
    ///
    /// # Errors
    /// Where they cannot be written; a lost race is no error.
    pub async fn swap_scopes(
        &self,
        next: &Scopes,
        previous: Option<&str>,
        deadline: Deadline,
    ) -> Result<Swapped, Error> {
        self.swap(SCOPES, next, previous, deadline).await
    }

    /// Whether the bucket holds a ledger, or anything else; the position itself does not count.
    ///
    /// # Errors
    /// Where it cannot be listed.
    pub async fn contents(&self, deadline: Deadline) -> Result<Contents, Error> {
        let failed = |prefix: &str| Error::bucket("list", prefix);
        let mut contents = Contents::default();
        for prefix in AUDITS {
            let one = ListObjects { prefix: Some(prefix.into()), limit: Some(1), ..ListObjects::default() };
            contents.ledger |= !self.bucket.list(&one, deadline).await.map_err(failed(prefix))?.objects.is_empty();
        }
        let letters = ListObjects { prefix: Some("dead/".into()), ..ListObjects::default() };
        let letters = self.bucket.list(&letters, deadline).await.map_err(failed("dead/"))?;
        contents.ledger |= letters.objects.iter().any(|letter| !is_of_log_file(&letter.name));
        let all = self.bucket.list(&ListObjects::default(), deadline).await.map_err(failed("the bucket"))?;
        let ours = |name: &str| name == POSITIONS || OURS.iter().any(|prefix| name.starts_with(prefix));
        contents.foreign = all.objects.iter().any(|object| !ours(&object.name));
        Ok(contents)
    }

    async fn read_state<T: DeserializeOwned>(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Versioned<T>>, Error> {
        match self.bucket.get(name, STATE_MAX_BYTES, deadline).await {
            Ok(object) => {
                let value = serde_json::from_slice(&object.body)
                    .map_err(|source| Error::Corrupt { name: name.to_owned(), source })?;
                Ok(Some(Versioned { value, etag: object.etag, read_at: object.date }))
            }
            Err(error) if error.is_object_not_found() => Ok(None),
            Err(error) => Err(Error::bucket("read", name)(error)),
        }
    }

    pub(crate) async fn swap(
        &self,
        name: &str,
        next: &impl Serialize,
        previous: Option<&str>,
        deadline: Deadline,
    ) -> Result<Swapped, Error> {
        let body = to_json(name, next)?;
        let precondition = previous.map_or(Precondition::IfNoneMatch, |etag| Precondition::IfMatch(etag.to_owned()));
        match self.bucket.put(name, body.clone(), precondition, deadline).await {
            Ok(put) => Ok(Swapped::Written(put.etag)),
            // The answer to our own write was lost, and the repeat was refused: what lies there tells whose it is.
            Err(error) if error.is_outcome_unknown() && refusal(&error).is_precondition_failed() => {
                match self.bucket.get(name, STATE_MAX_BYTES, deadline).await {
                    Ok(object) if object.body == body => Ok(Swapped::Written(object.etag)),
                    Ok(_) => Ok(Swapped::Lost),
                    Err(error) => Err(Error::bucket("read", name)(error)),
                }
            }
            Err(error) if error.is_precondition_failed() => Ok(Swapped::Lost),
            // An if-match on an object that is gone.
            Err(error) if error.is_object_not_found() => Ok(Swapped::Lost),
            Err(error) => Err(Error::bucket("write", name)(error)),
        }
    }
}

/// Whether a dead letter comes from a log file.
fn is_of_log_file(letter: &str) -> bool {
    letter.split('/').next_back().is_some_and(|key| key.starts_with("object."))
}

pub(crate) fn to_json(name: &str, value: &impl Serialize) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(value).map_err(|source| Error::Corrupt { name: name.to_owned(), source })?;
    Ok(body.into())
}
