//! Memory that is read into and given out in slices, and used again when those are gone.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Blocks have a multiple of these bytes, so that most fit most needs.
const BLOCK_BYTES: usize = 64 * 1024;

/// Larger blocks are not used again: one huge item is no reason to hold such memory on.
const SPENT_MAX_BYTES: usize = 1024 * 1024;

/// Blocks that are watched for being free again; those beyond are freed with the last slice of them.
const SPENT_MAX: usize = 32;

/// What has arrived and is not given out yet, and room behind it. What is given out stays where it was written.
#[derive(Default)]
pub(crate) struct Buffer {
    /// Initialised throughout; what is unread of it lies between `read` and `end`, behind that is room.
    block: Bytes,
    read: usize,
    end: usize,
    /// Blocks that slices were given out of, those that were looked at longest ago first.
    spent: VecDeque<Bytes>,
}

impl From<Vec<u8>> for Buffer {
    /// With some bytes that have arrived.
    fn from(begun: Vec<u8>) -> Self {
        Self { end: begun.len(), block: begun.into(), ..Self::default() }
    }
}

impl Buffer {
    pub(crate) fn unread(&self) -> &[u8] {
        self.block.get(self.read..self.end).unwrap_or_default()
    }

    /// The unread bytes, to be given out in slices; then [`Buffer::keep`] takes what stays unread.
    pub(crate) fn share(&self) -> Bytes {
        self.block.slice(self.read..self.end)
    }

    /// The length of the block that those slices hold on.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block.len()
    }

    /// Only the last `unread` bytes are still unread.
    pub(crate) fn keep(&mut self, unread: usize) {
        self.read = self.end - unread.min(self.end);
    }

    /// Lets `write` put at most `most` bytes behind what is unread; it answers how many, and what else it has to say.
    pub(crate) fn fill<T>(&mut self, most: usize, write: impl FnOnce(&mut [u8]) -> (usize, T)) -> T {
        let mut block = self.block_with_room(most);
        let room = block.get_mut(self.end..).and_then(|room| room.get_mut(..most)).unwrap_or_default();
        let (count, said) = write(room);
        self.end += count.min(most);
        self.block = block.freeze();
        said
    }

    /// The block with what is unread, where nobody holds slices of it and it has the room; else another one.
    fn block_with_room(&mut self, most: usize) -> BytesMut {
        let (unread, range) = (self.end - self.read, self.read..self.end);
        // An item that stays unfinished is moved no more often than it doubles.
        let needed = unread + most.max(unread);
        let block = match std::mem::take(&mut self.block).try_into_mut() {
            Ok(block) if block.len() - self.end >= most => return block,
            Ok(mut block) if block.len() >= needed && (block.len() <= SPENT_MAX_BYTES || block.len() / 2 < needed) => {
                block.copy_within(range, 0);
                block
            }
            Ok(block) => self.another(needed, block.get(range).unwrap_or_default()),
            Err(shared) => {
                let another = self.another(needed, shared.get(range).unwrap_or_default());
                if (1..=SPENT_MAX_BYTES).contains(&shared.len()) && self.spent.len() < SPENT_MAX {
                    self.spent.push_back(shared);
                }
                another
            }
        };
        (self.read, self.end) = (0, unread);
        block
    }

    /// A block of at least `needed` bytes that begins with `unread`: one whose slices are gone, or a new one.
    fn another(&mut self, needed: usize, unread: &[u8]) -> BytesMut {
        let mut free = None;
        for _ in 0..self.spent.len() {
            match self.spent.pop_front().map(Bytes::try_into_mut) {
                Some(Ok(block)) if block.len() >= needed => {
                    free = Some(block);
                    break;
                }
                Some(Err(shared)) => self.spent.push_back(shared),
                // Too small: what is needed has grown.
                Some(Ok(_)) | None => {}
            }
        }
        let mut block = free.unwrap_or_else(|| BytesMut::zeroed(needed.next_multiple_of(BLOCK_BYTES)));
        if let Some(place) = block.get_mut(..unread.len()) {
            place.copy_from_slice(unread);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.fill(bytes.len(), |room| {
            room.copy_from_slice(bytes);
            (bytes.len(), ())
        });
    }

    #[test]
    fn what_was_given_out_stays_as_it_was_whatever_is_written_after() {
        let mut buffer = Buffer::from(b"be".to_vec());
        let mut given = Vec::new();
        for round in 0..200_u8 {
            put(&mut buffer, &[round; 5_000]);
            let mut all = buffer.share();
            assert_eq!(all, buffer.unread());
            given.push((all.split_to(4_990), round));
            buffer.keep(all.len());
            if round % 3 == 0 {
                given.drain(..given.len() / 2);
            }
            for (slice, round) in &given {
                assert_eq!(slice.last(), Some(round));
                assert!(slice.iter().rev().take(1_000).all(|byte| byte == round), "{round}");
            }
        }
        assert_eq!(buffer.unread().len(), 2 + 200 * 10);
    }

    #[test]
    fn memory_is_used_again_when_its_slices_are_gone() {
        let mut buffer = Buffer::default();
        let mut places = std::collections::HashSet::new();
        let mut last = Bytes::new();
        for _ in 0..100 {
            put(&mut buffer, &[b'x'; 60_000]);
            last = buffer.share();
            places.insert(last.as_ptr());
            buffer.keep(0);
        }
        assert!(places.len() <= 2, "{}", places.len());
        assert_eq!(last.len(), 60_000);
    }

    #[test]
    fn one_huge_item_leaves_no_huge_memory_behind() {
        for is_held in [true, false] {
            let mut buffer = Buffer::default();
            for _ in 0..80 {
                put(&mut buffer, &[b'x'; BLOCK_BYTES]);
            }
            let huge = buffer.share();
            let held = is_held.then(|| huge.clone());
            drop(huge);
            // Room is used to its end where nobody holds the block.
            for _ in 0..80 {
                buffer.keep(0);
                put(&mut buffer, &[b'y'; BLOCK_BYTES]);
            }
            assert_eq!(buffer.unread(), [b'y'; BLOCK_BYTES]);
            assert!(buffer.block.len() <= 2 * BLOCK_BYTES && buffer.spent.is_empty(), "{}", buffer.block.len());
            assert!(held.is_none_or(|held| held.len() == 80 * BLOCK_BYTES && held.iter().all(|byte| *byte == b'x')));
        }
    }
}
