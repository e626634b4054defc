//! Cursors: opaque to clients, and short-lived.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What a cursor stands for. On the wire it is base64 with all of its alphabet, so that a client must encode it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) stream: String,
    pub(super) generation: u64,
    pub(super) issued: Timestamp,
    pub(super) position: Position,
}

/// Where a cursor stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Position {
    /// Before that offset of that partition.
    Partition { partition: u32, offset: u64 },
    /// A member of a consumer group.
    Group {
        group: String,
        instance: String,
        timeout_ms: i64,
        commit_on_get: bool,
        /// The next offset of each partition that was read and not yet committed.
        read: BTreeMap<u32, u64>,
    },
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a client's cursor for a stream of that generation at `now`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn decode(
        text: &str,
        stream: &str,
        generation: u64,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Self, &'static str> {
        let bytes = STANDARD.decode(text).map_err(|_| "the cursor is invalid")?;
        let cursor: Self = serde_json::from_slice(&bytes).map_err(|_| "the cursor is invalid")?;
        if cursor.stream != stream {
            Err("the cursor is another stream's")
        } else if cursor.generation != generation {
            Err("the cursor is from before the stream was made anew")
        } else if now.duration_since(cursor.issued) > lifetime {
            Err("the cursor has expired")
        } else {
            Ok(cursor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_stream_and_its_time() {
        let position = Position::Partition { partition: 2, offset: 77 };
        let cursor = Cursor { stream: "s".to_owned(), generation: 1, issued: Timestamp::UNIX_EPOCH, position };
        let text = cursor.encode();
        let read = |text: &str, stream, generation, secs| {
            let now = Timestamp::from_second(secs).expect("a time");
            Cursor::decode(text, stream, generation, now, SignedDuration::from_mins(5))
        };
        assert_eq!(read(&text, "s", 1, 300), Ok(cursor));
        assert_eq!(read(&text, "s", 1, 301), Err("the cursor has expired"));
        assert_eq!(read(&text, "s", 2, 0), Err("the cursor is from before the stream was made anew"));
        assert_eq!(read(&text, "t", 1, 0), Err("the cursor is another stream's"));
        assert_eq!(read("bm9uZQ==", "s", 1, 0), Err("the cursor is invalid"));
        assert_eq!(read("!", "s", 1, 0), Err("the cursor is invalid"));
    }
}
