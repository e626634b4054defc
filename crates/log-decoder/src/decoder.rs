//! The reader: what arrives is inflated where it must be, a window at a time, and cut into items.

use flate2::{Decompress, FlushDecompress, Status};
use json_records::{Item, LenientSplitter};

use crate::{
    Damage, ResumePoint,
    format::{Format, GZIP, HEAD_BYTES},
    point::Compression,
};

/// Bytes that one step inflates at most.
const WINDOW_BYTES: usize = 256 * 1024;

/// Items that one step gives out at most, but for the last one of a file: objects may be as short as two bytes.
const ITEMS_AT_ONCE: usize = 10_000;

/// Bytes of an unfinished record that a resume point carries at most; a member amid a longer one is none.
const BEGUN_MAX_BYTES: usize = 32 * 1024;

/// Below this a file may have any ratio: its memory is bounded, and the time is short.
const RATIO_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// The largest windows of gzip, as a power of two.
const WINDOW_BITS: u8 = 15;

/// How large things may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest record in bytes; what is longer is set aside in pieces. It bounds the memory.
    pub record_max_bytes: usize,
    /// What a file may open to.
    pub inflated_max_bytes: u64,
    /// How many times its length a file may open to, beyond 16 MiB.
    pub ratio_max: u64,
}

impl Default for Limits {
    /// 5 MiB, Splunk's own limit; 64 GiB; and 200 times, where logs reach some thirty times and a bomb a thousand.
    fn default() -> Self {
        Self { record_max_bytes: 5 * 1024 * 1024, inflated_max_bytes: 64 << 30, ratio_max: 200 }
    }
}

/// What a step took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input.
    pub taken: usize,
    /// Whether it has more to give out even without further input.
    pub has_more: bool,
}

/// Reads one file.
pub struct Decoder {
    limits: Limits,
    state: State,
    splitter: LenientSplitter,
    /// Bytes of the file that were taken.
    offset: u64,
    inflated: u64,
    count: Count,
    /// Whether items may be whole that have not been given out.
    has_whole: bool,
    point: ResumePoint,
}

/// The items that have come.
struct Count {
    items: u64,
    /// Items before this one are not given out: they were, by another reader.
    skip: u64,
}

enum State {
    /// The first bytes are awaited.
    Start(Vec<u8>),
    Plain,
    /// Between two members. Zeros may fill the rest of a file.
    Between {
        first: Option<u8>,
        is_padding: bool,
    },
    Member(Box<Decompress>),
}

impl State {
    const BETWEEN: Self = Self::Between { first: None, is_padding: false };
}

impl Decoder {
    /// At the start of a file.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::resume(limits, ResumePoint::default(), 0)
    }

    /// At a point that another one reached, which had given out the first `items` of the file.
    #[must_use]
    pub fn resume(limits: Limits, point: ResumePoint, items: u64) -> Self {
        let state = match point.compression {
            Some(Compression::Gzip) => State::BETWEEN,
            Some(Compression::None) => State::Plain,
            None => State::Start(Vec::new()),
        };
        let cutting = json_records::Limits { record_max_bytes: limits.record_max_bytes };
        Self {
            limits,
            state,
            splitter: LenientSplitter::resume(cutting, point.place()),
            offset: point.offset,
            inflated: point.inflated,
            count: Count { items: point.items, skip: items },
            has_whole: false,
            point,
        }
    }

    /// Where a reader that has what was given out so far is best resumed.
    #[must_use]
    pub fn point(&self) -> &ResumePoint {
        &self.point
    }

    /// The items of the file that were given out or passed over so far.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.count.items
    }

    /// The bytes of memory that the items of the last step share, as long as one of them is there.
    #[must_use]
    pub fn shared_bytes(&self) -> usize {
        self.splitter.shared_bytes()
    }

    /// Takes some of `input`, which follows what was taken before, and gives `out` each item that it completes.
    ///
    /// It takes part of `input` only, so that what comes out of one step is bounded: call it again with the rest, and with
    /// nothing where [`Step::has_more`] says so.
    ///
    /// # Errors
    /// Where the file cannot be read on; then no more of it may be given.
    pub fn step(&mut self, input: &[u8], out: &mut impl FnMut(Item)) -> Result<Step, Damage> {
        let step = self.step_on(input, out);
        if step.is_err() {
            self.flush(out);
        }
        step
    }

    fn step_on(&mut self, input: &[u8], out: &mut impl FnMut(Item)) -> Result<Step, Damage> {
        if self.has_whole {
            self.cut(out);
            self.mark_plain();
            let may_have_more = self.has_whole || matches!(self.state, State::Member(_));
            return Ok(Step { taken: 0, has_more: may_have_more });
        }
        let step = match &mut self.state {
            State::Start(head) => {
                let taken = input.len().min(HEAD_BYTES - head.len());
                head.extend_from_slice(input.get(..taken).unwrap_or(input));
                if head.len() == HEAD_BYTES {
                    self.begin(out)?
                }
                return Ok(Step { taken, has_more: matches!(self.state, State::Member(_)) });
            }
            State::Plain => {
                let taken = input.len().min(WINDOW_BYTES);
                self.offset += taken as u64;
                let chunk = input.get(..taken).unwrap_or(input);
                self.splitter.fill(taken, |room| {
                    room.copy_from_slice(chunk);
                    (taken, ())
                });
                self.give(taken, out)?;
                self.mark_plain();
                Step { taken, has_more: self.has_whole }
            }
            State::Between { .. } => self.look_for_member(input)?,
            State::Member(_) => self.inflate(input, out)?,
        };
        Ok(step)
    }

    /// States that the file has ended, and gives out what is left.
    ///
    /// # Errors
    /// Where something is missing.
    pub fn finish(&mut self, out: &mut impl FnMut(Item)) -> Result<(), Damage> {
        let finished = self.finish_on(out);
        if finished.is_err() {
            self.flush(out);
        }
        finished
    }

    /// The whole records before a place of damage are part of the file.
    fn flush(&mut self, out: &mut impl FnMut(Item)) {
        self.splitter.flush(&mut self.count.passing(out));
    }

    fn finish_on(&mut self, out: &mut impl FnMut(Item)) -> Result<(), Damage> {
        if let State::Start(_) = self.state {
            self.begin(out)?;
        }
        match self.state {
            State::Between { first: None, .. } | State::Plain => {}
            State::Between { first: Some(_), .. } => return Err(Damage::Trailing { at: self.offset - 1 }),
            State::Start(_) | State::Member(_) => return Err(Damage::Truncated { at: self.offset }),
        }
        let is_open = self.splitter.finish(&mut self.count.passing(out));
        if is_open { Err(Damage::OpenArray) } else { Ok(()) }
    }

    /// The first bytes are there: as one piece they go where the rest goes.
    fn begin(&mut self, out: &mut impl FnMut(Item)) -> Result<(), Damage> {
        let State::Start(head) = &mut self.state else { return Ok(()) };
        let head = std::mem::take(head);
        self.state = match Format::of(&head) {
            Format::Gzip => State::BETWEEN,
            Format::Plain => State::Plain,
            Format::Unsupported(format) => return Err(Damage::Unsupported { format }),
        };
        let mut rest = head.as_slice();
        while !rest.is_empty() {
            let step = self.step_on(rest, out)?;
            rest = rest.get(step.taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn look_for_member(&mut self, input: &[u8]) -> Result<Step, Damage> {
        let State::Between { first, is_padding } = &mut self.state else {
            return Ok(Step { taken: 0, has_more: false });
        };
        let Some(&byte) = input.first() else { return Ok(Step { taken: 0, has_more: false }) };
        match (*first, byte) {
            (None, 0) => *is_padding = true,
            (None, byte) if !*is_padding && GZIP.first() == Some(&byte) => {
                self.point = match self.splitter.place(BEGUN_MAX_BYTES) {
                    Some(place) => ResumePoint {
                        offset: self.offset,
                        items: self.count.items,
                        inflated: self.inflated,
                        compression: Some(Compression::Gzip),
                        in_array: place.in_array,
                        vain: place.vain,
                        begun: place.begun,
                    },
                    None => std::mem::take(&mut self.point),
                };
                *first = Some(byte);
            }
            (Some(magic), byte) if GZIP == [magic, byte] => {
                let mut inflate = Box::new(Decompress::new_gzip(WINDOW_BITS));
                // The two bytes are the member's own.
                inflate
                    .decompress(GZIP, &mut [0; 1], FlushDecompress::None)
                    .map_err(|_| Damage::Corrupt { at: self.offset })?;
                self.state = State::Member(inflate);
            }
            _ => return Err(Damage::Trailing { at: self.offset - u64::from(first.is_some()) }),
        }
        self.offset += 1;
        Ok(Step { taken: 1, has_more: false })
    }

    fn inflate(&mut self, input: &[u8], out: &mut impl FnMut(Item)) -> Result<Step, Damage> {
        let State::Member(inflate) = &mut self.state else {
            return Ok(Step { taken: 0, has_more: false });
        };
        let (taken_before, given_before) = (inflate.total_in(), inflate.total_out());
        let (given, status) = self.splitter.fill(WINDOW_BYTES, |room| {
            let status = inflate.decompress(input, room, FlushDecompress::Sync);
            let given = usize::try_from(inflate.total_out() - given_before).unwrap_or_default();
            (given, (given, status))
        });
        let taken = usize::try_from(inflate.total_in() - taken_before).unwrap_or_default();
        self.offset += taken as u64;
        // What was inflated before the damage is part of the file.
        self.give(given, out)?;
        match status {
            Err(_) => return Err(Damage::Corrupt { at: self.offset }),
            Ok(Status::StreamEnd) => self.state = State::BETWEEN,
            Ok(Status::Ok | Status::BufError) => {}
        }
        let has_more = self.has_whole || given == WINDOW_BYTES && matches!(self.state, State::Member(_));
        Ok(Step { taken, has_more })
    }

    /// Cuts what has been opened; so many bytes are new.
    fn give(&mut self, opened: usize, out: &mut impl FnMut(Item)) -> Result<(), Damage> {
        self.inflated += opened as u64;
        if self.inflated > self.limits.inflated_max_bytes {
            return Err(Damage::TooLarge { max: self.limits.inflated_max_bytes });
        }
        let honest = self.offset.saturating_mul(self.limits.ratio_max).max(RATIO_FREE_BYTES);
        if self.inflated > honest {
            return Err(Damage::Ratio { max: self.limits.ratio_max });
        }
        self.cut(out);
        Ok(())
    }

    fn cut(&mut self, out: &mut impl FnMut(Item)) {
        self.has_whole = self.splitter.cut(ITEMS_AT_ONCE, &mut self.count.passing(out));
    }

    /// Of plain text any place between two records will do.
    fn mark_plain(&mut self) {
        if !matches!(self.state, State::Plain) {
            return;
        }
        let begun = self.splitter.begun_bytes() as u64;
        // What has begun is read again: it lies behind the point, not in it.
        if let Some(in_array) = self.splitter.in_array().filter(|_| begun <= self.offset) {
            self.point = ResumePoint {
                offset: self.offset - begun,
                items: self.count.items,
                inflated: self.inflated - begun.min(self.inflated),
                compression: Some(Compression::None),
                in_array,
                vain: self.splitter.vain(),
                begun: Vec::new(),
            };
        }
    }
}

impl Count {
    /// Counts what passes, and holds back what another reader has given out.
    fn passing<'a>(&'a mut self, out: &'a mut impl FnMut(Item)) -> impl FnMut(Item) + 'a {
        |item| {
            self.items += 1;
            if self.items > self.skip {
                out(item);
            }
        }
    }
}

impl std::fmt::Debug for Decoder {
    /// Without content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("offset", &self.offset)
            .field("inflated", &self.inflated)
            .field("items", &self.count.items)
            .finish_non_exhaustive()
    }
}
