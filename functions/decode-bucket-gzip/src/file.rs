//! A log file, and what its receipt holds.

use jiff::Timestamp;
use ledger::KEPT_PART_MAX_BYTES;
use log_decoder::ResumePoint;
use percent_encoding::percent_decode_str;
use pipeline::{FileTally, ObjectKey};
use serde::{Deserialize, Serialize};

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// Whose bucket.
    pub(crate) namespace: String,
    /// Which bucket.
    pub(crate) bucket: String,
    /// Its name, as the event or the listing has it.
    pub(crate) object: String,
    /// Its version.
    pub(crate) etag: String,
}

impl File {
    /// Its name with the escapes of URLs resolved, where it has any.
    pub(crate) fn decoded_name(&self) -> Option<String> {
        let decoded = percent_decode_str(&self.object).decode_utf8().ok()?;
        (decoded != self.object).then(|| decoded.into_owned())
    }

    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.bucket, &self.object, &self.etag)
    }
}

/// What a receipt holds: the file, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    v: u8,
    #[serde(flatten)]
    pub(crate) file: File,
    /// When it came into the bucket, as the event or the listing has it: the day of its dead letters.
    pub(crate) arrived_at: Timestamp,
    /// How many items of it, from the first on, are settled: taken, dead or left out.
    #[serde(default)]
    pub(crate) settled: u64,
    /// What became of those.
    #[serde(default)]
    pub(crate) tally: FileTally,
    /// Where reading goes on; no item before it is unsettled.
    #[serde(default)]
    pub(crate) point: ResumePoint,
    /// The attempt, as the receipt's name counts them, that `settled` last grew in.
    #[serde(default)]
    pub(crate) grew_at: u32,
    /// How many pieces of it were no records.
    #[serde(default)]
    pub(crate) no_records: u64,
    /// Why nothing more of it is read; what is left is to be kept then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) damage: Option<String>,
    /// What is kept of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Kept>,
    /// Sent again though it was done before: somebody asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) again: bool,
}

/// Bytes of a file in the state bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The first byte of the file that is kept.
    pub(crate) from: u64,
    /// The first one behind them.
    pub(crate) until: u64,
    /// Whether that is the end of the file.
    pub(crate) is_whole: bool,
}

impl Kept {
    /// Where the parts begin: all but the last have the full length.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> + Send + use<> {
        (self.from..self.until).step_by(KEPT_PART_MAX_BYTES)
    }

    /// The part that holds the byte at `offset`, and where in it that lies.
    pub(crate) fn part(&self, offset: u64) -> Option<(u64, usize)> {
        let behind = offset.checked_sub(self.from).filter(|_| offset < self.until)?;
        let within = behind % KEPT_PART_MAX_BYTES as u64;
        Some((offset - within, usize::try_from(within).ok()?))
    }
}

impl Body {
    /// A file of which nothing is done yet.
    pub(crate) fn new(file: File, arrived_at: Timestamp) -> Self {
        Self {
            v: 1,
            file,
            arrived_at,
            settled: 0,
            tally: FileTally::default(),
            point: ResumePoint::default(),
            grew_at: 0,
            no_records: 0,
            damage: None,
            kept: None,
            again: false,
        }
    }
}
