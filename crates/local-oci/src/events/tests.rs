use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::functions::{Backend, BackendDied, FnRequest, FnResponse, FunctionBackend, FunctionSpec};
use crate::object_storage::LifecycleRule;
use crate::{Clock, Fault, LocalOci, Settings};

const BUCKET: &str = "log-bucket";

/// Remembers its calls, and answers 502 to the first so many.
#[derive(Clone, Default)]
struct Listener {
    calls: Arc<Mutex<Vec<FnRequest>>>,
    failures: Arc<Mutex<u32>>,
}

impl FunctionBackend for Listener {
    fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
        let listener = self.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            listener.calls.lock().expect("a lock").push(request);
            let mut failures = listener.failures.lock().expect("a lock");
            let status = if *failures > 0 { 502 } else { 200 };
            *failures = failures.saturating_sub(1);
            Ok(FnResponse { status, headers: Vec::new(), body: Bytes::new() })
        })
    }
}

struct Bench {
    cloud: LocalOci,
    listener: Listener,
    function: String,
}

/// A bucket that emits, and a function that no rule calls yet.
fn idle() -> Bench {
    let start: Timestamp = "2026-01-05T21:26:30.849Z".parse().expect("a time");
    let mut settings = Settings::new(Clock::leaping(start));
    settings.check_signatures = false;
    let cloud = LocalOci::new(settings);
    let listener = Listener::default();
    let function = FunctionSpec::new("listener", Backend::InProcess(Arc::new(listener.clone())));
    let function = cloud.functions().create(function).expect("deployed");
    cloud.storage().create_bucket(BUCKET);
    cloud.storage().set_object_events(BUCKET, true);
    Bench { cloud, listener, function }
}

/// The same with a rule for everything.
fn bench() -> Bench {
    let bench = idle();
    bench.rule("all", json!({}));
    bench
}

impl Bench {
    fn rule(&self, name: &str, condition: Value) -> String {
        let spec = RuleSpec::new(name, &condition.to_string()).with(RuleAction::Faas(self.function.clone()));
        self.cloud.events().create_rule(spec).expect("a rule")
    }

    fn put(&self, object: &str) -> String {
        self.cloud.storage().put(BUCKET, object, "x").expect("a bucket")
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Bytes>) -> u16 {
        let uri = format!("http://localhost/n/{}/b/{BUCKET}/{path}", self.cloud.storage().namespace());
        let request = Request::builder().method(method).uri(uri).header("content-length", "1");
        self.cloud.handle(request.body(body.into()).expect("a request")).await.expect("an answer").status().as_u16()
    }

    /// Lets the cloud's time pass until nothing is pending.
    async fn settle(&self) {
        let settled = async {
            while self.cloud.events().pending() + self.cloud.topics().pending() > 0 {
                self.cloud.clock().sleep(SignedDuration::from_secs(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settled).await.expect("settles");
    }

    /// What the function heard: type without its prefix, and object.
    fn heard(&self) -> Vec<(String, String)> {
        let calls = self.listener.calls.lock().expect("a lock");
        let event = |request: &FnRequest| {
            let event: Value = serde_json::from_slice(&request.body).expect("JSON");
            let kind =
                event["eventType"].as_str().expect("a type").trim_start_matches("com.oraclecloud.objectstorage.");
            (kind.to_owned(), event["data"]["resourceName"].as_str().expect("a name").to_owned())
        };
        calls.iter().map(event).collect()
    }

    fn names(&self) -> Vec<String> {
        self.heard().into_iter().map(|(_, name)| name).collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn the_function_gets_the_documented_envelope() {
    let bench = bench();
    let compartment = bench.cloud.tenancy().compartments(bench.cloud.clock().now()).swap_remove(0);
    bench.cloud.storage().move_bucket(BUCKET, &compartment.id);
    let etag = bench.put("audit/a b.log.gz");
    bench.settle().await;
    let emitted = bench.cloud.events().emitted();
    let request = bench.listener.calls.lock().expect("a lock").pop().expect("a call");
    assert_eq!(request.body, emitted[0].body);
    let header = |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((header("Content-Type"), header("Fn-Intent")), (Some("application/json"), None));
    let (namespace, id) = (bench.cloud.storage().namespace(), &emitted[0].id);
    let (compartment, name) = (compartment.id, compartment.name);
    let bucket = named_ocid("bucket", "us-ashburn-1", BUCKET);
    let at = crate::generate::time(emitted[0].at);
    // The sample of the reference, with our values: the order of the fields is part of it.
    let expected = format!(
        r#"{{"eventType":"com.oraclecloud.objectstorage.createobject","cloudEventsVersion":"0.1","eventTypeVersion":"2.0","source":"ObjectStorage","eventTime":"{at}","contentType":"application/json","data":{{"compartmentId":"{compartment}","compartmentName":"{name}","resourceName":"audit/a b.log.gz","resourceId":"/n/{namespace}/b/log-bucket/o/audit/a b.log.gz","availabilityDomain":"IAD-AD-1","additionalDetails":{{"bucketName":"log-bucket","archivalState":"Available","namespace":"{namespace}","bucketId":"{bucket}","eTag":"{etag}"}}}},"eventID":"{id}","extensions":{{"compartmentId":"{compartment}"}}}}"#
    );
    assert_eq!(String::from_utf8_lossy(&request.body), expected);
    assert!(at.starts_with("2026-01-05T21:26:3") && at.len() == "2026-01-05T21:26:30.849Z".len(), "{at}");
    assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
}

#[tokio::test]
async fn create_overwrite_and_delete_are_told_apart_on_the_wire_and_off_it() {
    let bench = bench();
    bench.put("a");
    bench.put("a");
    assert!(bench.cloud.storage().delete(BUCKET, "a"));
    bench.settle().await;
    for (method, status) in [("PUT", 200), ("PUT", 200), ("DELETE", 204), ("DELETE", 404), ("GET", 404)] {
        assert_eq!(bench.call(method, "o/b%2Fc", "1").await, status);
        bench.settle().await;
    }
    assert!(!bench.cloud.storage().delete(BUCKET, "a"));
    let kinds = ["createobject", "updateobject", "deleteobject"];
    let expected: Vec<_> = ["a", "b/c"].iter().flat_map(|name| kinds.map(|kind| (kind, *name))).collect();
    bench.settle().await;
    assert_eq!(bench.heard(), pairs(&expected));
    let etags: Vec<_> = bench.cloud.events().emitted().into_iter().map(|event| event.etag).collect();
    assert_eq!(etags[1], etags[2], "a deletion names the version that went");
    assert_ne!(etags[0], etags[1]);
}

#[tokio::test]
async fn a_rename_emits_what_the_setting_says() {
    for (renames, expected) in [
        (RenameEvents::Silent, vec![]),
        (RenameEvents::NewName, vec![("createobject", "new")]),
        (RenameEvents::BothNames, vec![("deleteobject", "old"), ("createobject", "new")]),
    ] {
        let bench = bench();
        bench.cloud.storage().set_object_events(BUCKET, false);
        bench.put("old");
        bench.cloud.storage().set_object_events(BUCKET, true);
        bench.cloud.events().configure(|settings| settings.renames = renames);
        let body = r#"{"sourceName":"old","newName":"new"}"#;
        assert_eq!(bench.call("POST", "actions/renameObject", body).await, 200);
        bench.settle().await;
        assert_eq!(bench.heard(), pairs(&expected), "{renames:?}");
        if let Some(event) = bench.cloud.events().emitted().last() {
            assert_eq!(Some(&event.etag), bench.cloud.storage().etag(BUCKET, "new").as_ref());
        }
    }
}

#[tokio::test]
async fn what_the_life_cycle_deletes_is_told_only_where_the_setting_says_so() {
    for tells in [false, true] {
        let bench = bench();
        bench.cloud.events().configure(|settings| settings.lifecycle_deletes = tells);
        let rule = LifecycleRule { prefix: "audit/".to_owned(), older_than: SignedDuration::from_hours(72) };
        bench.cloud.storage().set_lifecycle(BUCKET, vec![rule]);
        for name in ["audit/1", "kept/1"] {
            bench.put(name);
        }
        bench.settle().await;
        bench.cloud.clock().sleep(SignedDuration::from_hours(72) + SignedDuration::from_secs(1)).await;
        bench.cloud.storage().tick();
        assert_eq!(bench.cloud.storage().objects(BUCKET), ["kept/1"]);
        bench.settle().await;
        assert_eq!(bench.heard().len(), if tells { 3 } else { 2 });
    }
}

#[tokio::test]
async fn names_are_spelt_as_the_settings_say() {
    let bench = bench();
    bench.cloud.events().configure(|settings| {
        (settings.resource_name, settings.resource_id) = (Spelling::PercentEncoded, Spelling::PercentEncoded);
    });
    bench.put("a b/ü+%2F~.gz");
    bench.settle().await;
    let event: Value = serde_json::from_slice(&bench.cloud.events().emitted()[0].body).expect("JSON");
    assert_eq!(event["data"]["resourceName"], "a%20b%2F%C3%BC%2B%252F~.gz");
    assert!(event["data"]["resourceId"].as_str().is_some_and(|id| id.ends_with("/o/a%20b%2F%C3%BC%2B%252F~.gz")));
}

#[tokio::test]
async fn only_buckets_that_emit_and_rules_that_match_are_heard() {
    let bench = idle();
    let created = "com.oraclecloud.objectstorage.createobject";
    let rule = bench.rule(
        "created",
        json!({ "eventType": [created], "data": { "additionalDetails": { "bucketName": [BUCKET] }, "resourceName": "audit/*" } }),
    );
    bench.cloud.storage().create_bucket("quiet");
    assert!(bench.cloud.storage().put("quiet", "audit/0", "x").is_some());
    bench.cloud.storage().create_bucket_in("abroad", "us-phoenix-1");
    bench.cloud.storage().set_object_events("abroad", true);
    bench.put("audit/1");
    bench.put("audit/1");
    bench.put("other/1");
    bench.settle().await;
    assert_eq!(bench.heard(), pairs(&[("createobject", "audit/1")]));
    let emitted = bench.cloud.events().emitted();
    let matched: Vec<_> = emitted.iter().map(|event| event.rules.len()).collect();
    assert_eq!(matched, [1, 0, 0]);
    bench.cloud.events().set_enabled(&rule, false);
    bench.put("audit/2");
    bench.cloud.events().set_enabled(&rule, true);
    bench.put("audit/3");
    bench.cloud.events().delete_rule(&rule);
    bench.put("audit/4");
    assert!(bench.cloud.storage().put("abroad", "audit/5", "x").is_some());
    bench.settle().await;
    assert_eq!(bench.names(), ["audit/1", "audit/3"]);
}

#[tokio::test]
async fn a_rule_sees_its_compartment_and_those_below() {
    let bench = idle();
    let (tenancy, now) = (bench.cloud.tenancy(), bench.cloud.clock().now());
    let top = tenancy.add_compartment("top", tenancy.id(), now);
    let below = tenancy.add_compartment("below", &top, now);
    let other = tenancy.add_compartment("other", tenancy.id(), now);
    for (name, compartment) in [("top", &top), ("below", &below), ("other", &other)] {
        let spec = RuleSpec::new(name, "{}").with(RuleAction::Faas(bench.function.clone()));
        let spec = RuleSpec { compartment: Some(compartment.clone()), ..spec };
        bench.cloud.events().create_rule(spec).expect("a rule");
    }
    bench.rule("root", json!({}));
    for (compartment, rules) in [(&below, 3), (&top, 2), (&other, 2), (&tenancy.id().to_owned(), 1)] {
        bench.cloud.storage().move_bucket(BUCKET, compartment);
        bench.put("x");
        assert_eq!(bench.cloud.events().emitted().last().map(|event| event.rules.len()), Some(rules));
    }
    bench.settle().await;
}

#[tokio::test]
async fn a_rule_that_the_service_would_refuse_is_refused() {
    let bench = idle();
    let action = || RuleAction::Faas(bench.function.clone());
    let events = bench.cloud.events();
    assert!(matches!(events.create_rule(RuleSpec::new("r", "[]").with(action())), Err(BadRule::Condition(_))));
    assert_eq!(events.create_rule(RuleSpec::new("r", "{}")), Err(BadRule::Actions(0)));
    let many = (0..11).fold(RuleSpec::new("r", "{}"), |spec, _| spec.with(action()));
    assert_eq!(events.create_rule(many), Err(BadRule::Actions(11)));
    let one = events.create_rule(RuleSpec::new("r", "{}").with(action()));
    assert_eq!(one, events.create_rule(RuleSpec::new("r", "{}").with(action())), "the same name is the same rule");
    bench.put("x");
    assert_eq!(events.emitted()[0].rules.len(), 1);
    bench.settle().await;
}

#[tokio::test]
async fn a_function_that_fails_is_called_again_as_the_settings_say() {
    let minutes = |minutes: &[i64]| minutes.iter().copied().map(SignedDuration::from_mins).collect::<Vec<_>>();
    for (repeats, attempts_max, pauses, failures, gaps) in [
        (true, 10, minutes(&[0, 1, 2, 4]), 3, vec![0, 1, 2]),
        (true, 4, minutes(&[1, 5]), 9, vec![1, 5, 5]),
        (true, 1, minutes(&[1]), 9, vec![]),
        (false, 10, minutes(&[1]), 9, vec![]),
    ] {
        let bench = bench();
        bench.cloud.events().configure(|settings| {
            settings.redelivery = Redelivery::OnFunctionError(repeats);
            (settings.attempts_max, settings.pauses) = (attempts_max, pauses);
        });
        *bench.listener.failures.lock().expect("a lock") = failures;
        bench.put("x");
        bench.settle().await;
        let tries = bench.cloud.events().deliveries();
        let found: Vec<_> = tries.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_mins()).collect();
        assert_eq!(found, gaps);
        assert_eq!(bench.names().len(), gaps.len() + 1);
        assert!(tries.iter().all(|delivery| delivery.message == bench.cloud.events().emitted()[0].id));
    }
}

#[tokio::test]
async fn a_function_that_is_not_there_is_tried_until_it_is() {
    let bench = idle();
    let function = named_ocid("fnfunc", REGIONS[0].0, "late");
    let spec = RuleSpec::new("r", "{}").with(RuleAction::Faas(function));
    bench.cloud.events().create_rule(spec).expect("a rule");
    // An error of the platform's is tried again even so.
    bench.cloud.events().configure(|settings| settings.redelivery = Redelivery::OnFunctionError(false));
    bench.put("x");
    bench.cloud.clock().sleep(SignedDuration::from_secs(90)).await;
    let late = FunctionSpec::new("late", Backend::InProcess(Arc::new(bench.listener.clone())));
    bench.cloud.functions().create(late).expect("deployed");
    bench.settle().await;
    assert_eq!(bench.names(), ["x"]);
    let outcomes: Vec<_> = bench.cloud.events().deliveries().iter().map(|delivery| delivery.outcome).collect();
    assert_eq!(outcomes, ["not_found", "not_found", "not_found", "answered"]);
}

#[tokio::test]
async fn a_topic_hands_the_same_text_to_its_functions() {
    let bench = idle();
    let topic = bench.cloud.topics().create("objects");
    bench.cloud.topics().subscribe(&topic, &bench.function);
    let spec = RuleSpec::new("r", "{}").with(RuleAction::Ons(topic.clone())).with(RuleAction::Ons("none".to_owned()));
    bench.cloud.events().create_rule(spec).expect("a rule");
    bench.cloud.events().configure(|settings| settings.attempts_max = 2);
    bench.put("x");
    bench.settle().await;
    let (published, emitted) = (bench.cloud.topics().published(), bench.cloud.events().emitted());
    assert_eq!((&published[0].topic, &published[0].body), (&topic, &emitted[0].body));
    assert_eq!(bench.listener.calls.lock().expect("a lock")[0].body, emitted[0].body);
    let mut outcomes: Vec<_> = bench.cloud.events().deliveries().iter().map(|delivery| delivery.outcome).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["not_found", "not_found", "published"]);
    // The topic's own faults strike on the way from the topic.
    bench.cloud.faults().inject(Fault::on("PublishMessage").times(1).double_delivery());
    bench.put("y");
    bench.settle().await;
    assert_eq!(bench.names(), ["x", "y", "y"]);
}

#[tokio::test]
async fn deliveries_are_lost_doubled_late_and_out_of_order() {
    for (fault, heard) in [
        (Fault::on("EmitEvent").times(1).lose_delivery(), vec!["b"]),
        (Fault::on("EmitEvent").times(1).double_delivery(), vec!["a", "a", "b"]),
        (Fault::on("EmitEvent").containing("/o/a").delay_delivery(Duration::from_secs(600)), vec!["b", "a"]),
        (Fault::on("EmitEvent").times(1).reorder(), vec!["b", "a"]),
        (Fault::on("EmitEvent").containing("updateobject").lose_delivery(), vec!["a", "b"]),
    ] {
        let name = format!("{fault:?}");
        let bench = bench();
        bench.cloud.faults().inject(fault);
        let busy = bench.cloud.clock().busy();
        bench.put("a");
        tokio::time::sleep(Duration::from_millis(50)).await;
        bench.put("b");
        drop(busy);
        bench.settle().await;
        assert_eq!(bench.names(), heard, "{name}");
    }
}
