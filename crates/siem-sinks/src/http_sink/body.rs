//! Bodies: as many events as fit, cut from the records in order.

use std::io::{self, Write as _};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};

use super::Dialect;
use crate::{Outcome, Record};

/// Records that are looked at to tell how long a body becomes.
const ROOM_RECORDS: usize = 10_000;

/// One request's content; it holds at least one event.
pub(crate) struct Body {
    /// As they are sent.
    pub(super) bytes: Bytes,
    pub(super) is_gzip: bool,
    /// Before compression, which is what the other side measures.
    pub(crate) plain_bytes: usize,
    /// Which record each event of the body is, by its index.
    pub(crate) members: Vec<usize>,
    /// The first record that has not been looked at.
    pub(super) next: usize,
}

/// Makes one body after the other in the same two buffers, whatever the number of records.
pub(super) struct BodyMaker<'a, D> {
    dialect: &'a D,
    gzip: Option<Compression>,
    plain: BytesMut,
    packed: BytesMut,
}

impl<'a, D: Dialect> BodyMaker<'a, D> {
    pub(super) fn new(dialect: &'a D, gzip: Option<Compression>) -> Self {
        Self { dialect, gzip, plain: BytesMut::new(), packed: BytesMut::new() }
    }

    /// The body of the records from `from` on, of at most `max_bytes` before compression, or of one event that is larger
    /// than that. A record that cannot travel is marked as refused or too large in `outcomes` and passed over. None where
    /// no record is left: there is no empty body.
    pub(super) fn next_body(
        &mut self,
        records: &[Record],
        from: usize,
        max_bytes: usize,
        outcomes: &mut [Outcome],
    ) -> Option<Body> {
        self.plain.clear();
        // At once, for a buffer that grows copies what it holds; envelopes may make it grow yet.
        let bytes: usize = records.iter().skip(from).map(|record| record.raw.len() + 1).take(ROOM_RECORDS).sum();
        self.plain.reserve(bytes.min(max_bytes));
        let mut members = Vec::new();
        let mut next = records.len();
        for (index, (record, outcome)) in records.iter().zip(outcomes.iter_mut()).enumerate().skip(from) {
            let before = self.plain.len();
            match self.dialect.append(record, &mut self.plain) {
                Err(cannot_travel) => {
                    self.plain.truncate(before);
                    *outcome = cannot_travel;
                }
                Ok(()) if !members.is_empty() && self.plain.len() > max_bytes => {
                    self.plain.truncate(before);
                    next = index;
                    break;
                }
                Ok(()) => members.push(index),
            }
        }
        if members.is_empty() {
            return None;
        }
        let plain_bytes = self.plain.len();
        // Writing into memory does not fail; if it did, the body would go as it is.
        let (bytes, is_gzip) = match self.gzip.and_then(|level| self.pack(level).ok()) {
            Some(packed) => (packed, true),
            None => (self.plain.split().freeze(), false),
        };
        Some(Body { bytes, is_gzip, plain_bytes, members, next })
    }

    fn pack(&mut self, level: Compression) -> io::Result<Bytes> {
        // The other half of the last split is gone once its request is over; then this takes its place, not new memory.
        self.packed.reserve(self.plain.len() / 4);
        let mut gzip = GzEncoder::new((&mut self.packed).writer(), level);
        gzip.write_all(&self.plain)?;
        gzip.finish()?;
        Ok(self.packed.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{
        Proven,
        http_sink::{Answer, Request},
    };

    /// Records as they are, with a line feed between each two; none longer than 2000 bytes, and none of 3.
    struct Lines;

    impl Dialect for Lines {
        const PEER: &'static str = "nobody";
        const SUSPECTS: &'static str = "nothing";

        fn append(&self, record: &Record, body: &mut BytesMut) -> Result<(), Outcome> {
            if !body.is_empty() {
                body.put_u8(b'\n');
            }
            body.put_slice(&record.raw);
            match record.raw.len() {
                3 => Err(Outcome::Refused("3 bytes".into())),
                0..=2_000 => Ok(()),
                _ => Err(Outcome::TooLarge("too many bytes".into())),
            }
        }

        fn address(&self, _: &mut Request) {}

        fn sort(&self, _: StatusCode, _: &[u8], _: &Body) -> (Answer, String) {
            (Answer::Unknown, String::new())
        }
    }

    /// The members of each body, and which records were refused.
    fn cut(sizes: &[usize], max_bytes: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
        let record = |size: &usize| Record { raw: "x".repeat(*size).into(), region: None, proven: Proven::Nothing };
        let records: Vec<Record> = sizes.iter().map(record).collect();
        let mut outcomes = vec![Outcome::NotSent; records.len()];
        let mut maker = BodyMaker::new(&Lines, None);
        let (mut bodies, mut next) = (Vec::new(), 0);
        while let Some(body) = maker.next_body(&records, next, max_bytes, &mut outcomes) {
            assert!(!body.bytes.is_empty() && body.plain_bytes == body.bytes.len());
            assert!(body.plain_bytes <= max_bytes || body.members.len() == 1, "{sizes:?}");
            next = body.next;
            bodies.push(body.members);
        }
        let cannot_travel = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_) | Outcome::TooLarge(_));
        let refused = outcomes.iter().enumerate().filter(|(_, outcome)| cannot_travel(outcome));
        (bodies, refused.map(|(index, _)| index).collect())
    }

    #[test]
    fn r_32_a_body_never_passes_the_limit_unless_one_event_does_and_none_is_empty() {
        // Two records of 207 bytes together just fit, with a line feed between them.
        let max_bytes = 207 + 1;
        for (sizes, bodies, refused) in [
            (&[][..], &[][..], &[][..]),
            (&[100], &[&[0][..]], &[]),
            (&[100, 100], &[&[0, 1]], &[]),
            (&[100, 107, 100], &[&[0, 1], &[2]], &[]),
            (&[100, 108, 99], &[&[0], &[1, 2]], &[]),
            (&[1_500, 100, 100], &[&[0], &[1, 2]], &[]),
            (&[100, 1_500, 1_500, 100], &[&[0], &[1], &[2], &[3]], &[]),
            (&[2_001, 100], &[&[1]], &[0]),
            (&[100, 3, 100], &[&[0, 2]], &[1]),
            (&[3, 2_001], &[], &[0, 1]),
            (&[100, 3], &[&[0]], &[1]),
        ] {
            assert_eq!(
                cut(sizes, max_bytes),
                (bodies.iter().map(|body| body.to_vec()).collect(), refused.to_vec()),
                "{sizes:?}"
            );
        }
    }
}
