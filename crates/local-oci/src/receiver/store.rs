//! What a receiver has taken, at some fifty bytes an event.

use std::collections::HashMap;
use std::hash::Hash;

use bytes::Bytes;

use super::fingerprint;

/// One event as it was taken. `L` is what events have in common, such as where they went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taken<L> {
    /// The event's own id, if it holds one.
    pub(super) id: Option<String>,
    /// [`fingerprint`] of its exact bytes.
    pub(super) fingerprint: u64,
    /// Its time as the sender says it, in microseconds since the epoch.
    pub(super) time_micros: Option<i64>,
    /// The number of the post that brought it, from 0 (posts that brought nothing do not count).
    pub(super) post: u32,
    pub(super) labels: L,
}

#[derive(Debug)]
pub(super) struct Store<L> {
    stored: Vec<Stored>,
    labels: Vec<L>,
    label_numbers: HashMap<L, u32>,
    unparseable: usize,
    raw: Vec<Bytes>,
    /// Positions in `stored` by id, for as many as were there at the last question.
    by_id: Vec<u32>,
    posts: u32,
}

#[derive(Debug)]
struct Stored {
    id: Id,
    fingerprint: u64,
    time_micros: i64,
    labels: u32,
    post: u32,
}

const NO_TIME: i64 = i64::MIN;

/// An id; most are GUIDs, and a GUID is short.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    None,
    Guid([u8; 16]),
    Text(Box<str>),
}

impl<L> Default for Store<L> {
    fn default() -> Self {
        let (stored, labels, label_numbers) = (Vec::new(), Vec::new(), HashMap::new());
        Self { stored, labels, label_numbers, unparseable: 0, raw: Vec::new(), by_id: Vec::new(), posts: 0 }
    }
}

impl<L: Clone + Eq + Hash> Store<L> {
    pub(super) fn len(&self) -> usize {
        self.stored.len()
    }

    pub(super) fn unparseable(&self) -> usize {
        self.unparseable
    }

    /// Begins the next post's events.
    pub(super) fn begin_post(&mut self) {
        self.posts += 1;
    }

    /// Takes an event of the bytes `raw`; they are kept only if `keeps_raw` says so.
    pub(super) fn push(&mut self, raw: &[u8], id: Option<&str>, time_micros: Option<i64>, labels: L, keeps_raw: bool) {
        let next = self.labels.len() as u32;
        let labels = *self.label_numbers.entry(labels).or_insert_with_key(|labels| {
            self.labels.push(labels.clone());
            next
        });
        let id = id.map_or(Id::None, Id::of);
        self.unparseable += usize::from(id == Id::None);
        let time_micros = time_micros.unwrap_or(NO_TIME);
        let post = self.posts.saturating_sub(1);
        self.stored.push(Stored { id, fingerprint: fingerprint(raw), time_micros, labels, post });
        if keeps_raw {
            self.raw.push(Bytes::copy_from_slice(raw));
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Taken<L>> {
        let stored = self.stored.get(index)?;
        Some(Taken {
            id: stored.id.text(),
            fingerprint: stored.fingerprint,
            time_micros: (stored.time_micros != NO_TIME).then_some(stored.time_micros),
            post: stored.post,
            labels: self.labels.get(stored.labels as usize)?.clone(),
        })
    }

    pub(super) fn raw(&self, index: usize) -> Option<Bytes> {
        self.raw.get(index).cloned()
    }

    pub(super) fn received(&mut self, id: &str) -> Vec<Taken<L>> {
        let id = Id::of(id);
        if self.by_id.len() != self.stored.len() {
            let mut by_id: Vec<u32> = (0..self.stored.len() as u32).collect();
            // Stable, so that arrivals of one id stay in their order.
            by_id.sort_by(|a, b| self.id_at(*a).cmp(&self.id_at(*b)));
            self.by_id = by_id;
        }
        let first = self.by_id.partition_point(|at| self.id_at(*at) < Some(&id));
        let same = self.by_id.iter().skip(first).take_while(|at| self.id_at(**at) == Some(&id));
        same.filter_map(|at| self.get(*at as usize)).collect()
    }

    fn id_at(&self, index: u32) -> Option<&Id> {
        self.stored.get(index as usize).map(|stored| &stored.id)
    }
}

impl Id {
    fn of(text: &str) -> Self {
        // Only what comes out again letter by letter is kept short.
        match guid(text) {
            Some(bytes) if Self::Guid(bytes).text().as_deref() == Some(text) => Self::Guid(bytes),
            _ => Self::Text(text.into()),
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Text(text) => Some(text.to_string()),
            Self::Guid(bytes) => {
                let mut text = String::with_capacity(36);
                for (index, byte) in bytes.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        text.push('-');
                    }
                    text.push_str(&format!("{byte:02x}"));
                }
                Some(text)
            }
        }
    }
}

fn guid(text: &str) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let pairs: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit)).collect();
    pairs.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_out_as_they_went_in() {
        for text in ["0a1b2c3d-0001-0002-0003-0123456789ab", "0A1B2C3D-0001-0002-0003-0123456789AB", "x", "", "é"] {
            assert_eq!(Id::of(text).text().as_deref(), Some(text));
        }
        assert!(matches!(Id::of("0a1b2c3d-0001-0002-0003-0123456789ab"), Id::Guid(_)));
    }

    #[test]
    fn an_event_costs_some_fifty_bytes() {
        assert!(size_of::<Stored>() <= 48, "{}", size_of::<Stored>());
    }
}
