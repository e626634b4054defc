//! The version of what lies in the state bucket.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Written as 1; anything else is refused, for this code does not know what it means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u64::deserialize(from)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format!("version {other}: written by another version of the functions"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused() {
        assert_eq!(serde_json::to_string(&V1).unwrap(), "1");
        assert_eq!(serde_json::from_str::<V1>("1").unwrap(), V1);
        for text in ["0", "2", "\"1\"", "null"] {
            assert!(serde_json::from_str::<V1>(text).is_err(), "{text}");
        }
    }
}
