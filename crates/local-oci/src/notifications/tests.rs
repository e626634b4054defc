use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::functions::{Backend, BackendDied, FnRequest, FnResponse, FunctionBackend, FunctionSpec};
use crate::{Clock, Fault, LocalOci, Settings};

/// Remembers the bodies, and answers 502 to the first so many calls.
#[derive(Default)]
struct Listener {
    bodies: Arc<Mutex<Vec<Bytes>>>,
    failures: Arc<Mutex<u32>>,
}

impl FunctionBackend for Listener {
    fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
        let (bodies, failures) = (Arc::clone(&self.bodies), Arc::clone(&self.failures));
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            bodies.lock().expect("a lock").push(request.body);
            let mut failures = failures.lock().expect("a lock");
            let status = if *failures > 0 { 502 } else { 200 };
            *failures = failures.saturating_sub(1);
            Ok(FnResponse { status, headers: Vec::new(), body: Bytes::new() })
        })
    }
}

struct Bench {
    cloud: LocalOci,
    topic: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    failures: Arc<Mutex<u32>>,
}

fn bench() -> Bench {
    let start: Timestamp = "2026-01-05T00:00:00Z".parse().expect("a time");
    let mut settings = Settings::new(Clock::leaping(start));
    settings.check_signatures = false;
    let cloud = LocalOci::new(settings);
    let listener = Listener::default();
    let (bodies, failures) = (Arc::clone(&listener.bodies), Arc::clone(&listener.failures));
    let function = FunctionSpec::new("listener", Backend::InProcess(Arc::new(listener)));
    let function = cloud.functions().create(function).expect("deployed");
    let topic = cloud.topics().create("doorbell");
    cloud.topics().subscribe(&topic, &function);
    Bench { cloud, topic, bodies, failures }
}

impl Bench {
    async fn send(&self, body: impl Into<Bytes>) -> (u16, Value) {
        let uri = format!("http://localhost/20181201/topics/{}/messages", self.topic);
        let response =
            self.cloud.handle(Request::post(uri).body(body.into()).expect("a request")).await.expect("an answer");
        (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
    }

    async fn publish(&self, body: &str) -> u16 {
        self.send(json!({ "title": "a title", "body": body }).to_string()).await.0
    }

    /// Lets the cloud's time pass until nothing is pending.
    async fn settle(&self) {
        let settled = async {
            while self.cloud.topics().pending() > 0 {
                self.cloud.clock().sleep(SignedDuration::from_secs(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settled).await.expect("settles");
    }

    fn heard(&self) -> Vec<String> {
        let bodies = self.bodies.lock().expect("a lock");
        bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
    }

    /// Whole minutes between the tries.
    fn pauses(&self) -> Vec<i64> {
        let at: Vec<_> = self.cloud.topics().deliveries().iter().map(|delivery| delivery.at).collect();
        at.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_mins()).collect()
    }
}

#[tokio::test]
async fn the_function_gets_the_body_verbatim_and_nothing_else() {
    let bench = bench();
    let body = r#"{"v":1, "é":"\u0000"}"#;
    let (status, answer) = bench.send(json!({ "title": "t", "body": body }).to_string()).await;
    assert_eq!(status, 202);
    assert!(answer["messageId"].as_str().is_some_and(|id| id.len() == 36), "{answer}");
    assert!(answer["timeStamp"].as_str().is_some_and(|time| time.starts_with("2026-01-05T00:00:0")), "{answer}");
    bench.settle().await;
    assert_eq!(bench.heard(), [body]);
    let published = bench.cloud.topics().published();
    assert_eq!((published[0].title.as_deref(), &published[0].body[..]), (Some("t"), body.as_bytes()));
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let bench = bench();
    let long = json!({ "body": "x".repeat(65_536) }).to_string();
    let fits = json!({ "body": "x".repeat(65_536 - r#"{"body":""}"#.len()) }).to_string();
    for (body, status, code) in [
        ("no JSON".to_owned(), 400, Some("CannotParseRequest")),
        (r#"{"body":7}"#.to_owned(), 400, Some("CannotParseRequest")),
        (r#"{"title":"t"}"#.to_owned(), 400, Some("MissingParameter")),
        (r#"{"body":""}"#.to_owned(), 400, Some("MissingParameter")),
        (long, 413, Some("RequestEntityTooLarge")),
        (fits, 202, None),
    ] {
        let (was, answer) = bench.send(body).await;
        assert_eq!((was, answer["code"].as_str()), (status, code));
    }
    bench.settle().await;
    assert_eq!(bench.heard().len(), 1);
}

#[tokio::test]
async fn a_topic_takes_sixty_messages_a_minute() {
    let bench = bench();
    let mut statuses = Vec::new();
    for _ in 0..62 {
        statuses.push(bench.publish("x").await);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 60);
    assert_eq!((statuses[60], bench.cloud.topics().throttled()), (429, 2));
    bench.cloud.clock().sleep(SignedDuration::from_secs(61)).await;
    assert_eq!(bench.publish("x").await, 202);
    bench.settle().await;
    assert_eq!(bench.heard().len(), 61);
}

#[tokio::test]
async fn a_function_that_fails_is_called_again_only_where_the_switch_says_so() {
    for (repeats, heard) in [(false, 1), (true, 4)] {
        let bench = bench();
        bench.cloud.topics().configure(|settings| settings.redelivery = Redelivery::OnFunctionError(repeats));
        *bench.failures.lock().expect("a lock") = 3;
        bench.publish("x").await;
        bench.settle().await;
        assert_eq!(bench.heard().len(), heard);
        assert_eq!(bench.pauses(), [0, 1, 2][..heard - 1]);
        let outcomes: Vec<_> = bench.cloud.topics().deliveries().iter().map(|delivery| delivery.outcome).collect();
        assert_eq!(outcomes, ["failed", "failed", "failed", "answered"][..heard]);
    }
}

#[tokio::test]
async fn a_function_that_cannot_be_reached_is_tried_for_two_hours() {
    let bench = bench();
    bench.cloud.topics().subscribe(&bench.topic, "ocid1.fnfunc.oc1.iad.none");
    bench.publish("x").await;
    bench.settle().await;
    assert_eq!(bench.heard().len(), 1, "the other subscription is not affected");
    let tries = bench.cloud.topics().deliveries();
    let missed: Vec<_> = tries.iter().filter(|delivery| delivery.outcome == "not_found").map(|it| it.at).collect();
    let pauses: Vec<_> = missed.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_mins()).collect();
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 32]);
}

#[tokio::test]
async fn deliveries_are_lost_doubled_late_and_out_of_order() {
    for (fault, heard) in [
        (Fault::on("PublishMessage").times(1).lose_delivery(), vec!["b"]),
        (Fault::on("PublishMessage").times(1).double_delivery(), vec!["a", "a", "b"]),
        (Fault::on("PublishMessage").times(1).delay_delivery(Duration::from_secs(600)), vec!["b", "a"]),
        (Fault::on("PublishMessage").times(1).reorder(), vec!["b", "a"]),
    ] {
        let name = format!("{fault:?}");
        let bench = bench();
        bench.cloud.faults().inject(fault);
        let busy = bench.cloud.clock().busy();
        assert_eq!(bench.publish("a").await, 202, "the publisher sees nothing of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(bench.publish("b").await, 202);
        drop(busy);
        bench.settle().await;
        assert_eq!(bench.heard(), heard, "{name}");
    }
}

#[tokio::test]
async fn a_topic_can_be_looked_at_and_others_are_unknown() {
    let bench = bench();
    for (id, status) in [(bench.topic.clone(), 200), ("ocid1.onstopic.oc1.iad.none".to_owned(), 404)] {
        let request =
            Request::get(format!("http://localhost/20181201/topics/{id}")).body(Bytes::new()).expect("a request");
        assert_eq!(bench.cloud.handle(request).await.expect("an answer").status(), status);
    }
}
