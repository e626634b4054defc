//! Faults of security, configuration and operations (R-34 to R-36, R-45, R-50), and bad input.

use std::collections::BTreeMap;

use fn_hyper::config::Problems;

use crate::house::{at, house, quiet};

#[tokio::test(start_paused = true)]
async fn r_36_a_stranger_at_the_gateway_starts_nothing_and_learns_nothing() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    for headers in [
        &[][..],
        &[("x-siem-tick", "")],
        &[("x-siem-tick", "open sesam")],
        &[("x-siem-tick", "open sesame!")],
        &[("x-siem-tick", "open sesame"), ("x-siem-tick", "open sesame")],
        &[("authorization", "open sesame")],
    ] {
        let reply = house.call_gateway(headers).await;
        assert_eq!(reply.http_status().map(|status| status.as_u16()), Some(401), "{headers:?}");
        assert!(reply.body().is_empty(), "{headers:?}");
    }
    assert_eq!(house.objects(""), [""; 0]);
    assert_eq!(house.cloud.counters().all().values().sum::<u64>(), 0, "{:?}", house.cloud.counters().all());
    let reply = house.call_gateway(&[("x-siem-tick", "open sesame")]).await;
    assert_eq!((reply.http_status().map(|status| status.as_u16()), reply.body().len()), (Some(200), 0));
    house.settle().await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    // Nothing to do is no error either.
    let reply = house.call_gateway(&[("x-siem-tick", "open sesame")]).await;
    assert_eq!(reply.http_status().map(|status| status.as_u16()), Some(200));
}

#[tokio::test(start_paused = true)]
async fn r_36_the_gateway_s_caller_learns_done_or_not_done_and_no_more() {
    let house = quiet();
    let answer = async || {
        let reply = house.call_gateway(&[("x-siem-tick", "open sesame")]).await;
        assert!(reply.body().is_empty(), "{reply:?}");
        reply.http_status().map(|status| status.as_u16())
    };
    // Somebody else plans at this moment: that is no failure, and nothing is planned here.
    let position = |lease: &str| {
        format!(
            r#"{{"v":1,"planned_until":"2026-01-05T00:00:00Z","looked_again_until":"2026-01-05T00:00:00Z"{lease}}}"#
        )
    };
    let lease = r#","lease":{"holder":"another","until":"2026-01-05T00:07:00Z","plans_until":"2026-01-05T00:05:00Z"}"#;
    house.cloud.storage().put(crate::house::BUCKET, "positions.json", position(lease));
    house.wait_until("00:05:00").await;
    assert_eq!(answer().await, Some(200));
    assert_eq!(house.cloud.streams().messages(&house.work_stream).len(), 0, "the other one has the lease");
    // A run that fails is told as such, whatever failed.
    house.cloud.storage().put(crate::house::BUCKET, "positions.json", position(""));
    for fault in [
        local_oci::Fault::on("ListObjects").bucket_not_found(),
        local_oci::Fault::on("ListCompartments").answer(503, "ServiceUnavailable"),
        local_oci::Fault::on("PutMessages").cut_before(),
    ] {
        let name = format!("{fault:?}");
        let fault = house.cloud.faults().inject(fault);
        // A lease that a failed run left lapses.
        house.wait(jiff::SignedDuration::from_mins(5)).await;
        assert_eq!(answer().await, Some(503), "{name}");
        house.cloud.faults().remove(fault);
    }
    house.wait(jiff::SignedDuration::from_mins(5)).await;
    assert_eq!(answer().await, Some(200));
    assert!(!house.cloud.streams().messages(&house.work_stream).is_empty());
}

#[tokio::test(start_paused = true)]
async fn r_36_the_secret_may_lie_in_the_vault_and_be_rotated() {
    let mut secret = String::new();
    let mut house = house(|_| {});
    secret.push_str(&house.cloud.secrets().create("gateway", "first"));
    house.list.config.gateway_secret =
        Some(workbench::SecretCell::new(fn_hyper::config::Secret::Vault(secret.clone())));
    let status = |reply: fn_hyper::Reply| reply.http_status().map(|status| status.as_u16());
    assert_eq!(status(house.call_gateway(&[("x-siem-tick", "first")]).await), Some(200));
    house.cloud.secrets().add_version(&secret, "second", false);
    house.wait_until("00:05:00").await;
    assert_eq!(status(house.call_gateway(&[("x-siem-tick", "second")]).await), Some(200));
    assert_eq!(status(house.call_gateway(&[("x-siem-tick", "first")]).await), Some(401));
    // Strangers cannot make us ask the vault at their own pace.
    let before = house.cloud.counters().of("GetSecretBundle");
    for _ in 0..20 {
        assert_eq!(status(house.call_gateway(&[("x-siem-tick", "guess")]).await), Some(401));
    }
    assert!(house.cloud.counters().of("GetSecretBundle") <= before + 1);
}

#[tokio::test(start_paused = true)]
async fn r_37_runs_side_by_side_plan_once() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    let (one, two, three) = tokio::join!(house.ring(), house.ring(), house.ring());
    for reply in [one, two, three] {
        assert!(reply.is_success(), "busy is no failure: {reply:?}");
    }
    house.settle().await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    assert_eq!(house.cloud.streams().messages(&house.work_stream).len(), 14);
}

#[tokio::test(start_paused = true)]
async fn r_45_each_topic_has_titles_of_its_own() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.run_until("00:05:00").await;
    for message in house.cloud.topics().published() {
        let stage = if message.topic == house.audit_topic { "fetch-audit-events" } else { "ship-to-siem" };
        assert!(message.title.as_deref().unwrap().starts_with(stage), "{message:?}");
        let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(body["v"], 1);
    }
}

/// The problems that the three functions have with a sound configuration changed by `change`.
fn problems(change: &[(&str, &str)]) -> Vec<String> {
    let keys: BTreeMap<&str, &str> = [
        ("oci_config_file", "/nowhere"),
        ("state_namespace", "ns"),
        ("state_bucket", "state"),
        ("stream_ocid", "ocid1.stream.oc1.iad.a"),
        ("streaming_endpoint", "https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com"),
        ("audit_topic", "ocid1.onstopic.oc1.iad.a"),
        ("splunk_topic", "ocid1.onstopic.oc1.iad.b"),
        ("splunk_url", "splunk.example.com"),
        ("splunk_hec_token", "ocid1.vaultsecret.oc1.iad.a"),
    ]
    .into_iter()
    .chain(change.iter().copied())
    .collect();
    let lookup = |key: &str| keys.get(key).map(|value| (*value).to_owned());
    let texts = |problems: Problems| {
        problems.iter().map(|problem| format!("{}: {}", problem.key(), problem.text())).collect::<Vec<_>>()
    };
    let all = [
        list_regions_compartments::read(&lookup).err().map(texts),
        fetch_audit_events::read(&lookup).err().map(texts),
        ship_to_siem::read(&lookup).err().map(texts),
    ];
    // The credentials are those of nowhere, which each function says; what else they say is asked for.
    all.into_iter().flatten().flatten().filter(|text| !text.starts_with("oci_config_file")).collect()
}

#[test]
fn r_34_a_missing_key_is_named_at_the_start() {
    assert_eq!(problems(&[]), [""; 0]);
    for (key, functions) in
        [("splunk_url", 1), ("audit_topic", 1), ("splunk_topic", 2), ("stream_ocid", 2), ("state_bucket", 3)]
    {
        let problems = problems(&[(key, "")]);
        let is_named = |problem: &String| problem.starts_with(&format!("{key}: missing"));
        assert!(problems.len() == functions && problems.iter().all(is_named), "{problems:?}");
    }
}

#[test]
fn r_35_an_endpoint_that_is_an_ocid_is_refused_at_the_start() {
    let problems = problems(&[("streaming_endpoint", "ocid1.stream.oc1.iad.hush")]);
    assert_eq!(problems.len(), 3);
    for problem in problems {
        assert!(problem.contains("https://") && !problem.contains("hush"), "{problem}");
    }
}

#[test]
fn r_50_a_batch_size_that_is_no_number_is_refused_at_the_start() {
    for value in ["-5", "abc", "1.5", "99999999999"] {
        let problems = problems(&[("records_per_fn", value)]);
        assert_eq!(problems.len(), 2, "{value}: {problems:?}");
        for problem in problems {
            assert!(
                problem.starts_with("records_per_fn: expected a whole number") && !problem.contains(value),
                "{problem}"
            );
        }
    }
    // Empty is absent, and 0 means that bytes alone decide.
    for value in ["", "0", "25"] {
        assert_eq!(problems(&[("records_per_fn", value)]), [""; 0], "{value}");
    }
}

#[test]
fn every_problem_is_listed_at_once_and_none_repeats_a_value() {
    let problems = problems(&[
        ("audit_topic", "hush"),
        ("state_bucket", "a/hush"),
        ("start", "05/07/20 hush"),
        ("max_window_minutes", "hush"),
        ("destination", "Hush!"),
        ("splunk_url", "http://hush.example.com"),
        ("stream_encoding", "hush"),
    ]);
    let keys: std::collections::BTreeSet<_> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(keys.len(), 7, "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.contains("hush") && !problem.contains("Hush")), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_doorbell_is_a_failure_that_changes_nothing() {
    let house = quiet();
    for body in ["", "not json", "{}", r#"{"offset":100,"num_records":2}"#, r#"{"v":2,"pointers":[]}"#] {
        for reply in [house.fetch(body).await, house.ship(body).await] {
            assert!(!reply.is_success(), "{body}");
        }
    }
    assert_eq!(house.cloud.counters().all().values().sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_doorbell_for_the_other_function_is_a_failure_and_takes_nothing() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        let before = house.objects("owed/");
        assert!(!house.ship(doorbell.clone()).await.is_success());
        assert_eq!(house.objects("owed/"), before);
        assert!(house.fetch(doorbell).await.is_success());
    }
    house.settle().await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_cannot_be_reached_is_never_taken_for_an_empty_one() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let doorbells = house.unheard(&house.audit_topic);
    let gone = house.cloud.faults().inject(local_oci::Fault::on("RenameObject").bucket_not_found());
    for doorbell in doorbells {
        assert!(!house.fetch(doorbell).await.is_success(), "BucketNotFound is not ObjectNotFound");
    }
    assert_eq!(house.cloud.counters().of("ListEvents"), 0, "nothing may be done before the receipt is taken");
    house.cloud.faults().remove(gone);
    house.run_until("00:15:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_vanished_beside_a_ledger_plans_nothing_and_says_so() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.run_until("00:10:00").await;
    house.cloud.storage().delete(crate::house::BUCKET, "positions.json");
    house.wait_until("00:20:00").await;
    let reply = house.ring().await;
    assert!(!reply.is_success());
    assert!(String::from_utf8_lossy(reply.body()).contains("positions.json is missing"), "{reply:?}");
    assert_eq!(house.assert_delivered_once(at("00:10:00")), 1);
}
