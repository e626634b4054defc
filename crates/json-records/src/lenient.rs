//! The cutter for files that anybody may have written: what is no record is set aside, and reading goes on behind it.

use std::fmt;

use bytes::{Buf, Bytes};
use memchr::{memchr, memchr3};
use serde_json::{Deserializer, error::Category, value::RawValue};

use crate::{
    Limits,
    buffer::Buffer,
    extent::Extent,
    quick::{self, Object},
};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a file holds, in the order of its bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    /// One JSON object. Its grammar and its UTF-8 have been checked.
    Record {
        /// Byte for byte. They share their memory with what was read around them.
        bytes: Bytes,
        /// Whether it surely has no white space between its tokens.
        is_compact: bool,
    },
    /// Bytes that are no record.
    SetAside {
        /// Why.
        reason: NoRecord,
        /// What stands there, byte for byte.
        bytes: Bytes,
    },
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoRecord {
    /// A JSON value, but a text, a number or the like, or an array within an array.
    NotAnObject,
    /// Begins like a record and is not one, or is no JSON at all.
    Broken,
    /// Holds bytes that are not UTF-8.
    NotUtf8,
    /// A piece of something that is longer than a record may be; the pieces follow each other.
    TooLarge,
    /// A record that the end of the file cuts off.
    Truncated,
}

impl fmt::Display for NoRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnObject => "JSON, but no object",
            Self::Broken => "not JSON",
            Self::NotUtf8 => "not UTF-8",
            Self::TooLarge => "a piece of what is longer than a record may be",
            Self::Truncated => "cut off by the end of the file",
        })
    }
}

/// A place between two items, from which reading can go on with the bytes that follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Whether it lies within a top-level array.
    pub in_array: bool,
    /// What has been read and belongs to the next item.
    pub begun: Vec<u8>,
    /// How many bytes have been looked at in vain before it, beyond what that is worth: how the next items are cut depends
    /// on it.
    pub vain: u64,
}

/// Cuts a stream that arrives in chunks, and never fails.
///
/// * The objects may follow each other with any white space, with commas or nothing between them, or lie in top-level
///   arrays, which are opened. Byte-order marks between them are skipped.
/// * What is no object is set aside alone: a scalar up to its end, a broken record up to its closing brace or to a line
///   that begins with another one, other text up to the end of its line.
/// * What is longer than a record may be is set aside in pieces.
///
/// What it gives out does not depend on where the chunks were cut, and it keeps no more than one unfinished item. Nothing
/// but white space, commas, marks, and the brackets of top-level arrays is passed over. It looks at each byte a bounded
/// number of times: what is broken far behind again and again is set aside up to there, records within it and all.
pub struct LenientSplitter {
    record_max_bytes: usize,
    buffer: Buffer,
    /// With fewer bytes than this the next item need not be looked at again: each look costs its whole length.
    wanted: usize,
    in_array: bool,
    /// What is too large, where a piece of it has been given out.
    piece: Option<Extent>,
    /// How many bytes may still be looked at in vain.
    patience: u64,
}

/// Bytes that may be looked at in vain for each byte that is given out, and at first.
const PATIENCE: u64 = 8;
const PATIENCE_AT_FIRST: u64 = 1024 * 1024;

/// What a look at the next bytes tells.
enum Look {
    /// So many bytes between items.
    Between(usize),
    /// A top-level array begins or ends, one byte.
    Array { begins: bool },
    /// A record.
    Record(Object),
    /// So many bytes that are none.
    SetAside(NoRecord, usize),
    /// The same, and how far it was looked to tell.
    InVain { reason: NoRecord, length: usize, reach: usize },
    /// A piece of what is too large, and how that goes on.
    Piece(usize, Option<Extent>),
    /// It does not end within what has arrived.
    Unfinished,
}

impl LenientSplitter {
    /// At the start of a file.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            record_max_bytes: limits.record_max_bytes.max(1),
            buffer: Buffer::default(),
            wanted: 0,
            in_array: false,
            piece: None,
            patience: PATIENCE_AT_FIRST,
        }
    }

    /// At a place that another one reached.
    #[must_use]
    pub fn resume(limits: Limits, place: Place) -> Self {
        let patience = PATIENCE_AT_FIRST.saturating_sub(place.vain);
        Self { buffer: Buffer::from(place.begun), in_array: place.in_array, patience, ..Self::new(limits) }
    }

    /// The place behind the last item that was given out; `None` amid what is too large, or where more than
    /// `begun_max_bytes` would have to be kept.
    #[must_use]
    pub fn place(&self, begun_max_bytes: usize) -> Option<Place> {
        let begun = self.buffer.unread();
        let is_small = self.piece.is_none() && begun.len() <= begun_max_bytes;
        is_small.then(|| Place { in_array: self.in_array, begun: begun.to_vec(), vain: self.vain() })
    }

    /// Whether the place behind the last item lies within a top-level array; `None` amid what is too large.
    #[must_use]
    pub fn in_array(&self) -> Option<bool> {
        self.piece.is_none().then_some(self.in_array)
    }

    /// [`Place::vain`] of the place behind the last item.
    #[must_use]
    pub fn vain(&self) -> u64 {
        PATIENCE_AT_FIRST.saturating_sub(self.patience)
    }

    /// The bytes of memory that the items given out last share, as long as one of them is there.
    #[must_use]
    pub fn shared_bytes(&self) -> usize {
        self.buffer.block_bytes()
    }

    /// How many bytes have been read that belong to no item yet.
    #[must_use]
    pub fn begun_bytes(&self) -> usize {
        self.buffer.unread().len()
    }

    /// Gives `out` each item that `chunk` completes.
    pub fn feed(&mut self, chunk: &[u8], out: &mut impl FnMut(Item)) {
        self.fill(chunk.len(), |room| {
            room.copy_from_slice(chunk);
            (chunk.len(), ())
        });
        self.cut(usize::MAX, out);
    }

    /// Lets `write` put what comes next where it will be read, at most `most` bytes: it answers how many, and what else it
    /// has to say. [`LenientSplitter::cut`] then gives out what that completes.
    pub fn fill<T>(&mut self, most: usize, write: impl FnOnce(&mut [u8]) -> (usize, T)) -> T {
        self.buffer.fill(most, write)
    }

    /// Gives `out` the items that have become whole, at most `most` of them; whether there may be more.
    pub fn cut(&mut self, most: usize, out: &mut impl FnMut(Item)) -> bool {
        self.walk(false, most, out)
    }

    /// Gives `out` the items that are whole and have not been looked at, where nothing more will come and yet the file is
    /// not known to end here. Else they come with later chunks.
    pub fn flush(&mut self, out: &mut impl FnMut(Item)) {
        self.wanted = 0;
        self.walk(false, usize::MAX, out);
    }

    /// States that the file has ended, and gives out what is left. The answer is whether a top-level array was still open:
    /// something may be missing behind the last item then.
    pub fn finish(&mut self, out: &mut impl FnMut(Item)) -> bool {
        self.wanted = 0;
        self.walk(true, usize::MAX, out);
        std::mem::take(&mut self.in_array)
    }

    fn walk(&mut self, is_end: bool, most: usize, out: &mut impl FnMut(Item)) -> bool {
        let mut rest = self.buffer.share();
        let mut left = most;
        while left > 0 && !rest.is_empty() && rest.len() >= self.wanted {
            self.wanted = 0;
            let (set_aside, length) = match self.look(&rest, is_end) {
                Look::Between(length) => (None, length),
                Look::Array { begins } => {
                    self.in_array = begins;
                    (None, 1)
                }
                Look::Record(Object { length, is_compact }) => {
                    out(Item::Record { bytes: rest.slice(..length), is_compact });
                    left -= 1;
                    (None, length)
                }
                Look::SetAside(reason, length) => (Some(reason), length),
                Look::InVain { reason, length, reach } => {
                    // A look that reached far and gives little is dear: once too many were, all of its reach goes.
                    let is_dear = self.patience < reach as u64;
                    self.patience = self.patience.saturating_sub(reach as u64);
                    (Some(reason), if is_dear { length.max(reach.min(self.record_max_bytes)) } else { length })
                }
                Look::Piece(length, goes_on) => {
                    self.piece = goes_on;
                    (Some(NoRecord::TooLarge), length)
                }
                Look::Unfinished => {
                    self.wanted = (rest.len() * 2).min(self.record_max_bytes.saturating_add(1));
                    break;
                }
            };
            if let Some(reason) = set_aside.filter(|_| length > 0) {
                let bytes = rest.slice(..length);
                // White space behind it lies between items; behind a piece it may be part of the whole.
                let bytes = if reason == NoRecord::TooLarge { bytes } else { trimmed(&bytes) };
                out(Item::SetAside { reason, bytes });
                left -= 1;
            }
            rest.advance(length);
            self.patience = (self.patience + PATIENCE * length as u64).min(PATIENCE_AT_FIRST);
        }
        self.buffer.keep(rest.len());
        left == 0
    }

    /// Looks at what begins at the start of `rest`.
    fn look(&self, rest: &[u8], is_end: bool) -> Look {
        if let Some(extent) = &self.piece {
            return self.piece(rest, extent.clone(), is_end);
        }
        let first = rest.first().copied().unwrap_or(b' ');
        let look = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                let is_between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
                return Look::Between(rest.iter().take_while(is_between).count());
            }
            b'[' if !self.in_array => return Look::Array { begins: true },
            b']' if self.in_array => return Look::Array { begins: false },
            b'}' | b']' => Look::SetAside(NoRecord::Broken, 1),
            b'{' | b'[' | b'"' => {
                // No byte beyond the limit is looked at, so that the outcome does not depend on how many have come.
                let within = rest.get(..=self.record_max_bytes);
                look_at_value(within.unwrap_or(rest), is_end && within.is_none())
            }
            _ if rest.starts_with(BYTE_ORDER_MARK) => return Look::Between(BYTE_ORDER_MARK.len()),
            _ if BYTE_ORDER_MARK.starts_with(rest) && !is_end => return Look::Unfinished,
            _ => self.look_at_word(rest, is_end),
        };
        let is_over = match look {
            Look::Record(Object { length, .. }) | Look::SetAside(_, length) | Look::InVain { length, .. } => {
                length > self.record_max_bytes
            }
            Look::Unfinished => rest.len() > self.record_max_bytes,
            Look::Between(_) | Look::Array { .. } | Look::Piece(..) => false,
        };
        if is_over { self.piece(rest, Extent::default(), is_end) } else { look }
    }

    /// Cuts a piece off what is longer than a record may be, which goes on as `extent` has it.
    fn piece(&self, rest: &[u8], mut extent: Extent, is_end: bool) -> Look {
        let piece = rest.get(..self.record_max_bytes).unwrap_or(rest);
        match extent.read(piece) {
            // It ends soon, and yet all of the piece was looked at.
            Some(length) if self.piece.is_none() => {
                Look::InVain { reason: NoRecord::TooLarge, length, reach: piece.len() }
            }
            Some(length) => Look::Piece(length, None),
            None if is_end || piece.len() == self.record_max_bytes => Look::Piece(piece.len(), Some(extent)),
            None => Look::Unfinished,
        }
    }

    /// Looks at what begins with none of JSON's brackets: a number or its like, or text of any kind.
    fn look_at_word(&self, rest: &[u8], is_end: bool) -> Look {
        let is_delimiter =
            |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'{' | b'}' | b'[' | b']' | b'"');
        let length = match rest.iter().position(is_delimiter) {
            Some(length) => length,
            None if is_end => rest.len(),
            None => return Look::Unfinished,
        };
        if is_json(rest.get(..length).unwrap_or(rest)) {
            return Look::SetAside(NoRecord::NotAnObject, length);
        }
        let end = if self.in_array { memchr3(b',', b']', b'\n', rest) } else { memchr(b'\n', rest) };
        match end {
            Some(length) => no_json(rest, length),
            None if is_end => no_json(rest, rest.len()),
            None => Look::Unfinished,
        }
    }
}

/// Without JSON's white space at the end.
fn trimmed(bytes: &Bytes) -> Bytes {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    end.map_or_else(|| bytes.clone(), |end| bytes.slice(..=end))
}

/// Looks at an object, a text, or an array within an array.
fn look_at_value(rest: &[u8], is_end: bool) -> Look {
    let is_utf8 = |object: &Object| rest.get(..object.length).is_some_and(|text| std::str::from_utf8(text).is_ok());
    // Nearly all that a log file holds.
    if let Some(object) = quick::object(rest).filter(is_utf8) {
        return Look::Record(object);
    }
    let mut values = Deserializer::from_slice(rest).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(value)) if rest.starts_with(b"{") => {
            Look::Record(Object { length: value.get().len(), is_compact: false })
        }
        Some(Ok(value)) => Look::SetAside(NoRecord::NotAnObject, value.get().len()),
        Some(Err(error)) if is_cut(&error, rest) && !is_end => Look::Unfinished,
        Some(Err(error)) => match Extent::default().read(rest) {
            Some(length) => in_vain(rest, length, &error),
            None if is_cut(&error, rest) => Look::SetAside(NoRecord::Truncated, rest.len()),
            None if is_end => no_json(rest, rest.len()),
            None => Look::Unfinished,
        },
        None => Look::Unfinished,
    }
}

/// Whether what stands in `rest` is wrong only in that it ends there: a number that ends behind its point is a syntax error
/// to the parser.
fn is_cut(error: &serde_json::Error, rest: &[u8]) -> bool {
    error.classify() == Category::Eof || place_of(error, rest) >= rest.len()
}

/// What is said of the first `length` bytes of `rest`, where the parser failed at `error`.
fn in_vain(rest: &[u8], length: usize, error: &serde_json::Error) -> Look {
    let reach = place_of(error, rest).min(rest.len());
    match no_json(rest, length) {
        Look::SetAside(reason, length) => Look::InVain { reason, length, reach },
        look => look,
    }
}

/// The place of `error` in `rest`, in bytes.
fn place_of(error: &serde_json::Error, rest: &[u8]) -> usize {
    let mut lines = rest.split(|byte| *byte == b'\n').map(|line| line.len() + 1);
    let before: usize = lines.by_ref().take(error.line().saturating_sub(1)).sum();
    before + error.column()
}

/// What is said of the first `length` bytes of `rest`, which are no JSON.
fn no_json(rest: &[u8], length: usize) -> Look {
    let bytes = rest.get(..length).unwrap_or(rest);
    let reason = if std::str::from_utf8(bytes).is_err() { NoRecord::NotUtf8 } else { NoRecord::Broken };
    Look::SetAside(reason, bytes.len())
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

impl fmt::Debug for Item {
    /// Without content: it may be confidential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { bytes, .. } => f.debug_tuple("Record").field(&bytes.len()).finish(),
            Self::SetAside { reason, bytes } => f.debug_tuple("SetAside").field(reason).field(&bytes.len()).finish(),
        }
    }
}

impl fmt::Debug for LenientSplitter {
    /// Without the bytes of the item that is under way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LenientSplitter")
            .field("begun_bytes", &self.begun_bytes())
            .field("in_array", &self.in_array)
            .finish_non_exhaustive()
    }
}
