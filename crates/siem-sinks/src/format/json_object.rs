//! Whether a record is one JSON object in UTF-8.

use std::fmt;

use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// Why a record cannot travel as JSON. The texts name a place, never content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnEvent {
    #[error("not UTF-8 at byte {at}")]
    Encoding { at: usize },
    #[error("not JSON at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("not a JSON object")]
    NotAnObject,
}

/// Reads one JSON object, checking the whole of it: spliced into a body, a broken one would spoil its neighbours.
pub(super) fn read_object<'r, T: Deserialize<'r>>(raw: &'r [u8]) -> Result<T, NotAnEvent> {
    let text = std::str::from_utf8(raw).map_err(|error| NotAnEvent::Encoding { at: error.valid_up_to() })?;
    serde_json::from_str(text).map_err(|error| match error.classify() {
        // serde_json's own text would repeat the value.
        serde_json::error::Category::Data => NotAnEvent::NotAnObject,
        _ => NotAnEvent::Syntax { line: error.line(), column: error.column() },
    })
}

/// Checks a record of which nothing is needed but that it is an object.
pub(crate) fn check_object(raw: &[u8]) -> Result<(), NotAnEvent> {
    read_object(raw).map(|AnyObject| ())
}

/// An object, whatever it holds.
struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for AnyObject {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::routing::Routing;

    #[test]
    fn what_serde_would_not_keep_is_no_reason_to_refuse() {
        for raw in [
            r#"{"n":1e999,"m":12345678901234567890.123456789}"#,
            r#"{"k":1,"k":2}"#,
            r#"{"s":"\ud800"}"#,
            &format!(r#"{{"deep":{}{}}}"#, "[".repeat(500), "]".repeat(500)),
        ] {
            assert!(Routing::read(raw.as_bytes()).is_ok(), "{raw}");
            assert_eq!(check_object(raw.as_bytes()), Ok(()), "{raw}");
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_named_without_its_content() {
        for (raw, expected) in [
            (&b""[..], NotAnEvent::Syntax { line: 1, column: 0 }),
            (b"hush", NotAnEvent::Syntax { line: 1, column: 1 }),
            (b"\"hush\"", NotAnEvent::NotAnObject),
            (b"[{}]", NotAnEvent::NotAnObject),
            (b"null", NotAnEvent::NotAnObject),
            (b"{\"hush\":\n", NotAnEvent::Syntax { line: 2, column: 0 }),
            (b"{} {}", NotAnEvent::Syntax { line: 1, column: 4 }),
            (b"{\"a\":\"\xFF\"}", NotAnEvent::Encoding { at: 6 }),
            (b"{\"a\":\"hu\nsh\"}", NotAnEvent::Syntax { line: 1, column: 8 }),
        ] {
            let error = Routing::read(raw).unwrap_err();
            assert_eq!(error, expected, "{raw:?}");
            assert_eq!(check_object(raw).unwrap_err(), expected, "{raw:?}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
