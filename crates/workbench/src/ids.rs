//! Names that nobody else gives: batch ids and lease holders.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// Gives 32 hexadecimal digits at a time.
///
/// They need to be unlike all others, not unguessable: each half is a keyed hash of a counter, and the keys come from the
/// operating system.
#[derive(Debug)]
pub struct Ids {
    keys: Option<(RandomState, RandomState)>,
    seed: u64,
    counter: AtomicU64,
}

impl Ids {
    /// Ids that differ in every process.
    pub fn random() -> Self {
        Self { keys: Some((RandomState::new(), RandomState::new())), seed: 0, counter: AtomicU64::new(0) }
    }

    /// The same ids for the same seed, so that a simulation can be repeated.
    pub fn seeded(seed: u64) -> Self {
        Self { keys: None, seed, counter: AtomicU64::new(0) }
    }

    /// The next id.
    pub fn next(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        match &self.keys {
            Some((left, right)) => format!("{:016x}{:016x}", hash(left, count), hash(right, count)),
            None => format!("{:016x}{count:016x}", self.seed),
        }
    }
}

fn hash(keys: &RandomState, count: u64) -> u64 {
    let mut hasher = keys.build_hasher();
    hasher.write_u64(count);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_within_a_process_and_between_processes() {
        let (one, other) = (Ids::random(), Ids::random());
        let ids: HashSet<_> = (0..1000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit())));
    }

    #[test]
    fn a_seed_gives_the_same_ids_again() {
        let ids = |seed| {
            let ids = Ids::seeded(seed);
            [ids.next(), ids.next()]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
    }
}
