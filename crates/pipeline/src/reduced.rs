//! What goes to a destination in the place of a record that is too large for it: a summary, and where the whole lies.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::Serialize,
};
use serde_json::value::RawValue;

/// A longer field is left out; ids alone are kept however long they are, for the summary must be known by them.
const FIELD_MAX_BYTES: usize = 2048;

/// Where the whole record lies, and why it is not here.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// What stood in its way, in the words of whom it stood before.
    pub reason: &'a str,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The object in it.
    pub object: &'a str,
}

/// A JSON object that stands for `raw`: its id, time, type, who did what to what, each as its bytes stood, and
/// `"truncated":true` with `"pipeline":{"reason","bytes","sha256","bucket","object"}`, the length and hash of the whole.
///
/// It has the [`event_hash`](crate::event_hash) of `raw` where that has an id. Of a record that is no JSON object only the
/// second half is left. A key that stands twice counts as it stands last.
pub fn reduced(raw: &[u8], whole: &Whole<'_>) -> Bytes {
    let mut out = String::from("{");
    if let Some(kept) = pick(raw) {
        write_fields(&kept, &mut out);
    }
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(r#""truncated":true,"pipeline":{"reason":"#);
    push_json(whole.reason, &mut out);
    out.push_str(r#","bytes":"#);
    push_json(&raw.len(), &mut out);
    out.push_str(r#","sha256":"#);
    push_json(whole.sha256, &mut out);
    out.push_str(r#","bucket":"#);
    push_json(whole.bucket, &mut out);
    out.push_str(r#","object":"#);
    push_json(whole.object, &mut out);
    out.push_str("}}");
    out.into()
}

/// What is kept of a record.
enum Want {
    /// The value, if it is not too long.
    Value,
    /// The value, however long.
    Id,
    /// These fields of the object that it is.
    Fields(&'static [(&'static str, Want)]),
}

const KEPT: &[(&str, Want)] = &[
    // In each source's spelling.
    ("eventId", Want::Id),
    ("eventID", Want::Id),
    ("id", Want::Id),
    ("eventType", Want::Value),
    ("cloudEventsVersion", Want::Value),
    ("eventTypeVersion", Want::Value),
    ("source", Want::Value),
    ("eventTime", Want::Value),
    ("time", Want::Value),
    ("timestamp", Want::Value),
    ("contentType", Want::Value),
    ("data", Want::Fields(DATA)),
];

const DATA: &[(&str, Want)] = &[
    ("eventName", Want::Value),
    ("compartmentId", Want::Value),
    ("compartmentName", Want::Value),
    ("resourceName", Want::Value),
    ("resourceId", Want::Value),
    (
        "identity",
        Want::Fields(&[("principalName", Want::Value), ("principalId", Want::Value), ("ipAddress", Want::Value)]),
    ),
    ("response", Want::Fields(&[("status", Want::Value)])),
];

/// A kept field, or none where the value is too long or of another kind.
enum Picked<'a> {
    Raw(&'a RawValue),
    Fields(Fields<'a>),
    Nothing,
}

/// In the order in which they stood.
type Fields<'a> = Vec<(&'static str, Picked<'a>)>;

fn pick(raw: &[u8]) -> Option<Fields<'_>> {
    let mut json = serde_json::Deserializer::from_slice(raw);
    let picked = Pick(KEPT).deserialize(&mut json).ok()?;
    json.end().ok()?;
    match picked {
        Picked::Fields(fields) => Some(fields),
        Picked::Raw(_) | Picked::Nothing => None,
    }
}

fn write_fields(fields: &Fields<'_>, out: &mut String) {
    let mut first = true;
    for (key, picked) in fields {
        let mut value = String::new();
        match picked {
            Picked::Raw(raw) => value.push_str(raw.get()),
            Picked::Fields(fields) => {
                value.push('{');
                write_fields(fields, &mut value);
                value.push('}');
            }
            Picked::Nothing => {}
        }
        if !value.is_empty() && value != "{}" {
            out.push_str(if first { "" } else { "," });
            push_json(*key, out);
            out.push(':');
            out.push_str(&value);
            first = false;
        }
    }
}

fn push_json<T: Serialize + ?Sized>(value: &T, out: &mut String) {
    // Texts and numbers only: nothing here can fail to serialise.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
}

/// Reads one value, and of an object these fields.
struct Pick(&'static [(&'static str, Want)]);

impl<'de> DeserializeSeed<'de> for Pick {
    type Value = Picked<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Picked<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick {
    type Value = Picked<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Picked<'de>, A::Error> {
        let mut fields: Fields<'de> = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let Some((name, want)) = self.0.iter().find(|(name, _)| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let picked = match want {
                Want::Value => match map.next_value::<&RawValue>()? {
                    raw if raw.get().len() <= FIELD_MAX_BYTES => Picked::Raw(raw),
                    _ => Picked::Nothing,
                },
                Want::Id => Picked::Raw(map.next_value()?),
                Want::Fields(wanted) => map.next_value_seed(Pick(wanted))?,
            };
            fields.retain(|(kept, _)| kept != name);
            fields.push((name, picked));
        }
        Ok(Picked::Fields(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Picked<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Picked::Nothing)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Picked<'de>, E> {
        Ok(Picked::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Picked<'de>, E> {
        Ok(Picked::Nothing)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Picked<'de>, E> {
        Ok(Picked::Nothing)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Picked<'de>, E> {
        Ok(Picked::Nothing)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Picked<'de>, E> {
        Ok(Picked::Nothing)
    }

    fn visit_unit<E: Error>(self) -> Result<Picked<'de>, E> {
        Ok(Picked::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event_hash;

    const WHOLE: Whole<'_> = Whole {
        reason: "too \"large\"",
        sha256: "ba7816bf",
        bucket: "siem-state",
        object: "dead/2026-01-05/splunk/20260105T0000Z.x.7",
    };

    fn reduce(raw: &[u8]) -> String {
        String::from_utf8(reduced(raw, &WHOLE).to_vec()).unwrap()
    }

    /// The half that every summary has.
    fn pointer(raw: &[u8]) -> String {
        format!(
            r#""truncated":true,"pipeline":{{"reason":"too \"large\"","bytes":{},"sha256":"ba7816bf","bucket":"siem-state","object":"dead/2026-01-05/splunk/20260105T0000Z.x.7"}}}}"#,
            raw.len()
        )
    }

    fn check(raw: &str, kept: &str) {
        let comma = if kept.is_empty() { "" } else { "," };
        let expected = format!("{{{kept}{comma}{}", pointer(raw.as_bytes()));
        assert_eq!(reduce(raw.as_bytes()), expected, "{raw}");
        serde_json::from_str::<serde_json::Value>(&expected).unwrap();
    }

    #[test]
    fn what_identifies_an_event_is_kept_as_its_bytes_stood() {
        let long = "y".repeat(2_047);
        check(
            r#"{ "eventType" : "com.oraclecloud.x", "cloudEventsVersion":"0.1","eventTypeVersion":"2.0","source":"\u0041",
            "eventId":"a-1","eventTime":"2026-01-05T00:02:00.000Z","contentType":"application/json","extensions":{"x":1},
            "data":{"eventName":"Get","compartmentId":"c","compartmentName":null,"resourceName":"é","resourceId":1.50,
            "identity":{"principalName":"p","principalId":"i","ipAddress":"10.0.0.1","credentials":"hush"},
            "request":{"headers":{"a":["b"]}},"response":{"status":"200","payload":{}},"stateChange":{"current":[1]}}}"#,
            r#""eventType":"com.oraclecloud.x","cloudEventsVersion":"0.1","eventTypeVersion":"2.0","source":"\u0041","eventId":"a-1","eventTime":"2026-01-05T00:02:00.000Z","contentType":"application/json","data":{"eventName":"Get","compartmentId":"c","compartmentName":null,"resourceName":"é","resourceId":1.50,"identity":{"principalName":"p","principalId":"i","ipAddress":"10.0.0.1"},"response":{"status":"200"}}"#,
        );
        for (raw, kept) in [
            (r#"{"id":"a-1","data":[1,{"eventName":"x"}]}"#, r#""id":"a-1""#),
            (r#"{"eventID":"a-1","data":null}"#, r#""eventID":"a-1""#),
            (r#"{"data":{"identity":"x","response":7,"eventName":true}}"#, r#""data":{"eventName":true}"#),
            (r#"{"eventId":"a","eventId":"b"}"#, r#""eventId":"b""#),
            (r#"{"truncated":false,"pipeline":1}"#, ""),
            (&format!(r#"{{"source":"{long}","eventType":"x"}}"#), r#""eventType":"x""#),
            (&format!(r#"{{"eventId":"{long}{long}"}}"#), &format!(r#""eventId":"{long}{long}""#)),
        ] {
            check(raw, kept);
        }
    }

    #[test]
    fn of_a_record_that_is_no_object_the_pointer_is_left() {
        for raw in ["", "hush", "[1]", r#""x""#, "7", "-1", "1.5", "null", "true", r#"{"a":1"#, r#"{"eventId":"a"}x"#] {
            check(raw, "");
        }
        let not_utf_8 = [&br#"{"eventId":"a","x":""#[..], b"\xff", br#""}"#].concat();
        assert_eq!(reduce(&not_utf_8), format!(r#"{{"eventId":"a",{}"#, pointer(&not_utf_8)));
    }

    proptest! {
        #[test]
        fn a_summary_is_known_by_the_id_of_the_whole_and_is_short(
            key in prop_oneof![Just("id"), Just("eventID"), Just("eventId")],
            id in "\\PC{1,80}",
            name in "\\PC{0,3000}",
            filler in 0_usize..20_000,
        ) {
            let raw = serde_json::json!({
                key: id, "eventType": &name, "source": &name,
                "data": { "eventName": &name, "resourceName": &name, "x": "y".repeat(filler) },
            });
            let raw = serde_json::to_vec(&raw).unwrap();
            let summary = reduced(&raw, &WHOLE);
            prop_assert_eq!(event_hash(&summary), event_hash(&raw));
            prop_assert!(summary.len() < 12_000);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&summary).is_ok());
        }

        #[test]
        fn a_summary_of_anything_is_json(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&reduced(&raw, &WHOLE)).is_ok());
        }
    }
}
