//! Kills of containers at work, at random calls of the day.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use local_oci::receiver::{HecFault, HecReceiver, LogzioFault, LogzioReceiver, fingerprint};
use local_oci::{Fault, LocalOci, Operation};

use crate::furnish::{DECODER, FETCHER, PLANNER, SHIPPER};

/// Each function with about as many calls as the cloud answers within a ring while one of its containers works.
const FUNCTIONS: [(&str, u64); 4] = [(PLANNER, 30), (FETCHER, 800), (SHIPPER, 80), (DECODER, 12)];

/// Arranges `kills` kills between the first and the last of `rings` rings: at calls to the cloud, or at posts to either
/// receiver. The call or post itself goes on, whoever made it: a dead one's take effect, and their answers are lost.
pub(crate) fn plan(
    (cloud, collector, listener): (&LocalOci, &HecReceiver, &LogzioReceiver),
    seed: u64,
    kills: u32,
    rings: u64,
    ids: &BTreeMap<&'static str, String>,
) {
    if kills == 0 {
        return;
    }
    let course = Mutex::new(Course::new(seed, kills, rings));
    let (functions, ids) = (cloud.functions().clone(), ids.clone());
    let strike = Arc::new(move |is_ring| {
        let is_busy = |name: &str| ids.get(name).is_some_and(|id| functions.is_busy(id));
        let struck = course.lock().unwrap_or_else(PoisonError::into_inner).step(is_ring, is_busy);
        for id in struck.into_iter().filter_map(|name| ids.get(name)) {
            functions.kill_container(id);
        }
    });
    let (at_post, at_bulk) = (Arc::clone(&strike), Arc::clone(&strike));
    // Conditions that never hold: no fault is wanted but the kill.
    collector.inject_when(HecFault::CutBefore, None, move |_| {
        at_post(false);
        false
    });
    listener.inject_when(LogzioFault::CutBefore, None, move |_| {
        at_bulk(false);
        false
    });
    cloud.faults().inject(Fault::anywhere().when(move |operation, _| {
        strike(matches!(operation, Operation::Gateway { .. }));
        false
    }));
}

/// One kill to come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kill {
    function: &'static str,
    /// After which ring, from 1.
    ring: u64,
    /// How many calls, while the function works, it waits for after that ring.
    wait: u64,
}

/// Where the day stands.
#[derive(Debug)]
struct Course {
    ring: u64,
    kills: Vec<Kill>,
}

impl Course {
    fn new(seed: u64, kills: u32, rings: u64) -> Self {
        let random =
            |kill: u32, what: &str, below: u64| fingerprint(format!("{seed}/{kill}/{what}").as_bytes()) % below.max(1);
        let kills = (0..kills).map(|kill| {
            // In turn, so that few kills strike all functions alike.
            let (function, calls) = FUNCTIONS[kill as usize % FUNCTIONS.len()];
            // Not after the first ring: its answer tells whether the functions work at all.
            let ring = 2 + random(kill, "ring", rings.saturating_sub(1));
            Kill { function, ring, wait: random(kill, "wait", calls) }
        });
        Self { ring: 0, kills: kills.collect() }
    }

    /// Counts a call and gives the functions that it kills, each once. A kill whose ring is over strikes as soon as its
    /// function works again.
    fn step(&mut self, is_ring: bool, is_busy: impl Fn(&str) -> bool) -> Vec<&'static str> {
        self.ring += u64::from(is_ring);
        let mut struck = Vec::new();
        self.kills.retain_mut(|kill| {
            let is_due = kill.ring <= self.ring && !struck.contains(&kill.function) && is_busy(kill.function);
            if is_due && (kill.wait == 0 || kill.ring < self.ring) {
                struck.push(kill.function);
                return false;
            }
            kill.wait -= u64::from(is_due);
            true
        });
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kill_strikes_once_a_function_at_work_and_none_before_the_second_ring() {
        let mut course = Course::new(1, 50, 12);
        let mut struck = Vec::new();
        for ring in 1..=30 {
            for call in 0..80 {
                // Each works in a stretch of its own.
                let busy = FUNCTIONS[call / 20].0;
                for name in course.step(call == 0, |name| name == busy) {
                    assert!(name == busy && ring > 1);
                    struck.push((ring, name));
                }
            }
        }
        let rings: std::collections::BTreeSet<_> = struck.iter().map(|(ring, _)| ring).collect();
        assert_eq!((struck.len(), rings.len() > 6), (50, true), "{struck:?}");
        for (name, _) in FUNCTIONS {
            assert!(struck.iter().filter(|(_, function)| *function == name).count() >= 12, "{name}: {struck:?}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let kills = |seed| Course::new(seed, 5, 288).kills;
        assert_eq!(kills(1), kills(1));
        assert_ne!(kills(1), kills(2));
    }
}
