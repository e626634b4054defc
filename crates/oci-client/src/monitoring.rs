//! Monitoring: posting custom metrics.

use std::{collections::BTreeMap, sync::Arc};

use http::StatusCode;
use jiff::{Timestamp, Unit};
use oci_names::Ocid;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Deadline, Error, Service, ServiceMessage,
    answer::Answer,
    call::{Call, Repeat},
    target::Target,
};

const BASE_PATH: &str = "/20180401";

/// The metric streams of one call.
const STREAMS_MAX: usize = 50;

/// Each refused metric comes back whole.
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// One value of one metric stream, which namespace, compartment, resource group, name and dimensions tell from others.
///
/// Source: Monitoring API reference, MetricDataDetails, for all the rules below.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// A letter, then letters, digits and underscores; `oci_` and `oracle_` are the service's own.
    pub namespace: String,
    /// The compartment that the metric belongs to.
    pub compartment: Ocid,
    /// A letter, then letters, digits, `.`, `_`, `-` and `$`.
    pub resource_group: Option<String>,
    /// Of the same alphabet as the resource group.
    pub name: String,
    /// 1 to 20: keys of printable ASCII without spaces, at most 256 characters; values of at most 512. None is empty.
    pub dimensions: BTreeMap<String, String>,
    /// Such as `count` or `seconds`; at most 256 characters. Says how to read the value and names no other stream.
    pub unit: Option<String>,
    /// The value; a number that is not finite is not sent.
    pub value: f64,
    /// When it was so, to the millisecond: at most two hours past and ten minutes to come, by the service's clock.
    pub timestamp: Timestamp,
}

/// What became of one metric.
pub type MetricEntry = Result<(), NotPosted>;

/// Why a metric was not posted, as far as is known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotPosted {
    /// JSON has no such number; it was not sent.
    #[error("the value is not a finite number")]
    NotFinite,
    /// The service refused this metric, for good, and took others of the same call.
    #[error("the metric was refused")]
    Refused(ServiceMessage),
    /// Some metrics of its call were refused, and the answer does not say recognisably which.
    #[error("this metric or another one of its call was refused")]
    Unnamed,
    /// The call that carried it failed, or one before it, so that it was not sent any more. 400 may also mean that the
    /// metrics of its call were refused one and all.
    #[error("the call failed")]
    Failed(#[source] Arc<Error>),
}

/// Calls of the Monitoring service, the posting side.
#[derive(Debug, Clone, Copy)]
pub struct Monitoring<'a> {
    client: &'a Client,
}

impl<'a> Monitoring<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Posts `metrics` in the client's region, 50 a call, one call after another; the answer has one entry for each, in
    /// their order. A metric that is refused does not keep the others away, and neither does a call of bad ones only,
    /// which the service answers with 400; a call that fails in another way ends the posting. No metrics, no call.
    ///
    /// **A post adds its datapoints each time**: the service recognises none that it has seen, so that a second copy
    /// counts twice in a sum, a count and a rate. A call is therefore sent again only where it was surely not processed:
    /// turned away with 429 or 503, or never sent. Where the outcome is unknown, a gap in a chart is better than a wrong
    /// number.
    ///
    /// Source: Monitoring API reference, PostMetricData.
    pub async fn post_metric_data(&self, metrics: &[Metric], deadline: Deadline) -> Vec<MetricEntry> {
        let mut entries: Vec<MetricEntry> = Vec::with_capacity(metrics.len());
        let mut failed: Option<Arc<Error>> = None;
        // As many metrics have at most as many streams.
        for chunk in metrics.chunks(STREAMS_MAX) {
            let posted = match &failed {
                Some(error) => Err(Arc::clone(error)),
                None => self.post(chunk, deadline).await.map_err(Arc::new),
            };
            match posted {
                Ok(posted) => entries.extend(posted),
                Err(error) => {
                    entries.extend(chunk.iter().map(|_| Err(NotPosted::Failed(Arc::clone(&error)))));
                    // Fifty bad ones are refused as a call, and say nothing about the next fifty.
                    failed = Some(error).filter(|error| error.status() != Some(StatusCode::BAD_REQUEST));
                }
            }
        }
        entries
    }

    async fn post(&self, metrics: &[Metric], deadline: Deadline) -> Result<Vec<MetricEntry>, Error> {
        let mut entries: Vec<MetricEntry> = metrics.iter().map(|metric| metric.check()).collect();
        let metric_data: Vec<_> = metrics
            .iter()
            .zip(&entries)
            .filter(|(_, entry)| entry.is_ok())
            .map(|(metric, _)| metric.details())
            .collect();
        if metric_data.is_empty() {
            return Ok(entries);
        }
        let target = Target::new(&self.client.endpoint(Service::Monitoring, None)?, BASE_PATH).part("metrics");
        let details = PostDetails { metric_data, batch_atomicity: "NON_ATOMIC" };
        let call = Call::post_json("PostMetricData", target, &details, Repeat::UnlessProcessed)?;
        let answer = self.client.call(&call, BODY_MAX_BYTES, deadline).await?;
        mark_refused(&answer, metrics, &mut entries)?;
        Ok(entries)
    }
}

/// A 200 proves nothing: what it counts as failed is marked, by name where the answer gives the names.
fn mark_refused(answer: &Answer, metrics: &[Metric], entries: &mut [MetricEntry]) -> Result<(), Error> {
    let posted: Posted = answer.json()?;
    let mut unnamed = posted.failed_metrics_count;
    for record in posted.failed_metrics.unwrap_or_default() {
        let open = |index: &usize| entries.get(*index).is_some_and(Result::is_ok);
        let alike: Vec<usize> =
            (0..metrics.len()).filter(open).filter(|index| record.metric_data.is_of(&metrics[*index])).collect();
        // Several datapoints of one stream are told apart by their time.
        let same_time = alike.iter().find(|index| record.metric_data.has_time(metrics[**index].timestamp));
        if let Some(index) = same_time.or(alike.first()) {
            entries[*index] = Err(NotPosted::Refused(ServiceMessage::new(&record.message)));
            unnamed = unnamed.saturating_sub(1);
        }
    }
    if unnamed > 0 {
        for entry in entries.iter_mut().filter(|entry| entry.is_ok()) {
            *entry = Err(NotPosted::Unnamed);
        }
    }
    Ok(())
}

impl Metric {
    fn check(&self) -> MetricEntry {
        if self.value.is_finite() { Ok(()) } else { Err(NotPosted::NotFinite) }
    }

    fn details(&self) -> Details<'_> {
        Details {
            namespace: &self.namespace,
            compartment_id: self.compartment.as_str(),
            resource_group: self.resource_group.as_deref(),
            name: &self.name,
            dimensions: &self.dimensions,
            metadata: self.unit.as_deref().map(|unit| Metadata { unit }),
            datapoints: [Datapoint { timestamp: to_millisecond(self.timestamp), value: self.value, count: 1 }],
        }
    }
}

fn to_millisecond(at: Timestamp) -> Timestamp {
    at.round(Unit::Millisecond).unwrap_or(at)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostDetails<'a> {
    metric_data: Vec<Details<'a>>,
    batch_atomicity: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    namespace: &'a str,
    compartment_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group: Option<&'a str>,
    name: &'a str,
    dimensions: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    datapoints: [Datapoint; 1],
}

#[derive(Serialize)]
struct Metadata<'a> {
    unit: &'a str,
}

#[derive(Serialize)]
struct Datapoint {
    timestamp: Timestamp,
    value: f64,
    count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    failed_metrics_count: u64,
    failed_metrics: Option<Vec<FailedMetric>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedMetric {
    #[serde(default)]
    message: String,
    #[serde(default)]
    metric_data: Echo,
}

/// The refused metric as the answer repeats it; no more is read of it than tells one from another.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Echo {
    namespace: String,
    compartment_id: String,
    resource_group: Option<String>,
    name: String,
    dimensions: Option<BTreeMap<String, String>>,
    datapoints: Option<Vec<EchoedDatapoint>>,
}

#[derive(Deserialize)]
struct EchoedDatapoint {
    timestamp: Option<String>,
}

impl Echo {
    fn is_of(&self, metric: &Metric) -> bool {
        self.namespace == metric.namespace
            && self.compartment_id == metric.compartment.as_str()
            && self.resource_group == metric.resource_group
            && self.name == metric.name
            && self.dimensions.as_ref().is_some_and(|dimensions| *dimensions == metric.dimensions)
    }

    fn has_time(&self, at: Timestamp) -> bool {
        let times = self.datapoints.iter().flatten().filter_map(|point| point.timestamp.as_deref()?.parse().ok());
        times.into_iter().any(|time: Timestamp| to_millisecond(time) == to_millisecond(at))
    }
}
