//! What is read of an event: its id and its time, in each source's spelling.

use std::fmt;

use jiff::Timestamp;
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json_object::{NotAnEvent, read_object};

/// What a destination routes and sorts on. Everything else in the event is none of our business.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    /// `id`, `eventID` or `eventId`, the first of them that is a text.
    ///
    /// In this order, for an identity-domain event's `id` is the id and its `eventId` the type; the Audit API knows only
    /// `eventId`, the Events service only `eventID`.
    pub(crate) event_id: Option<String>,
    /// `eventTime`, `time` or `timestamp`, the first of them that is a date and time with an offset; else `datetime`, which
    /// may be milliseconds since the epoch as well: so has it the wrapper of the Logging service,
    /// `{"datetime":…,"logContent":{…}}`.
    pub(crate) time: Option<Timestamp>,
}

impl Routing {
    /// Reads one JSON object, and checks the whole of it.
    pub(crate) fn read(raw: &[u8]) -> Result<Self, NotAnEvent> {
        read_object(raw)
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
    #[serde(rename = "datetime")]
    Datetime,
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
        let mut datetime: Option<&RawValue> = None;
        while let Some(key) = map.next_key()? {
            match key {
                Key::Id => ids[0] = Some(map.next_value()?),
                Key::EventsId => ids[1] = Some(map.next_value()?),
                Key::AuditId => ids[2] = Some(map.next_value()?),
                Key::EventTime => times[0] = Some(map.next_value()?),
                Key::Time => times[1] = Some(map.next_value()?),
                Key::Timestamp => times[2] = Some(map.next_value()?),
                Key::Datetime => datetime = Some(map.next_value()?),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).ok();
        let rfc_3339 = |raw: &RawValue| text(raw)?.parse().ok();
        Ok(Routing {
            event_id: ids.into_iter().flatten().filter_map(text).find(|id| !id.is_empty()),
            time: times
                .into_iter()
                .flatten()
                .chain(datetime)
                .find_map(rfc_3339)
                .or_else(|| datetime.and_then(epoch_millis)),
        })
    }
}

/// Some writers print whole numbers as `1.767647857533E12`. A `f64` holds every millisecond of the calendar.
fn epoch_millis(raw: &RawValue) -> Option<Timestamp> {
    let millis: f64 = serde_json::from_str(raw.get()).ok()?;
    Timestamp::from_millisecond(millis as i64).ok()
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
            (r#"{"datetime":1767647857533,"logContent":{"id":"x","time":"2020-01-01T00:00:00Z"}}"#, None, Some(AT)),
            (r#"{"datetime":1.767647857533E12}"#, None, Some(AT)),
            (r#"{"datetime":"2026-01-05T21:17:37.533Z"}"#, None, Some(AT)),
            (r#"{"datetime":0,"time":"2026-01-05T21:17:37.533Z"}"#, None, Some(AT)),
            (r#"{"datetime":0,"time":"yesterday"}"#, None, Some("1970-01-01T00:00:00Z")),
            (r#"{"datetime":"1767647857533"}"#, None, None),
            (r#"{"datetime":1e300}"#, None, None),
            (r#"{"datetime":null}"#, None, None),
            (" {\n} ", None, None),
        ] {
            let expected = Routing { event_id: id.map(str::to_owned), time: time.map(|time| time.parse().unwrap()) };
            assert_eq!(Routing::read(raw.as_bytes()), Ok(expected), "{raw}");
        }
    }
}
