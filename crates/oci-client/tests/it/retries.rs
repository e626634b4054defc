//! What is sent again, when, and when no more.

use bytes::Bytes;
use oci_client::{AccessLevel, Error, Precondition};

use crate::double::{Double, Play, answer, in_secs, ocid, pieces, refusal};

const DATE: &str = "Mon, 05 Jan 2026 21:31:40 GMT";

/// The same.
const NOW: &str = "2026-01-05T21:31:40Z";

fn empty_page() -> Play {
    answer(200, "[]")
}

async fn list_regions(double: &std::sync::Arc<Double>, seconds: u64) -> Result<usize, Error> {
    let tenancy = ocid("ocid1.tenancy.oc1..t");
    let regions = double.client_at(NOW).identity().list_region_subscriptions(&tenancy, in_secs(seconds)).await;
    regions.map(|regions| regions.len())
}

#[tokio::test(start_paused = true)]
async fn r_21_a_429_is_repeated_after_as_long_as_retry_after_says() {
    for (value, earliest_ms) in [("7", 7_000), ("Mon, 05 Jan 2026 21:31:49 GMT", 9_000)] {
        let throttled = refusal(429, "TooManyRequests").with("date", DATE).with("retry-after", value);
        let double = Double::new([throttled, empty_page()]);
        assert_eq!(list_regions(&double, 60).await.unwrap(), 0);
        let second = double.times_ms()[1];
        assert!((earliest_ms..earliest_ms + 300).contains(&second), "after {second} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_past_the_deadline_ends_the_call_at_once_and_is_handed_on() {
    let double = Double::new([refusal(429, "TooManyRequests").with("retry-after", "30")]);
    let error = list_regions(&double, 20).await.unwrap_err();
    assert_eq!((error.status().unwrap().as_u16(), error.retry_after().unwrap().as_secs()), (429, 30));
    assert_eq!(double.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn r_38_a_passing_failure_of_a_read_is_repeated_with_growing_pauses() {
    let truncated = || answer(200, "[").with("content-length", "2");
    let double =
        Double::new([Play::NoAnswer, refusal(503, "ServiceUnavailable"), Play::NotSent, truncated(), empty_page()]);
    assert_eq!(list_regions(&double, 60).await.unwrap(), 0);
    let times = double.times_ms();
    let pauses: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, (low, high)) in pauses.iter().zip([(100, 200), (200, 400), (400, 800), (800, 1600)]) {
        assert!((low..=high).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_read_anew() {
    let double = Double::new([answer(200, "[{\"regionKey\"").cut(), empty_page()]);
    assert_eq!(list_regions(&double, 60).await.unwrap(), 0);
    assert_eq!(double.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_five_attempts_the_last_error_stands() {
    let double = Double::new((0..5).map(|_| refusal(500, "InternalServerError")));
    let error = list_regions(&double, 600).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ListRegionSubscriptions: 500 Internal Server Error InternalServerError (opc-request-id SERVICE/ID)"
    );
    assert_eq!(double.sent().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_refuses_for_good_is_not_repeated() {
    for (status, code) in [
        (400, "InvalidParameter"),
        (403, "NotAuthorized"),
        (404, "NotAuthorizedOrNotFound"),
        (409, "Conflict"),
        (501, "MethodNotImplemented"),
    ] {
        let double = Double::new([refusal(status, code)]);
        let error = list_regions(&double, 60).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(double.sent().len(), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_service_costs_a_read_a_minute_and_a_call_its_deadline() {
    let double = Double::new([Play::Silence, empty_page()]);
    assert_eq!(list_regions(&double, 120).await.unwrap(), 0);
    assert!((60_000..60_300).contains(&double.times_ms()[1]));

    let double = Double::new([Play::Silence]);
    let error = list_regions(&double, 20).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { sent: true, .. }), "{error:?}");
    assert!(error.is_outcome_unknown() && error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_nothing_is_sent() {
    let double = Double::new([]);
    let error = list_regions(&double, 0).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { sent: false, .. }), "{error:?}");
    assert!(!error.is_outcome_unknown());
    assert_eq!(double.sent().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_now_and_then_not_found_is_asked_again() {
    let found = answer(200, "x").with("etag", "e1").with("date", DATE);
    let double = Double::new([refusal(404, "BucketNotFound"), refusal(404, "BucketNotFound"), found]);
    let object = double.client_at(NOW).bucket("ns", "state").get("positions.json", 1024, in_secs(60)).await.unwrap();
    assert_eq!(
        (object.etag.as_str(), &object.body[..], object.date.unwrap().to_string().as_str()),
        ("e1", &b"x"[..], "2026-01-05T21:31:40Z")
    );

    let double = Double::new((0..5).map(|_| refusal(404, "BucketNotFound")));
    let error = double.client().bucket("ns", "state").get("a", 1024, in_secs(60)).await.unwrap_err();
    assert!(error.is_not_found() && !error.is_object_not_found() && error.is_retryable());
    assert_eq!(double.sent().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_is_believed_at_once() {
    let double = Double::new([refusal(404, "ObjectNotFound")]);
    let error = double.client().bucket("ns", "state").get("a", 1024, in_secs(60)).await.unwrap_err();
    assert!(error.is_object_not_found());
    assert_eq!(double.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_past_the_cap_is_not_read_and_not_asked_for_again() {
    let large =
        pieces(200, vec![Bytes::from(vec![0; 600]), Bytes::from(vec![0; 600])]).with("etag", "e").with("date", DATE);
    let double = Double::new([large]);
    let error = double.client().bucket("ns", "logs").get("a", 1024, in_secs(60)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { cap: 1024, .. }), "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(double.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_s_page_is_an_error_without_a_code() {
    for body in ["<html>Bad Gateway</html>", r#"{"code":"a whole sentence"}"#, "", r#"{"code":7}"#] {
        let double = Double::new((0..5).map(|_| answer(502, body)));
        let error = list_regions(&double, 60).await.unwrap_err();
        assert_eq!((error.status().unwrap().as_u16(), error.code()), (502, None));
        let Error::Service { message, .. } = &error else { panic!("{error:?}") };
        assert_eq!(message.as_str(), body);
        assert!(!error.to_string().contains("html"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_a_call_carries_the_call_s_id_and_each_call_its_own() {
    let double = Double::new([refusal(500, "InternalServerError"), empty_page(), empty_page()]);
    let client = double.client();
    for _ in 0..2 {
        client
            .identity()
            .list_compartments(&ocid("ocid1.tenancy.oc1..t"), AccessLevel::Any, in_secs(60))
            .await
            .unwrap();
    }
    let sent = double.sent();
    let ids: Vec<&str> = sent.iter().map(|each| each.header("opc-request-id")).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert_eq!(ids[0].len(), 32);
}

#[tokio::test(start_paused = true)]
async fn r_26_a_throttled_publish_is_left_to_the_caller_and_a_lost_one_rings_again() {
    let topic = ocid("ocid1.onstopic.oc1.phx.a");
    let double = Double::new([refusal(429, "TooManyRequests").with("retry-after", "1")]);
    let error = double.client().notifications().publish_message(&topic, "t", "b", in_secs(60)).await.unwrap_err();
    assert_eq!(error.code(), Some("TooManyRequests"));
    assert_eq!(double.sent().len(), 1);

    let double = Double::new([Play::NoAnswer, refusal(500, "InternalServerError"), answer(202, "{}")]);
    double.client().notifications().publish_message(&topic, "t", "b", in_secs(60)).await.unwrap();
    assert_eq!(double.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unconditional_put_is_repeated_whatever_happened() {
    let double = Double::new([Play::NoAnswer, answer(200, "").with("etag", "\"e2\"")]);
    let put = double
        .client()
        .bucket("ns", "state")
        .put("a", Bytes::from_static(b"x"), Precondition::None, in_secs(60))
        .await
        .unwrap();
    assert_eq!(put.etag, "e2");
    assert_eq!(double.sent()[1].request.body(), "x");
}
