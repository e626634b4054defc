//! Events into batches, and back: what one put carries on the event stream.

use std::{
    io::{Read, Write},
    str::FromStr,
};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use json_records::{Limits, Splitter};
use oci_names::Ocid;

use crate::EventHash;

/// How events lie on the event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One event a message, as received: any Kafka consumer can read it.
    Plain,
    /// Many events a message, joined by line feeds and compressed with gzip: stream traffic is the largest item of the bill.
    Packed,
}

impl FromStr for Encoding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "plain" => Ok(Self::Plain),
            "packed" => Ok(Self::Packed),
            _ => Err("expected plain or packed"),
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Packed => "packed",
        })
    }
}

/// How large a batch may become.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Bytes of one put, keys included; the service takes 1 MiB.
    pub stream_max_bytes: usize,
    /// Bytes of events before compression.
    pub inflated_max_bytes: usize,
    /// Events; 0 for no bound but the bytes.
    pub events_max: u32,
    /// How the events are laid down.
    pub encoding: Encoding,
}

/// Events that go to the stream in one put and to the destination under one receipt.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The messages' values.
    pub values: Vec<Bytes>,
    /// The events' hashes, in order.
    pub event_ids: Vec<EventHash>,
    /// The compartments that they come from.
    pub compartments: Vec<Ocid>,
    /// The work units that they come from, by index.
    pub units: Vec<usize>,
    /// The hashes of the events that the last record stands for, where it is a summary.
    pub summarised: Vec<EventHash>,
}

/// One event alone passes the limit of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event takes {bytes} bytes on the stream, more than the {limit} of a put")]
pub struct TooLarge {
    /// What it takes there.
    pub bytes: usize,
    /// What a put takes.
    pub limit: usize,
}

/// Gathers events and gives them out batch by batch, in order.
pub struct Batcher {
    limits: BatchLimits,
    key_bytes: usize,
    open: Open,
}

struct Open {
    event_ids: Vec<EventHash>,
    compartments: Vec<Ocid>,
    units: Vec<usize>,
    inflated: usize,
    content: Content,
}

enum Content {
    Plain { values: Vec<Bytes>, bytes: usize },
    Packed { gzip: Box<GzEncoder<Vec<u8>>>, since_flush: usize },
}

/// Room for the gzip header and trailer and for deflate's block headers on incompressible input.
const PACKED_SLACK_BYTES: usize = 2048;

impl Batcher {
    /// Batches whose messages will have keys of `key_bytes` bytes.
    pub fn new(limits: BatchLimits, key_bytes: usize) -> Self {
        Self { limits, key_bytes, open: Open::new(limits.encoding) }
    }

    /// Takes an event of work unit `unit`, whose [`event_hash`](crate::event_hash) is `id`; gives back the batches that
    /// are full.
    ///
    /// # Errors
    /// [`TooLarge`] for an event that no put can hold; it was not taken, and the open batch is as it was.
    pub fn push(
        &mut self,
        unit: usize,
        compartment: &Ocid,
        id: EventHash,
        raw: &Bytes,
    ) -> Result<Vec<Batch>, TooLarge> {
        let mut full = Vec::new();
        let alone = self.size_alone(raw);
        if alone > self.limits.stream_max_bytes {
            return Err(TooLarge { bytes: alone, limit: self.limits.stream_max_bytes });
        }
        if !self.fits(raw.len()) {
            full.extend(self.finish());
        }
        self.open.add(unit, compartment, id, raw, self.key_bytes);
        // An event near the limit was measured alone; nothing can join it.
        if !self.fits(0) {
            full.extend(self.finish());
        }
        Ok(full)
    }

    /// What is gathered; `None` where there is nothing.
    pub fn finish(&mut self) -> Option<Batch> {
        let open = std::mem::replace(&mut self.open, Open::new(self.limits.encoding));
        if open.event_ids.is_empty() {
            return None;
        }
        let values = match open.content {
            Content::Plain { values, .. } => values,
            // Writing into memory cannot fail.
            Content::Packed { gzip, .. } => vec![Bytes::from(gzip.finish().unwrap_or_default())],
        };
        let Open { event_ids, compartments, units, .. } = open;
        Some(Batch { values, event_ids, compartments, units, summarised: Vec::new() })
    }

    /// An upper bound of what `raw` takes as the only event of a batch; exact where the bound would refuse it.
    fn size_alone(&self, raw: &[u8]) -> usize {
        let plain = raw.len() + self.key_bytes;
        match self.limits.encoding {
            Encoding::Packed if plain + PACKED_SLACK_BYTES > self.limits.stream_max_bytes => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                let packed = gzip.write_all(raw).and_then(|()| gzip.finish()).map_or(usize::MAX, |packed| packed.len());
                packed.saturating_add(self.key_bytes + 1)
            }
            Encoding::Plain | Encoding::Packed => plain,
        }
    }

    /// Whether an event of `size` bytes may join the open batch; an empty batch takes anything that was measured alone.
    fn fits(&mut self, size: usize) -> bool {
        let count = self.open.event_ids.len();
        if count == 0 {
            return true;
        }
        let by_count = self.limits.events_max == 0 || (count as u64) < u64::from(self.limits.events_max);
        let by_inflated = self.open.inflated + size < self.limits.inflated_max_bytes;
        by_count && by_inflated && self.fits_stream(size)
    }

    fn fits_stream(&mut self, size: usize) -> bool {
        let limit = self.limits.stream_max_bytes;
        match &mut self.open.content {
            Content::Plain { bytes, .. } => *bytes + size + self.key_bytes <= limit,
            Content::Packed { gzip, since_flush } => {
                let bound =
                    |written: usize, pending: usize| written + pending + size + self.key_bytes + PACKED_SLACK_BYTES;
                if bound(gzip.get_ref().len(), *since_flush) <= limit {
                    return true;
                }
                // What the encoder still holds is unknown until it is flushed; that costs a few bytes.
                if *since_flush > 0 && gzip.flush().is_ok() {
                    *since_flush = 0;
                }
                bound(gzip.get_ref().len(), *since_flush) <= limit
            }
        }
    }
}

impl Open {
    fn new(encoding: Encoding) -> Self {
        let content = match encoding {
            Encoding::Plain => Content::Plain { values: Vec::new(), bytes: 0 },
            Encoding::Packed => {
                Content::Packed { gzip: Box::new(GzEncoder::new(Vec::new(), Compression::default())), since_flush: 0 }
            }
        };
        Self { event_ids: Vec::new(), compartments: Vec::new(), units: Vec::new(), inflated: 0, content }
    }

    fn add(&mut self, unit: usize, compartment: &Ocid, id: EventHash, raw: &Bytes, key_bytes: usize) {
        self.event_ids.push(id);
        if !self.units.contains(&unit) {
            self.units.push(unit);
        }
        if !self.compartments.contains(compartment) {
            self.compartments.push(compartment.clone());
        }
        self.inflated += raw.len() + 1;
        match &mut self.content {
            Content::Plain { values, bytes } => {
                *bytes += raw.len() + key_bytes;
                values.push(raw.clone());
            }
            Content::Packed { gzip, since_flush } => {
                // Writing into memory cannot fail.
                let written = gzip.write_all(raw).and_then(|()| gzip.write_all(b"\n"));
                debug_assert!(written.is_ok());
                *since_flush += raw.len() + 1;
            }
        }
    }
}

/// A message's value does not hold events.
#[derive(Debug, thiserror::Error)]
pub enum CannotUnpack {
    /// Compressed data is damaged or cut.
    #[error("the message's gzip data is damaged")]
    Gzip(#[source] std::io::Error),
    /// It holds something other than JSON objects.
    #[error("the message does not hold JSON objects")]
    Records(#[source] json_records::SplitError),
    /// It inflates to more than it may.
    #[error("the message inflates to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// The events of one message, some at a time, in order: memory does not grow with the message's inflated size.
///
/// A plain message is one event, whatever its bytes are.
pub fn unpack(value: &Bytes, inflated_max_bytes: u64) -> impl Iterator<Item = Result<Vec<Bytes>, CannotUnpack>> + Send {
    let packed = value.starts_with(&[0x1f, 0x8b]);
    let plain = (!packed).then(|| Ok(vec![value.clone()]));
    plain.into_iter().chain(packed.then(|| Unpack::new(value.clone(), inflated_max_bytes)).into_iter().flatten())
}

struct Unpack {
    gzip: MultiGzDecoder<std::io::Cursor<Bytes>>,
    splitter: Splitter,
    left: u64,
    limit: u64,
    ended: bool,
}

/// How much is inflated before the records in it are given out.
const UNPACK_STEP_BYTES: usize = 64 * 1024;

impl Unpack {
    fn new(value: Bytes, limit: u64) -> Self {
        let record_max_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let gzip = MultiGzDecoder::new(std::io::Cursor::new(value));
        Self { gzip, splitter: Splitter::new(Limits { record_max_bytes }), left: limit, limit, ended: false }
    }

    fn step(&mut self) -> Result<Option<Vec<Bytes>>, CannotUnpack> {
        let mut chunk = vec![0; UNPACK_STEP_BYTES];
        loop {
            let mut records = Vec::new();
            let read = self.gzip.read(&mut chunk).map_err(CannotUnpack::Gzip)?;
            self.left = self.left.checked_sub(read as u64).ok_or(CannotUnpack::TooLarge { limit: self.limit })?;
            if read == 0 {
                self.ended = true;
                self.splitter.finish(&mut records).map_err(CannotUnpack::Records)?;
                return Ok((!records.is_empty()).then_some(records));
            }
            let piece = chunk.get(..read).unwrap_or_default();
            self.splitter.feed(piece, &mut records).map_err(CannotUnpack::Records)?;
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }
}

impl Iterator for Unpack {
    type Item = Result<Vec<Bytes>, CannotUnpack>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step();
        self.ended |= step.is_err();
        step.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_hash;

    fn compartment(n: usize) -> Ocid {
        format!("ocid1.compartment.oc1..c{n}").parse().unwrap()
    }

    /// Events whose bytes hardly compress, so that the limits bite; hexadecimal text shrinks to half.
    fn events(count: usize, bytes: usize) -> Vec<Bytes> {
        let mut state = 42_u64;
        let mut noise = |len: usize| -> String {
            (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from(b' ' + u8::try_from((state >> 33) % 90).unwrap()).to_string().replace(['"', '\\'], "x")
                })
                .collect()
        };
        (0..count).map(|n| Bytes::from(format!(r#"{{"eventId":"id-{n}","x":"{}"}}"#, noise(bytes)))).collect()
    }

    fn batches(limits: BatchLimits, events: &[Bytes]) -> Vec<Batch> {
        let mut batcher = Batcher::new(limits, 40);
        let mut batches = Vec::new();
        for (n, event) in events.iter().enumerate() {
            batches.extend(batcher.push(n % 3, &compartment(n % 2), event_hash(event), event).unwrap());
        }
        batches.extend(batcher.finish());
        assert!(batcher.finish().is_none());
        batches
    }

    fn unpacked(batches: &[Batch]) -> Vec<Bytes> {
        let values = batches.iter().flat_map(|batch| &batch.values);
        values
            .flat_map(|value| unpack(value, 100_000_000).flat_map(|records| records.unwrap()).collect::<Vec<_>>())
            .collect()
    }

    const LIMITS: BatchLimits = BatchLimits {
        stream_max_bytes: 100_000,
        inflated_max_bytes: 400_000,
        events_max: 0,
        encoding: Encoding::Packed,
    };

    #[test]
    fn r_08_a_batch_is_cut_by_bytes_and_nothing_is_lost_or_reordered() {
        // Fifty events of 25 KB in one slice: the reference's put is above 1 MB and fails whole.
        for encoding in [Encoding::Plain, Encoding::Packed] {
            for (count, bytes) in [(50, 25_000), (500, 100), (3, 90_000), (1, 10), (0, 0)] {
                let events = events(count, bytes);
                let batches = batches(BatchLimits { encoding, ..LIMITS }, &events);
                assert_eq!(unpacked(&batches), events, "{encoding:?} {count} of {bytes}");
                for batch in &batches {
                    let size: usize = batch.values.iter().map(|value| value.len() + 40).sum();
                    assert!(size <= 100_000, "{encoding:?} {count} of {bytes}: a put of {size}");
                }
                assert_eq!(batches.iter().map(|batch| batch.event_ids.len()).sum::<usize>(), count);
            }
        }
    }

    #[test]
    fn a_batch_is_also_cut_by_events_and_by_inflated_bytes() {
        let sizes = |limits: BatchLimits, events: &[Bytes]| -> Vec<usize> {
            batches(limits, events).iter().map(|batch| batch.event_ids.len()).collect()
        };
        let small = events(60, 100);
        assert_eq!(sizes(BatchLimits { events_max: 25, ..LIMITS }, &small), [25, 25, 10]);
        assert_eq!(sizes(BatchLimits { events_max: 25, encoding: Encoding::Plain, ..LIMITS }, &small), [25, 25, 10]);
        assert_eq!(sizes(BatchLimits { inflated_max_bytes: 3_000, ..LIMITS }, &small)[..2], [23, 23]);
    }

    #[test]
    fn an_event_above_the_limit_is_refused_alone() {
        let big = &events(1, 150_000)[0];
        let mut batcher = Batcher::new(LIMITS, 40);
        batcher.push(0, &compartment(0), 1, &events(1, 10)[0]).unwrap();
        assert!(batcher.push(0, &compartment(0), 2, big).unwrap_err().bytes > 100_000);
        assert_eq!(batcher.finish().unwrap().event_ids.len(), 1);
        // A long event that compresses well is no trouble where it is packed.
        let long = Bytes::from(format!(r#"{{"eventId":"long","x":"{}"}}"#, "ab".repeat(150_000)));
        let batches = batches(LIMITS, &[events(1, 10)[0].clone(), long.clone(), events(1, 20)[0].clone()]);
        assert_eq!(unpacked(&batches)[1], long);
    }

    #[test]
    fn a_batch_remembers_where_its_events_come_from() {
        let events = events(5, 10);
        let batch = &batches(LIMITS, &events)[0];
        assert_eq!(batch.units, [0, 1, 2]);
        assert_eq!(batch.compartments, [compartment(0), compartment(1)]);
        assert_eq!(batch.event_ids, events.iter().map(|event| event_hash(event)).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_cut_or_swollen_messages_are_told_apart() {
        let value = batches(LIMITS, &events(20, 200))[0].values[0].clone();
        let all = |value: &Bytes, limit| unpack(value, limit).collect::<Result<Vec<_>, _>>();
        assert!(all(&value, 1_000_000).is_ok());
        assert!(matches!(all(&value.slice(..value.len() - 20), 1_000_000), Err(CannotUnpack::Gzip(_))));
        assert!(matches!(all(&value, 100), Err(CannotUnpack::TooLarge { limit: 100 })));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"not json").unwrap();
        assert!(matches!(all(&gzip.finish().unwrap().into(), 100), Err(CannotUnpack::Records(_))));
        let several = [&value[..], &value[..]].concat();
        assert_eq!(all(&several.into(), 1_000_000).unwrap().concat().len(), 40);
    }
}
