//! Dead letters: records that no further attempt can deliver, with their bytes and the reason.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use oci_client::{ListObjects, Precondition};
use pipeline::{ObjectKey, Window};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize, de::Error as _};

use crate::{Deadline, Error, Ledger, Versioned, error::refusal, state::to_json};

/// The largest record that ship reads, 16 MiB, in base64, and room for the rest of the letter.
const LETTER_MAX_BYTES: usize = 24 * 1024 * 1024;

/// How often a letter that others change at the same time is read anew.
const RESOLVE_ATTEMPTS: u32 = 5;

/// One record that was refused for good. Its place is `dead/<date>/<destination>/<key>`, and none of the three tells when
/// it was refused: a repeat finds the first letter, whatever the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The day, UTC, of the first minute of the window that the record was listed in.
    pub date: Date,
    /// Who refused it: a destination, or `fetch` for what could not be put on the stream.
    pub destination: String,
    /// Names the record for good.
    pub key: String,
    /// The destinations that have not got it.
    pub owed_to: Vec<String>,
    /// Where it was listed, for an audit event does not say so itself.
    pub region: Option<String>,
    /// Why, in the words of who refused it last.
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

/// How the letters of a log file are named: `object.<file>.<place>.<hash>`, and `object.<file>.rest`.
const OF_A_FILE: &str = "object.";
const REST: &str = ".rest";

/// The key of the letter of one item of a log file: its place among all of them, and its hash, for with other settings, or
/// from another place on, a file may be cut into other items.
pub fn item_letter(file: &ObjectKey, place: u64, item: &[u8]) -> String {
    let hash: String = sha256_hex(item).chars().take(8).collect();
    format!("{OF_A_FILE}{file}.{place:09}.{hash}")
}

/// The key of the letter that stands for what is left of a log file.
pub fn rest_letter(file: &ObjectKey) -> String {
    format!("{OF_A_FILE}{file}{REST}")
}

impl DeadLetter {
    /// Whether it stands for bytes that lie elsewhere, as the rest of a log file does: it is no record to be sent.
    pub fn is_pointer(&self) -> bool {
        self.key.starts_with(OF_A_FILE) && self.key.ends_with(REST)
    }

    /// The object that it is.
    pub fn name(&self) -> String {
        format!("dead/{}/{}/{}", self.date, self.destination, self.key)
    }
}

/// Where a record lies whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// The object.
    pub object: String,
    /// The record's SHA-256, as hexadecimal digits.
    pub sha256: String,
}

/// A letter of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterEntry {
    /// The object.
    pub name: String,
    /// Its length, where the service says so; the record has about three quarters of it.
    pub bytes: Option<u64>,
}

/// One page of a listing of letters; it may be empty and yet not be the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LetterPage {
    /// The letters, by name.
    pub letters: Vec<LetterEntry>,
    /// Where the next page begins; none behind the last.
    pub next: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Letter<'a> {
    v: u8,
    destination: &'a str,
    /// Letters written before this was are owed to whom they name.
    #[serde(default)]
    owed_to: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    reason: String,
    attempts: u32,
    first_try: Timestamp,
    last_try: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(borrow)]
    bytes: Cow<'a, str>,
}

/// The day under which the letters of a window lie.
pub fn letter_date(window: Window) -> Date {
    window.from().start().to_zoned(TimeZone::UTC).date()
}

impl Ledger {
    /// The namespace of the state bucket.
    pub fn namespace(&self) -> &str {
        self.bucket.namespace()
    }

    /// The name of the state bucket.
    pub fn bucket_name(&self) -> &str {
        self.bucket.name()
    }

    /// Lays down a dead letter. One that lies there already keeps its record, whose hash is given back, and is owed to the
    /// destinations of this one, too.
    ///
    /// # Errors
    /// Where it cannot be written: then the record is still owed.
    pub async fn bury(&self, letter: &DeadLetter, deadline: Deadline) -> Result<Buried, Error> {
        let name = letter.name();
        let sha256 = sha256_hex(&letter.record);
        for _ in 0..RESOLVE_ATTEMPTS {
            match self.bucket.put(&name, body(&name, letter, &sha256)?, Precondition::IfNoneMatch, deadline).await {
                Ok(_) => return Ok(Buried { object: name, sha256 }),
                Err(error) if refusal(&error).is_precondition_failed() => {}
                Err(error) => return Err(Error::bucket("write", &name)(error)),
            }
            let mut found = match self.letter(&name, deadline).await {
                Ok(Some(found)) => found,
                // Sent again in between.
                Ok(None) => continue,
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::error!(
                        name,
                        error = &error as &dyn std::error::Error,
                        "the letter that lies there is damaged"
                    );
                    return Ok(Buried { object: name, sha256 });
                }
                Err(error) => return Err(error),
            };
            let missing: Vec<_> =
                letter.owed_to.iter().filter(|owed| !found.value.owed_to.contains(owed)).cloned().collect();
            let sha256 = sha256_hex(&found.value.record);
            if missing.is_empty() {
                return Ok(Buried { object: name, sha256 });
            }
            found.value.owed_to.extend(missing);
            if self.overwrite(&found, deadline).await? {
                return Ok(Buried { object: name, sha256 });
            }
        }
        Err(Error::Contended { name })
    }

    /// The letters of these destinations (`fetch` for what could not be put), of one day or of all, from the name `from` on:
    /// at most 1,000 objects are looked at, and [`LetterPage::next`] goes on.
    ///
    /// # Errors
    /// Where the bucket cannot be listed.
    pub async fn letters(
        &self,
        destinations: &[&str],
        date: Option<Date>,
        from: Option<&str>,
        deadline: Deadline,
    ) -> Result<LetterPage, Error> {
        let prefix = date.map_or_else(|| "dead/".to_owned(), |date| format!("dead/{date}/"));
        let range = ListObjects {
            prefix: Some(prefix.clone()),
            start: from.map(str::to_owned),
            with_times: true,
            ..ListObjects::default()
        };
        let listing = self.bucket.list(&range, deadline).await.map_err(Error::bucket("list", &prefix))?;
        let is_wanted = |name: &str| place(name).is_some_and(|(_, whose, _)| destinations.contains(&whose));
        let letters = (listing.objects.into_iter())
            .filter(|object| is_wanted(&object.name))
            .map(|object| LetterEntry { name: object.name, bytes: object.size })
            .collect();
        Ok(LetterPage { letters, next: listing.next_start_with })
    }

    /// One letter, checked against its hash; `None` where there is none of that name.
    ///
    /// # Errors
    /// Where it cannot be read; [`Error::Corrupt`] where it is no letter, or not as it was written.
    pub async fn letter(&self, name: &str, deadline: Deadline) -> Result<Option<Versioned<DeadLetter>>, Error> {
        let object = match self.bucket.get(name, LETTER_MAX_BYTES, deadline).await {
            Ok(object) => object,
            Err(error) if error.is_object_not_found() => return Ok(None),
            Err(error) => return Err(Error::bucket("read", name)(error)),
        };
        let value = read(name, &object.body).map_err(|source| Error::Corrupt { name: name.to_owned(), source })?;
        Ok(Some(Versioned { value, etag: object.etag, read_at: object.date }))
    }

    /// `destination` has the record: the letter goes, or stays for the other destinations that have not.
    ///
    /// # Errors
    /// Where it cannot be written or removed: then the record would be sent once more.
    pub async fn resolve(
        &self,
        letter: &Versioned<DeadLetter>,
        destination: &str,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let name = letter.value.name();
        let mut letter = letter.clone();
        let mut attempts = 1;
        loop {
            letter.value.owed_to.retain(|owed| owed != destination);
            if letter.value.owed_to.is_empty() {
                match self.bucket.delete(&name, Some(&letter.etag), deadline).await {
                    Ok(()) => return Ok(()),
                    Err(error) if refusal(&error).is_object_not_found() => return Ok(()),
                    Err(error) if refusal(&error).is_precondition_failed() => {}
                    Err(error) => return Err(Error::bucket("delete", &name)(error)),
                }
            }
            let is_written = !letter.value.owed_to.is_empty() && self.overwrite(&letter, deadline).await?;
            match is_written {
                true => return Ok(()),
                // Another destination has it, too, or has refused it again.
                false if attempts < RESOLVE_ATTEMPTS => match self.letter(&name, deadline).await? {
                    Some(changed) => letter = changed,
                    None => return Ok(()),
                },
                false => return Err(Error::Contended { name }),
            }
            attempts += 1;
        }
    }

    /// A letter that was sent again was refused again: counts the attempt and keeps the newest reason, under the same name.
    /// Where somebody else has changed or removed the letter meanwhile, that stands.
    ///
    /// # Errors
    /// Where it cannot be written; the letter stays as it was.
    pub async fn refuse_again(
        &self,
        letter: &Versioned<DeadLetter>,
        reason: &str,
        last_try: Timestamp,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let mut letter = letter.clone();
        letter.value.attempts = letter.value.attempts.saturating_add(1);
        letter.value.last_try = last_try;
        reason.clone_into(&mut letter.value.reason);
        self.overwrite(&letter, deadline).await.map(drop)
    }

    /// Writes a letter over the version that was read; whether that was still there.
    async fn overwrite(&self, letter: &Versioned<DeadLetter>, deadline: Deadline) -> Result<bool, Error> {
        let name = letter.value.name();
        let body = body(&name, &letter.value, &sha256_hex(&letter.value.record))?;
        match self.bucket.put(&name, body, Precondition::IfMatch(letter.etag.clone()), deadline).await {
            Ok(_) => Ok(true),
            // Also where our own write's answer was lost; who must know reads it.
            Err(error) if refusal(&error).is_precondition_failed() || refusal(&error).is_object_not_found() => {
                Ok(false)
            }
            Err(error) => Err(Error::bucket("write", &name)(error)),
        }
    }
}

/// The SHA-256 of `bytes`, as 64 lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
        text
    })
}

/// Date, destination and key of the name of a letter.
fn place(name: &str) -> Option<(Date, &str, &str)> {
    let (date, rest) = name.strip_prefix("dead/")?.split_once('/')?;
    let (destination, key) = rest.split_once('/')?;
    (!key.is_empty()).then_some((date.parse().ok()?, destination, key))
}

fn body(name: &str, letter: &DeadLetter, sha256: &str) -> Result<Bytes, Error> {
    let written = Letter {
        v: 1,
        destination: &letter.destination,
        owed_to: letter.owed_to.clone(),
        region: letter.region.clone(),
        reason: letter.reason.clone(),
        attempts: letter.attempts,
        first_try: letter.first_try,
        last_try: letter.last_try,
        sha256: Some(sha256.to_owned()),
        bytes: STANDARD.encode(&letter.record).into(),
    };
    to_json(name, &written)
}

fn read(name: &str, body: &[u8]) -> Result<DeadLetter, serde_json::Error> {
    let letter: Letter<'_> = serde_json::from_slice(body)?;
    let (date, destination, key) = place(name).ok_or_else(|| serde_json::Error::custom("not the name of a letter"))?;
    let record =
        STANDARD.decode(letter.bytes.as_ref()).map_err(|_| serde_json::Error::custom("bytes is not base64"))?;
    if letter.sha256.is_some_and(|sha256| sha256 != sha256_hex(&record)) {
        return Err(serde_json::Error::custom("bytes is not what sha256 says"));
    }
    let owed_to = if letter.owed_to.is_empty() { vec![destination.to_owned()] } else { letter.owed_to };
    Ok(DeadLetter {
        date,
        destination: destination.to_owned(),
        key: key.to_owned(),
        owed_to,
        region: letter.region,
        reason: letter.reason,
        attempts: letter.attempts,
        first_try: letter.first_try,
        last_try: letter.last_try,
        record: record.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_letter_lies_under_the_day_of_its_window() {
        for (window, expected) in
            [("20260105T2359Z-20260106T0004Z", "2026-01-05"), ("20260106T0000Z-20260106T0005Z", "2026-01-06")]
        {
            assert_eq!(letter_date(window.parse().unwrap()).to_string(), expected);
        }
    }
}
