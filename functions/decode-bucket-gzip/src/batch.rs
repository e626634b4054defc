//! Filling: bytes are read, opened and cut until a batch is full.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use log_decoder::{Decoder, Item, NoRecord, ResumePoint};
use siem_sinks::{Proven, Record};
use workbench::CallTime;

use crate::{
    App,
    file::Body,
    select::Select,
    source::{FileUnreadable, Source},
};

/// With so many bytes of records a batch is full: three steps of the decoder, which with their envelopes are one body of
/// Splunk's usual size. Two batches and a body are in memory at once.
const BATCH_BYTES: usize = 700_000;

/// Where what is sent of a step is less than this share of the memory that it was read in, it is copied: else a few records
/// would hold all of it.
const SHARED_MIN: usize = 4;

/// Bytes of copies that lie together: small enough that the allocator gives the same memory again.
const ARENA_BYTES: usize = 256 * 1024;

/// Items in a batch, those that are left out among them.
const BATCH_ITEMS: u64 = 20_000;

const TOO_MANY: &str = "too much of it is no record (malformed_max): is it a log file?";

/// Some items of a file, in their order, which are settled together.
#[derive(Default)]
pub(crate) struct Batch {
    /// What is sent.
    pub(crate) records: Vec<Record>,
    /// The places of those records among the file's items.
    pub(crate) places: Vec<u64>,
    /// What is no record.
    pub(crate) no_records: Vec<Piece>,
    /// The places of what is left out.
    pub(crate) left_out: Vec<u64>,
    /// The place behind the last item.
    pub(crate) until: u64,
    /// Where reading can go on behind it, or before.
    pub(crate) point: ResumePoint,
    /// Bytes of what is sent and of what is no record.
    pub(crate) bytes: usize,
}

/// Bytes that are no record.
pub(crate) struct Piece {
    /// Its place among the file's items.
    pub(crate) place: u64,
    pub(crate) reason: NoRecord,
    pub(crate) bytes: Bytes,
}

/// Why a batch ends.
pub(crate) enum End {
    /// It is full.
    Full,
    /// The file ends.
    File,
    /// The file cannot be read on, for good.
    Damage(String),
    /// Its bytes cannot be had.
    Failed(FileUnreadable),
    /// The call has no time for more.
    Time,
}

/// Fills one batch after the other.
pub(crate) struct Filler<'a> {
    source: Source<'a>,
    decoder: Decoder,
    select: &'a Select,
    region: Option<Arc<str>>,
    /// What was read and not opened yet.
    chunk: Bytes,
    has_more: bool,
    /// The first item that another call has not settled.
    from: u64,
    /// How many pieces that are no records may still come.
    no_records_left: u64,
}

impl<'a> Filler<'a> {
    /// Goes on where what is settled of a file ends.
    pub(crate) fn resume(app: &'a App, body: &Body) -> Self {
        let config = &app.config;
        Self {
            source: Source::at(app, body, body.point.offset),
            decoder: Decoder::resume(config.limits, body.point.clone(), body.settled),
            select: &config.select,
            region: Some(config.connection.client.region().as_str().into()),
            chunk: Bytes::new(),
            has_more: false,
            from: body.settled,
            no_records_left: config.malformed_max.saturating_sub(body.no_records),
        }
    }

    /// The next batch, and why it ends: nothing is waited for once the time is over.
    pub(crate) async fn fill(&mut self, time: CallTime) -> (Batch, End) {
        let from = self.decoder.items().max(self.from);
        let mut filling = Filling::new(from, self.no_records_left);
        let end = loop {
            // Before all else: what lies behind that item is not in the batch.
            if filling.ended_at.is_some() {
                break End::Damage(TOO_MANY.to_owned());
            }
            if filling.batch.bytes >= BATCH_BYTES || filling.next - from >= BATCH_ITEMS {
                break End::Full;
            }
            if time.is_over() {
                break End::Time;
            }
            if self.chunk.is_empty() && !self.has_more {
                match self.source.next(time.soft).await {
                    Ok(Some(chunk)) => self.chunk = chunk,
                    Ok(None) => match self.decoder.finish(&mut |item| filling.take(item, self.select, &self.region)) {
                        Ok(()) if filling.ended_at.is_some() => break End::Damage(TOO_MANY.to_owned()),
                        Ok(()) => break End::File,
                        Err(damage) => break End::Damage(damage.to_string()),
                    },
                    // What has come is settled in the time that is left.
                    Err(_) if time.is_over() => break End::Time,
                    Err(error) => break End::Failed(error),
                }
            }
            match self.decoder.step(&self.chunk, &mut |item| filling.take(item, self.select, &self.region)) {
                Ok(step) => {
                    filling.end_step(self.decoder.shared_bytes());
                    self.chunk.advance(step.taken);
                    self.has_more = step.has_more;
                }
                Err(damage) => break End::Damage(damage.to_string()),
            }
            // A step is little beside what has been read: whoever sends the batch before this one has its turn.
            tokio::task::yield_now().await;
        };
        filling.end_step(self.decoder.shared_bytes());
        let mut batch = filling.batch;
        self.no_records_left = filling.no_records_left;
        batch.until = filling.ended_at.unwrap_or(filling.next);
        batch.point = self.decoder.point().clone();
        (batch, end)
    }
}

/// What a step of the decoder has given so far, and where in the batch that begins.
#[derive(Default, Clone, Copy)]
struct Step {
    bytes: usize,
    first_record: usize,
    first_piece: usize,
}

/// A batch that is being filled.
struct Filling {
    batch: Batch,
    /// One allocation holds many copies.
    arena: BytesMut,
    /// What the step under way has given.
    step: Step,
    /// The place of the next item.
    next: u64,
    no_records_left: u64,
    /// The first item that is not taken, because too many before it were no records.
    ended_at: Option<u64>,
}

impl Filling {
    fn new(next: u64, no_records_left: u64) -> Self {
        Self {
            batch: Batch::default(),
            arena: BytesMut::new(),
            step: Step::default(),
            next,
            no_records_left,
            ended_at: None,
        }
    }

    fn take(&mut self, item: Item, select: &Select, region: &Option<Arc<str>>) {
        let place = self.next;
        self.next += 1;
        if self.ended_at.is_some() {
            return;
        }
        match item {
            Item::Record { bytes, is_compact } => match select.of(&bytes) {
                Some(sent) => {
                    let raw = bytes.slice_ref(sent);
                    self.count(raw.len());
                    let proven = if is_compact { Proven::CompactObject } else { Proven::Object };
                    self.batch.records.push(Record { raw, region: region.clone(), proven });
                    self.batch.places.push(place);
                }
                None => self.batch.left_out.push(place),
            },
            Item::SetAside { .. } if self.no_records_left == 0 => self.ended_at = Some(place),
            Item::SetAside { reason, bytes } => {
                self.no_records_left -= 1;
                self.count(bytes.len());
                self.batch.no_records.push(Piece { place, reason, bytes });
            }
        }
    }

    fn count(&mut self, bytes: usize) {
        self.batch.bytes += bytes;
        self.step.bytes += bytes;
    }

    /// A step is over, whose items share so many bytes of memory: what it gave holds them only where it fills a good part.
    fn end_step(&mut self, shared_bytes: usize) {
        let Step { bytes, first_record, first_piece } = self.step;
        if bytes.saturating_mul(SHARED_MIN) < shared_bytes {
            let records = self.batch.records.iter_mut().skip(first_record).map(|record| &mut record.raw);
            let pieces = self.batch.no_records.iter_mut().skip(first_piece).map(|piece| &mut piece.bytes);
            for shared in records.chain(pieces) {
                *shared = copy(&mut self.arena, shared);
            }
        }
        self.step = Step { bytes: 0, first_record: self.batch.records.len(), first_piece: self.batch.no_records.len() };
    }
}

fn copy(arena: &mut BytesMut, bytes: &[u8]) -> Bytes {
    if arena.capacity() < bytes.len() {
        *arena = BytesMut::with_capacity(ARENA_BYTES.max(bytes.len()));
    }
    arena.extend_from_slice(bytes);
    arena.split().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a step takes of a block of 1,000 bytes, where it takes records of these lengths.
    fn step(lengths: &[usize]) -> (Bytes, Filling) {
        let block = Bytes::from(vec![b'x'; 1_000]);
        let mut filling = Filling::new(0, 1);
        let mut from = 0;
        for length in lengths {
            let bytes = block.slice(from..from + length);
            filling.take(Item::Record { bytes, is_compact: true }, &Select::default(), &None);
            from += length;
        }
        filling.take(Item::SetAside { reason: NoRecord::Broken, bytes: block.slice(..10) }, &Select::default(), &None);
        filling.end_step(block.len());
        (block, filling)
    }

    #[test]
    fn a_few_records_do_not_hold_the_memory_that_they_were_read_in() {
        for (lengths, is_copied) in [(&[100, 100][..], true), (&[], true), (&[100, 140], false), (&[900], false)] {
            let (block, filling) = step(lengths);
            assert_eq!(block.is_unique(), is_copied, "{lengths:?}");
            let lying: Vec<usize> = filling.batch.records.iter().map(|record| record.raw.len()).collect();
            assert_eq!(lying, lengths);
            assert!(filling.batch.records.iter().all(|record| record.raw.iter().all(|byte| *byte == b'x')));
            assert_eq!(filling.batch.no_records.first().map(|piece| piece.bytes.len()), Some(10));
        }
    }
}
