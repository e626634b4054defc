use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::{Clock, Fault, LocalOci, Settings};

const NOW: &str = "2026-01-05T12:00:00Z";

fn cloud() -> LocalOci {
    let mut settings = Settings::new(Clock::starting_at(NOW.parse().expect("a time")));
    settings.check_signatures = false;
    LocalOci::new(settings)
}

fn metric(cloud: &LocalOci) -> Value {
    json!({
        "namespace": "siem_pipeline", "compartmentId": cloud.tenancy().id(), "name": "events.delivered-$_1",
        "dimensions": {"stage": "ship", "destination": "splunk"},
        "datapoints": [{"timestamp": NOW, "value": 12.0}],
    })
}

/// The metric with one field changed; null takes it away.
fn with(cloud: &LocalOci, key: &str, value: Value) -> Value {
    let mut metric = metric(cloud);
    let fields = metric.as_object_mut().expect("an object");
    if value.is_null() {
        fields.remove(key);
    } else {
        fields.insert(key.to_owned(), value);
    }
    metric
}

async fn send(cloud: &LocalOci, body: &Value) -> (u16, Value) {
    let request = Request::post("http://localhost/20180401/metrics").body(body.to_string().into()).expect("a request");
    let response = cloud.handle(request).await.expect("an answer");
    (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
}

/// The answer to a good metric and this one: 1 where it is refused alone, or the status of a whole refusal.
async fn verdict(metric: Value) -> u64 {
    let cloud = cloud();
    let good = with(&cloud, "name", json!("good"));
    let (status, answer) = send(&cloud, &json!({"metricData": [good, metric]})).await;
    if status != 200 {
        return u64::from(status);
    }
    let failed = answer["failedMetricsCount"].as_u64().expect("a count");
    assert_eq!(cloud.metrics().of("good", &[]).len(), 1);
    assert_eq!(answer["failedMetrics"].as_array().map(Vec::len), usize::try_from(failed).ok());
    assert!(failed == 0 || answer["failedMetrics"][0]["metricData"] == metric, "{answer}");
    failed
}

#[tokio::test(start_paused = true)]
async fn a_metric_is_kept_with_all_that_it_said_and_copies_too() {
    let cloud = cloud();
    let mut full = with(&cloud, "resourceGroup", json!("prod"));
    full["metadata"] = json!({"unit": "count"});
    full["datapoints"] = json!([
        {"timestamp": "2026-01-05T11:59:00Z", "value": 1, "count": 3},
        {"timestamp": "2026-01-05T13:00:00.5+01:00", "value": -2.5},
    ]);
    let body = json!({"metricData": [full, with(&cloud, "dimensions", json!({"stage": "fetch"}))]});
    let nothing_failed = (200, json!({"failedMetricsCount": 0, "failedMetrics": []}));
    assert_eq!(send(&cloud, &body).await, nothing_failed);
    assert_eq!(send(&cloud, &body).await, nothing_failed);
    let name = "events.delivered-$_1";
    let values = |dimensions: &[(&str, &str)]| -> Vec<f64> {
        cloud.metrics().of(name, dimensions).iter().map(|point| point.value).collect()
    };
    assert_eq!(values(&[("stage", "ship")]), [1.0, -2.5, 1.0, -2.5]);
    assert_eq!(values(&[("stage", "ship"), ("destination", "splunk")]), [1.0, -2.5, 1.0, -2.5]);
    assert_eq!(values(&[("stage", "fetch")]), [12.0, 12.0]);
    assert_eq!(values(&[("stage", "fetch"), ("destination", "splunk")]), [0.0; 0]);
    assert_eq!(cloud.metrics().of("other", &[]), []);
    let first = cloud.metrics().all().swap_remove(0);
    assert_eq!(
        (first.count, first.resource_group.as_deref(), first.region.as_str()),
        (3, Some("prod"), "us-ashburn-1")
    );
    assert_eq!(
        (first.metadata["unit"].as_str(), first.timestamp.to_string().as_str()),
        ("count", "2026-01-05T11:59:00Z")
    );
    assert_eq!(cloud.metrics().all()[1].timestamp.to_string(), "2026-01-05T12:00:00.5Z");
}

#[tokio::test(start_paused = true)]
async fn each_rule_of_a_metric_refuses_it_alone() {
    let tenancy = cloud();
    let with = |key, value| with(&tenancy, key, value);
    let dimensions = |count: usize| -> Value { (0..count).map(|index| (format!("k{index}"), json!("v"))).collect() };
    let dimension = |key: String, value: String| json!({ key: value });
    let at = |time: &str| json!([{"timestamp": time, "value": 1}]);
    for (metric, expected) in [
        (with("namespace", json!("a")), 0),
        (with("namespace", json!("Oci_pipeline1")), 0),
        (with("namespace", json!("oci_pipeline")), 1),
        (with("namespace", json!("oracle_pipeline")), 1),
        (with("namespace", json!("1a")), 1),
        (with("namespace", json!("_a")), 1),
        (with("namespace", json!("a.b")), 1),
        (with("namespace", json!("")), 1),
        (with("name", json!("a b")), 1),
        (with("name", json!("$a")), 1),
        (with("name", json!("é")), 1),
        (with("resourceGroup", json!("a.b_c-d$1")), 0),
        (with("resourceGroup", json!("")), 1),
        (with("resourceGroup", json!("1")), 1),
        (with("dimensions", dimensions(0)), 1),
        (with("dimensions", dimensions(20)), 0),
        (with("dimensions", dimensions(21)), 1),
        (with("dimensions", dimension("k".repeat(256), "é".repeat(512))), 0),
        (with("dimensions", dimension("k".repeat(257), "v".to_owned())), 1),
        (with("dimensions", dimension("k".to_owned(), "v".repeat(513))), 1),
        (with("dimensions", json!({"a b": "v"})), 1),
        (with("dimensions", json!({"é": "v"})), 1),
        (with("dimensions", json!({"": "v"})), 1),
        (with("dimensions", json!({"k": ""})), 1),
        (with("metadata", json!({"unit": "u".repeat(256)})), 0),
        (with("metadata", json!({"unit": "u".repeat(257)})), 1),
        (with("datapoints", json!([])), 1),
        (with("datapoints", json!([{"timestamp": NOW, "value": 1, "count": 0}])), 1),
        (with("datapoints", at("2026-01-05T10:00:01Z")), 0),
        (with("datapoints", at("2026-01-05T10:00:00Z")), 1),
        (with("datapoints", at("2026-01-05T12:09:59Z")), 0),
        (with("datapoints", at("2026-01-05T12:10:00Z")), 1),
        (with("datapoints", at("noon")), 1),
        // Refused as a whole.
        (with("namespace", Value::Null), 400),
        (with("compartmentId", Value::Null), 400),
        (with("dimensions", Value::Null), 400),
        (with("datapoints", json!([{"timestamp": NOW}])), 400),
        (with("datapoints", json!([{"timestamp": NOW, "value": "1"}])), 400),
        (with("compartmentId", json!("ocid1.compartment.oc1..nobody")), 404),
    ] {
        assert_eq!(verdict(metric.clone()).await, expected, "{metric}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_atomic_or_all_bad_is_refused_whole() {
    let cloud = cloud();
    let (good, bad) = (metric(&cloud), with(&cloud, "namespace", json!("oci_a")));
    for (metrics, atomicity, expected) in [
        (json!([good, bad]), json!("ATOMIC"), (400, 0)),
        (json!([good, good]), json!("ATOMIC"), (200, 2)),
        (json!([good, bad]), json!("NON_ATOMIC"), (200, 1)),
        (json!([good, bad]), json!("PARTLY"), (400, 0)),
        (json!([bad, bad]), Value::Null, (400, 0)),
        (json!([]), Value::Null, (400, 0)),
    ] {
        let before = cloud.metrics().all().len();
        let body = json!({"metricData": metrics, "batchAtomicity": atomicity});
        let (status, answer) = send(&cloud, &body).await;
        assert_eq!((status, cloud.metrics().all().len() - before), expected, "{body}: {answer}");
    }
    assert_eq!(send(&cloud, &json!([])).await.1["code"], "CannotParseRequest");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_fifty_streams_and_a_second_fifty_calls() {
    let cloud = cloud();
    let named = |index: usize| with(&cloud, "name", json!(format!("m{index}")));
    let metrics = |count| -> Vec<Value> { (0..count).map(named).collect() };
    assert_eq!(send(&cloud, &json!({"metricData": metrics(51)})).await.1["code"], "InvalidParameter");
    let twice: Vec<Value> = metrics(50).into_iter().chain(metrics(50)).collect();
    assert_eq!(send(&cloud, &json!({"metricData": twice})).await.0, 200);
    let one = json!({"metricData": metrics(1)});
    for _ in 0..48 {
        assert_eq!(send(&cloud, &one).await.0, 200);
    }
    assert_eq!(
        send(&cloud, &one).await,
        (429, json!({"code": "TooManyRequests", "message": "too many calls of this tenancy within a second"}))
    );
    assert_eq!(cloud.metrics().throttled(), 1);
    cloud.clock().sleep(SignedDuration::from_secs(1)).await;
    assert_eq!(send(&cloud, &one).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_fault_fails_single_metrics_inside_a_200() {
    let cloud = cloud();
    cloud.faults().inject(Fault::on("PostMetricData").times(1).fail_entries([1]));
    let body = json!({"metricData": [with(&cloud, "name", json!("a")), with(&cloud, "name", json!("b"))]});
    let (status, answer) = send(&cloud, &body).await;
    assert_eq!((status, &answer["failedMetricsCount"]), (200, &json!(1)));
    assert_eq!(answer["failedMetrics"][0]["metricData"]["name"], "b");
    assert_eq!((cloud.metrics().of("a", &[]).len(), cloud.metrics().of("b", &[]).len()), (1, 0));
    assert_eq!(cloud.faults().counts()[&("PostMetricData".to_owned(), "FailEntries")], 1);
}
