//! Metrics: calls of fifty, and a 200 that is read to its end.

use std::{error::Error as _, sync::Arc};

use oci_client::{Client, Metric, MetricEntry, NotPosted};
use serde_json::{Value, json};

use crate::double::{Double, Play, answer, in_secs, ocid, refusal};

fn metric(name: &str) -> Metric {
    Metric {
        namespace: "siem_pipeline".to_owned(),
        compartment: ocid("ocid1.compartment.oc1..x"),
        resource_group: None,
        name: name.to_owned(),
        dimensions: [("stage".to_owned(), "publish".to_owned())].into(),
        unit: None,
        value: 12.0,
        timestamp: "2026-01-05T21:31:00Z".parse().unwrap(),
    }
}

fn taken() -> Play {
    answer(200, r#"{"failedMetricsCount":0,"failedMetrics":[]}"#)
}

async fn post(double: &Arc<Double>, metrics: &[Metric]) -> Vec<String> {
    let entries = double.client().monitoring().post_metric_data(metrics, in_secs(60)).await;
    entries.iter().map(word).collect()
}

fn word(entry: &MetricEntry) -> String {
    match entry {
        Ok(()) => "posted".to_owned(),
        Err(NotPosted::Refused(message)) => format!("refused: {}", message.as_str()),
        Err(NotPosted::Failed(error)) => format!("failed: {}", error.status().map_or(0, |status| status.as_u16())),
        Err(other) => other.to_string(),
    }
}

#[tokio::test]
async fn metrics_go_to_the_ingestion_host_signed_with_their_digest() {
    let double = Double::new([taken()]);
    let full = Metric {
        resource_group: Some("prod".to_owned()),
        unit: Some("count".to_owned()),
        timestamp: "2026-01-05T21:31:00.1234567Z".parse().unwrap(),
        ..metric("a")
    };
    assert_eq!(post(&double, &[metric("events_forwarded"), full]).await, ["posted", "posted"]);
    let sent = &double.sent()[0];
    assert_eq!(sent.request.method(), "POST");
    assert_eq!(sent.uri(), "https://telemetry-ingestion.us-ashburn-1.oraclecloud.com/20180401/metrics");
    let list = r#"headers="date (request-target) host content-length content-type x-content-sha256""#;
    assert!(sent.header("authorization").contains(list));
    assert_eq!(sent.header("content-length"), sent.request.body().len().to_string());
    assert!(!sent.header("x-content-sha256").is_empty());
    let body: Value = serde_json::from_slice(sent.request.body()).unwrap();
    // The body of the reference's own example, resource group and unit left out.
    let bare = json!({
        "namespace": "siem_pipeline", "compartmentId": "ocid1.compartment.oc1..x", "name": "events_forwarded",
        "dimensions": {"stage": "publish"},
        "datapoints": [{"timestamp": "2026-01-05T21:31:00Z", "value": 12.0, "count": 1}],
    });
    let full = json!({
        "namespace": "siem_pipeline", "compartmentId": "ocid1.compartment.oc1..x", "resourceGroup": "prod", "name": "a",
        "dimensions": {"stage": "publish"}, "metadata": {"unit": "count"},
        "datapoints": [{"timestamp": "2026-01-05T21:31:00.123Z", "value": 12.0, "count": 1}],
    });
    assert_eq!(body, json!({"metricData": [bare, full], "batchAtomicity": "NON_ATOMIC"}));
}

#[tokio::test]
async fn fifty_streams_go_with_a_call_and_none_without_one() {
    for (count, sizes) in [(0, &[][..]), (1, &[1]), (50, &[50]), (51, &[50, 1]), (120, &[50, 50, 20])] {
        let double = Double::new(sizes.iter().map(|_| taken()));
        let metrics: Vec<Metric> = (0..count).map(|index| metric(&format!("m{index}"))).collect();
        assert_eq!(post(&double, &metrics).await.len(), count);
        let sizes_sent: Vec<usize> = double
            .sent()
            .iter()
            .map(|sent| {
                serde_json::from_slice::<Value>(sent.request.body()).unwrap()["metricData"].as_array().unwrap().len()
            })
            .collect();
        assert_eq!(sizes_sent, sizes, "{count}");
    }
}

#[tokio::test]
async fn a_200_that_refuses_some_says_which() {
    let record = |name: &str, minute: &str, message: &str| {
        json!({"message": message, "metricData": {
            "namespace": "siem_pipeline", "compartmentId": "ocid1.compartment.oc1..x", "resourceGroup": null, "name": name,
            "dimensions": {"stage": "publish"}, "metadata": null,
            "datapoints": [{"timestamp": format!("2026-01-05T21:{minute}:00.000Z"), "value": 12.0, "count": 1}],
        }})
    };
    let later = Metric { timestamp: "2026-01-05T21:32:00Z".parse().unwrap(), ..metric("a") };
    let metrics = [metric("a"), later, metric("b")];
    let unnamed = "this metric or another one of its call was refused";
    for (count, failed, expected) in [
        (1, json!([record("b", "31", "no")]), ["posted", "posted", "refused: no"]),
        (1, json!([record("a", "32", "no")]), ["posted", "refused: no", "posted"]),
        (2, json!([record("a", "32", "x"), record("a", "31", "y")]), ["refused: y", "refused: x", "posted"]),
        // Told in another way than asked: the stream is enough.
        (1, json!([record("a", "59", "no")]), ["refused: no", "posted", "posted"]),
        // Counted and not named.
        (1, json!([]), [unnamed; 3]),
        (1, json!(null), [unnamed; 3]),
        (2, json!([record("b", "31", "no"), record("c", "31", "no")]), [unnamed, unnamed, "refused: no"]),
        (1, json!([{"message": "no"}]), [unnamed; 3]),
    ] {
        let body = json!({"failedMetricsCount": count, "failedMetrics": failed}).to_string();
        assert_eq!(post(&Double::new([answer(200, body.clone())]), &metrics).await, expected, "{body}");
    }
}

#[tokio::test]
async fn a_number_that_is_none_is_not_sent_and_spoils_no_other() {
    let double = Double::new([taken()]);
    let metrics = [Metric { value: f64::NAN, ..metric("a") }, metric("b")];
    assert_eq!(post(&double, &metrics).await, ["the value is not a finite number", "posted"]);
    assert!(!String::from_utf8_lossy(double.sent()[0].request.body()).contains("null"));
    let double = Double::new([]);
    assert_eq!(post(&double, &metrics[..1]).await, ["the value is not a finite number"]);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_repeated_only_where_it_was_surely_not_processed() {
    for play in [refusal(429, "TooManyRequests"), refusal(503, "ServiceUnavailable"), Play::NotSent] {
        assert_eq!(post(&Double::new([play, taken()]), &[metric("a")]).await, ["posted"]);
    }
    for (play, word) in [
        (refusal(500, "InternalServerError"), "failed: 500"),
        (Play::NoAnswer, "failed: 0"),
        (refusal(400, "InvalidParameter"), "failed: 400"),
        (refusal(404, "NotAuthorizedOrNotFound"), "failed: 404"),
        (answer(200, "{}"), "failed: 0"),
        (answer(200, "<html>"), "failed: 0"),
    ] {
        assert_eq!(post(&Double::new([play]), &[metric("a")]).await, [word]);
    }
}

#[tokio::test]
async fn a_call_that_fails_ends_the_posting_and_what_went_before_stands() {
    let metrics: Vec<Metric> = (0..120).map(|index| metric(&format!("m{index}"))).collect();
    let double = Double::new([taken(), refusal(404, "NotAuthorizedOrNotFound")]);
    let client: Client = double.client();
    let entries = client.monitoring().post_metric_data(&metrics, in_secs(60)).await;
    assert_eq!(double.sent().len(), 2);
    assert!(entries[..50].iter().all(Result::is_ok));
    assert!(entries[50..].iter().all(|entry| matches!(entry, Err(NotPosted::Failed(_)))));
    let cause = entries[119].as_ref().unwrap_err().source().unwrap().to_string();
    assert!(cause.starts_with("PostMetricData: 404 Not Found NotAuthorizedOrNotFound"), "{cause}");

    // Fifty bad ones are not the next fifty's fault.
    let double = Double::new([taken(), refusal(400, "InvalidParameter"), taken()]);
    let words = post(&double, &metrics).await;
    assert_eq!(
        (&*words[49], &*words[50], &*words[99], &*words[100]),
        ("posted", "failed: 400", "failed: 400", "posted")
    );
}
