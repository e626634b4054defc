//! The cutter: a state machine over the places between records.

use bytes::Bytes;

use crate::{
    SplitError,
    outline::{Outline, Step},
};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How large things may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest record in bytes, braces included. It also bounds what the splitter keeps between two chunks.
    pub record_max_bytes: usize,
}

/// Cuts a stream that arrives in chunks, whatever the chunks' boundaries.
///
/// What it gives out does not depend on where the chunks were cut.
pub struct Splitter {
    limits: Limits,
    place: Place,
    /// The record at [`Place::Record`], as far as earlier chunks held it.
    begun: Vec<u8>,
    outline: Outline,
    /// Where in the stream the current chunk begins.
    chunk_at: u64,
    records: u64,
    failed: Option<SplitError>,
}

/// Where the next byte lies.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At the start; this many bytes of a byte-order mark have been seen.
    Start { mark: usize },
    /// Where a record or array may begin.
    Top,
    /// Behind an opening bracket: a record, or the closing bracket.
    FirstElement,
    /// Behind a comma of an array: a record.
    NextElement,
    /// Behind an element: a comma, or the closing bracket.
    BehindElement,
    /// Within a record that began at this byte of the stream.
    Record { at: u64, in_array: bool },
}

impl Splitter {
    /// A splitter at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Start { mark: 0 },
            begun: Vec::new(),
            outline: Outline::default(),
            chunk_at: 0,
            records: 0,
            failed: None,
        }
    }

    /// Appends to `out` each record that `chunk` completes, as a copy of its own that does not pin the chunk.
    ///
    /// # Errors
    /// `NotAnObject`, `Broken` or `TooLarge`. The records before that place are in `out`. The stream cannot be read on:
    /// every later call answers the same error.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<Bytes>) -> Result<(), SplitError> {
        self.failed.map_or(Ok(()), Err)?;
        let fed = self.walk(chunk, out);
        self.failed = fed.err();
        fed
    }

    /// States that the stream has ended.
    ///
    /// An object ends by itself, so all records are in the caller's hands already and `out` stays as it is.
    ///
    /// # Errors
    /// `Truncated` where a record or an array is still open; the error of [`Splitter::feed`] if there was one.
    pub fn finish(&mut self, _out: &mut Vec<Bytes>) -> Result<(), SplitError> {
        self.failed.map_or(Ok(()), Err)?;
        let at = match self.place {
            Place::Start { mark: 0 } | Place::Top => return Ok(()),
            Place::Start { .. } => 0,
            Place::Record { at, .. } => at,
            Place::FirstElement | Place::NextElement | Place::BehindElement => self.chunk_at,
        };
        Err(SplitError::Truncated { at, records: self.records })
    }

    fn walk(&mut self, chunk: &[u8], out: &mut Vec<Bytes>) -> Result<(), SplitError> {
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let here = self.chunk_at + at as u64;
            at += match self.place {
                Place::Record { at: start, in_array } => self.read_record(rest, start, in_array, here, out)?,
                Place::Start { mark } => self.read_mark(rest, mark)?,
                Place::Top | Place::FirstElement | Place::NextElement | Place::BehindElement => {
                    self.read_between(rest, here)?
                }
            };
        }
        self.chunk_at += chunk.len() as u64;
        Ok(())
    }

    /// Takes bytes of a byte-order mark, one a call; the answer is how many.
    fn read_mark(&mut self, rest: &[u8], mark: usize) -> Result<usize, SplitError> {
        if rest.first() == BYTE_ORDER_MARK.get(mark) {
            let mark = mark + 1;
            self.place = if mark == BYTE_ORDER_MARK.len() { Place::Top } else { Place::Start { mark } };
            Ok(1)
        } else if mark == 0 {
            self.place = Place::Top;
            Ok(0)
        } else {
            Err(SplitError::Broken { at: 0 })
        }
    }

    /// Takes white space and one token between records, up to the record's first byte; the answer is how many bytes.
    fn read_between(&mut self, rest: &[u8], here: u64) -> Result<usize, SplitError> {
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        let Some(&byte) = rest.get(blanks) else { return Ok(blanks) };
        let at = here + blanks as u64;
        let (place, taken) = match (self.place, byte) {
            (Place::Top, b'{') => (Place::Record { at, in_array: false }, 0),
            (Place::FirstElement | Place::NextElement, b'{') => (Place::Record { at, in_array: true }, 0),
            (Place::Top, b'[') => (Place::FirstElement, 1),
            (Place::BehindElement, b',') => (Place::NextElement, 1),
            (Place::FirstElement | Place::BehindElement, b']') => (Place::Top, 1),
            (
                Place::Top | Place::FirstElement | Place::NextElement,
                b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n',
            ) => {
                return Err(SplitError::NotAnObject { at });
            }
            _ => return Err(SplitError::Broken { at }),
        };
        self.place = place;
        Ok(blanks + taken)
    }

    /// Takes bytes of the record that began at `start`; the answer is how many.
    fn read_record(
        &mut self,
        rest: &[u8],
        start: u64,
        in_array: bool,
        here: u64,
        out: &mut Vec<Bytes>,
    ) -> Result<usize, SplitError> {
        // No byte beyond the limit is looked at, so the outcome does not depend on the chunks' boundaries.
        let room = self.limits.record_max_bytes.saturating_sub(self.begun.len());
        let piece = rest.get(..room).unwrap_or(rest);
        match self.outline.read(piece) {
            Step::Ended(taken) => {
                let end = piece.get(..taken).unwrap_or(piece);
                out.push(if self.begun.is_empty() {
                    Bytes::copy_from_slice(end)
                } else {
                    self.begun.extend_from_slice(end);
                    let record = Bytes::copy_from_slice(&self.begun);
                    self.begun.clear();
                    record
                });
                self.records += 1;
                self.place = if in_array { Place::BehindElement } else { Place::Top };
                Ok(taken)
            }
            Step::Unfinished if piece.len() < rest.len() => {
                Err(SplitError::TooLarge { at: start, record_max_bytes: self.limits.record_max_bytes })
            }
            Step::Unfinished => {
                self.begun.extend_from_slice(piece);
                Ok(piece.len())
            }
            Step::Mismatch(place) => Err(SplitError::Broken { at: here + place as u64 }),
        }
    }
}

impl std::fmt::Debug for Splitter {
    /// Without the bytes of the record that is under way.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splitter")
            .field("place", &self.place)
            .field("begun_bytes", &self.begun.len())
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}
