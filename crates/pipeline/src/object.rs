//! The names of a log file's work: which file, in which version.

use std::{fmt, str::FromStr};

use crate::{Destination, InvalidReceiptName, digest};

/// The digits of a name's hash: 128 bits, so that no two names of a tenancy meet.
const HASH_DIGITS: usize = 32;

/// Names one version of one object: `<hash of its place>-<eTag>`.
///
/// The same version has the same key however it was found, so an event that comes twice, the search and a call by hand
/// meet in one receipt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Box<str>);

impl ObjectKey {
    /// The key of the version `etag` of an object.
    pub fn new(namespace: &str, bucket: &str, object: &str, etag: &str) -> Self {
        // Neither namespaces nor buckets hold a slash.
        let place =
            digest::hex(&digest::sha256(&[namespace.as_bytes(), b"/", bucket.as_bytes(), b"/", object.as_bytes()]));
        let place = place.get(..HASH_DIGITS).unwrap_or(&place);
        let is_legal = (1..=64).contains(&etag.len()) && etag.chars().all(is_legal);
        if is_legal {
            Self(format!("{place}-{etag}").into())
        } else {
            // Not the UUID that the service gives; whatever it is, it is hashed into what a name can hold.
            let version = digest::hex(&digest::sha256(&[etag.as_bytes()]));
            Self(format!("{place}-x{}", version.get(..HASH_DIGITS).unwrap_or(&version)).into())
        }
    }

    /// The key as it stands in names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let (place, etag) = text.split_once('-').ok_or(InvalidReceiptName)?;
        let is_hash = place.len() == HASH_DIGITS && place.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        if is_hash && (1..=64).contains(&etag.len()) && etag.chars().all(is_legal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidReceiptName)
        }
    }
}

/// What became of the records of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct FileTally {
    /// Taken by the destination.
    pub sent: u64,
    /// Dead letters: refused, or no records to begin with.
    pub dead: u64,
    /// Left out, as configured.
    pub filtered: u64,
}

impl std::ops::AddAssign for FileTally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.dead += other.dead;
        self.filtered += other.filtered;
    }
}

/// The name of a log file's receipt once it is done: `seen/object/<destination>/<key>~<sent>~<dead>~<filtered>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenObject {
    /// Where its records went.
    pub destination: Destination,
    /// Which file.
    pub key: ObjectKey,
    /// What became of them.
    pub tally: FileTally,
}

impl SeenObject {
    /// What all such names of `destination` begin with.
    pub fn folder(destination: &Destination) -> String {
        format!("seen/object/{destination}/")
    }
}

impl fmt::Display for SeenObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, key, tally: FileTally { sent, dead, filtered } } = self;
        write!(f, "{}{key}~{sent}~{dead}~{filtered}", Self::folder(destination))
    }
}

impl FromStr for SeenObject {
    type Err = InvalidReceiptName;

    fn from_str(name: &str) -> Result<Self, InvalidReceiptName> {
        let fields: Vec<&str> = name.split(['/', '~']).collect();
        let &["seen", "object", destination, key, sent, dead, filtered] = fields.as_slice() else {
            return Err(InvalidReceiptName);
        };
        let number = |text: &str| text.parse().map_err(|_| InvalidReceiptName);
        let tally = FileTally { sent: number(sent)?, dead: number(dead)?, filtered: number(filtered)? };
        Ok(Self { destination: destination.parse()?, key: key.parse()?, tally })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "9a86a492-43fa-4c8c-a80e-dbd650188ff8";

    #[test]
    fn l_17_one_version_of_an_object_has_one_key() {
        let key = ObjectKey::new("ns", "logs", "audit/a b%2Fc+ü.log.gz", ETAG);
        assert_eq!(key, ObjectKey::new("ns", "logs", "audit/a b%2Fc+ü.log.gz", ETAG));
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert!(key.as_str().ends_with(ETAG));
        for other in [
            ObjectKey::new("ns", "logs", "audit/a b/c+ü.log.gz", ETAG),
            ObjectKey::new("ns", "log", "audit/a b%2Fc+ü.log.gz", ETAG),
            ObjectKey::new("n", "logs", "audit/a b%2Fc+ü.log.gz", ETAG),
            ObjectKey::new("ns", "logs", "audit/a b%2Fc+ü.log.gz", "9a86a492"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn an_etag_of_any_form_fits_into_a_name() {
        for etag in ["a~b/c", "", "ü", &"a".repeat(100)] {
            let key = ObjectKey::new("ns", "logs", "o", etag);
            assert_eq!(key.to_string().parse(), Ok(key), "{etag}");
        }
    }

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        let key = ObjectKey::new("ns", "logs", "o", ETAG);
        let tally = FileTally { sent: 7, dead: 1, filtered: 3 };
        let seen = SeenObject { destination: "splunk".parse().unwrap(), key, tally };
        assert_eq!(seen.to_string().parse(), Ok(seen));
        for name in ["", "seen/object/splunk/x~1~2~3", "seen/object/splunk", "owed/object/splunk/x~0"] {
            assert_eq!(name.parse::<SeenObject>(), Err(InvalidReceiptName), "{name}");
        }
    }
}
