//! A record in the layout of the Logging service, made of an audit event without changing a token of it.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::audit::ProcessedEvent;
use crate::generate::{Writer, compact, time};
use crate::receiver::fingerprint;

/// What stands for a record in a file. Both were observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The record alone.
    Bare,
    /// `{"datetime":…,"logContent":{record},"regionId":"…"}`.
    Wrapped(Datetime),
}

/// How a wrapper tells the time of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datetime {
    /// Milliseconds since the epoch.
    Millis,
    /// RFC 3339 in a string.
    Text,
}

/// A record to be written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    /// `data.request.action`; empty where there is none.
    pub(super) action: String,
    /// As it is written where nothing spreads it over lines.
    pub(super) text: String,
    /// [`fingerprint`] of the record without a wrapper.
    pub(super) content: u64,
    pub(super) ingested: Timestamp,
}

/// An object's members as they stand, in order; a key may come twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

impl<'a> Members<'a> {
    /// None where it is no object.
    fn of(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or(Self(Vec::new()))
    }

    fn raw(&self, key: &str) -> &'a str {
        self.0.iter().find(|(name, _)| name == key).map_or("null", |(_, value)| value.get())
    }

    /// A string, or nothing.
    fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)).ok()
    }
}

/// Members of an audit event that the record spells otherwise.
const RENAMED: [&str; 8] =
    ["eventType", "cloudEventsVersion", "eventTypeVersion", "source", "eventId", "eventTime", "contentType", "data"];

impl Record {
    /// The record of an audit event. `source` is the resource's name, as in the samples, so that it may be empty.
    pub(super) fn of(event: &ProcessedEvent, tenancy: &str, ingested: Timestamp, layout: Layout) -> Self {
        let json = compact(&String::from_utf8_lossy(&event.bytes));
        let members = Members::of(&json);
        let data = Members::of(members.raw("data"));
        let (request, response) = (Members::of(data.raw("request")), Members::of(data.raw("response")));

        let mut out = Writer::new(false);
        out.raw("{\"data\":{");
        for (key, value) in &data.0 {
            out.json(key, value.get());
        }
        if !data.0.iter().any(|(key, _)| key == "message") {
            let succeeded = || format!("{} succeeded", data.text("eventName").unwrap_or_default());
            out.pair("message", &response.text("message").unwrap_or_else(succeeded));
        }
        out.close("},").json("dataschema", members.raw("eventTypeVersion")).json("id", members.raw("eventId"));
        out.raw("\"oracle\":{").json("compartmentid", data.raw("compartmentId"));
        out.pair("ingestedtime", &time(ingested)).pair("loggroupid", "_Audit").pair("tenantid", tenancy).close("},");
        out.pair("source", &data.text("resourceName").unwrap_or_default()).pair("specversion", "1.0");
        out.json("time", members.raw("eventTime")).json("type", members.raw("eventType"));
        for (key, value) in members.0.iter().filter(|(key, _)| !RENAMED.contains(&key.as_str())) {
            out.json(key, value.get());
        }
        out.close("}");
        let content = out.finish();

        let at = members.text("eventTime").and_then(|text| text.parse().ok()).unwrap_or(event.processed);
        let (id, action) = (members.text("eventId").unwrap_or_default(), request.text("action").unwrap_or_default());
        let print = fingerprint(content.as_bytes());
        let text = match layout {
            Layout::Bare => content,
            Layout::Wrapped(datetime) => wrapped(&content, at, datetime, &event.region),
        };
        Self { id, action, text, content: print, ingested }
    }
}

fn wrapped(content: &str, at: Timestamp, datetime: Datetime, region: &str) -> String {
    let mut out = Writer::new(false);
    out.raw("{");
    match datetime {
        Datetime::Millis => out.json("datetime", &at.as_millisecond().to_string()),
        Datetime::Text => out.pair("datetime", &time(at)),
    };
    out.json("logContent", content).pair("regionId", region).close("}");
    out.finish()
}
