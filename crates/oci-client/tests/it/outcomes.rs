//! Operations that change something: what is known when an answer is lost.

use std::sync::Arc;

use bytes::Bytes;
use oci_client::{Bucket, Endpoint, Error, Message, Precondition, PutEntry, Rejected, Written};

use crate::double::{Double, Play, answer, in_secs, ocid, refusal};

fn message(value: &'static str) -> Message {
    Message { key: Bytes::from_static(b"batch"), value: Bytes::from_static(value.as_bytes()) }
}

async fn put_two(double: &Arc<Double>) -> Result<Vec<PutEntry>, Error> {
    let endpoint: Endpoint = "https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com".parse().unwrap();
    let client = double.client();
    let stream = ocid("ocid1.stream.oc1.iad.a");
    client.streaming(&endpoint).put_messages(&stream, &[message("1"), message("2")], in_secs(60)).await
}

fn entries(entries: &str) -> Play {
    answer(200, format!(r#"{{"failures":1,"entries":[{entries}]}}"#))
}

const TAKEN: &str = r#"{"partition":"0","offset":1234,"timestamp":"2026-01-05T21:31:40.123Z","error":null}"#;
const REFUSED: &str = r#"{"partition":null,"offset":null,"error":"Throttled","errorMessage":"later"}"#;

#[tokio::test(start_paused = true)]
async fn r_07_a_half_failed_put_says_which_half() {
    let double = Double::new([entries(&format!("{REFUSED},{TAKEN}"))]);
    let rejected = Rejected { error: "Throttled".to_owned(), message: "later".to_owned() };
    let written = Written { partition: "0".to_owned(), offset: 1234 };
    assert_eq!(put_two(&double).await.unwrap(), [Err(rejected), Ok(written)]);
    assert_eq!(double.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_entries_do_not_match_its_messages_is_no_success() {
    for body in [TAKEN.to_owned(), format!("{TAKEN},{TAKEN},{TAKEN}"), String::new(), format!("{TAKEN},{{}}")] {
        let error = put_two(&Double::new([entries(&body)])).await.unwrap_err();
        assert!(matches!(error, Error::Decode { .. }) && error.is_outcome_unknown(), "{body}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_with_an_unknown_outcome_is_not_repeated() {
    let plays: [fn() -> Play; 7] = [
        || Play::NoAnswer,
        || Play::Silence,
        || refusal(500, "InternalServerError"),
        || answer(502, "<html>"),
        || refusal(504, "GatewayTimeout"),
        || entries(TAKEN).cut(),
        || entries(TAKEN).with("content-length", "9999"),
    ];
    for (index, play) in plays.iter().enumerate() {
        let double = Double::new([play()]);
        let error = put_two(&double).await.unwrap_err();
        assert!(error.is_outcome_unknown() && error.is_retryable(), "play {index}: {error:?}");
        assert_eq!(double.sent().len(), 1, "play {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_was_surely_not_processed_is_repeated() {
    let taken = entries(&format!("{TAKEN},{TAKEN}"));
    let double =
        Double::new([Play::NotSent, refusal(429, "TooManyRequests"), refusal(503, "ServiceUnavailable"), taken]);
    assert_eq!(put_two(&double).await.unwrap().len(), 2);
    assert_eq!(double.sent().len(), 4);
}

#[tokio::test]
async fn r_08_r_12_a_put_past_the_limits_is_not_sent_and_an_empty_one_neither() {
    let double = Double::new([]);
    let client = double.client();
    let endpoint: Endpoint = "https://a.example.com".parse().unwrap();
    let stream = ocid("ocid1.stream.oc1.iad.a");
    let put = async |key: usize, value: usize| {
        let message = Message { key: vec![b'k'; key].into(), value: vec![b'v'; value].into() };
        client.streaming(&endpoint).put_messages(&stream, &[message], in_secs(60)).await
    };
    assert!(matches!(put(257, 1).await, Err(Error::Invalid { .. })));
    assert!(matches!(put(1, 1024 * 1024).await, Err(Error::Invalid { .. })));
    assert_eq!(client.streaming(&endpoint).put_messages(&stream, &[], in_secs(60)).await.unwrap(), []);
    assert_eq!(double.sent().len(), 0);
}

fn bucket(double: &Arc<Double>) -> Bucket {
    double.client().bucket("ns", "state")
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_is_told_from_everything_else() {
    let double = Double::new([
        refusal(412, "IfNoneMatchFailed"),
        refusal(412, "IfMatchFailed"),
        refusal(412, "IfMatchFailed"),
        refusal(412, "IfNoneMatchFailed"),
    ]);
    let bucket = bucket(&double);
    let body = Bytes::from_static(b"x");
    let stale = Precondition::IfMatch("stale".to_owned());
    let errors = [
        bucket.put("a", body.clone(), Precondition::IfNoneMatch, in_secs(60)).await.unwrap_err(),
        bucket.put("a", body, stale, in_secs(60)).await.unwrap_err(),
        bucket.delete("a", Some("stale"), in_secs(60)).await.unwrap_err(),
        bucket.rename("a", "b", true, in_secs(60)).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_precondition_failed() && !error.is_outcome_unknown() && !error.is_retryable(), "{error:?}");
    }
    let sent = double.sent();
    assert_eq!(sent[0].header("if-none-match"), "*");
    assert_eq!((sent[1].header("if-match"), sent[2].header("if-match")), ("stale", "stale"));
    assert_eq!(sent[3].request.body(), r#"{"sourceName":"a","newName":"b","newObjIfNoneMatchETag":"*"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_loses_against_its_own_first_attempt_is_not_taken_for_a_lost_race() {
    let create = async |double: &Arc<Double>| {
        let bucket = bucket(double);
        let put = bucket.put("a", Bytes::from_static(b"x"), Precondition::IfNoneMatch, in_secs(60));
        put.await.map(|_| ())
    };
    let rename = async |double: &Arc<Double>| bucket(double).rename("a", "b", true, in_secs(60)).await.map(|_| ());
    for refused in [refusal(412, "IfNoneMatchFailed"), refusal(429, "TooManyRequests").with("retry-after", "99")] {
        let error = create(&Double::new([Play::NoAnswer, refused])).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
        assert!(error.is_outcome_unknown() && !error.is_precondition_failed());
    }
    for refused in [refusal(404, "ObjectNotFound"), refusal(412, "IfNoneMatchFailed")] {
        let error = rename(&Double::new([refusal(500, "InternalServerError"), refused])).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
        assert!(error.is_outcome_unknown() && !error.is_object_not_found() && !error.is_precondition_failed());
    }
    // Without such a first attempt the refusal is what it says.
    let error = rename(&Double::new([Play::NotSent, refusal(404, "ObjectNotFound")])).await.unwrap_err();
    assert!(error.is_object_not_found() && !error.is_outcome_unknown());
}

#[tokio::test(start_paused = true)]
async fn a_delete_whose_answer_was_lost_is_done_when_nothing_is_left() {
    let double = Double::new([Play::NoAnswer, refusal(404, "ObjectNotFound")]);
    bucket(&double).delete("a", None, in_secs(60)).await.unwrap();
    let error = bucket(&Double::new([refusal(404, "ObjectNotFound")])).delete("a", None, in_secs(60)).await;
    assert!(error.unwrap_err().is_object_not_found());
}
