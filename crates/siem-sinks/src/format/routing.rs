//! What is read of an event: its id and its time, in each source's spelling.

use std::fmt;

use jiff::Timestamp;
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a destination routes and sorts on. Everything else in the event is none of our business.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    /// `id`, `eventID` or `eventId`, the first of them that is a text.
    ///
    /// In this order, for an identity-domain event's `id` is the id and its `eventId` the type; the Audit API knows only
    /// `eventId`, the Events service only `eventID`.
    pub(crate) event_id: Option<String>,
    /// `eventTime`, `time` or `timestamp`, the first of them that is a date and time with an offset.
    pub(crate) time: Option<Timestamp>,
}

/// Why an event cannot travel as JSON. The texts name a place, never content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnEvent {
    #[error("not UTF-8 at byte {at}")]
    Encoding { at: usize },
    #[error("not JSON at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("not a JSON object")]
    NotAnObject,
}

impl Routing {
    /// Reads one JSON object, checking the whole of it: spliced into a body, a broken one would spoil its neighbours.
    pub(crate) fn read(raw: &[u8]) -> Result<Self, NotAnEvent> {
        let text = std::str::from_utf8(raw).map_err(|error| NotAnEvent::Encoding { at: error.valid_up_to() })?;
        serde_json::from_str(text).map_err(|error| match error.classify() {
            // serde_json's own text would repeat the value.
            serde_json::error::Category::Data => NotAnEvent::NotAnObject,
            _ => NotAnEvent::Syntax { line: error.line(), column: error.column() },
        })
    }
}

/// The keys that are read; a doubled one is not an error, as it would be for a derived struct.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "id")]
    Id,
    #[serde(rename = "eventID")]
    EventsId,
    #[serde(rename = "eventId")]
    AuditId,
    #[serde(rename = "eventTime")]
    EventTime,
    #[serde(rename = "time")]
    Time,
    #[serde(rename = "timestamp")]
    Timestamp,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Routing {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RoutingVisitor)
    }
}

struct RoutingVisitor;

impl<'de> Visitor<'de> for RoutingVisitor {
    type Value = Routing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Routing, A::Error> {
        let mut ids: [Option<&RawValue>; 3] = [None; 3];
        let mut times: [Option<&RawValue>; 3] = [None; 3];
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => ids[0] = Some(map.next_value()?),
                Key::EventsId => ids[1] = Some(map.next_value()?),
                Key::AuditId => ids[2] = Some(map.next_value()?),
                Key::EventTime => times[0] = Some(map.next_value()?),
                Key::Time => times[1] = Some(map.next_value()?),
                Key::Timestamp => times[2] = Some(map.next_value()?),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).ok();
        Ok(Routing {
            event_id: ids.into_iter().flatten().filter_map(text).find(|id| !id.is_empty()),
            time: times.into_iter().flatten().filter_map(text).find_map(|time| time.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_time_are_read_in_each_source_s_spelling() {
        const AT: &str = "2026-01-05T21:17:37.533Z";
        for (raw, id, time) in [
            (r#"{"eventId":"a","eventTime":"2026-01-05T21:17:37.533Z"}"#, Some("a"), Some(AT)),
            (r#"{"eventID":"a","eventTime":"2026-01-05T22:17:37.533+01:00"}"#, Some("a"), Some(AT)),
            (r#"{"id":"a","time":"2026-01-05T21:17:37.533+00:00"}"#, Some("a"), Some(AT)),
            (r#"{"eventId":"sso.session","id":"a","timestamp":"2026-01-05T21:17:37.533Z"}"#, Some("a"), Some(AT)),
            (r#"{"id":"a","eventId":"sso.session"}"#, Some("a"), None),
            (r#"{"id":7,"eventId":"a"}"#, Some("a"), None),
            (r#"{"id":null,"eventID":"","eventId":"a"}"#, Some("a"), None),
            (r#"{"id":"first","id":"a"}"#, Some("a"), None),
            (r#"{"\u0069d":"\u0061"}"#, Some("a"), None),
            (r#"{"eventTime":"yesterday","time":"2026-01-05T21:17:37.533Z"}"#, None, Some(AT)),
            (r#"{"eventTime":1767647857,"data":{"id":"x","time":"2026-01-05T21:17:37.533Z"}}"#, None, None),
            (r#"{"eventTime":"2026-01-05T21:17:37.533"}"#, None, None),
            (" {\n} ", None, None),
        ] {
            let expected = Routing { event_id: id.map(str::to_owned), time: time.map(|time| time.parse().unwrap()) };
            assert_eq!(Routing::read(raw.as_bytes()), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_serde_would_not_keep_is_no_reason_to_refuse() {
        for raw in [
            r#"{"n":1e999,"m":12345678901234567890.123456789}"#,
            r#"{"k":1,"k":2}"#,
            r#"{"s":"\ud800"}"#,
            &format!(r#"{{"deep":{}{}}}"#, "[".repeat(500), "]".repeat(500)),
        ] {
            assert!(Routing::read(raw.as_bytes()).is_ok(), "{raw}");
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
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
