//! What the ledger promises beyond one good day: late events, lost batches, poison, destinations that come back, proof,
//! health, and what is kept from destinations.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fn_hyper::{Invocation, Reply};
use http::StatusCode;
use jiff::SignedDuration;
use journeys::{
    house::{BUCKET, House, at, house, quiet},
    wire::Moment,
};
use local_oci::{AddedEvent, Fault, receiver::HecFault};

const BUSY: HecFault = HecFault::Busy { code: 9, retry_after_secs: None };

fn late(house: &House, id: &str, processed: &str, listed: &str) {
    let json = format!(r#"{{"eventId":"{id}","eventTime":"2026-01-05T{processed}Z"}}"#);
    let event = AddedEvent { bytes: json.into(), processed: at(processed), visible_from: at(listed) };
    house.cloud.audit().add("us-ashburn-1", &house.root(), event);
}

#[tokio::test(start_paused = true)]
async fn r_19_an_event_that_is_listed_late_is_found_by_the_second_look_or_the_third() {
    let house = house(|plan| {
        plan.keys.insert("look_again_after_minutes".into(), "90".into());
    });
    house.event("us-ashburn-1", &house.root(), "00:01:00", "a-0");
    late(&house, "a-1", "00:01:30", "00:13:00");
    late(&house, "a-2", "00:01:45", "01:10:00");
    house.run_until("00:15:00").await;
    assert_eq!(house.arrived_ids(), ["a-0"]);
    house.run_until("00:30:00").await;
    assert_eq!(house.arrived_ids(), ["a-0", "a-1"]);
    house.run_until("01:45:00").await;
    assert_eq!(house.arrived_ids(), ["a-0", "a-1", "a-2"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_23_a_call_that_cannot_list_all_scopes_in_time_hands_on_the_rest() {
    let house = house(|plan| {
        plan.settings.plan.compartments = 24;
        plan.settings.plan.regions = 1;
        plan.keys.insert("lists_at_once".into(), "1".into());
    });
    let scopes: Vec<String> = (0..24).map(|n| house.compartment(n)).chain([house.root()]).collect();
    for (n, scope) in scopes.iter().enumerate() {
        house.event("us-ashburn-1", scope, "00:02:00", &format!("a-{n:02}"));
    }
    house.cloud.faults().inject(Fault::on("ListEvents").delay(Duration::from_secs(2)));
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    // 25 scopes of 2 s each, and 30 s for a call: each call does what it can and says so.
    let mut calls = 0;
    while house.splunk.count() < 25 {
        for doorbell in house.unheard(&house.audit_topic) {
            let until = tokio::time::Instant::now() + Duration::from_secs(30);
            let reply = fetch_audit_events::handle(&house.fetch, Invocation::direct(doorbell, until)).await;
            assert!(reply.is_success(), "{reply:?}");
            assert!(tokio::time::Instant::now() < until, "the platform would have killed it");
            calls += 1;
        }
        for doorbell in house.unheard(&house.splunk_topic) {
            assert!(house.ship(doorbell).await.is_success());
        }
        house.wait(SignedDuration::from_mins(5)).await;
        assert!(house.ring().await.is_success() && calls < 20);
    }
    let ids: BTreeSet<String> = house.arrived_ids().into_iter().collect();
    assert_eq!((ids.len(), house.splunk.count()), (25, 25));
    assert!(calls > 1);
}

#[tokio::test(start_paused = true)]
async fn r_39_what_the_stream_has_forgotten_is_listed_anew_and_arrives_once() {
    let house = house(|plan| {
        plan.settings.audit.own_reads = true;
        plan.keys.insert("own_reads".into(), "summary".into());
        plan.keys.insert("records_per_fn".into(), "7".into());
    });
    let ids: Vec<String> = (0..20).map(|n| format!("a-{n:02}")).collect();
    for id in &ids {
        house.event("us-ashburn-1", &house.compartment(1), "00:02:00", id);
    }
    // The collector takes one batch and is down for two days then; the stream keeps a day.
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell).await.is_success());
    }
    let posts = AtomicU64::new(0);
    house.splunk.inject_when(BUSY, None, move |_| posts.fetch_add(1, Ordering::Relaxed) >= 1);
    house.settle_anyhow().await;
    let before = house.splunk.count();
    assert!((1..20).contains(&before), "{before}");
    for _ in 0..96 {
        house.wait(SignedDuration::from_mins(30)).await;
        assert!(house.ring().await.is_success());
        house.settle_anyhow().await;
    }
    house.splunk.clear_faults();
    for _ in 0..24 {
        house.wait(SignedDuration::from_mins(5)).await;
        assert!(house.ring().await.is_success());
        house.settle_anyhow().await;
    }
    let arrived: Vec<String> = house.arrived_ids().into_iter().filter(|id| id.starts_with("a-")).collect();
    assert_eq!(arrived, ids);
    house.assert_idle();
    assert!(proofs(&house).iter().all(|line| line["gaps"].is_null()), "{:?}", proofs(&house));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_ends_every_call_is_cut_out_and_dies_alone() {
    let house = house(|plan| {
        plan.keys.insert("max_attempts".into(), "3".into());
        plan.keys.insert("late_after_minutes".into(), "0".into());
    });
    let ids: Vec<String> = (0..8).map(|n| format!("a-{n}")).collect();
    for id in &ids {
        house.event("us-ashburn-1", &house.root(), "00:02:00", id);
    }
    // The collector never answers a body with a-5 in it, and the function is killed there: without a word, each time.
    house.splunk.inject_when(HecFault::Silent { kept: false }, None, |request| {
        let mut plain = Vec::new();
        let mut gzip = flate2::read::MultiGzDecoder::new(&request.body()[..]);
        std::io::Read::read_to_end(&mut gzip, &mut plain).is_ok() && String::from_utf8_lossy(&plain).contains("\"a-5\"")
    });
    let mut runs = 0;
    while house.objects("dead/").is_empty() && runs < 60 {
        runs += 1;
        house.wait(SignedDuration::from_mins(10)).await;
        assert!(house.ring().await.is_success());
        for doorbell in house.unheard(&house.audit_topic) {
            house.fetch(doorbell).await;
        }
        for doorbell in house.unheard(&house.splunk_topic) {
            // The platform's time-out strikes before the function's own patience with the collector.
            let call = house.ship(doorbell);
            tokio::time::timeout(Duration::from_secs(5), call).await.ok();
        }
    }
    for _ in 0..6 {
        house.wait(SignedDuration::from_mins(10)).await;
        assert!(house.ring().await.is_success());
        house.settle().await;
    }
    let expected: Vec<&String> = ids.iter().filter(|id| *id != "a-5").collect();
    let mut arrived = house.arrived_ids();
    arrived.dedup();
    assert_eq!(arrived.iter().collect::<Vec<_>>(), expected);
    let dead = house.objects("dead/");
    assert_eq!(dead.len(), 1, "{dead:?}");
    let reason = house.object(&dead[0])["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("calls ended while they worked on it"), "{reason}");
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn listing_work_that_ends_every_call_is_cut_in_halves_and_goes_on() {
    let house = quiet();
    for n in 0..3 {
        house.event("us-ashburn-1", &house.compartment(n), "00:02:00", &format!("a-{n}"));
    }
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    // Two calls end without a word; the third finds the work too much as it is.
    for _ in 0..2 {
        for doorbell in house.unheard(&house.audit_topic) {
            house.killer.aim(6, Moment::Before);
            tokio::select! { _ = house.fetch(doorbell) => {}, () = house.killer.strike() => {} }
            assert!(house.killer.has_struck(), "the call ends in the middle");
        }
        house.wait(SignedDuration::from_mins(10)).await;
        assert!(house.ring().await.is_success());
    }
    for doorbell in house.unheard(&house.audit_topic) {
        house.fetch(doorbell).await;
    }
    let halves: Vec<String> = ["us-ashburn-1", "us-phoenix-1"]
        .iter()
        .flat_map(|region| [1, 2].map(|half| format!("owed/fetch/20260105T0000Z-20260105T0005Z.1.{region}.0.{half}~0")))
        .collect();
    assert_eq!(house.objects("owed/fetch/"), halves);
    house.run_until("01:00:00").await;
    assert_eq!(house.arrived_ids(), ["a-0", "a-1", "a-2"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_gets_one_probe_a_run_and_everything_once_when_it_is_back() {
    let house = house(|plan| {
        plan.settings.plan.regions = 2;
        plan.settings.plan.events = 0;
    });
    let mut ids = Vec::new();
    for minute in 1..180 {
        let id = format!("a-{minute:03}");
        let time = format!("{:02}:{:02}:30", minute / 60, minute % 60);
        house.event("us-ashburn-1", &house.root(), &time, &id);
        ids.push(id);
    }
    house.splunk.inject(BUSY, None);
    let mut posts = Vec::new();
    while house.cloud.clock().now() < at("03:00:00") {
        house.wait(SignedDuration::from_mins(5)).await;
        let before = house.splunk.traffic().0;
        assert!(house.ring().await.is_success());
        house.settle_anyhow().await;
        posts.push(house.splunk.traffic().0 - before);
    }
    // A refused body is sent three times; the first run knows nothing yet.
    assert!(posts.iter().skip(2).all(|posts| *posts <= 3), "{posts:?}");
    assert!(posts.iter().skip(2).filter(|posts| **posts > 0).count() > 30, "{posts:?}");
    assert_eq!(house.objects("hush/"), ["hush/splunk~0"]);
    house.splunk.clear_faults();
    let mut arrived = Vec::new();
    while house.cloud.clock().now() < at("03:45:00") {
        house.wait(SignedDuration::from_mins(5)).await;
        assert!(house.ring().await.is_success());
        house.settle().await;
        arrived.push(house.splunk.count());
    }
    // One batch, then four more, then sixteen: the rate ramps up.
    assert!(arrived[0] < arrived[1] && arrived[1] - arrived[0] < arrived[2] - arrived[1], "{arrived:?}");
    assert_eq!(house.arrived_ids(), ids);
    assert_eq!(house.objects("hush/"), [""; 0]);
    house.assert_idle();
}

fn proofs(house: &House) -> Vec<serde_json::Value> {
    let bodies = house.objects("proof/").into_iter().map(|name| house.cloud.storage().get(BUCKET, &name).unwrap());
    let lines = bodies.flat_map(|body| {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect::<Vec<_>>()
    });
    lines.collect()
}

#[tokio::test(start_paused = true)]
async fn each_window_that_is_over_leaves_its_line_and_the_lines_tile_time_and_add_up() {
    let house = house(|plan| {
        plan.settings.plan.events = 400;
        plan.settings.plan.lateness.listed_late = 0.2;
        plan.settings.plan.end = at("04:00:00");
        plan.settings.audit.own_reads = true;
        plan.keys.insert("own_reads".into(), "summary".into());
    });
    house.run_until("06:00:00").await;
    let lines = proofs(&house);
    let mut until = serde_json::json!("2026-01-05T00:00:00Z");
    let mut totals = [0; 6];
    for line in &lines {
        assert_eq!(line["from"], until, "the lines tile time");
        until = line["until"].clone();
        assert!(line["gaps"].is_null(), "{line}");
        assert_eq!((&line["scopes"], line["parts"].as_u64() >= Some(4)), (&14.into(), true), "{line}");
        let fate = &line["destinations"]["splunk"];
        let numbers =
            [&line["listed"], &line["summaries"], &line["filtered"], &fate["put"], &fate["seen_before"], &fate["sent"]];
        let [listed, summaries, filtered, put, seen_before, sent] = numbers.map(|number| number.as_u64().unwrap());
        assert_eq!(listed + summaries, filtered + put + seen_before, "{line}");
        assert_eq!(sent + fate["dead"].as_u64().unwrap(), put, "{line}");
        for (total, number) in totals.iter_mut().zip([listed, summaries, filtered, put, seen_before, sent]) {
            *total += number;
        }
    }
    assert!(until.as_str().unwrap() >= "2026-01-05T04:30:00Z", "{until}");
    let [_, summaries, filtered, _, seen_before, sent] = totals;
    let planned = house.cloud.audit().expected(jiff::Timestamp::MAX).filter(|event| !event.is_own_read).count() as u64;
    // Every planned event lies in a window that is proven, and nothing else was sent but summaries.
    assert_eq!(sent - summaries, planned);
    assert!(filtered > 500 && seen_before >= planned && summaries > 50, "{totals:?}");
}

#[tokio::test(start_paused = true)]
async fn what_vanishes_from_the_ledger_is_a_gap_in_its_proof() {
    for (vanishes, expected) in [
        ("seen/20260105T0000Z-20260105T0005Z/splunk", "left no trace"),
        ("seen/20260105T0000Z-20260105T0005Z/fetch/1.us-phoenix-1", "parts left an account"),
    ] {
        let house = quiet();
        house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
        house.run_until("00:05:00").await;
        let name = house.objects(vanishes).pop().unwrap();
        house.cloud.storage().delete(BUCKET, &name);
        house.run_until("03:00:00").await;
        let gaps: Vec<String> =
            proofs(&house).iter().filter(|line| !line["gaps"].is_null()).map(ToString::to_string).collect();
        assert_eq!(gaps.len(), 1, "{vanishes}");
        assert!(gaps[0].contains(expected), "{gaps:?}");
        assert_eq!(house.cloud.metrics().of("gaps", &[]).iter().map(|point| point.value).sum::<f64>(), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn r_43_a_collector_that_is_down_shows_in_the_metrics_and_at_the_gateway_until_it_is_back() {
    let house = house(|plan| {
        plan.keys.insert("lag_objective_minutes".into(), "45".into());
    });
    for minute in 1..40 {
        house.event("us-ashburn-1", &house.root(), &format!("00:{minute:02}:30"), &format!("a-{minute:02}"));
    }
    let tick = [("x-siem-tick", "open sesame")];
    let run = async |until: &str| {
        let mut statuses = BTreeSet::new();
        while house.cloud.clock().now() < at(until) {
            house.wait(SignedDuration::from_mins(5)).await;
            let reply = house.call_gateway(&tick).await;
            assert!(reply.body().is_empty());
            statuses.insert(reply.http_status().unwrap());
            house.settle_anyhow().await;
        }
        statuses
    };
    assert_eq!(run("00:15:00").await, BTreeSet::from([StatusCode::OK]));
    house.splunk.inject(BUSY, None);
    assert_eq!(run("00:50:00").await, BTreeSet::from([StatusCode::OK]), "nobody is woken for a short while");
    assert_eq!(run("01:30:00").await, BTreeSet::from([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]));
    let last =
        |name: &str, dimensions: &[(&str, &str)]| house.cloud.metrics().of(name, dimensions).last().unwrap().value;
    assert!(last("lag", &[]) > 45.0, "{}", last("lag", &[]));
    assert!(last("owed", &[("stage", "ship"), ("destination", "splunk")]) > 3.0);
    assert!(last("oldest", &[("stage", "ship")]) > 45.0);
    assert_eq!((last("owed", &[("stage", "fetch")]), last("run_failed", &[])), (0.0, 0.0));
    house.splunk.clear_faults();
    run("02:15:00").await;
    assert_eq!(run("02:30:00").await, BTreeSet::from([StatusCode::OK]));
    run("05:00:00").await;
    assert!(last("lag", &[]) < 10.0);
    let sum = |name: &str, stage: &str| -> f64 {
        house.cloud.metrics().of(name, &[("stage", stage)]).iter().map(|point| point.value).sum()
    };
    assert_eq!((sum("shipped", "ship"), sum("dead", "ship"), sum("gaps", "all")), (39.0, 0.0, 0.0));
    assert_eq!(sum("fetched", "fetch"), 78.0, "each event was listed by both looks");
}

#[tokio::test(start_paused = true)]
async fn metrics_that_nobody_takes_are_no_failure_of_the_run() {
    let house = quiet();
    house.cloud.faults().inject(Fault::on("PostMetricData").revoked_policy());
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.run_until("00:10:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn r_44_regions_and_compartments_are_listed_once_an_hour() {
    let house = quiet();
    house.run_until("04:00:00").await;
    let listed = house.cloud.counters().of("ListRegionSubscriptions");
    assert!((4..=5).contains(&listed), "{listed} in four hours of 48 runs");
}

#[tokio::test(start_paused = true)]
async fn r_46_our_own_reads_arrive_as_one_counted_summary_a_window_and_region() {
    let house = house(|plan| {
        plan.settings.audit.own_reads = true;
        plan.keys.insert("own_reads".into(), "summary".into());
    });
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    // A read that was refused, and one of somebody else's: both are nobody's noise.
    let own = house.fetch.config.own_reads.as_ref().unwrap().principal().to_owned();
    let read = |id: &str, status: &str, principal: &str| {
        let json = format!(
            r#"{{"eventType":"com.oraclecloud.Audit.ListEvents","source":"Audit","eventId":"{id}","eventTime":"2026-01-05T00:03:00Z","data":{{"eventName":"ListEvents","identity":{{"principalId":"{principal}"}},"response":{{"status":"{status}"}}}}}}"#
        );
        house.event_of("us-ashburn-1", &house.root(), at("00:03:00"), &json)
    };
    read("b-refused", "404", &own);
    read("b-theirs", "200", "ocid1.user.oc1..somebody");
    house.run_until("02:00:00").await;
    let summaries: Vec<serde_json::Value> = house
        .arrived()
        .iter()
        .map(|raw| serde_json::from_slice::<serde_json::Value>(raw).unwrap())
        .filter(|event| event["eventType"] == "siem.pipeline.OwnReads")
        .collect();
    let counted: u64 = summaries.iter().map(|event| event["data"]["count"].as_u64().unwrap()).sum();
    let due = at("01:55:00");
    let reads = house.cloud.audit().expected(due).filter(|event| event.is_own_read).count() as u64;
    let all = house.cloud.audit().expected(jiff::Timestamp::MAX).filter(|event| event.is_own_read).count() as u64;
    assert!((reads..=all).contains(&counted) && reads > 100, "{counted} of {reads} to {all}");
    let ids: Vec<String> =
        house.arrived_ids().into_iter().filter(|id| id.starts_with(['a', 'b']) && id.len() < 12).collect();
    assert_eq!(ids, ["a-1", "b-refused", "b-theirs"]);
    // A summary a window and region and look at most, and no read of ours beside it.
    assert_eq!(house.splunk.count(), summaries.len() + 3);
    assert!(summaries.len() <= 2 * 2 * 24, "{}", summaries.len());
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_52_a_credential_goes_neither_to_a_stream_nor_to_splunk_nor_to_a_dead_letter() {
    let house = house(|plan| {
        plan.keys.insert("redact".into(), "on".into());
        plan.keys.insert("stream_encoding".into(), "plain".into());
        plan.hec.max_event_size = 10_000;
    });
    let event = |id: &str, filler: usize| {
        format!(
            r#"{{"eventId":"{id}","eventTime":"2026-01-05T00:02:00Z","data":{{"request":{{"headers":{{"Authorization":["Signature hush-1"],"opc-principal":["hush-2"],"X":["kept"]}}}},"identity":{{"credentials":"ST$hush-3"}},"n":1.50,"filler":"{}"}}}}"#,
            "y".repeat(filler)
        )
    };
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &event("a-1", 1));
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &event("a-2", 20_000));
    house.run_until("00:10:00").await;
    let arrived = house.arrived();
    let expected = event("a-1", 1)
        .replace("Signature hush-1", "[redacted]")
        .replace("\"hush-2\"", "\"[redacted]\"")
        .replace("ST$hush-3", "[redacted]");
    assert!(arrived.iter().any(|raw| raw[..] == *expected.as_bytes()), "{arrived:?}");
    let dead = house.objects("dead/");
    assert_eq!(dead.len(), 1);
    let letter = house.object(&dead[0]);
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, letter["bytes"].as_str().unwrap()).unwrap();
    let on_streams = house.cloud.streams().messages(&house.event_stream).into_iter().map(|message| message.value);
    for bytes in arrived.into_iter().chain(on_streams).chain([bytes.into()]) {
        assert!(!String::from_utf8_lossy(&bytes).contains("hush"), "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_40_nothing_outlives_a_call() {
    let house = house(|plan| {
        plan.settings.plan.events = 200;
        plan.settings.plan.end = at("00:30:00");
    });
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    house.wait_until("00:30:00").await;
    let before = alive();
    assert!(house.ring().await.is_success());
    assert_eq!(alive(), before, "the planner left a task");
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell).await.is_success());
        assert_eq!(alive(), before, "fetch left a task");
    }
    for doorbell in house.unheard(&house.splunk_topic) {
        assert!(house.ship(doorbell).await.is_success());
        assert_eq!(alive(), before, "ship left a task");
    }
    assert!(house.splunk.count() > 100);
}

#[tokio::test(start_paused = true)]
async fn dates_that_disagree_plan_nothing_and_the_next_run_passes_nothing_over() {
    let house = quiet();
    let planned = || house.object("positions.json")["planned_until"].as_str().unwrap().to_owned();
    let wrong_date = |ahead: SignedDuration| {
        house.cloud.faults().inject(Fault::on("GetObject").containing("positions.json").times(1).wrong_date(ahead));
    };
    house.run_until("00:15:00").await;
    // Too far from the signature that was taken to be believed at all.
    wrong_date(SignedDuration::from_hours(5));
    house.wait(SignedDuration::from_mins(5)).await;
    assert!(house.ring().await.is_success());
    assert_eq!(planned(), "2026-01-05T00:20:00Z");
    house.settle().await;
    house.run_until("00:25:00").await;
    let before = planned();
    wrong_date(SignedDuration::from_mins(3));
    house.wait(SignedDuration::from_secs(100)).await;
    let reply: Reply = house.ring().await;
    assert!(!reply.is_success());
    let text = String::from_utf8_lossy(reply.body()).into_owned();
    assert!(text.contains("differ by"), "{text}");
    assert_eq!(planned(), before);
    house.wait(SignedDuration::from_secs(200)).await;
    assert!(house.ring().await.is_success());
    assert_eq!(planned(), "2026-01-05T00:30:00Z", "nothing is passed over");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_run_costs_three_reads_and_two_writes_of_the_ledger() {
    let house = house(|plan| {
        plan.settings.plan.regions = 4;
        plan.settings.plan.compartments = 95;
        plan.settings.plan.events = 0;
    });
    house.run_until("02:00:00").await;
    let calls = |name: &str| house.cloud.counters().of(name);
    // A token that has run out costs a call that is refused, whatever the call was.
    let reads = || calls("GetObject") + calls("HeadObject") + calls("ListObjects") - calls("NotAuthenticated");
    let writes = || calls("PutObject") + calls("RenameObject") + calls("DeleteObject");
    let mut all = Vec::new();
    for _ in 0..12 {
        house.wait(SignedDuration::from_mins(5)).await;
        let before = (reads(), writes());
        assert!(house.ring().await.is_success());
        // Eight receipts, one a region and look, take a write each.
        all.push((reads() - before.0, writes() - before.1 - 8));
        house.settle().await;
    }
    all.sort_unstable();
    // Once an hour the proof of the hour is read and written, and the scopes are listed and written.
    let (quiet, hourly) = all.split_at(10);
    assert!(quiet.iter().all(|calls| *calls == (3, 2)), "{all:?}");
    assert_eq!(hourly, [(3, 3), (4, 3)], "{all:?}");
}
