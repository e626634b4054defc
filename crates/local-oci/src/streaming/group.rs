//! Consumer groups: who reads which partition, and how far the group has come.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// A consumer group of one stream.
#[derive(Debug)]
pub(super) struct Group {
    /// The next offset of each partition.
    pub(super) committed: Vec<u64>,
    /// The members, and until when each is taken to be alive.
    members: BTreeMap<String, Timestamp>,
}

impl Group {
    pub(super) fn new(committed: Vec<u64>) -> Self {
        Self { committed, members: BTreeMap::new() }
    }

    /// Notes that `instance` is alive, for `timeout_ms` from `now`, and forgets the silent.
    pub(super) fn hear(&mut self, instance: &str, timeout_ms: i64, now: Timestamp) {
        let until = now.checked_add(SignedDuration::from_millis(timeout_ms)).unwrap_or(Timestamp::MAX);
        self.members.insert(instance.to_owned(), until);
        self.members.retain(|_, until| *until > now);
    }

    /// The partitions that are `instance`'s: dealt out in turn to the living members, by name.
    pub(super) fn partitions_of(&self, instance: &str) -> Vec<u32> {
        let Some(place) = self.members.keys().position(|member| member == instance) else { return Vec::new() };
        (0..self.committed.len() as u32).filter(|partition| *partition as usize % self.members.len() == place).collect()
    }

    /// Commits what `instance` read of the partitions that are still its own; never backwards.
    pub(super) fn commit(&mut self, instance: &str, read: &BTreeMap<u32, u64>) {
        for partition in self.partitions_of(instance) {
            if let (Some(next), Some(committed)) = (read.get(&partition), self.committed.get_mut(partition as usize)) {
                *committed = (*committed).max(*next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_share_the_partitions_until_one_falls_silent() {
        let at = |secs| Timestamp::from_second(secs).expect("a time");
        let mut group = Group::new(vec![0; 3]);
        group.hear("a", 30_000, at(0));
        assert_eq!(group.partitions_of("a"), [0, 1, 2]);
        group.hear("b", 30_000, at(10));
        assert_eq!((group.partitions_of("a"), group.partitions_of("b")), (vec![0, 2], vec![1]));
        group.commit("b", &BTreeMap::from([(0, 5), (1, 7)]));
        assert_eq!(group.committed, [0, 7, 0], "a partition of another's is not committed");
        group.hear("b", 30_000, at(31));
        assert_eq!((group.partitions_of("a"), group.partitions_of("b")), (vec![], vec![0, 1, 2]));
        group.commit("b", &BTreeMap::from([(1, 3)]));
        assert_eq!(group.committed, [0, 7, 0], "a commit never goes back");
    }
}
