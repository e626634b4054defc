//! Streaming: messages into a stream and out of one partition.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, Method};
use jiff::Timestamp;
use oci_names::Ocid;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Deadline, Endpoint, Error,
    call::{Call, Content, Repeat},
    target::Target,
};

const BASE_PATH: &str = "/20180418";
const NEXT_CURSOR: HeaderName = HeaderName::from_static("opc-next-cursor");

/// Keys and values of one request, as they are before base64.
pub const PUT_MAX_BYTES: usize = 1024 * 1024;

/// A key, as it is before base64.
pub const KEY_MAX_BYTES: usize = 256;

/// About 1 MB of messages is the working assumption; base64 and a generous service make it more.
const MESSAGES_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Entries are short, but there may be many.
const ENTRIES_MAX_BYTES: usize = 16 * 1024 * 1024;

const CURSOR_MAX_BYTES: usize = 64 * 1024;

/// Calls of the streams behind one messages endpoint.
#[derive(Debug, Clone)]
pub struct Streaming<'a> {
    client: &'a Client,
    endpoint: Endpoint,
}

/// A message to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Messages of the same key land on the same partition; at most [`KEY_MAX_BYTES`]. Empty means no key: any
    /// partition.
    pub key: Bytes,
    /// The content.
    pub value: Bytes,
}

/// What became of one message.
pub type PutEntry = Result<Written, Rejected>;

/// Where a message lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `"0"` to `"n-1"`.
    pub partition: String,
    /// Its place in the partition.
    pub offset: u64,
}

/// Why a message was not taken, in the service's words. The set of codes is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The code.
    pub error: String,
    /// The text.
    pub message: String,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorType {
    /// At the message of this offset.
    AtOffset(u64),
    /// At the message **after** this offset.
    AfterOffset(u64),
    /// At the oldest message that is kept.
    TrimHorizon,
    /// Behind the newest message.
    Latest,
    /// At the first message that is not older.
    AtTime(Timestamp),
}

/// What one read gave; fewer messages than asked for, and none, are normal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagesPage {
    /// In the order of their offsets.
    pub messages: Vec<StreamMessage>,
    /// Where to go on; valid for five minutes.
    pub next_cursor: String,
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMessage {
    /// `"0"` to `"n-1"`.
    pub partition: String,
    /// Its place in the partition.
    pub offset: u64,
    /// The key, where it was put with one or the service made one.
    pub key: Option<Bytes>,
    /// The content.
    pub value: Bytes,
}

impl<'a> Streaming<'a> {
    pub(crate) fn new(client: &'a Client, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// Puts `messages`; the answer has one entry for each, in their order. No messages, no call.
    ///
    /// **A put adds its messages each time.** It is sent again only where it was surely not processed: turned away with
    /// 429 or 503, or never sent. Where the outcome is unknown ([`Error::is_outcome_unknown`]) the caller repeats it
    /// whole under a new batch id. Entries that were rejected may be put again under the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] past [`PUT_MAX_BYTES`] or [`KEY_MAX_BYTES`]; [`Error::Decode`] unless there is exactly one
    /// entry a message; else as the service answered.
    ///
    /// Source: Streaming API reference, PutMessages. Signed without a digest, as by the official SDKs.
    pub async fn put_messages(
        &self,
        stream: &Ocid,
        messages: &[Message],
        deadline: Deadline,
    ) -> Result<Vec<PutEntry>, Error> {
        const OPERATION: &str = "PutMessages";
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let invalid = |what| Error::Invalid { operation: OPERATION, what };
        if messages.iter().any(|message| message.key.len() > KEY_MAX_BYTES) {
            return Err(invalid("a key may have 256 bytes at most"));
        }
        if messages.iter().map(|message| message.key.len() + message.value.len()).sum::<usize>() > PUT_MAX_BYTES {
            return Err(invalid("keys and values may have 1 MiB together at most"));
        }
        let content = Content::UnsignedJson(put_body(messages));
        let target = self.target(stream).part("messages");
        let call = Call::new(OPERATION, Method::POST, target, content, Repeat::UnlessProcessed);
        let answer = self.client.call(&call, ENTRIES_MAX_BYTES, deadline).await?;
        let result: PutResult = answer.json()?;
        if result.entries.len() != messages.len() {
            return Err(answer.unexpected("the number of entries"));
        }
        let entries = result.entries.into_iter().map(Entry::read).collect::<Option<_>>();
        entries.ok_or_else(|| answer.unexpected("an entry with neither an error nor an offset"))
    }

    /// Makes a cursor for `partition`, valid for five minutes. May be repeated: a cursor that nobody uses is forgotten.
    ///
    /// # Errors
    /// As the service answered: 400 where the offset has expired or is not written yet, or the partition is none.
    ///
    /// Source: Streaming API reference, CreateCursor.
    pub async fn create_cursor(
        &self,
        stream: &Ocid,
        partition: &str,
        cursor_type: CursorType,
        deadline: Deadline,
    ) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Details<'a> {
            partition: &'a str,
            r#type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            offset: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            time: Option<Timestamp>,
        }
        #[derive(Deserialize)]
        struct Cursor {
            value: String,
        }
        let (r#type, offset, time) = match cursor_type {
            CursorType::AtOffset(offset) => ("AT_OFFSET", Some(offset), None),
            CursorType::AfterOffset(offset) => ("AFTER_OFFSET", Some(offset), None),
            CursorType::TrimHorizon => ("TRIM_HORIZON", None, None),
            CursorType::Latest => ("LATEST", None, None),
            CursorType::AtTime(time) => ("AT_TIME", None, Some(time)),
        };
        let call = Call::post_json(
            "CreateCursor",
            self.target(stream).part("cursors"),
            &Details { partition, r#type, offset, time },
            Repeat::Always,
        )?;
        let answer = self.client.call(&call, CURSOR_MAX_BYTES, deadline).await?;
        Ok(answer.json::<Cursor>()?.value)
    }

    /// Reads from `cursor` on, at most `limit` messages. May be repeated.
    ///
    /// The service also bounds an answer by its bytes: go on with `next_cursor` past short and empty pages until the
    /// wanted offset has been seen.
    ///
    /// # Errors
    /// As the service answered (400 where the cursor has expired), or [`Error::Decode`].
    ///
    /// Source: Streaming API reference, GetMessages.
    pub async fn get_messages(
        &self,
        stream: &Ocid,
        cursor: &str,
        limit: u32,
        deadline: Deadline,
    ) -> Result<MessagesPage, Error> {
        let target = self.target(stream).part("messages").query("cursor", cursor).query("limit", &limit.to_string());
        let answer = self.client.call(&Call::read("GetMessages", target), MESSAGES_MAX_BYTES, deadline).await?;
        let raw: Vec<RawMessage<'_>> = answer.json()?;
        let mut messages = Vec::with_capacity(raw.len());
        for message in raw {
            messages.push(message.decode().ok_or_else(|| answer.unexpected("base64 of a message"))?);
        }
        let next_cursor = answer.header(&NEXT_CURSOR)?.to_owned();
        Ok(MessagesPage { messages, next_cursor })
    }

    fn target(&self, stream: &Ocid) -> Target {
        Target::new(&self.endpoint, BASE_PATH).part("streams").value(stream.as_str())
    }
}

/// Written by hand into one buffer of the right size: a batch is a megabyte, and base64 needs no escaping.
fn put_body(messages: &[Message]) -> Bytes {
    let encoded = |bytes: &Bytes| bytes.len().div_ceil(3) * 4;
    let around = r#"{"key":"","value":""},"#.len();
    let size: usize = messages.iter().map(|message| encoded(&message.key) + encoded(&message.value) + around).sum();
    let mut body = String::with_capacity(size + r#"{"messages":[]}"#.len());
    body.push_str(r#"{"messages":["#);
    for (index, message) in messages.iter().enumerate() {
        body.push_str(if index == 0 { "{" } else { ",{" });
        if !message.key.is_empty() {
            body.push_str(r#""key":""#);
            STANDARD.encode_string(&message.key, &mut body);
            body.push_str(r#"","#);
        }
        body.push_str(r#""value":""#);
        STANDARD.encode_string(&message.value, &mut body);
        body.push_str(r#""}"#);
    }
    body.push_str("]}");
    body.into()
}

#[derive(Deserialize)]
struct PutResult {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    partition: Option<String>,
    offset: Option<u64>,
    error: Option<String>,
    error_message: Option<String>,
}

impl Entry {
    /// An error decides, whatever else the entry says.
    fn read(self) -> Option<PutEntry> {
        match (self.error, self.partition, self.offset) {
            (Some(error), _, _) => Some(Err(Rejected { error, message: self.error_message.unwrap_or_default() })),
            (None, Some(partition), Some(offset)) => Some(Ok(Written { partition, offset })),
            (None, _, _) => None,
        }
    }
}

/// Borrows the base64 from the body, so that a message is held once in each form and no more.
#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    partition: Cow<'a, str>,
    offset: u64,
    key: Option<String>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl RawMessage<'_> {
    fn decode(self) -> Option<StreamMessage> {
        Some(StreamMessage {
            partition: self.partition.into_owned(),
            offset: self.offset,
            key: self.key.map(|key| STANDARD.decode(key)).transpose().ok()?.map(Bytes::from),
            value: STANDARD.decode(&*self.value).ok()?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &'static [u8], value: &'static [u8]) -> Message {
        Message { key: Bytes::from_static(key), value: Bytes::from_static(value) }
    }

    #[test]
    fn a_put_is_written_as_the_reference_shows_it_and_into_one_buffer() {
        let body = put_body(&[message(b"k1", br#"{"a":1}"#), message(b"", br#"{"a":2}"#)]);
        assert_eq!(body, r#"{"messages":[{"key":"azE=","value":"eyJhIjoxfQ=="},{"value":"eyJhIjoyfQ=="}]}"#);
    }

    #[test]
    fn r_07_an_entry_s_error_decides_and_an_entry_that_says_nothing_is_no_success() {
        let read = |text| serde_json::from_str::<Entry>(text).unwrap().read();
        let written = Written { partition: "0".to_owned(), offset: 1234 };
        let rejected = Rejected { error: "Throttled".to_owned(), message: String::new() };
        for (text, expected) in [
            (r#"{"partition":"0","offset":1234,"timestamp":"x","error":null}"#, Some(Ok(written))),
            (r#"{"partition":"0","offset":1,"error":"Throttled"}"#, Some(Err(rejected))),
            (r#"{"partition":"0"}"#, None),
            (r#"{"offset":1}"#, None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_message_is_decoded_once_and_broken_base64_is_no_message() {
        let read = |text| serde_json::from_str::<RawMessage<'_>>(text).unwrap().decode();
        let whole = read(r#"{"stream":"s","partition":"1","key":"azE=","value":"Pz8\/","offset":7,"timestamp":"x"}"#);
        let expected = StreamMessage {
            partition: "1".to_owned(),
            offset: 7,
            key: Some(Bytes::from_static(b"k1")),
            value: Bytes::from_static(b"???"),
        };
        assert_eq!(whole, Some(expected));
        assert_eq!(read(r#"{"partition":"1","key":null,"value":"","offset":7}"#).unwrap().key, None);
        assert_eq!(read(r#"{"partition":"1","value":"a","offset":7}"#), None);
    }
}
