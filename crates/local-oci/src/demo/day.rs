//! The day's course: the schedule rings, and rings on until nothing is left to do.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use local_oci::LocalOci;
use local_oci::schedule::{self, HealthCheck, Ring};
use serde::Serialize;

use super::files::Files;
use crate::furnish::{BUCKET, PLANNER, ROUTE, TICK, TICK_HEADER};

/// From ring to ring.
const INTERVAL: SignedDuration = SignedDuration::from_mins(5);
/// Second looks are due 20 minutes after the day; a receipt of a killed container comes back some minutes later.
const DRAIN_MAX: SignedDuration = SignedDuration::from_hours(3);
/// So many names of what is left over are told.
const LEFT_MAX: usize = 5;

/// `[start, end)`, by the cloud's clock. Its end is the horizon: what is processed before it must be delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Day {
    /// How often the schedule rings before the end.
    pub(crate) fn rings(&self) -> u64 {
        let intervals = self.end.duration_since(self.start).as_secs() / INTERVAL.as_secs();
        u64::try_from(intervals).unwrap_or(0)
    }
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) rings: usize,
    /// Whether every window of the day is planned and looked at again, and nothing waits any more.
    pub(crate) is_settled: bool,
    /// The first names of what waits.
    pub(crate) left: Vec<String>,
    /// What the ledger has proven of itself by then.
    pub(crate) proof: Proof,
}

/// The lines of `proof/`, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Proof {
    /// Windows whose numbers add up.
    pub(crate) windows: u64,
    /// Windows that cannot be accounted for.
    pub(crate) gaps: u64,
}

/// Runs the schedule through the day, and then on until everything is settled.
///
/// # Errors
/// A planner that fails its first call: then nothing is configured as it should be, and its log says what.
pub(crate) async fn run(
    cloud: &LocalOci,
    day: Day,
    functions: &BTreeMap<&'static str, String>,
    files: &Files,
) -> anyhow::Result<Course> {
    let check = HealthCheck { headers: vec![(TICK_HEADER.to_owned(), TICK.to_owned())], ..HealthCheck::new(ROUTE) };
    let first = ring_once(cloud, &check).await;
    if first.iter().any(|ring| ring.status != Some(200)) {
        let log = cloud.functions().log(&functions[PLANNER]);
        anyhow::bail!("the planner failed its first call:\n{}", log.trim_end());
    }
    let mut rings = first.len();
    cloud.clock().sleep(INTERVAL).await;
    rings += schedule::start(cloud, &check, day.end).await.len();
    let give_up = day.end.checked_add(DRAIN_MAX)?;
    loop {
        // The clock leaps only once all that was rung for is done.
        cloud.clock().sleep(INTERVAL).await;
        let mut left = left(cloud, day);
        left.extend(files.left(cloud));
        if left.is_empty() || cloud.clock().now() >= give_up {
            let is_settled = left.is_empty();
            let left = left.into_iter().take(LEFT_MAX).collect();
            return Ok(Course { rings, is_settled, left, proof: proof(cloud) });
        }
        rings += ring_once(cloud, &check).await.len();
    }
}

async fn ring_once(cloud: &LocalOci, check: &HealthCheck) -> Vec<Ring> {
    let now = cloud.clock().now();
    schedule::start(cloud, check, now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now)).await
}

/// What is not done yet, by name.
fn left(cloud: &LocalOci, day: Day) -> Vec<String> {
    let positions = cloud.storage().get(BUCKET, "positions.json").unwrap_or_default();
    let positions: serde_json::Value = serde_json::from_slice(&positions).unwrap_or_default();
    let mut left: Vec<String> = ["planned_until", "looked_again_until"]
        .into_iter()
        .filter(|name| {
            let until = positions[*name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            until.is_none_or(|until| until < day.end)
        })
        .map(str::to_owned)
        .collect();
    if cloud.topics().pending() > 0 {
        left.push("notifications".to_owned());
    }
    if cloud.events().pending() > 0 {
        left.push("events of objects".to_owned());
    }
    let waits = |name: &String| name.starts_with("owed/") || name.starts_with("held/");
    left.extend(cloud.storage().objects(BUCKET).into_iter().filter(waits));
    left
}

fn proof(cloud: &LocalOci) -> Proof {
    let mut proof = Proof::default();
    for name in cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with("proof/")) {
        let lines = cloud.storage().get(BUCKET, &name).unwrap_or_default();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            // A line that is none counts as a gap.
            let holds = line["until"].is_string() && line["gaps"].is_null();
            *(if holds { &mut proof.windows } else { &mut proof.gaps }) += 1;
        }
    }
    proof
}

#[cfg(test)]
mod tests {
    use local_oci::{Clock, Settings};

    use super::*;

    fn day() -> Day {
        let time = |text: &str| text.parse().expect("a time");
        Day { start: time("2026-01-05T00:00:00Z"), end: time("2026-01-06T00:00:00Z") }
    }

    #[test]
    fn a_day_has_288_rings() {
        assert_eq!(day().rings(), 288);
    }

    #[test]
    fn a_day_is_settled_once_both_positions_are_past_it_and_no_receipt_waits() {
        let cloud = LocalOci::new(Settings::new(Clock::real()));
        cloud.storage().create_bucket(BUCKET);
        let put = |name: &str, body: &str| assert!(cloud.storage().put(BUCKET, name, body.to_owned()).is_some());
        let check = |expected: &[&str]| assert_eq!(left(&cloud, day()), expected);
        check(&["planned_until", "looked_again_until"]);
        put(
            "positions.json",
            r#"{"planned_until":"2026-01-06T00:00:00Z","looked_again_until":"2026-01-05T23:40:00Z"}"#,
        );
        check(&["looked_again_until"]);
        put(
            "positions.json",
            r#"{"planned_until":"2026-01-06T00:25:00Z","looked_again_until":"2026-01-06T00:05:00Z"}"#,
        );
        check(&[]);
        put("seen/a", "");
        put("owed/fetch/a~0", "");
        put("held/ship/splunk/b~0~1", "");
        put("proof/2026-01-05/a", "{\"until\":\"x\"}\n{\"until\":\"x\",\"gaps\":[\"y\"]}\n");
        assert_eq!(proof(&cloud), Proof { windows: 1, gaps: 1 });
        check(&["held/ship/splunk/b~0~1", "owed/fetch/a~0"]);
    }
}
