//! What calls cost: time, processor, memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A clock tick of `/proc/<pid>/stat`: 100 a second on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// What a function did and what it cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FunctionReport {
    /// Its name.
    pub name: String,
    /// The memory that it was given.
    pub memory_mb: u32,
    /// Calls that were dispatched or refused.
    pub calls: u64,
    /// Calls by outcome: `answered`, or the name of the [`Failure`](super::Failure).
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Containers started: cold starts.
    pub containers_started: u64,
    /// Containers killed from outside.
    pub killed: u64,
    /// The largest resident size of any container.
    pub peak_rss_kb: u64,
    /// The resident size after each call, in order, containers mixed.
    pub rss_kb: Vec<u32>,
    /// Processor time of all containers, to 10 ms a container.
    pub cpu: Duration,
    /// Time from dispatch to answer, summed.
    pub busy: Duration,
    /// Time from start to socket, summed over containers.
    pub starting: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) calls: u64,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    pub(super) started: u64,
    pub(super) killed: u64,
    pub(super) busy: Duration,
    pub(super) starting: Duration,
    peak_rss_kb: u64,
    rss_kb: Vec<u32>,
    ended_ticks: u64,
    /// Processor ticks of living containers, by number.
    ticks: HashMap<u64, u64>,
}

impl Meter {
    /// Reads a container's figures after a call.
    pub(super) fn sample(&mut self, number: u64, pid: u32) {
        if let Some(memory) = memory(pid) {
            self.peak_rss_kb = self.peak_rss_kb.max(memory.peak_kb);
            self.rss_kb.push(u32::try_from(memory.now_kb).unwrap_or(u32::MAX));
        }
        self.sample_cpu(number, pid);
    }

    /// Reads a container's figures for the last time. A process that is already dead has no memory to read.
    pub(super) fn last_sample(&mut self, number: u64, pid: u32) {
        if let Some(memory) = memory(pid) {
            self.peak_rss_kb = self.peak_rss_kb.max(memory.peak_kb);
        }
        self.sample_cpu(number, pid);
        self.ended_ticks += self.ticks.remove(&number).unwrap_or(0);
    }

    fn sample_cpu(&mut self, number: u64, pid: u32) {
        if let Some(ticks) = cpu_ticks(pid) {
            self.ticks.insert(number, ticks);
        }
    }

    pub(super) fn report(&self, name: &str, memory_mb: u32) -> FunctionReport {
        let ticks = self.ended_ticks + self.ticks.values().sum::<u64>();
        FunctionReport {
            name: name.to_owned(),
            memory_mb,
            calls: self.calls,
            outcomes: self.outcomes.clone(),
            containers_started: self.started,
            killed: self.killed,
            peak_rss_kb: self.peak_rss_kb,
            rss_kb: self.rss_kb.clone(),
            cpu: span(ticks),
            busy: self.busy,
            starting: self.starting,
        }
    }
}

/// What this process has cost so far: the emulator, and whatever it receives itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnCost {
    /// Processor time of all threads, to 10 ms.
    pub cpu: Duration,
    /// The largest resident size.
    pub peak_rss_kb: u64,
}

impl OwnCost {
    /// Reads `/proc`; zero where there is none.
    pub fn now() -> Self {
        let pid = std::process::id();
        Self { cpu: span(cpu_ticks(pid).unwrap_or(0)), peak_rss_kb: memory(pid).map_or(0, |memory| memory.peak_kb) }
    }
}

fn span(ticks: u64) -> Duration {
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

struct Memory {
    peak_kb: u64,
    now_kb: u64,
}

/// `VmHWM` and `VmRSS` of `/proc/<pid>/status`; `None` for a process that has no memory any more.
fn memory(pid: u32) -> Option<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
    };
    Some(Memory { peak_kb: field("VmHWM")?, now_kb: field("VmRSS")? })
}

/// `utime` + `stime` of `/proc/<pid>/stat`, all threads included.
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the fields after it begin with the third, the state.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_processor_time() {
        let pid = std::process::id();
        let memory = memory(pid).expect("/proc");
        assert!(memory.now_kb > 1000 && memory.peak_kb >= memory.now_kb, "{} {}", memory.now_kb, memory.peak_kb);
        let before = cpu_ticks(pid).expect("/proc");
        let until = std::time::Instant::now() + Duration::from_secs(20);
        let mut sum = 0_u64;
        while cpu_ticks(pid).expect("/proc") < before + 3 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
            assert!(std::time::Instant::now() < until, "no processor time was counted ({sum})");
        }
        let own = OwnCost::now();
        assert!(own.cpu >= span(before + 3) && own.peak_rss_kb >= memory.peak_kb, "{own:?}");
    }
}
