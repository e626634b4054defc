//! What is counted over one seed, and over many.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fault::{Condition, FaultKind, Recovery, Violation};

/// The counters.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Seeds run.
    pub seeds: u64,
    /// Events that had to arrive, times destinations.
    pub events: u64,
    /// Log files.
    pub files: u64,
    /// Their records that had to arrive.
    pub file_records: u64,
    /// Arrivals beyond the first.
    pub duplicates: u64,
    /// Wire calls of the functions.
    pub wire_calls: u64,
    /// Calls of functions.
    pub calls: u64,
    /// Runs of the schedule.
    pub runs: u64,
    /// By kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// By kind.
    pub conditions: BTreeMap<Condition, u64>,
    /// By kind.
    pub recoveries: BTreeMap<Recovery, u64>,
    /// By kind.
    pub violations: BTreeMap<Violation, u64>,
    /// What was wrong, in words: the first few of each kind.
    pub reasons: Vec<(Violation, String)>,
}

/// Reasons that are kept of one kind.
const REASONS_MAX: u64 = 3;

impl Tally {
    /// One more.
    pub fn fault(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// One more.
    pub fn condition(&mut self, condition: Condition) {
        *self.conditions.entry(condition).or_default() += 1;
    }

    /// One more.
    pub fn recovery(&mut self, recovery: Recovery) {
        *self.recoveries.entry(recovery).or_default() += 1;
    }

    /// One more, and why.
    pub fn violation(&mut self, violation: Violation, why: impl FnOnce() -> String) {
        let count = self.violations.entry(violation).or_default();
        *count += 1;
        if *count <= REASONS_MAX {
            self.reasons.push((violation, why()));
        }
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Adds what another seed counted; its reasons are its own.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.files += other.files;
        self.file_records += other.file_records;
        self.duplicates += other.duplicates;
        self.wire_calls += other.wire_calls;
        self.calls += other.calls;
        self.runs += other.runs;
        merge(&mut self.faults, &other.faults);
        merge(&mut self.conditions, &other.conditions);
        merge(&mut self.recoveries, &other.recoveries);
        merge(&mut self.violations, &other.violations);
    }

    /// One object, for machines.
    pub fn json(&self) -> Value {
        let faults = named(FaultKind::ALL, |kind| kind.name(), &self.faults);
        let conditions = named(Condition::ALL, |kind| kind.name(), &self.conditions);
        let recoveries = named(Recovery::ALL, |kind| kind.name(), &self.recoveries);
        let per_million = self.duplicates as f64 * 1e6 / ((self.events + self.file_records) as f64).max(1.0);
        let mut report = json!({
            "seeds": self.seeds,
            "events": self.events,
            "files": self.files,
            "file_records": self.file_records,
            "runs": self.runs,
            "calls": self.calls,
            "wire_calls": self.wire_calls,
            "faults": faults,
            "conditions": conditions,
            "recoveries": recoveries,
            "duplicates": self.duplicates,
            "duplicates_per_million": per_million.round(),
        });
        for violation in Violation::ALL {
            report[violation.name()] = json!(self.violations.get(violation).copied().unwrap_or(0));
        }
        report
    }
}

fn merge<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (kind, count) in from {
        *into.entry(*kind).or_default() += count;
    }
}

fn named<K: Ord + Copy>(all: &[K], name: fn(K) -> &'static str, counts: &BTreeMap<K, u64>) -> Value {
    let count = |kind: &K| counts.get(kind).copied().unwrap_or(0);
    all.iter().map(|kind| (name(*kind).to_owned(), json!(count(kind)))).collect::<serde_json::Map<_, _>>().into()
}
