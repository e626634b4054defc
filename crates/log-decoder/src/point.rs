//! Where another reader can take over.

use base64::{Engine, engine::general_purpose::STANDARD};
use json_records::Place;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A place in a file from which a reader can go on with the bytes from [`ResumePoint::offset`]: the start of a gzip
/// member, or any place between the records of plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// The first byte of the file that is to be read.
    pub offset: u64,
    /// How many items lie before it.
    pub items: u64,
    /// How many bytes the file before it opens to.
    pub(crate) inflated: u64,
    /// What the file is known to be; where it is not known, the first bytes tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compression: Option<Compression>,
    /// Whether it lies within a top-level array.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_array: bool,
    /// How much was looked at in vain before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) vain: u64,
    /// The first bytes of the next item, which lie before it: members do not end with records.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "write", deserialize_with = "read")]
    pub(crate) begun: Vec<u8>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    Gzip,
    None,
}

impl ResumePoint {
    pub(crate) fn place(&self) -> Place {
        Place { in_array: self.in_array, begun: self.begun.clone(), vain: self.vain }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn write<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(from)?).map_err(|_| D::Error::custom("begun: expected base64"))
}
