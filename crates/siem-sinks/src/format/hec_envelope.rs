//! The envelope in which Splunk's HTTP Event Collector takes an event.

use bytes::{BufMut, BytesMut};
use jiff::Timestamp;

use super::{json_object::NotAnEvent, routing::Routing};
use crate::Record;

/// What stands in the place of a region that is not known.
const NO_REGION: &str = "unknown";

/// What is said of an event besides the event. `{region}` in `host` and `source` stands for the record's region, or
/// `unknown` where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HecEnvelope {
    /// Where the event comes from: a stable name, not the container's. Default `oci.{region}`.
    pub host: String,
    /// What it comes from. Default `oci:audit:{region}`.
    pub source: String,
    /// How Splunk reads it. Default `oci:audit`; one for all event types, for hundreds of them slow Splunk down.
    pub sourcetype: String,
    /// Where Splunk puts it. Default none: the token's own index.
    pub index: Option<String>,
}

impl Default for HecEnvelope {
    fn default() -> Self {
        Self {
            host: "oci.{region}".to_owned(),
            source: "oci:audit:{region}".to_owned(),
            sourcetype: "oci:audit".to_owned(),
            index: None,
        }
    }
}

/// Writes envelopes: `{"time":…,"host":…,"source":…,"sourcetype":…,"index":…,"fields":{…},"event":<the raw bytes>}`.
///
/// `time` (seconds with milliseconds) is missing where the event's own time cannot be read, so that Splunk takes the time
/// of receipt; `index` where none is set; of the `fields` `event_id` and `region`, what is not known.
///
/// Source: Splunk, "Format events for HTTP Event Collector".
pub(crate) struct HecFormat {
    host: Template,
    source: Template,
    /// `,"sourcetype":…,"index":…`, which no record changes.
    constant: String,
}

impl HecFormat {
    pub(crate) fn new(envelope: &HecEnvelope) -> Self {
        let mut constant = format!(r#","sourcetype":{}"#, json_string(&envelope.sourcetype));
        if let Some(index) = &envelope.index {
            constant.push_str(r#","index":"#);
            constant.push_str(&json_string(index));
        }
        Self { host: Template::new(&envelope.host), source: Template::new(&envelope.source), constant }
    }

    /// Appends the record's envelope to `out`; nothing where it cannot travel.
    pub(crate) fn encode(&self, record: &Record, out: &mut BytesMut) -> Result<(), NotAnEvent> {
        let routing = Routing::read(&record.raw)?;
        let region = record.region.as_deref();

        out.put_u8(b'{');
        if let Some(seconds) = routing.time.and_then(epoch_seconds) {
            out.put_slice(br#""time":"#);
            out.put_slice(seconds.as_bytes());
            out.put_u8(b',');
        }
        out.put_slice(br#""host":"#);
        self.host.write(region, out);
        out.put_slice(br#","source":"#);
        self.source.write(region, out);
        out.put_slice(self.constant.as_bytes());
        let mut opener: &[u8] = br#","fields":{"#;
        for (key, value) in [(&br#""event_id":"#[..], routing.event_id.as_deref()), (br#""region":"#, region)] {
            if let Some(value) = value {
                out.put_slice(opener);
                out.put_slice(key);
                out.put_slice(json_string(value).as_bytes());
                opener = b",";
            }
        }
        if opener == b"," {
            out.put_u8(b'}');
        }
        out.put_slice(br#","event":"#);
        out.put_slice(&record.raw);
        out.put_u8(b'}');
        Ok(())
    }
}

/// `secs.mmm`, from integers: Splunk refuses the exponent form that some floats are printed in.
fn epoch_seconds(time: Timestamp) -> Option<String> {
    let millis = u64::try_from(time.as_millisecond()).ok()?;
    Some(format!("{}.{:03}", millis / 1000, millis % 1000))
}

/// A JSON string with places for the region.
struct Template {
    /// Escaped already, quotes included; a region goes between each two. Braces need no escape, so none is split.
    pieces: Vec<String>,
}

impl Template {
    fn new(text: &str) -> Self {
        Self { pieces: json_string(text).split("{region}").map(str::to_owned).collect() }
    }

    fn write(&self, region: Option<&str>, out: &mut BytesMut) {
        let region = json_string(region.unwrap_or(NO_REGION));
        let region = region.strip_prefix('"').and_then(|region| region.strip_suffix('"')).unwrap_or_default();
        for (n, piece) in self.pieces.iter().enumerate() {
            if n > 0 {
                out.put_slice(region.as_bytes());
            }
            out.put_slice(piece.as_bytes());
        }
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Proven;

    fn encode(envelope: &HecEnvelope, raw: &str, region: Option<&str>) -> String {
        let mut out = BytesMut::new();
        let record = Record { raw: raw.to_owned().into(), region: region.map(Into::into), proven: Proven::Nothing };
        HecFormat::new(envelope).encode(&record, &mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// The vector "HEC object" of the reference page on destinations, "Golden vectors".
    #[test]
    fn the_envelope_is_the_reference_s_byte_for_byte() {
        let raw = concat!(
            r#"{"eventType":"com.oraclecloud.ComputeApi.LaunchInstance.begin","eventId":"93e7a143-650b-4632-8a53-a464f45ee3c5","#,
            r#""eventTime":"2026-01-05T21:17:37.533Z","data":{"eventName":"LaunchInstance","resourceName":"web|1=a\\b^c\nü"}}"#,
        );
        let expected = concat!(
            r#"{"time":1767647857.533,"host":"oci.eu-frankfurt-1","source":"oci:audit:eu-frankfurt-1","sourcetype":"oci:audit","#,
            r#""index":"oci","fields":{"event_id":"93e7a143-650b-4632-8a53-a464f45ee3c5","region":"eu-frankfurt-1"},"event":"#,
            r#"{"eventType":"com.oraclecloud.ComputeApi.LaunchInstance.begin","eventId":"93e7a143-650b-4632-8a53-a464f45ee3c5","#,
            r#""eventTime":"2026-01-05T21:17:37.533Z","data":{"eventName":"LaunchInstance","resourceName":"web|1=a\\b^c\nü"}}}"#,
        );
        let envelope = HecEnvelope { index: Some("oci".to_owned()), ..HecEnvelope::default() };
        assert_eq!(encode(&envelope, raw, Some("eu-frankfurt-1")), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        const HEAD: &str = r#""host":"oci.unknown","source":"oci:audit:unknown","sourcetype":"oci:audit""#;
        let plain = HecEnvelope::default();
        assert_eq!(encode(&plain, r#"{"x":1}"#, None), format!(r#"{{{HEAD},"event":{{"x":1}}}}"#));
        assert_eq!(
            encode(&plain, r#"{"id":"a"}"#, None),
            format!(r#"{{{HEAD},"fields":{{"event_id":"a"}},"event":{{"id":"a"}}}}"#)
        );
        let HecEnvelope { sourcetype, index, .. } = HecEnvelope::default();
        let fixed = HecEnvelope { host: "h".to_owned(), source: "s".to_owned(), sourcetype, index };
        assert_eq!(
            encode(&fixed, "{}", Some("r")),
            r#"{"host":"h","source":"s","sourcetype":"oci:audit","fields":{"region":"r"},"event":{}}"#
        );
    }

    #[test]
    fn settings_ids_and_regions_are_escaped() {
        let envelope = HecEnvelope {
            host: "\"{region}\\{region}".to_owned(),
            source: "a\nb".to_owned(),
            sourcetype: "\u{1}".to_owned(),
            index: Some("\"".to_owned()),
        };
        let text = encode(&envelope, r#"{"id":"\"}"}"#, Some("r\"1"));
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "host": "\"r\"1\\r\"1", "source": "a\nb", "sourcetype": "\u{1}", "index": "\"",
            "fields": {"event_id": "\"}", "region": "r\"1"}, "event": {"id": "\"}"},
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn r_30_the_time_is_the_event_s_with_its_milliseconds_and_never_in_exponent_form() {
        for (time, expected) in [
            ("2020-05-07T10:00:00.123Z", Some("1588845600.123")),
            ("2020-05-07T10:00:00Z", Some("1588845600.000")),
            ("2020-05-07T10:00:00.007999+00:00", Some("1588845600.007")),
            ("1970-01-01T00:00:00.001Z", Some("0.001")),
            ("9999-12-30T00:00:00Z", Some("253402128000.000")),
            ("1969-12-31T23:59:59Z", None),
            ("no time", None),
        ] {
            let raw = format!(r#"{{"eventTime":"{time}"}}"#);
            let text = encode(&HecEnvelope::default(), &raw, None);
            let written = text.strip_prefix(r#"{"time":"#).map(|rest| rest.split(',').next().unwrap());
            assert_eq!(written, expected, "{time}");
        }
    }

    #[test]
    fn r_31_an_event_keeps_its_bytes_its_names_and_fields_that_nobody_here_knows() {
        for raw in [
            r#"{"eventId":"a","fieldOfNextYear":{"k":[1,2]}}"#,
            "{ \"eventId\" : \"a\" ,\n\t\"n\" : 1.0E+2 }",
            r#"{"k":1,"k":2,"n":12345678901234567890.123456789,"s":"é\u00e9\/"}"#,
        ] {
            let text = encode(&HecEnvelope::default(), raw, Some("r"));
            assert!(text.ends_with(&format!(r#","event":{raw}}}"#)), "{text}");
        }
    }

    #[test]
    fn a_record_that_cannot_travel_leaves_nothing_behind() {
        let format = HecFormat::new(&HecEnvelope::default());
        for raw in ["", "7", "{", "{}{}", "[{}]"] {
            let mut out = BytesMut::from("before");
            let record = Record { raw: raw.into(), region: None, proven: Proven::Nothing };
            assert!(format.encode(&record, &mut out).is_err(), "{raw}");
            assert_eq!(out, "before", "{raw}");
        }
    }
}
