//! The Streaming API as it is on the wire.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::call::Call;
use crate::cloud::Cloud;
use crate::faults::Effect;
use crate::receiver::fingerprint;
use crate::router::Operation;
use crate::verify::Caller;

use super::cursor::{Cursor, Position};
use super::group::Group;
use super::partition::Partition;
use super::{State, Stream, StreamSettings};

const KEY_MAX_BYTES: usize = 256;
const LIMIT_MAX: usize = 10_000;
/// How long a silent member of a group keeps its partitions (unverified).
const GROUP_TIMEOUT_MS: i64 = 30_000;

/// Serves the operations on streams.
///
/// Source: Streaming API reference.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, caller: &Caller) -> Answer {
    let effects = cloud.faults.of_service(operation, call);
    let now = cloud.clock.now();
    let mut state = cloud.streams.lock();
    let request = Request { call, caller, now, effects };
    let answer = match operation {
        Operation::ListStreams => Ok(list_streams(&state, &request)),
        Operation::GetStream { stream } => request.stream(&mut state, stream, get_stream),
        Operation::PutMessages { stream } => put_messages(&mut state, &request, stream),
        Operation::CreateCursor { stream } => request.stream(&mut state, stream, create_cursor),
        Operation::CreateGroupCursor { stream } => request.stream(&mut state, stream, create_group_cursor),
        Operation::GetMessages { stream } => request.stream(&mut state, stream, get_messages),
        Operation::ConsumerCommit { stream } => request.stream(&mut state, stream, consumer_commit),
        Operation::ConsumerHeartbeat { stream } => request.stream(&mut state, stream, consumer_heartbeat),
        _ => Err(Refused::new(StatusCode::NOT_FOUND, "NotFound", "no operation of Streaming")),
    };
    answer.unwrap_or_else(|refused| Answer::error(refused.status, refused.code, &refused.message))
}

struct Request<'a> {
    call: &'a Call,
    caller: &'a Caller,
    now: Timestamp,
    effects: Vec<Effect>,
}

struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    fn no_stream() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound", "no such stream, or not allowed")
    }

    fn throttled(what: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", format!("the partition's {what} is exceeded"))
    }
}

type Served = Result<Answer, Refused>;

/// What an operation on one stream works on.
struct At<'a> {
    id: &'a str,
    stream: &'a mut Stream,
    settings: &'a StreamSettings,
    request: &'a Request<'a>,
}

impl Request<'_> {
    /// Runs `serve` on a stream of the called region, after its old messages have fallen off.
    fn stream(&self, state: &mut State, id: &str, serve: fn(At<'_>) -> Served) -> Served {
        let stream = state.streams.get_mut(id).filter(|stream| stream.region == self.call.region);
        let stream = stream.ok_or_else(Refused::no_stream)?;
        let settings = &state.settings;
        let oldest = settings.oldest(self.now);
        stream.partitions.iter_mut().for_each(|partition| partition.expire(oldest));
        serve(At { id, stream, settings, request: self })
    }

    fn json<'b, T: Deserialize<'b>>(&'b self) -> Result<T, Refused> {
        let unread = |error: serde_json::Error| {
            Refused::new(StatusCode::BAD_REQUEST, "CannotParseRequest", format!("the body cannot be read: {error}"))
        };
        serde_json::from_slice(&self.call.body).map_err(unread)
    }

    /// The endpoint for data calls: this very server, under the region's prefix where the caller used one.
    fn messages_endpoint(&self) -> String {
        let host = self.call.header("host").unwrap_or("127.0.0.1");
        let prefix = format!("/region/{}", self.call.region);
        let prefix = if self.call.target.starts_with(&format!("{prefix}/")) { prefix.as_str() } else { "" };
        format!("http://{host}{prefix}")
    }

    fn stream_json(&self, id: &str, stream: &Stream, settings: &StreamSettings) -> serde_json::Value {
        serde_json::json!({
            "name": stream.name,
            "id": id,
            "partitions": stream.partitions.len(),
            "retentionInHours": settings.retention_hours,
            "compartmentId": self.caller.tenancy,
            "streamPoolId": super::named_ocid("streampool", &stream.region, "DefaultPool"),
            "lifecycleState": "ACTIVE",
            "lifecycleStateDetails": null,
            "timeCreated": timestamp(stream.time_created),
            "messagesEndpoint": self.messages_endpoint(),
            "freeformTags": {},
            "definedTags": {},
        })
    }
}

fn timestamp(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn get_stream(at: At<'_>) -> Served {
    Ok(Answer::ok(&at.request.stream_json(at.id, at.stream, at.settings)))
}

fn list_streams(state: &State, request: &Request<'_>) -> Answer {
    let limit = request.call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10).clamp(1, 50);
    let from = request.call.query("page").and_then(|page| page.parse().ok()).unwrap_or(0_usize);
    let asked = |name: &str, value: &str| request.call.query(name).is_none_or(|asked| asked == value);
    let mut found = state
        .streams
        .iter()
        .filter(|(id, stream)| stream.region == request.call.region && asked("id", id) && asked("name", &stream.name));
    let json = |(id, stream): (&String, &Stream)| request.stream_json(id, stream, &state.settings);
    let page: Vec<_> = found.by_ref().skip(from).take(limit).map(json).collect();
    let answer = Answer::ok(&page);
    if found.next().is_some() { answer.with("opc-next-page", &(from + limit).to_string()) } else { answer }
}

#[derive(Deserialize)]
struct PutBody<'a> {
    #[serde(borrow)]
    messages: Vec<PutEntry<'a>>,
}

#[derive(Deserialize)]
struct PutEntry<'a> {
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct PutResult {
    partition: Option<String>,
    offset: Option<u64>,
    timestamp: Option<String>,
    error: Option<&'static str>,
    error_message: Option<&'static str>,
}

fn put_messages(state: &mut State, request: &Request<'_>, id: &str) -> Served {
    // Where a message without a key lands is drawn before the stream is borrowed.
    let chance = state.random();
    let State { streams, settings, .. } = state;
    let stream = streams.get_mut(id).filter(|stream| stream.region == request.call.region);
    let stream = stream.ok_or_else(Refused::no_stream)?;
    let oldest = settings.oldest(request.now);
    stream.partitions.iter_mut().for_each(|partition| partition.expire(oldest));

    let messages = decode(request)?;
    let size = |(key, value): &(Option<Bytes>, Bytes)| value.len() + key.as_ref().map_or(0, Bytes::len);
    let bytes: usize = messages.iter().map(size).sum();
    if bytes > settings.put_max_bytes {
        let message = format!("the messages are {bytes} bytes in all, more than {}", settings.put_max_bytes);
        return Err(match settings.oversize_status {
            413 => Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message),
            _ => Refused::invalid(message),
        });
    }

    let count = stream.partitions.len() as u64;
    let place = |index: usize, key: Option<&Bytes>| match key {
        Some(key) => fingerprint(key) % count,
        None => crate::rng::mix(chance.wrapping_add(index as u64)) % count,
    };
    let placed: Vec<u64> = messages.iter().enumerate().map(|(index, (key, _))| place(index, key.as_ref())).collect();
    let mut load = BTreeMap::new();
    for (partition, message) in placed.iter().zip(&messages) {
        *load.entry(*partition as usize).or_insert(0) += size(message) as u64;
    }
    for (index, bytes) in &load {
        let partition = stream.partitions.get_mut(*index);
        if partition.is_some_and(|it| !it.write_rate.fits(*bytes, settings.write_max_bytes_per_sec, request.now)) {
            return Err(Refused::throttled("write rate"));
        }
    }

    let mut entries = Vec::with_capacity(messages.len());
    let mut failures = 0;
    for (index, (message, partition_index)) in messages.into_iter().zip(placed).enumerate() {
        let fails = |effect: &Effect| matches!(effect, Effect::FailEntries(indices) if indices.contains(&index));
        let partition = stream.partitions.get_mut(partition_index as usize);
        let (Some(partition), false) = (partition, request.effects.iter().any(fails)) else {
            failures += 1;
            let error_message = Some("a fault was injected");
            entries.push(PutResult { error: Some("InternalServerError"), error_message, ..PutResult::default() });
            continue;
        };
        let bytes = size(&message) as u64;
        partition.write_rate.take(bytes);
        let (offset, time) = partition.append(message.0, message.1, request.now, settings.gap_every);
        stream.totals.messages_put += 1;
        stream.totals.bytes_put += bytes;
        if settings.foreign_every.is_some_and(|every| (index + 1) % every.max(1) == 0) {
            let value = Bytes::from_static(b"another producer's");
            partition.append(Some(Bytes::from_static(b"foreign")), value, request.now, settings.gap_every);
        }
        let (partition, timestamp) = (Some(partition_index.to_string()), Some(timestamp(time)));
        entries.push(PutResult { partition, offset: Some(offset), timestamp, ..PutResult::default() });
    }
    stream.totals.puts += u64::from(entries.len() > failures);
    Ok(Answer::ok(&serde_json::json!({ "failures": failures, "entries": entries })))
}

/// The decoded keys and values of a PutMessages body.
fn decode(request: &Request<'_>) -> Result<Vec<(Option<Bytes>, Bytes)>, Refused> {
    let body: PutBody<'_> = request.json()?;
    let mut messages = Vec::with_capacity(body.messages.len());
    for (index, entry) in body.messages.iter().enumerate() {
        let unbase64 = |what: &str, text: &str| {
            STANDARD.decode(text).map_err(|_| Refused::invalid(format!("{what} of message {index} is no base64")))
        };
        let key = entry.key.as_deref().map(|key| unbase64("the key", key)).transpose()?;
        if key.as_ref().is_some_and(|key| key.len() > KEY_MAX_BYTES) {
            return Err(Refused::invalid(format!("the key of message {index} is longer than {KEY_MAX_BYTES} bytes")));
        }
        let value = entry.value.as_deref();
        let value = value.ok_or_else(|| Refused::invalid(format!("message {index} has no value")))?;
        messages.push((key.map(Bytes::from), unbase64("the value", value)?.into()));
    }
    Ok(messages)
}

#[derive(Deserialize)]
struct CursorBody<'a> {
    #[serde(borrow)]
    partition: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    offset: Option<u64>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
}

fn create_cursor(at: At<'_>) -> Served {
    let body: CursorBody<'_> = at.request.json()?;
    let index = body.partition.parse::<u32>().ok();
    let partition = index.and_then(|index| Some((index, at.stream.partitions.get(index as usize)?)));
    let (index, partition) = partition.ok_or_else(|| Refused::invalid("no such partition"))?;
    let given = || {
        let offset = body.offset.ok_or_else(|| Refused::invalid("this type of cursor needs an offset"))?;
        let retained = partition.retained().is_some_and(|(oldest, latest)| (oldest..=latest).contains(&offset));
        let out = || Refused::invalid("the offset lies outside of what is retained");
        retained.then_some(offset).ok_or_else(out)
    };
    let offset = match body.kind.as_ref() {
        "TRIM_HORIZON" => partition.horizon(),
        "LATEST" => partition.next(),
        "AT_OFFSET" => given()?,
        "AFTER_OFFSET" => given()? + 1,
        "AT_TIME" => partition.at_time(read_time(body.time.as_deref())?),
        _ => return Err(Refused::invalid("no such type of cursor")),
    };
    Ok(at.cursor(Position::Partition { partition: index, offset }))
}

fn read_time(time: Option<&str>) -> Result<Timestamp, Refused> {
    let time = time.ok_or_else(|| Refused::invalid("this type of cursor needs a time"))?;
    time.parse().map_err(|_| Refused::invalid("the time is not of RFC 3339"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupCursorBody<'a> {
    #[serde(borrow)]
    group_name: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    instance_name: Option<Cow<'a, str>>,
    timeout_in_ms: Option<i64>,
    commit_on_get: Option<bool>,
}

fn create_group_cursor(at: At<'_>) -> Served {
    let body: GroupCursorBody<'_> = at.request.json()?;
    let time = match body.kind.as_ref() {
        "TRIM_HORIZON" | "LATEST" => None,
        "AT_TIME" => Some(read_time(body.time.as_deref())?),
        _ => return Err(Refused::invalid("no such type of group cursor")),
    };
    let start = |partition: &Partition| match (body.kind.as_ref(), time) {
        (_, Some(time)) => partition.at_time(time),
        ("LATEST", None) => partition.next(),
        (_, None) => partition.horizon(),
    };
    let fresh = at.stream.partitions.iter().map(start).collect();
    let members = at.stream.groups.len();
    // The type counts only when the group is first created.
    let group = at.stream.groups.entry(body.group_name.clone().into_owned()).or_insert_with(|| Group::new(fresh));
    let unnamed = || format!("instance-{members}-{}", at.request.now.as_nanosecond());
    let instance = body.instance_name.map_or_else(unnamed, Cow::into_owned);
    let timeout_ms = body.timeout_in_ms.unwrap_or(GROUP_TIMEOUT_MS);
    group.hear(&instance, timeout_ms, at.request.now);
    Ok(at.cursor(Position::Group {
        group: body.group_name.into_owned(),
        instance,
        timeout_ms,
        commit_on_get: body.commit_on_get.unwrap_or(true),
        read: BTreeMap::new(),
    }))
}

#[derive(Serialize)]
struct MessageJson<'a> {
    stream: &'a str,
    partition: String,
    key: Option<String>,
    value: String,
    offset: u64,
    timestamp: String,
}

fn get_messages(mut at: At<'_>) -> Served {
    let asked = match at.request.call.query("limit") {
        None => LIMIT_MAX,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| Refused::invalid(format!("the limit must lie between 1 and {LIMIT_MAX}")))?,
    };
    let limit = at.request.effects.iter().fold(asked, |limit, effect| match effect {
        Effect::ShortRead(messages) => limit.min(*messages),
        Effect::EmptyRead => 0,
        _ => limit,
    });
    let (index, offset, mut next) = at.place()?;
    let Some(partition) = at.stream.partitions.get_mut(index as usize) else {
        // A member of a group to whom no partition fell.
        return Ok(Answer::json(StatusCode::OK, "[]").with("opc-next-cursor", &at.encode(next)));
    };
    if offset < partition.horizon() {
        return Err(Refused::invalid("the cursor lies behind the oldest retained message"));
    }
    if !partition.get_rate.fits(1, at.settings.gets_max_per_sec, at.request.now) {
        return Err(Refused::throttled("rate of reads"));
    }
    let page = partition.read(offset, limit, at.settings.page_max_bytes);
    let bytes = page.iter().map(|message| message.size() as u64).sum();
    let after = page.last().map_or(offset, |last| last.offset + 1);
    let json: Vec<_> = page
        .iter()
        .map(|message| MessageJson {
            stream: at.id,
            partition: index.to_string(),
            key: message.key.as_ref().map(|key| STANDARD.encode(key)),
            value: STANDARD.encode(&message.value),
            offset: message.offset,
            timestamp: timestamp(message.timestamp),
        })
        .collect();
    if !partition.read_rate.fits(bytes, at.settings.read_max_bytes_per_sec, at.request.now) {
        return Err(Refused::throttled("read throughput"));
    }
    let answer = Answer::ok(&json);
    at.stream.totals.gets += 1;
    at.stream.totals.messages_got += json.len() as u64;
    at.stream.totals.bytes_got += bytes;
    partition.get_rate.take(1);
    partition.read_rate.take(bytes);
    match &mut next {
        Position::Partition { offset, .. } => *offset = after,
        Position::Group { read, .. } => {
            read.insert(index, after);
        }
    }
    Ok(answer.with("opc-next-cursor", &at.encode(next)))
}

fn consumer_commit(at: At<'_>) -> Served {
    let mut position = at.decode()?;
    let Position::Group { group, instance, timeout_ms, read, .. } = &mut position else {
        return Err(Refused::invalid("the cursor is not a group's"));
    };
    let group = at.stream.groups.get_mut(group).ok_or_else(|| Refused::invalid("no such group"))?;
    group.hear(instance, *timeout_ms, at.request.now);
    group.commit(instance, read);
    read.clear();
    Ok(at.cursor(position))
}

fn consumer_heartbeat(at: At<'_>) -> Served {
    let position = at.decode()?;
    let Position::Group { group, instance, timeout_ms, .. } = &position else {
        return Err(Refused::invalid("the cursor is not a group's"));
    };
    let group = at.stream.groups.get_mut(group).ok_or_else(|| Refused::invalid("no such group"))?;
    group.hear(instance, *timeout_ms, at.request.now);
    Ok(at.cursor(position))
}

impl At<'_> {
    fn encode(&self, position: Position) -> String {
        let (stream, generation) = (self.id.to_owned(), self.stream.generation);
        Cursor { stream, generation, issued: self.request.now, position }.encode()
    }

    fn cursor(&self, position: Position) -> Answer {
        Answer::ok(&serde_json::json!({ "value": self.encode(position) }))
    }

    /// The position of the cursor in the query.
    fn decode(&self) -> Result<Position, Refused> {
        let cursor = self
            .request
            .call
            .query("cursor")
            .ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, "MissingParameter", "the cursor is missing"))?;
        // A negative lifetime: no cursor is young enough.
        let is_expired = self.request.effects.contains(&Effect::ExpiredCursor);
        let lifetime = if is_expired { SignedDuration::MIN } else { self.settings.cursor_lifetime };
        Cursor::decode(cursor, self.id, self.stream.generation, self.request.now, lifetime)
            .map(|cursor| cursor.position)
            .map_err(Refused::invalid)
    }

    /// Partition and offset to read from, and the position to go on from. A group's member gives and takes here:
    /// the page before is committed, and the next of its partitions that has something is chosen.
    fn place(&mut self) -> Result<(u32, u64, Position), Refused> {
        let mut position = self.decode()?;
        let (group, instance, timeout_ms, commit_on_get, read) = match &mut position {
            Position::Partition { partition, offset } => return Ok((*partition, *offset, position)),
            Position::Group { group, instance, timeout_ms, commit_on_get, read } => {
                (group, instance, *timeout_ms, *commit_on_get, read)
            }
        };
        let group = self.stream.groups.get_mut(group).ok_or_else(|| Refused::invalid("no such group"))?;
        group.hear(instance, timeout_ms, self.request.now);
        if commit_on_get {
            group.commit(instance, read);
            read.clear();
        }
        let partitions = &self.stream.partitions;
        let start = |index: &u32| {
            let committed = group.committed.get(*index as usize).copied().unwrap_or(0);
            let horizon = partitions.get(*index as usize).map_or(0, Partition::horizon);
            read.get(index).copied().unwrap_or(0).max(committed).max(horizon)
        };
        let backlog = |index: &u32| partitions.get(*index as usize).map(|it| it.next().saturating_sub(start(index)));
        let chosen = group.partitions_of(instance).into_iter().max_by_key(backlog);
        let (index, offset) = chosen.map_or((u32::MAX, 0), |index| (index, start(&index)));
        Ok((index, offset, position))
    }
}
