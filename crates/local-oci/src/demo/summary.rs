//! The account of a day: one line of JSON, or a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use local_oci::receiver::{HecReceiver, LogzioReceiver};
use local_oci::{FunctionReport, LocalOci, OwnCost};
use serde::Serialize;

use super::compare::Comparison;
use super::day::{Course, Day, Proof};
use super::files::{FilesAccount, Traffic};
use crate::furnish::{BUCKET, Furniture};

/// What is known of a day beside what the cloud has counted.
pub(crate) struct Frame {
    pub(crate) events: u32,
    pub(crate) seed: u64,
    pub(crate) scopes: usize,
    pub(crate) wall: Duration,
    pub(crate) day: Day,
}

/// What arrived, and where.
pub(crate) struct Arrived<'a> {
    /// Events, held against the trail; none where a foreign collector got them.
    pub(crate) events: Option<&'a Comparison>,
    /// The records of log files, likewise.
    pub(crate) files: &'a FilesAccount,
    pub(crate) splunk: Option<&'a HecReceiver>,
    pub(crate) logzio: &'a LogzioReceiver,
}

/// Everything that is told. Maps are by function or by operation; `null` is what a foreign collector does not tell.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    events: u32,
    seed: u64,
    virtual_day: String,
    hours: i64,
    /// Events processed before this time must be delivered.
    horizon: String,
    scopes: usize,
    rings: usize,
    settled: bool,
    proof: Proof,
    /// Events before the horizon, those of the functions' own reads among them.
    generated: Option<u64>,
    /// How many reads of the trail have left an event in it, before and after the horizon.
    own_reads: usize,
    /// Events that the ledger knows as taken by the collector, after the horizon too.
    sent: u64,
    dead: u64,
    delivered: Option<u64>,
    lost: Option<u64>,
    altered: Option<u64>,
    duplicated: Option<u64>,
    delivered_beyond_horizon: Option<u64>,
    files: FilesCount,
    invocations: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
    cold_starts: BTreeMap<String, u64>,
    kills: u64,
    oci_calls: BTreeMap<String, u64>,
    /// Calls of Object Storage: those of the ledger, and the few that read and search log files.
    ledger_calls: BTreeMap<String, u64>,
    notifications: usize,
    notifications_throttled: u64,
    stream_bytes: StreamBytes,
    hec: Option<Posts>,
    logzio: Posts,
    wall_secs: f64,
    cpu_secs: BTreeMap<String, f64>,
    peak_rss_mb: BTreeMap<String, f64>,
    rss_mb: BTreeMap<String, Tenths>,
}

#[derive(Debug, Serialize)]
struct StreamBytes {
    put: u64,
    got: u64,
}

/// The log files of the day and their records.
#[derive(Debug, Serialize)]
struct FilesCount {
    #[serde(flatten)]
    traffic: Traffic,
    records: u64,
    delivered: u64,
    lost: u64,
    duplicated: u64,
    altered: u64,
}

/// What a receiver has got.
#[derive(Debug, Serialize)]
struct Posts {
    posts: u64,
    /// As sent: compressed where the sender does so.
    bytes: u64,
}

impl From<&FilesAccount> for FilesCount {
    fn from(account: &FilesAccount) -> Self {
        let FilesAccount { traffic, comparison: it } = account;
        Self {
            traffic: *traffic,
            records: it.generated,
            delivered: it.delivered,
            lost: it.lost,
            duplicated: it.duplicated,
            altered: it.altered,
        }
    }
}

impl From<(u64, u64)> for Posts {
    fn from((posts, bytes): (u64, u64)) -> Self {
        Self { posts, bytes }
    }
}

/// Resident size after the calls of each tenth of the day's calls, the median of each: what grows from tenth to tenth leaks.
#[derive(Debug, Serialize)]
struct Tenths {
    first_tenth: f64,
    last_tenth: f64,
    tenths: Vec<f64>,
}

/// The name under which the emulator's own cost stands beside the functions'. It generates, signs off, receives and counts.
const EMULATOR: &str = "emulator";

impl Summary {
    pub(crate) fn new(
        cloud: &LocalOci,
        furniture: &Furniture,
        frame: &Frame,
        course: &Course,
        arrived: &Arrived<'_>,
    ) -> Self {
        let comparison = arrived.events;
        let reports = cloud.functions().reports();
        let own = OwnCost::now();
        let with_own = |own: f64, of: fn(&FunctionReport) -> f64| {
            let functions = reports.iter().map(|report| (report.name.clone(), of(report)));
            functions.chain([(EMULATOR.to_owned(), own)]).collect::<BTreeMap<_, _>>()
        };
        let calls = cloud.counters().all();
        let of = |wanted: &dyn Fn(&str) -> bool| {
            calls.iter().filter(|(name, _)| wanted(name)).map(|(name, count)| (name.clone(), *count)).collect()
        };
        let letters = cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with("dead/"));
        let letters: Vec<String> = letters.collect();
        let dead_records = letters.iter().filter(|name| name.contains("/logzio/")).count();
        let (dead, dead_events) = (letters.len() as u64, (letters.len() - dead_records) as u64);
        let totals: Vec<_> = furniture.streams.values().map(|stream| cloud.streams().totals(stream)).collect();
        Self {
            events: frame.events,
            seed: frame.seed,
            virtual_day: frame.day.start.strftime("%Y-%m-%d").to_string(),
            hours: frame.day.end.duration_since(frame.day.start).as_hours(),
            horizon: frame.day.end.to_string(),
            scopes: frame.scopes,
            rings: course.rings,
            settled: course.is_settled,
            proof: course.proof,
            generated: comparison.map(|it| it.generated),
            own_reads: cloud.audit().own_reads(),
            sent: shipped(cloud).saturating_sub(dead_events),
            dead,
            delivered: comparison.map(|it| it.delivered),
            lost: comparison.map(|it| it.lost),
            altered: comparison.map(|it| it.altered),
            duplicated: comparison.map(|it| it.duplicated),
            delivered_beyond_horizon: comparison.map(|it| it.beyond),
            files: arrived.files.into(),
            invocations: by_name(&reports, |report| report.calls),
            failures: by_name(&reports, failures),
            cold_starts: by_name(&reports, |report| report.containers_started),
            kills: reports.iter().map(|report| report.killed).sum(),
            // The gateway's callers are the schedule: not a call of the functions.
            oci_calls: of(&|name| name != "Gateway"),
            ledger_calls: of(&|name| name.contains("Object")),
            notifications: cloud.topics().published().len(),
            notifications_throttled: cloud.topics().throttled(),
            stream_bytes: StreamBytes {
                put: totals.iter().map(|totals| totals.bytes_put).sum(),
                got: totals.iter().map(|totals| totals.bytes_got).sum(),
            },
            hec: arrived.splunk.map(|splunk| splunk.traffic().into()),
            logzio: arrived.logzio.traffic().into(),
            wall_secs: tenth(frame.wall.as_secs_f64()),
            cpu_secs: with_own(tenth(own.cpu.as_secs_f64()), |report| tenth(report.cpu.as_secs_f64())),
            peak_rss_mb: with_own(mb(own.peak_rss_kb as f64), |report| mb(report.peak_rss_kb as f64)),
            rss_mb: reports.iter().filter_map(|it| Some((it.name.clone(), Tenths::of(&it.rss_kb)?))).collect(),
        }
    }
}

/// How many events lie in the ledger as shipped. A batch counts once, in however many parts it was sent.
fn shipped(cloud: &LocalOci) -> u64 {
    let names = cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with("seen/"));
    let mut batches: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        let body = cloud.storage().get(BUCKET, &name).unwrap_or_default();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        if let (Some(batch), Some(events)) = (body["batch"].as_str(), body["events"].as_u64()) {
            batches.insert(batch.to_owned(), events);
        }
    }
    batches.values().sum()
}

fn by_name(reports: &[FunctionReport], of: impl Fn(&FunctionReport) -> u64) -> BTreeMap<String, u64> {
    reports.iter().map(|report| (report.name.clone(), of(report))).collect()
}

/// Calls that were not answered 200.
fn failures(report: &FunctionReport) -> u64 {
    report.outcomes.iter().filter(|(outcome, _)| **outcome != "answered").map(|(_, count)| count).sum()
}

impl Tenths {
    /// `None` without calls; fewer than ten make fewer parts.
    fn of(rss_kb: &[u32]) -> Option<Self> {
        let parts = rss_kb.len().min(10);
        let at = |part: usize| rss_kb.len() * part / parts;
        let median = |part: usize| {
            let mut sorted = rss_kb.get(at(part)..at(part + 1))?.to_vec();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).map(|kb| mb(f64::from(*kb)))
        };
        let tenths = (0..parts).map(median).collect::<Option<Vec<_>>>()?;
        Some(Self { first_tenth: *tenths.first()?, last_tenth: *tenths.last()?, tenths })
    }
}

fn mb(kb: f64) -> f64 {
    tenth(kb / 1024.0)
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = |map: &BTreeMap<String, f64>, name: &str| map.get(name).copied().unwrap_or(0.0);
        let Self { virtual_day, hours, seed, scopes, rings, .. } = self;
        writeln!(f, "{virtual_day}, {hours} h, seed {seed}: {scopes} scopes, {rings} rings, {:.1} s", self.wall_secs)?;
        writeln!(f)?;
        let heads = ["calls", "failed", "cold", "cpu s", "peak MB", "MB first", "MB last"];
        write!(f, "{:<26}", "")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>10}"))?;
        writeln!(f)?;
        for (name, calls) in &self.invocations {
            let count = |map: &BTreeMap<String, u64>| grouped(map.get(name).copied().unwrap_or(0));
            write!(f, "{name:<26}{:>10}", grouped(*calls))?;
            write!(f, "{:>10}{:>10}", count(&self.failures), count(&self.cold_starts))?;
            write!(f, "{:>10.1}{:>10.1}", own(&self.cpu_secs, name), own(&self.peak_rss_mb, name))?;
            match self.rss_mb.get(name) {
                Some(rss) => writeln!(f, "{:>10.1}{:>10.1}", rss.first_tenth, rss.last_tenth)?,
                None => writeln!(f)?,
            }
        }
        let (cpu, peak) = (own(&self.cpu_secs, EMULATOR), own(&self.peak_rss_mb, EMULATOR));
        writeln!(f, "{EMULATOR:<26}{:>10}{:>10}{:>10}{cpu:>10.1}{peak:>10.1}", "", "", "")?;
        writeln!(f)?;
        for (name, count) in &self.oci_calls {
            writeln!(f, "{name:<26}{:>10}", grouped(*count))?;
        }
        writeln!(f, "{:<26}{:>10}", "notifications", grouped(self.notifications as u64))?;
        writeln!(f, "{:<26}{:>10}", "  throttled", grouped(self.notifications_throttled))?;
        writeln!(f, "{:<26}{:>10}", "stream, KB put", grouped(self.stream_bytes.put / 1000))?;
        writeln!(f, "{:<26}{:>10}", "stream, KB got", grouped(self.stream_bytes.got / 1000))?;
        if let Some(hec) = &self.hec {
            writeln!(f, "{:<26}{:>10}", "collector, posts", grouped(hec.posts))?;
            writeln!(f, "{:<26}{:>10}", "collector, KB", grouped(hec.bytes / 1000))?;
        }
        writeln!(f, "{:<26}{:>10}", "Logz.io listener, posts", grouped(self.logzio.posts))?;
        writeln!(f, "{:<26}{:>10}", "Logz.io listener, KB", grouped(self.logzio.bytes / 1000))?;
        writeln!(f, "{:<26}{:>10}", "windows proven", grouped(self.proof.windows))?;
        if self.kills > 0 {
            writeln!(f, "{:<26}{:>10}", "containers killed", grouped(self.kills))?;
        }
        writeln!(f)?;
        match (self.generated, self.delivered, self.lost, self.altered, self.duplicated) {
            (Some(generated), Some(delivered), Some(lost), Some(altered), Some(duplicated)) => {
                let planned = grouped(u64::from(self.events));
                writeln!(f, "Events processed before {}: {planned} planned, the rest are own reads.", self.horizon)?;
                let [generated, delivered] = [generated, delivered].map(grouped);
                let [lost, altered, duplicated] = [lost, altered, duplicated].map(grouped);
                write!(f, "generated {generated}  delivered {delivered}  lost {lost}  altered {altered}  ")?;
                writeln!(f, "duplicated {duplicated}")?;
            }
            _ => {
                writeln!(f, "A foreign collector does not tell what arrived: this is the ledger's word.")?;
                writeln!(f, "sent {}  dead {}", grouped(self.sent), grouped(self.dead))?;
            }
        }
        let Traffic { written, bytes, gzip_bytes } = self.files.traffic;
        let [written, bytes, packed] = [written, bytes / 1000, gzip_bytes / 1000].map(grouped);
        writeln!(f)?;
        writeln!(f, "The same records as log files, to Logz.io: {written} files, {bytes} KB, {packed} KB as gzip.")?;
        let FilesCount { records, delivered, lost, duplicated, altered, .. } = self.files;
        let [records, delivered, lost] = [records, delivered, lost].map(grouped);
        let [altered, duplicated] = [altered, duplicated].map(grouped);
        write!(f, "records {records}  delivered {delivered}  lost {lost}  altered {altered}  duplicated {duplicated}")
    }
}

/// `1234567` → `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_tenths_are_medians_of_the_first_and_the_last_calls() {
        let rss_kb: Vec<u32> = (1..=30).map(|mb| mb * 1024).collect();
        let tenths = Tenths::of(&rss_kb).expect("calls");
        assert_eq!((tenths.first_tenth, tenths.last_tenth, tenths.tenths.len()), (2.0, 29.0, 10));
        let few = Tenths::of(&[2048, 1024, 1024]).expect("calls");
        assert_eq!(few.tenths, [2.0, 1.0, 1.0]);
        assert!(Tenths::of(&[]).is_none());
    }

    #[test]
    fn a_call_that_was_not_answered_200_is_a_failure() {
        let outcomes = [("answered", 7), ("Died", 2), ("Failed", 1)].into();
        assert_eq!(failures(&FunctionReport { outcomes, ..FunctionReport::default() }), 3);
    }
}
