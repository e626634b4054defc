//! Destinations that are down: each gets one probe a run, and more with each probe that it takes.
//!
//! ```text
//! hush/<destination>~<level>
//! ```
//! The marker lies between `held/` and `owed/`, so that the one listing of a run shows it at no cost. It is advice: without
//! one everything is rung, with a stale one a destination gets less than it could until its next probe.

use oci_client::Precondition;
use pipeline::Destination;

use crate::{Deadline, Error, Ledger, error::refusal};

/// The level from which on nothing is held back any more.
const LEVELS: u8 = 4;

impl Ledger {
    /// Notes that a destination is down.
    ///
    /// # Errors
    /// Where the marker cannot be written: then it is rung like any other.
    pub async fn hush(&self, destination: &Destination, deadline: Deadline) -> Result<(), Error> {
        let name = name(destination, 0);
        let body = bytes::Bytes::from_static(b"{}");
        match self.bucket.put(&name, body, Precondition::IfNoneMatch, deadline).await {
            Ok(_) => Ok(()),
            Err(error) if refusal(&error).is_precondition_failed() => Ok(()),
            Err(error) => Err(Error::bucket("write", &name)(error)),
        }
    }

    /// Notes that a destination took a whole probe of `level`: it gets more next time, and beyond the last level
    /// everything.
    ///
    /// # Errors
    /// Where the marker cannot be changed: then it gets a probe of this level once more.
    pub async fn relieve(&self, destination: &Destination, level: u8, deadline: Deadline) -> Result<(), Error> {
        let from = name(destination, level);
        let outcome = match level.checked_add(1).filter(|next| *next < LEVELS) {
            Some(next) => self.bucket.rename(&from, &name(destination, next), true, deadline).await.map(drop),
            None => self.bucket.delete(&from, None, deadline).await,
        };
        match outcome {
            Ok(()) => Ok(()),
            // Somebody else was faster.
            Err(error) if refusal(&error).is_object_not_found() => Ok(()),
            Err(error) if refusal(&error).is_precondition_failed() => {
                match self.bucket.delete(&from, None, deadline).await {
                    Ok(()) => Ok(()),
                    Err(error) if refusal(&error).is_object_not_found() => Ok(()),
                    Err(error) => Err(Error::bucket("delete", &from)(error)),
                }
            }
            Err(error) => Err(Error::bucket("change", &from)(error)),
        }
    }
}

fn name(destination: &Destination, level: u8) -> String {
    format!("hush/{destination}~{level}")
}

pub(crate) fn parse(name: &str) -> Option<(Destination, u8)> {
    let (destination, level) = name.strip_prefix("hush/")?.split_once('~')?;
    Some((destination.parse().ok()?, level.parse().ok()?))
}
