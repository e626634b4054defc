//! The body of a post: decompressed, cut into envelopes, and each envelope held to the rules.

use std::borrow::Cow;
use std::io::Read;

use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{HecSettings, HecToken, Oversize};
use crate::receiver::own_id;

/// A HEC code, or the HTTP status that stands in for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) u16);

impl Code {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const TOKEN_DISABLED: Self = Self(1);
    pub(super) const TOKEN_REQUIRED: Self = Self(2);
    pub(super) const INVALID_AUTHORIZATION: Self = Self(3);
    pub(super) const INVALID_TOKEN: Self = Self(4);
    const NO_DATA: Self = Self(5);
    pub(super) const INVALID_DATA_FORMAT: Self = Self(6);
    const INCORRECT_INDEX: Self = Self(7);
    pub(super) const CHANNEL_MISSING: Self = Self(10);
    pub(super) const INVALID_CHANNEL: Self = Self(11);
    const EVENT_REQUIRED: Self = Self(12);
    const EVENT_BLANK: Self = Self(13);
    pub(super) const ACK_DISABLED: Self = Self(14);
    const INDEXED_FIELDS: Self = Self(15);
    pub(super) const QUERY_AUTHORIZATION: Self = Self(16);
    pub(super) const HEALTHY: Self = Self(17);

    pub(super) fn status(self) -> StatusCode {
        match self.0 {
            0 | 17 | 24 | 25 => StatusCode::OK,
            2 | 3 => StatusCode::UNAUTHORIZED,
            1 | 4 => StatusCode::FORBIDDEN,
            8 => StatusCode::INTERNAL_SERVER_ERROR,
            9 | 18 | 19 | 20 | 23 => StatusCode::SERVICE_UNAVAILABLE,
            26 | 27 => StatusCode::TOO_MANY_REQUESTS,
            status @ 400.. => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self.0 {
            0 => "Success",
            1 => "Token disabled",
            2 => "Token is required",
            3 => "Invalid authorization",
            4 => "Invalid token",
            5 => "No data",
            6 => "Invalid data format",
            7 => "Incorrect index",
            8 => "Internal server error",
            9 => "Server is busy",
            10 => "Data channel is missing",
            11 => "Invalid data channel",
            12 => "Event field is required",
            13 => "Event field cannot be blank",
            14 => "ACK is disabled",
            15 => "Error in handling indexed fields",
            16 => "Query string authorization is not enabled",
            17 => "HEC is healthy",
            18 => "HEC is unhealthy, queues are full",
            19 => "HEC is unhealthy, ack service unavailable",
            20 => "HEC is unhealthy, queues are full, ack service unavailable",
            23 => "Server is shutting down",
            24 => "HEC queue is approaching its capacity limit",
            25 => "HEC ACK is approaching its capacity limit",
            26 => "HEC queue is at capacity",
            27 => "HEC ACK channel is at capacity",
            404 => "The requested URL was not found on this server.",
            405 => "The requested method is not allowed.",
            413 => "Content-Length is too large",
            415 => "Unsupported content encoding",
            _ => "Error",
        }
    }
}

/// Why a post is refused, and at which envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) number: Option<usize>,
}

impl Problem {
    pub(super) fn new(code: Code) -> Self {
        Self { code, number: None }
    }

    fn at(code: Code, number: usize) -> Self {
        Self { code, number: Some(number) }
    }
}

/// An event that is taken.
#[derive(Debug)]
pub(super) struct Event<'a> {
    /// The exact bytes of `event`.
    pub(super) raw: &'a [u8],
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) time_micros: Option<i64>,
    pub(super) index: Cow<'a, str>,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) sourcetype: Option<Cow<'a, str>>,
}

/// The events taken, and what was wrong with the one after them.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) events: Vec<Event<'a>>,
    pub(super) problem: Option<Problem>,
}

/// The body without its compression, no longer than allowed.
pub(super) fn inflate<'a>(
    headers: &HeaderMap,
    body: &'a [u8],
    settings: &HecSettings,
) -> Result<Cow<'a, [u8]>, Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let body = match encoding {
        None | Some("identity") => Cow::Borrowed(body),
        Some("gzip") => {
            let mut inflated = Vec::new();
            let limit = settings.max_content_length as u64 + 1;
            let read = flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut inflated);
            read.map_err(|_| Problem::new(Code::INVALID_DATA_FORMAT))?;
            Cow::Owned(inflated)
        }
        Some(_) => return Err(Problem::new(Code(415))),
    };
    if body.len() > settings.max_content_length {
        return Err(match settings.oversize {
            Oversize::Status413 => Problem::new(Code(413)),
            Oversize::Code6 => Problem::at(Code::INVALID_DATA_FORMAT, 0),
        });
    }
    if body.trim_ascii().is_empty() {
        return Err(Problem::new(Code::NO_DATA));
    }
    Ok(body)
}

/// Reads envelopes, one after another, up to the first that breaks a rule.
pub(super) fn events<'a>(body: &'a [u8], token: &'a HecToken, settings: &HecSettings) -> Parsed<'a> {
    let mut events = Vec::new();
    let mut problem = None;
    if settings.tolerates_arrays
        && body.trim_ascii_start().starts_with(b"[")
        && let Ok(envelopes) = serde_json::from_slice::<Vec<&RawValue>>(body)
    {
        problem = take_all(envelopes.into_iter().map(Ok), token, settings, &mut events);
        return Parsed { events, problem };
    }
    let envelopes = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    problem = take_all(envelopes, token, settings, &mut events).or(problem);
    Parsed { events, problem }
}

fn take_all<'a>(
    envelopes: impl Iterator<Item = serde_json::Result<&'a RawValue>>,
    token: &'a HecToken,
    settings: &HecSettings,
    events: &mut Vec<Event<'a>>,
) -> Option<Problem> {
    for (number, envelope) in envelopes.enumerate() {
        let event = envelope.map_err(|_| Code::INVALID_DATA_FORMAT).and_then(|raw| event(raw, token, settings));
        match event {
            Ok(event) => events.push(event),
            // Observed: for a bad index the number names the object after the one at fault.
            Err(Code::INCORRECT_INDEX) => return Some(Problem::at(Code::INCORRECT_INDEX, number + 1)),
            Err(code) => return Some(Problem::at(code, number)),
        }
    }
    None
}

/// The lines of a `/raw` post. The envelope's values come from the query.
pub(super) fn raw_lines<'a>(body: &'a [u8], query: Option<&str>, token: &'a HecToken) -> Parsed<'a> {
    let asked = |name: &str| super::query(query, name).map(Cow::Owned);
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let event = |raw: &'a [u8]| Event {
        raw,
        id: own_id(raw),
        time_micros: None,
        index: asked("index").unwrap_or(Cow::Borrowed(&token.default_index)),
        source: asked("source"),
        host: asked("host"),
        sourcetype: asked("sourcetype"),
    };
    if asked("index").is_some_and(|index| !may_write(token, &index)) {
        return Parsed { events: Vec::new(), problem: Some(Problem::new(Code::INCORRECT_INDEX)) };
    }
    Parsed { events: lines.map(event).collect(), problem: None }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    event: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    time: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    fields: Option<&'a RawValue>,
    #[serde(borrow, default)]
    index: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    sourcetype: Option<Cow<'a, str>>,
}

/// A value that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn event<'a>(raw: &'a RawValue, token: &'a HecToken, settings: &HecSettings) -> Result<Event<'a>, Code> {
    if !raw.get().starts_with('{') {
        return Err(Code::INVALID_DATA_FORMAT);
    }
    let envelope: Envelope<'a> = serde_json::from_str(raw.get()).map_err(|_| Code::INVALID_DATA_FORMAT)?;
    let event = envelope.event.ok_or(Code::EVENT_REQUIRED)?.get();
    if matches!(event, "null" | "\"\"") {
        return Err(Code::EVENT_BLANK);
    }
    if event.len() > settings.max_event_size {
        return Err(Code::INVALID_DATA_FORMAT);
    }
    let time_micros = envelope.time.map(|time| micros(time.get())).transpose()?;
    let fields_id = envelope.fields.map(|fields| fields_id(fields.get())).transpose()?.flatten();
    let index = envelope.index.unwrap_or(Cow::Borrowed(&token.default_index));
    if !may_write(token, &index) {
        return Err(Code::INCORRECT_INDEX);
    }
    let id = own_id(event.as_bytes()).or(fields_id);
    let Envelope { source, host, sourcetype, .. } = envelope;
    Ok(Event { raw: event.as_bytes(), id, time_micros, index, source, host, sourcetype })
}

fn may_write(token: &HecToken, index: &str) -> bool {
    token.indexes.is_empty() || index == token.default_index || token.indexes.iter().any(|allowed| allowed == index)
}

/// `fields` must be flat, of strings and arrays of strings. Gives its `event_id`.
fn fields_id(fields: &str) -> Result<Option<Cow<'_, str>>, Code> {
    let value: serde_json::Value = serde_json::from_str(fields).map_err(|_| Code::INDEXED_FIELDS)?;
    let fields = value.as_object().ok_or(Code::INDEXED_FIELDS)?;
    let is_flat = |value: &serde_json::Value| match value {
        serde_json::Value::String(_) => true,
        serde_json::Value::Array(items) => items.iter().all(serde_json::Value::is_string),
        _ => false,
    };
    if !fields.values().all(is_flat) {
        return Err(Code::INDEXED_FIELDS);
    }
    Ok(fields.get("event_id").and_then(|id| id.as_str()).map(|id| Cow::Owned(id.to_owned())))
}

/// Epoch seconds in plain decimals, as a number or as the same in a string; exponents are code 15.
fn micros(time: &str) -> Result<i64, Code> {
    let text = time.trim_matches('"');
    if text.contains(['e', 'E']) {
        return Err(Code::INDEXED_FIELDS);
    }
    let (secs, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut digits: String = fraction.chars().take(6).collect();
    while digits.len() < 6 {
        digits.push('0');
    }
    let is_plain = secs.chars().all(|c| c.is_ascii_digit()) && fraction.chars().all(|c| c.is_ascii_digit());
    let parsed = secs.parse::<i64>().ok().zip(digits.parse::<i64>().ok()).filter(|_| is_plain);
    parsed.and_then(|(secs, micros)| secs.checked_mul(1_000_000)?.checked_add(micros)).ok_or(Code::INVALID_DATA_FORMAT)
}
