//! How the pipeline fares, told by the ledger's listing: a stage that is broken shows here, not in its own words.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use ledger::Waiting;
use oci_client::Metric;
use oci_names::Ocid;
use pipeline::{Lane, Looks, Minute, Receipt, Stage};
use workbench::Deadline;

use crate::{App, schedule::Summary};

/// Where the metrics lie in Monitoring.
const NAMESPACE: &str = "siem_pipeline";

/// Notes how far delivery is behind, and posts the metrics. Never fails: a number that is not posted is missing in a chart,
/// and the run is as good as it was.
pub(crate) async fn tell(
    app: &App,
    now: Timestamp,
    waiting: &Waiting,
    summary: &mut Summary,
    failed: bool,
    deadline: Deadline,
) {
    if let Some(planned_until) = summary.planned_until {
        let lag = lag(now, planned_until, waiting, app.config.looks).as_secs() / 60;
        summary.lag_minutes = Some(lag);
        summary.lags = lag > i64::from(app.config.lag_objective_minutes);
        if summary.lags {
            tracing::error!(
                lag_minutes = lag,
                owed = summary.owed,
                held = summary.held,
                hushed = waiting.hushed.len(),
                "delivery is further behind than it may be; nothing is lost"
            );
        }
    }
    let client = &app.config.connection.client;
    let compartment = app.config.metrics_compartment.clone().or_else(|| client.compartment());
    let Some(compartment) = compartment.or_else(|| client.tenancy().ok()).filter(|_| app.config.metrics) else {
        return;
    };
    let metrics = metrics(&compartment, now, &readings(now, waiting, summary, failed, app.config.looks));
    let refused = client.monitoring().post_metric_data(&metrics, deadline).await;
    let refused: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
    if let Some(first) = refused.first() {
        tracing::warn!(
            error = first as &dyn std::error::Error,
            refused = refused.len(),
            posted = metrics.len() - refused.len(),
            "not all metrics were posted: look at the policy for `use metrics`, and at metrics_compartment"
        );
    }
}

/// A number, and what it is of.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    name: &'static str,
    /// `stage`, and for one of several destinations `destination`.
    stage: &'static str,
    destination: Option<String>,
    value: f64,
    unit: &'static str,
}

/// All numbers of one run. Each is there in each run, also where it is 0, so that an alarm can tell a zero from silence;
/// what windows turned out to hold comes when they are proven.
fn readings(now: Timestamp, waiting: &Waiting, summary: &Summary, failed: bool, looks: Looks) -> Vec<Reading> {
    let mut all = Vec::new();
    let mut add = |name, stage, destination: Option<String>, value: f64, unit| {
        all.push(Reading { name, stage, destination, value, unit });
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).into();
    let total = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).into();
    add("run_failed", "plan", None, f64::from(u8::from(failed)), "count");
    add("planned", "plan", None, count(summary.units), "count");
    if let Some(lag) = summary.lag_minutes {
        add("lag", "all", None, i32::try_from(lag).unwrap_or(i32::MAX).into(), "minutes");
    }
    let minutes = |age: SignedDuration| i32::try_from(age.as_secs() / 60).unwrap_or(i32::MAX).max(0).into();
    let place = |receipt: &Receipt| match &receipt.stage {
        Stage::Fetch(_) => ("fetch", None),
        Stage::Ship(destination, _) => ("ship", Some(destination.to_string())),
        Stage::Object(destination, _) => ("object", Some(destination.to_string())),
    };
    // Backfills too: they are owed like anything else.
    let mut stages: BTreeMap<(&'static str, Option<String>), (usize, usize, SignedDuration)> = BTreeMap::new();
    stages.entry(("fetch", None)).or_default();
    for (receipt, since) in &waiting.owed {
        let (owed, _, oldest) = stages.entry(place(receipt)).or_default();
        *owed += 1;
        *oldest = (*oldest).max(overdue(receipt, *since, now, looks).unwrap_or_default());
    }
    for (receipt, since) in &waiting.held {
        let (_, held, oldest) = stages.entry(place(receipt)).or_default();
        *held += 1;
        *oldest = (*oldest).max(overdue(receipt, *since, now, looks).unwrap_or_default());
    }
    for ((stage, destination), (owed, held, oldest)) in stages {
        add("owed", stage, destination.clone(), count(owed), "count");
        add("held", stage, destination.clone(), count(held), "count");
        add("oldest", stage, destination, minutes(oldest), "minutes");
    }
    let sum = |of: fn(&pipeline::Proof) -> u64| total(summary.proofs.iter().map(of).sum());
    add("fetched", "fetch", None, sum(|proof| proof.listed), "count");
    add("filtered", "fetch", None, sum(|proof| proof.filtered), "count");
    add("redacted", "fetch", None, sum(|proof| proof.redacted), "count");
    add("dead", "fetch", None, sum(|proof| proof.oversized), "count");
    add("gaps", "all", None, sum(|proof| proof.gaps.len() as u64), "count");
    let mut fates: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for (destination, fate) in summary.proofs.iter().flat_map(|proof| &proof.destinations) {
        let (shipped, skipped, dead) = fates.entry(destination.to_string()).or_default();
        *shipped += fate.sent;
        *skipped += fate.seen_before;
        *dead += fate.dead;
    }
    for (destination, (shipped, skipped, dead)) in fates {
        let destination = Some(destination);
        add("shipped", "ship", destination.clone(), total(shipped), "count");
        add("skipped", "ship", destination.clone(), total(skipped), "count");
        add("dead", "ship", destination, total(dead), "count");
    }
    all
}

fn metrics(compartment: &Ocid, now: Timestamp, readings: &[Reading]) -> Vec<Metric> {
    let metric = |reading: &Reading| {
        let stage = ("stage".to_owned(), reading.stage.to_owned());
        let destination = reading.destination.clone().map(|name| ("destination".to_owned(), name));
        Metric {
            namespace: NAMESPACE.to_owned(),
            compartment: compartment.clone(),
            resource_group: None,
            name: reading.name.to_owned(),
            dimensions: [stage].into_iter().chain(destination).collect(),
            unit: Some(reading.unit.to_owned()),
            value: reading.value,
            timestamp: now,
        }
    };
    readings.iter().map(metric).collect()
}

/// How long the oldest minute that is not delivered has been over.
pub(crate) fn lag(now: Timestamp, planned_until: Minute, waiting: &Waiting, looks: Looks) -> SignedDuration {
    let owed =
        waiting.owed.iter().chain(&waiting.held).filter_map(|(receipt, since)| overdue(receipt, *since, now, looks));
    let planned = now.duration_since(planned_until.start());
    owed.chain([planned]).max().unwrap_or(planned).max(SignedDuration::ZERO)
}

/// How long a receipt of the live lane has been due.
fn overdue(receipt: &Receipt, since: Option<Timestamp>, now: Timestamp, looks: Looks) -> Option<SignedDuration> {
    let after = |minutes: Option<u32>| SignedDuration::from_mins(minutes.unwrap_or_default().into());
    let (lane, window, after) = match &receipt.stage {
        Stage::Fetch(key) => {
            let after = match key.look {
                2 => after(looks.second_after),
                3 => after(looks.third_after),
                _ => SignedDuration::ZERO,
            };
            (key.lane, key.window, after)
        }
        Stage::Ship(_, key) => (key.lane, key.window, SignedDuration::ZERO),
        // A file has no window; its receipt is written as soon as it is noticed.
        Stage::Object(..) => return since.map(|since| now.duration_since(since)),
    };
    if lane == Lane::Backfill {
        return None;
    }
    let old = now.duration_since(window.until().start()) - after;
    // What a third look has found is old when it is put; a batch does not say which look it comes from.
    let may_be_third = matches!(receipt.stage, Stage::Ship(..))
        && looks.third_after.is_some_and(|third| old >= SignedDuration::from_mins(third.into()));
    match since.filter(|_| may_be_third) {
        Some(since) => Some(now.duration_since(since).min(old)),
        None => Some(old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_reads_what_waits_and_what_was_proven() {
        let now: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let owed = |name: &str| (name.parse().unwrap(), Some(now));
        let waiting = Waiting {
            owed: vec![owed("owed/ship/splunk/20260105T0130Z-20260105T0135Z.r-1.aa~0")],
            held: vec![owed("held/fetch/20260105T0150Z-20260105T0155Z.1.r-1.0~0~1767571200")],
            ..Waiting::default()
        };
        let proof = r#"{"from":"2026-01-05T00:00:00Z","until":"2026-01-05T00:05:00Z","scopes":4,"parts":2,"listed":9,
            "filtered":2,"summaries":1,"oversized":0,"redacted":3,"gaps":["one"],
            "destinations":{"splunk":{"put":6,"seen_before":2,"sent":5,"dead":1,"recovered":0}}}"#;
        let summary =
            Summary { lag_minutes: Some(25), proofs: vec![serde_json::from_str(proof).unwrap()], ..Summary::default() };
        let all = readings(now, &waiting, &summary, true, Looks::default());
        let value = |name: &str, stage: &str| {
            all.iter().find(|reading| (reading.name, reading.stage) == (name, stage)).map(|reading| reading.value)
        };
        for (name, stage, expected) in [
            ("run_failed", "plan", 1.0),
            ("lag", "all", 25.0),
            ("owed", "fetch", 0.0),
            ("held", "fetch", 1.0),
            ("oldest", "fetch", 5.0),
            ("owed", "ship", 1.0),
            ("oldest", "ship", 25.0),
            ("fetched", "fetch", 9.0),
            ("filtered", "fetch", 2.0),
            ("redacted", "fetch", 3.0),
            ("gaps", "all", 1.0),
            ("shipped", "ship", 5.0),
            ("skipped", "ship", 2.0),
            ("dead", "ship", 1.0),
        ] {
            assert_eq!(value(name, stage), Some(expected), "{name} {stage}");
        }
    }

    #[test]
    fn the_lag_is_that_of_the_oldest_minute_that_is_not_delivered() {
        let now: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let planned: Minute = "2026-01-05T01:57:00Z".parse().unwrap();
        let since = |minutes: i64| Some(now - SignedDuration::from_mins(minutes));
        let looks = Looks { second_after: Some(20), third_after: Some(60) };
        for (owed, since, expected) in [
            (None, None, 3),
            (Some("owed/fetch/20260105T0130Z-20260105T0135Z.1.r-1.0~0"), since(1), 25),
            (Some("owed/fetch/20260105T0130Z-20260105T0135Z.2.r-1.0~0"), since(1), 5),
            (Some("owed/fetch/20260105T0030Z-20260105T0035Z.3.r-1.0~0"), since(1), 25),
            (Some("owed/ship/splunk/20260105T0130Z-20260105T0135Z.r-1.aa~0"), since(1), 25),
            (Some("owed/ship/splunk/20260105T0030Z-20260105T0035Z.r-1.aa~0"), since(7), 7),
            (Some("held/ship/splunk/20260105T0130Z-20260105T0135Z.r-1.aa~0~1767571200"), since(1), 25),
            (Some("owed/fetch/backfill.20260101T0000Z-20260102T0000Z.1.r-1.0~0"), since(90), 3),
        ] {
            let owed = owed.map(|name| (name.parse().unwrap(), since));
            let waiting = Waiting { owed: owed.into_iter().collect(), ..Waiting::default() };
            assert_eq!(lag(now, planned, &waiting, looks).as_secs() / 60, expected, "{:?}", waiting.owed);
        }
    }
}
