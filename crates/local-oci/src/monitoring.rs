//! Monitoring: metrics are checked by the service's rules, kept, and given back to tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::cloud::Cloud;
use crate::faults::Effect;
use crate::router::Operation;

const STREAMS_MAX: usize = 50;
const CALLS_MAX_PER_SECOND: usize = 50;
const DIMENSIONS_MAX: usize = 20;
const KEY_MAX_CHARS: usize = 256;
const DIMENSION_VALUE_MAX_CHARS: usize = 512;
const METADATA_MAX_CHARS: usize = 256;
const PAST_MAX: SignedDuration = SignedDuration::from_hours(2);
const FUTURE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// A value that was posted, with what names its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Datapoint {
    /// The region that it was posted to.
    pub region: String,
    /// The application that it tells about.
    pub namespace: String,
    /// The OCID of its compartment.
    pub compartment: String,
    /// The resource group, if it has one.
    pub resource_group: Option<String>,
    /// The metric's name.
    pub name: String,
    /// The metric's dimensions.
    pub dimensions: BTreeMap<String, String>,
    /// What names no stream, such as `unit`.
    pub metadata: BTreeMap<String, String>,
    /// The time that the value is of.
    pub timestamp: Timestamp,
    /// The value.
    pub value: f64,
    /// How often it occurred.
    pub count: u64,
    /// When it was posted, by the cloud's clock.
    pub posted: Timestamp,
}

/// Everything that was posted. Nothing is recognised as a copy: what is posted twice is here twice.
#[derive(Debug, Default)]
pub struct Metrics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    datapoints: Vec<Datapoint>,
    /// When the calls of the last second were.
    recent: VecDeque<Timestamp>,
    throttled: u64,
}

impl Metrics {
    /// Every datapoint, in the order of their posting.
    pub fn all(&self) -> Vec<Datapoint> {
        self.lock().datapoints.clone()
    }

    /// The datapoints of the metric of that name that have these dimensions (and perhaps others), in the order of their
    /// posting.
    pub fn of(&self, name: &str, dimensions: &[(&str, &str)]) -> Vec<Datapoint> {
        let is_wanted = |point: &&Datapoint| {
            let has = |(key, value): &(&str, &str)| point.dimensions.get(*key).is_some_and(|own| own == value);
            point.name == name && dimensions.iter().all(has)
        };
        self.lock().datapoints.iter().filter(is_wanted).cloned().collect()
    }

    /// How many calls were refused with 429.
    pub fn throttled(&self) -> u64 {
        self.lock().throttled
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves PostMetricData.
///
/// The rules are documented; how a broken one is answered is not, save for the partial failure: status and code of every
/// refusal of a whole call are unverified.
///
/// Source: Monitoring API reference, PostMetricData.
pub(crate) fn serve(cloud: &Cloud, operation: &Operation, call: &Call) -> Answer {
    post_metric_data(cloud, operation, call).unwrap_or_else(Answer::from)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    metric_data: Vec<&'a RawValue>,
    batch_atomicity: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    namespace: String,
    compartment_id: String,
    resource_group: Option<String>,
    name: String,
    dimensions: BTreeMap<String, String>,
    metadata: Option<BTreeMap<String, String>>,
    datapoints: Vec<RawDatapoint>,
}

#[derive(Deserialize)]
struct RawDatapoint {
    timestamp: String,
    value: f64,
    count: Option<i64>,
}

fn post_metric_data(cloud: &Cloud, operation: &Operation, call: &Call) -> Result<Answer, Refused> {
    let now = cloud.clock.now();
    let mut state = cloud.metrics.lock();
    state.admit(now)?;
    let body: Body<'_> = parse(&call.body)?;
    let is_atomic = match body.batch_atomicity.as_deref() {
        None | Some("NON_ATOMIC") => false,
        Some("ATOMIC") => true,
        Some(_) => return Err(Refused::invalid_parameter("batchAtomicity is ATOMIC or NON_ATOMIC")),
    };
    let metrics: Vec<Metric> =
        body.metric_data.iter().map(|raw| parse(raw.get().as_bytes())).collect::<Result<_, _>>()?;
    if metrics.is_empty() {
        return Err(Refused::invalid_parameter("there is no metric"));
    }
    let streams: BTreeSet<_> = metrics.iter().map(Metric::stream).collect();
    if streams.len() > STREAMS_MAX {
        return Err(Refused::invalid_parameter(format!("{} metric streams, more than {STREAMS_MAX}", streams.len())));
    }
    let may_post = |metric: &Metric| cloud.tenancy.may_read(&metric.compartment_id, now);
    if !cloud.tenancy.is_ready(&call.region, now) || !metrics.iter().all(may_post) {
        return Err(Refused::not_authorized_or_not_found());
    }

    // Asked only of calls that are taken, so that a rule's `times` counts those.
    let effects = cloud.faults.of_service(operation, call);
    let fails = |index| effects.iter().any(|effect| matches!(effect, Effect::FailEntries(all) if all.contains(&index)));
    let mut failed = Vec::new();
    let mut taken = Vec::new();
    for (index, (metric, raw)) in metrics.into_iter().zip(&body.metric_data).enumerate() {
        let checked = if fails(index) { Err("a fault was injected".to_owned()) } else { metric.check(now) };
        match checked {
            Ok(times) => taken.push((metric, times)),
            Err(message) => failed.push(serde_json::json!({ "message": message, "metricData": raw })),
        }
    }
    if let Some(first) = failed.first()
        && (is_atomic || taken.is_empty())
    {
        // One metric at least must pass.
        return Err(Refused::invalid_parameter(first["message"].as_str().unwrap_or_default()));
    }
    for (metric, times) in taken {
        state.keep(metric, times, &call.region, now);
    }
    Ok(Answer::ok(&serde_json::json!({ "failedMetricsCount": failed.len(), "failedMetrics": failed })))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Refused> {
    let unread = |error| format!("the body cannot be read: {error}");
    serde_json::from_slice(json)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, "CannotParseRequest", unread(error)))
}

impl State {
    /// Counts a call, or refuses it: 50 a second are the tenancy's limit.
    fn admit(&mut self, now: Timestamp) -> Result<(), Refused> {
        let second_ago = now.checked_sub(SignedDuration::from_secs(1)).unwrap_or(now);
        while self.recent.front().is_some_and(|at| *at <= second_ago) {
            self.recent.pop_front();
        }
        if self.recent.len() >= CALLS_MAX_PER_SECOND {
            self.throttled += 1;
            let message = "too many calls of this tenancy within a second";
            return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message));
        }
        self.recent.push_back(now);
        Ok(())
    }

    fn keep(&mut self, metric: Metric, times: Vec<Timestamp>, region: &str, posted: Timestamp) {
        let Metric { namespace, compartment_id, resource_group, name, dimensions, metadata, datapoints } = metric;
        for (point, timestamp) in datapoints.into_iter().zip(times) {
            self.datapoints.push(Datapoint {
                region: region.to_owned(),
                namespace: namespace.clone(),
                compartment: compartment_id.clone(),
                resource_group: resource_group.clone(),
                name: name.clone(),
                dimensions: dimensions.clone(),
                metadata: metadata.clone().unwrap_or_default(),
                timestamp,
                value: point.value,
                count: point.count.and_then(|count| count.try_into().ok()).unwrap_or(1),
                posted,
            });
        }
    }
}

impl Metric {
    /// What tells its stream from others; metadata does not.
    fn stream(&self) -> (&str, &str, Option<&str>, &str, &BTreeMap<String, String>) {
        (&self.namespace, &self.compartment_id, self.resource_group.as_deref(), &self.name, &self.dimensions)
    }

    /// The times of its datapoints, or the first rule that it breaks.
    fn check(&self, now: Timestamp) -> Result<Vec<Timestamp>, String> {
        let is_namespace = is_word(&self.namespace, "_");
        let is_reserved = ["oci_", "oracle_"].iter().any(|prefix| self.namespace.starts_with(prefix));
        let group = self.resource_group.as_deref();
        let metadata = self.metadata.iter().flatten();
        let rules = [
            (is_namespace, "namespace begins with a letter and holds letters, digits and underscores"),
            (!is_reserved, "namespace begins with a reserved prefix"),
            (is_word(&self.name, "._-$"), "name begins with a letter and holds letters, digits and . _ - $"),
            (group.is_none_or(|group| is_word(group, "._-$")), "resourceGroup is of the alphabet of names"),
            ((1..=DIMENSIONS_MAX).contains(&self.dimensions.len()), "a metric has 1 to 20 dimensions"),
            (
                self.dimensions.iter().all(is_dimension),
                "a dimension's key or value is empty, too long or not printable",
            ),
            (metadata.clone().all(is_metadata), "metadata have at most 256 characters"),
            (!self.datapoints.is_empty(), "a metric has at least one datapoint"),
            (self.datapoints.iter().all(|point| point.count.is_none_or(|count| count > 0)), "a count is above zero"),
        ];
        if let Some((_, broken)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(broken.to_owned());
        }
        self.datapoints.iter().map(|point| time(&point.timestamp, now)).collect()
    }
}

fn is_word(text: &str, others: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_dimension((key, value): (&String, &String)) -> bool {
    (1..=KEY_MAX_CHARS).contains(&key.len())
        && key.chars().all(|c| c.is_ascii_graphic())
        && (1..=DIMENSION_VALUE_MAX_CHARS).contains(&value.chars().count())
}

fn is_metadata((key, value): (&String, &String)) -> bool {
    key.chars().count() <= METADATA_MAX_CHARS && value.chars().count() <= METADATA_MAX_CHARS
}

/// The time of a datapoint, which must be near.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let time: Timestamp = text.parse().map_err(|_| "a timestamp is not of RFC 3339".to_owned())?;
    let ahead = time.duration_since(now);
    if -PAST_MAX < ahead && ahead < FUTURE_MAX {
        Ok(time)
    } else {
        Err("a timestamp is two hours past or ten minutes ahead, or more".to_owned())
    }
}

#[cfg(test)]
mod tests;
