//! Takes credentials out of an event and leaves every other byte as it was.

mod scan;
mod secret_text;
mod unescape;

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the places come from searches in the same text")]
mod by_the_book;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

use self::{scan::Scan, secret_text::SecretText};
use crate::digest::HmacKey;

/// Members whose values are credentials, or claims that were made with one, wherever they stand.
///
/// Source: the audit events' `data.request.headers`, as observed.
pub const REDACTED_NAMES: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "opc-principal",
    "opc-obo-principal",
    "cookie",
    "set-cookie",
    "x-auth-token",
];

/// Stands for a withheld value where there is no key.
const MARKER: &[u8] = b"[redacted]";
/// Stands before the tag of a withheld value where there is a key.
const TAGGED: &[u8] = b"hmac-sha256:";

/// Withholds credentials of events: the value goes, the event stays.
///
/// Withheld are
///
/// - the values of members named in [`REDACTED_NAMES`] or configured, in any case and at any depth: a string, each element
///   of an array, anything else whole. `null`, `""` and `[]` hold nothing and stay;
/// - every string, be it a value or a name, whose text holds a security token (`ST$…`), a bearer token, a JWT, one of those
///   names before a colon or an equals sign (a header written out, JSON in a string), or a configured text; escapes hide none;
/// - every string that is no proper one, since nobody knows what a reader makes of it: cut off, no UTF-8, or with an escape
///   that does not exist. As a name it may be one of the above, so that its value is withheld, too.
///
/// In place of each stands the string `"[redacted]"` or, with a key, `"hmac-sha256:…"`, by which equal values can be told to
/// be equal and which nobody can guess without the key. What is so already stays, so that a second pass changes nothing.
///
/// Any bytes will do. Where they are no JSON so that it is uncertain which quotes open and which close, the rest is searched as
/// one text, and withheld whole if anything is found. One pass, linear in time; beside the result, memory is that of one string.
pub struct Redactor {
    secrets: SecretText,
    key: Option<HmacKey>,
}

/// An event that may be carried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// Its bytes; the very same where nothing was withheld.
    pub bytes: Bytes,
    /// How many values were withheld.
    pub count: u32,
}

impl Redactor {
    /// Withholds what [`REDACTED_NAMES`] and the token forms name, and besides it the members `names` (in any case) and strings
    /// that hold one of `values` (by their exact bytes). With a `key`, tags stand for the values; it should have 16 bytes or
    /// more, for with a short one the values can be guessed.
    pub fn new(names: &[String], values: &[String], key: Option<&[u8]>) -> Self {
        let names: Vec<&str> = REDACTED_NAMES.into_iter().chain(names.iter().map(String::as_str)).collect();
        Self { secrets: SecretText::new(&names, values), key: key.map(HmacKey::new) }
    }

    /// The event without credentials. Has no errors and takes any bytes.
    pub fn redact(&self, raw: &Bytes) -> Redacted {
        match Scan::new(self, raw).run() {
            Some((bytes, count)) => Redacted { bytes: bytes.into(), count },
            None => Redacted { bytes: raw.clone(), count: 0 },
        }
    }

    /// What stands for `value`, quotes included.
    fn replacement(&self, value: &[u8]) -> Vec<u8> {
        match &self.key {
            None => [b"\"", MARKER, b"\""].concat(),
            Some(key) => [b"\"", TAGGED, key.hex(value).as_bytes(), b"\""].concat(),
        }
    }

    /// Whether `text` stands for a value that was withheld before.
    fn is_replacement(&self, text: &[u8]) -> bool {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_tag = |tag: &[u8]| self.key.is_some() && tag.len() == 64 && tag.iter().all(is_hex);
        text == MARKER || text.strip_prefix(TAGGED).is_some_and(is_tag)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("has_key", &self.key.is_some()).finish_non_exhaustive()
    }
}
