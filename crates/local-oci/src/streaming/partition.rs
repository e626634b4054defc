//! One partition: messages in the order of their offsets, of which the oldest fall off.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;

/// A message as it lies on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The partition, from 0.
    pub partition: u32,
    /// The offset within the partition, from 0.
    pub offset: u64,
    /// The key, decoded; `None` where the producer gave none.
    pub key: Option<Bytes>,
    /// The value, decoded.
    pub value: Bytes,
    /// When it was taken, by the service's clock.
    pub timestamp: Timestamp,
}

impl Message {
    /// Decoded bytes of key and value.
    pub(super) fn size(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    messages: VecDeque<Message>,
    /// The offset of the next message.
    next: u64,
    /// Everything below has fallen off.
    horizon: u64,
    pub(super) write_rate: Rate,
    pub(super) read_rate: Rate,
    pub(super) get_rate: Rate,
}

impl Partition {
    /// Appends and gives offset and timestamp, which never goes back.
    pub(super) fn append(
        &mut self,
        key: Option<Bytes>,
        value: Bytes,
        now: Timestamp,
        gap_every: Option<u64>,
    ) -> (u64, Timestamp) {
        let timestamp = self.messages.back().map_or(now, |last| last.timestamp.max(now));
        let offset = self.next;
        // The partition's own number is not known here; whoever hands messages out fills it in.
        self.messages.push_back(Message { partition: 0, offset, key, value, timestamp });
        self.next += 1;
        if gap_every.is_some_and(|every| (offset + 1).is_multiple_of(every.max(1))) {
            self.next += 1;
        }
        (offset, timestamp)
    }

    /// Lets fall off what is older than `oldest`.
    pub(super) fn expire(&mut self, oldest: Timestamp) {
        while self.messages.front().is_some_and(|message| message.timestamp < oldest) {
            self.drop_front();
        }
    }

    /// Lets fall off what lies below `before`.
    pub(super) fn trim(&mut self, before: u64) {
        while self.messages.front().is_some_and(|message| message.offset < before) {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.horizon = message.offset + 1;
        }
    }

    /// The lowest offset that a cursor may stand on.
    pub(super) fn horizon(&self) -> u64 {
        self.horizon
    }

    /// The offset of the next message to be published.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The oldest retained and the latest published offset, where there is one.
    pub(super) fn retained(&self) -> Option<(u64, u64)> {
        Some((self.messages.front()?.offset, self.messages.back()?.offset))
    }

    /// The offset of the first message at or after `time`; past the end where there is none.
    pub(super) fn at_time(&self, time: Timestamp) -> u64 {
        let index = self.messages.partition_point(|message| message.timestamp < time);
        self.messages.get(index).map_or(self.next, |message| message.offset)
    }

    /// The messages from `offset` on, at most `limit`, and no more than `max_bytes` unless the first alone is larger.
    pub(super) fn read(&self, offset: u64, limit: usize, max_bytes: usize) -> Vec<&Message> {
        let index = self.messages.partition_point(|message| message.offset < offset);
        let mut bytes = 0;
        let fits = |message: &&Message| {
            let first = bytes == 0;
            bytes += message.size().max(1);
            first || bytes <= max_bytes
        };
        self.messages.range(index..).take(limit).take_while(fits).collect()
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }
}

/// How much was used within the current second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    second: i64,
    used: u64,
}

impl Rate {
    /// Whether another `amount` fits under `per_sec`. One lone request always fits.
    pub(super) fn fits(&mut self, amount: u64, per_sec: Option<u64>, now: Timestamp) -> bool {
        if self.second != now.as_second() {
            *self = Self { second: now.as_second(), used: 0 };
        }
        per_sec.is_none_or(|per_sec| self.used == 0 || self.used + amount <= per_sec)
    }

    /// Counts `amount` as used.
    pub(super) fn take(&mut self, amount: u64) {
        self.used += amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(values: &[usize]) -> Partition {
        let mut partition = Partition::default();
        for (second, len) in values.iter().enumerate() {
            let now = Timestamp::from_second(second as i64).expect("a time");
            partition.append(None, vec![b'x'; *len].into(), now, None);
        }
        partition
    }

    fn offsets(messages: &[&Message]) -> Vec<u64> {
        messages.iter().map(|message| message.offset).collect()
    }

    #[test]
    fn a_page_ends_at_the_limit_or_at_its_bytes_but_holds_one_message() {
        let partition = filled(&[10, 10, 50, 10]);
        for (offset, limit, max_bytes, page) in [
            (0, 10, 1000, vec![0, 1, 2, 3]),
            (0, 2, 1000, vec![0, 1]),
            (0, 10, 20, vec![0, 1]),
            (0, 10, 19, vec![0]),
            (2, 10, 20, vec![2]),
            (3, 0, 20, vec![]),
            (4, 10, 20, vec![]),
            (9, 10, 20, vec![]),
        ] {
            assert_eq!(offsets(&partition.read(offset, limit, max_bytes)), page, "{offset} {limit} {max_bytes}");
        }
    }

    #[test]
    fn what_falls_off_moves_the_horizon_and_leaves_the_offsets() {
        let mut partition = filled(&[1, 1, 1, 1]);
        partition.expire(Timestamp::from_second(1).expect("a time"));
        assert_eq!((partition.horizon(), partition.retained()), (1, Some((1, 3))));
        partition.trim(3);
        assert_eq!((partition.horizon(), partition.retained(), partition.next()), (3, Some((3, 3)), 4));
        partition.trim(9);
        assert_eq!((partition.horizon(), partition.retained(), partition.next()), (4, None, 4));
    }

    #[test]
    fn offsets_may_have_gaps() {
        let mut partition = Partition::default();
        for _ in 0..5 {
            partition.append(None, Bytes::from_static(b"x"), Timestamp::UNIX_EPOCH, Some(2));
        }
        assert_eq!(offsets(&partition.read(0, 9, 99)), [0, 1, 3, 5, 7]);
        assert_eq!(offsets(&partition.read(2, 1, 99)), [3]);
    }
}
