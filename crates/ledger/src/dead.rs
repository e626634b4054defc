//! Dead letters: records that no further attempt can deliver, with their bytes and the reason.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use oci_client::Precondition;
use serde::Serialize;

use crate::{Deadline, Error, Ledger, error::refusal, state::to_json};

/// One record that was refused for good.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Who refused it: a destination, or `fetch` for what could not be put on the stream.
    pub destination: String,
    /// Names the record for good, so that a repeat finds its first letter: batch and place in it.
    pub key: String,
    /// Why, in the words of who refused it.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The first try, by the service's clock.
    pub first_try: Timestamp,
    /// The last.
    pub last_try: Timestamp,
    /// The record as received.
    pub record: Bytes,
}

#[derive(Serialize)]
struct Letter<'a> {
    v: u8,
    destination: &'a str,
    reason: &'a str,
    attempts: u32,
    first_try: Timestamp,
    last_try: Timestamp,
    bytes: String,
}

impl Ledger {
    /// Lays down a dead letter; one that lies there already stays as it is.
    ///
    /// # Errors
    /// Where it cannot be written: then the record is still owed.
    pub async fn bury(&self, letter: &DeadLetter, deadline: Deadline) -> Result<(), Error> {
        let date = letter.last_try.strftime("%Y-%m-%d");
        let name = format!("dead/{date}/{}/{}", letter.destination, letter.key);
        let body = to_json(
            &name,
            &Letter {
                v: 1,
                destination: &letter.destination,
                reason: &letter.reason,
                attempts: letter.attempts,
                first_try: letter.first_try,
                last_try: letter.last_try,
                bytes: STANDARD.encode(&letter.record),
            },
        )?;
        match self.bucket.put(&name, body, Precondition::IfNoneMatch, deadline).await {
            Ok(_) => Ok(()),
            Err(error) if refusal(&error).is_precondition_failed() => Ok(()),
            Err(error) => Err(Error::bucket("write", &name)(error)),
        }
    }
}
