//! Dead letters are sent again once what stood in their way is mended: each arrives, and none twice without a kill.

use std::{collections::BTreeMap, time::Duration};

use fn_hyper::{Invocation, Reply};
use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use ledger::DeadLetter;
use local_oci::{
    Fault,
    receiver::{HecFault, HecReceiver, HecSettings, HecToken},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    dead_letters::assert_summary,
    house::{House, TOKEN, at, deadline, house, ids_at, quiet},
    wire::{Moment, SECOND, SPLUNK},
};

/// A letter of `destination` number `n`, of the day, for `reason`.
async fn bury(house: &House, day: &str, destination: &str, n: usize, reason: &str) -> String {
    let letter = DeadLetter {
        date: day.parse().unwrap(),
        destination: destination.to_owned(),
        key: format!("20260105T0000Z-20260105T0005Z.us-ashburn-1.00ff.{n:04}"),
        owed_to: vec![if destination == "fetch" { "splunk" } else { destination }.to_owned()],
        region: Some("us-ashburn-1".to_owned()),
        reason: reason.to_owned(),
        attempts: 1,
        first_try: at("00:05:00"),
        last_try: at("00:05:00"),
        record: format!(r#"{{"eventId":"{destination}-{n:04}","day":"{day}"}}"#).into(),
    };
    house.ship.config.ledger.bury(&letter, deadline()).await.unwrap().object
}

/// Letters `splunk-0000` … of one day.
async fn buried(count: usize) -> House {
    let house = quiet();
    for n in 0..count {
        bury(&house, "2026-01-05", "splunk", n, "code 6").await;
    }
    house
}

fn ids(destination: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{destination}-{n:04}")).collect()
}

fn summary(reply: &Reply) -> Value {
    let text = std::str::from_utf8(reply.body()).unwrap();
    // A failure says so before.
    serde_json::from_str(text.trim_start_matches(|c| c != '{')).unwrap()
}

/// A redrive that must succeed; what it answers.
async fn redrive(house: &House, fields: Value) -> Value {
    let reply = house.ship(json!({ "redrive": fields }).to_string()).await;
    assert!(reply.is_success(), "{reply:?}");
    summary(&reply)
}

/// Another collector in the place of the first, as it is once it is mended.
fn mended(house: &House) -> HecReceiver {
    house.collector(SPLUNK, HecSettings { keep_raw: true, ..HecSettings::new(HecToken::new(TOKEN)) })
}

/// Three events in three batches, refused for good as no event may have more than 10 bytes.
async fn refused() -> House {
    let house = house(|plan| plan.hec.max_event_size = 10);
    for n in 0..3 {
        house.event("us-ashburn-1", &house.root(), &format!("00:{:02}:00", 2 + 5 * n), &format!("a-{n}"));
    }
    house.run_until("00:20:00").await;
    assert_eq!((house.splunk.count(), house.objects("dead/2026-01-05/splunk/").len()), (0, 3));
    house
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_arrives_once_when_the_collector_is_mended() {
    let house = refused().await;
    let collector = mended(&house);
    let answer = redrive(&house, json!({ "all": true })).await;
    assert_eq!((&answer["status"], &answer["matched"], &answer["delivered"]), (&"done".into(), &3.into(), &3.into()));
    assert_eq!((&answer["left"], &answer["refused"], &answer["next"]), (&0.into(), &0.into(), &Value::Null));
    let reasons: BTreeMap<String, u64> = serde_json::from_value(answer["by_reason"].clone()).unwrap();
    assert!(reasons.len() == 1 && reasons.keys().all(|reason| reason.contains("code 6")), "{reasons:?}");
    assert_eq!(ids_at(&collector), ["a-0", "a-1", "a-2"]);
    // Byte for byte, and from where it was fetched.
    let event = &house.cloud.audit().expected(at("01:00:00")).next().unwrap();
    assert_eq!(Some(collector.received(&event.id)[0].fingerprint), event.fingerprint);
    assert_eq!(collector.received(&event.id)[0].source.as_deref(), Some("oci:audit:us-ashburn-1"));
    house.assert_idle();
    // A second redrive has nothing to do, and the second look knows all three.
    assert_eq!(redrive(&house, json!({ "all": true })).await["matched"], 0);
    house.run_until("01:00:00").await;
    assert_eq!(ids_at(&collector), ["a-0", "a-1", "a-2"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_by_reason_and_changes_nothing() {
    let house = buried(3).await;
    bury(&house, "2026-01-06", "splunk", 3, "not JSON").await;
    bury(&house, "2026-01-06", "fetch", 4, "too large").await;
    bury(&house, "2026-01-06", "second", 5, "another's").await;
    let before = house.objects("");
    let answer = redrive(&house, json!({ "all": true, "dry_run": true })).await;
    assert_eq!((&answer["status"], &answer["dry_run"], &answer["matched"]), (&"done".into(), &true.into(), &4.into()));
    assert_eq!(answer["by_reason"], json!({ "code 6": 3, "not JSON": 1 }));
    let answer = redrive(&house, json!({ "all": true, "dry_run": true, "fetch": true })).await;
    assert_eq!(answer["by_reason"], json!({ "code 6": 3, "not JSON": 1, "too large": 1 }));
    assert_eq!((house.splunk.traffic().0, house.objects("")), (0, before));
}

#[tokio::test(start_paused = true)]
async fn letters_are_chosen_by_day_and_by_reason() {
    let house = quiet();
    for n in 0..6 {
        let day = ["2026-01-05", "2026-01-06"][n % 2];
        bury(&house, day, "splunk", n, ["400, code 6 (invalid data format)", "not JSON at line 1"][n / 3]).await;
    }
    let answer = redrive(&house, json!({ "date": "2026-01-06", "reason": "code 6" })).await;
    assert_eq!((&answer["matched"], &answer["delivered"]), (&1.into(), &1.into()));
    assert_eq!(house.arrived_ids(), ids("splunk", [1]));
    redrive(&house, json!({ "date": "2026-01-06" })).await;
    assert_eq!(house.arrived_ids(), ids("splunk", [1, 3, 5]));
    redrive(&house, json!({ "reason": "not JSON" })).await;
    assert_eq!(house.arrived_ids(), ids("splunk", [1, 3, 4, 5]));
    assert_eq!(house.objects("dead/").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    for (rate, seconds) in [(10, 24), (100, 2), (7, 35)] {
        let house = buried(250).await;
        let began = Instant::now();
        let answer = redrive(&house, json!({ "all": true, "rate": rate })).await;
        assert_eq!(answer["delivered"], 250);
        // What follows the last batch is not waited for.
        let took = began.elapsed();
        assert!((seconds..=seconds + 1).contains(&took.as_secs()), "{rate} a second: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redrive_ends_before_its_deadline_and_another_goes_on_behind_it() {
    let house = buried(250).await;
    let mut order = json!({ "all": true, "rate": 1 });
    let mut calls = 0;
    loop {
        let body = json!({ "redrive": order }).to_string();
        let call = Invocation::direct(body, Instant::now() + Duration::from_secs(120));
        let began = Instant::now();
        let reply = ship_to_siem::handle(&house.ship, call).await;
        assert!(reply.is_success() && began.elapsed() < Duration::from_secs(120));
        let answer = summary(&reply);
        let done = answer["status"] == "done";
        assert_eq!(answer["left"], house.objects("dead/").len(), "{answer}");
        assert_eq!(done, answer["next"].is_null());
        assert!(done || answer["status"] == "more");
        calls += 1;
        if done {
            break;
        }
        order["from"] = answer["next"].clone();
    }
    assert_eq!((calls, house.arrived_ids()), (3, ids("splunk", 0..250)));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_refused_again_stays_under_its_name_and_does_not_nest() {
    let house = refused().await;
    let before: Vec<(String, Value)> =
        house.objects("dead/").into_iter().map(|name| (name.clone(), house.object(&name))).collect();
    let first_try = before[0].1["first_try"].clone();
    for attempts in [2, 3] {
        house.wait(SignedDuration::from_hours(30)).await;
        let answer = redrive(&house, json!({ "all": true })).await;
        assert_eq!(
            (&answer["status"], &answer["refused"], &answer["delivered"]),
            (&"done".into(), &3.into(), &0.into())
        );
        assert_eq!(house.objects("dead/"), before.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        for (name, letter) in &before {
            let now = house.object(name);
            assert_eq!(
                (&now["attempts"], &now["bytes"], &now["sha256"]),
                (&attempts.into(), &letter["bytes"], &letter["sha256"])
            );
        }
        let letter = house.object(&before[0].0);
        let last_try: Timestamp = letter["last_try"].as_str().unwrap().parse().unwrap();
        assert!(house.cloud.clock().now().duration_since(last_try) < SignedDuration::from_secs(5));
        assert_eq!(letter["first_try"], first_try);
    }
    let collector = mended(&house);
    redrive(&house, json!({ "all": true })).await;
    assert_eq!(ids_at(&collector), ["a-0", "a-1", "a-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_still_too_large_stays_and_goes_whole_when_the_limit_is_raised() {
    let house = house(|plan| plan.hec.max_content_length = 100_000);
    let large = format!(r#"{{"eventId":"large","x":"{}"}}"#, "y".repeat(200_000));
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &large);
    house.run_until("00:05:00").await;
    let dead = house.objects("dead/");
    assert_summary(&house.arrived()[0], &large, &dead[0]);
    let answer = redrive(&house, json!({ "all": true })).await;
    assert_eq!((&answer["too_large"], &answer["refused"], &answer["delivered"]), (&1.into(), &0.into(), &0.into()));
    // Its summary is there already and is not sent again.
    assert_eq!((house.splunk.count(), house.objects("dead/")), (1, dead));
    let collector = mended(&house);
    assert_eq!(redrive(&house, json!({ "all": true })).await["delivered"], 1);
    assert_eq!(collector.raw(0).unwrap(), large.as_bytes());
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn the_letters_of_fetch_go_to_each_destination_that_asks_for_them() {
    let mut house = house(|plan| {
        plan.keys.insert("destination".into(), "splunk,second".into());
        plan.keys.insert("stream_encoding".into(), "plain".into());
    });
    let second = house.collector(SECOND, HecSettings::new(HecToken::new(TOKEN)));
    house.more_ships.push(house.ship_with(&[("destination", "second"), ("splunk_url", SECOND)]));
    let large = format!(r#"{{"eventId":"large","x":"{}"}}"#, "y".repeat(1_200_000));
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &large);
    house.run_until("00:05:00").await;
    assert_eq!((ids_at(&house.splunk).len(), ids_at(&second).len()), (1, 1), "each has the summary");
    assert_eq!(redrive(&house, json!({ "all": true })).await["matched"], 0, "only on request");
    let order = json!({ "redrive": { "all": true, "fetch": true } }).to_string();
    for _ in 0..2 {
        assert!(house.ship(order.clone()).await.is_success());
        assert_eq!(house.splunk.count(), 2, "once is enough");
        assert_eq!(house.objects("dead/2026-01-05/fetch/").len(), 1, "the second has not got it");
    }
    assert_eq!(house.arrived()[1], large.as_bytes());
    let reply = ship_to_siem::handle(&house.more_ships[0], Invocation::direct(order, deadline())).await;
    assert!(reply.is_success());
    assert_eq!(second.count(), 2);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_leaves_the_letters_untouched() {
    for fault in [
        HecFault::Busy { code: 9, retry_after_secs: None },
        HecFault::BalancerPage { status: 503 },
        HecFault::CutBefore,
        HecFault::Silent { kept: false },
    ] {
        let house = buried(3).await;
        let letters =
            |house: &House| -> Vec<Value> { house.objects("dead/").iter().map(|name| house.object(name)).collect() };
        let before = letters(&house);
        house.splunk.inject(fault.clone(), None);
        let reply = house.ship(r#"{"redrive":{"all":true}}"#).await;
        assert!(!reply.is_success(), "{fault:?}");
        let answer = summary(&reply);
        assert_eq!(
            (&answer["status"], &answer["delivered"], &answer["left"]),
            (&"failed".into(), &0.into(), &3.into())
        );
        assert_eq!(letters(&house), before, "{fault:?}");
        house.splunk.clear_faults();
        redrive(&house, json!({ "all": true })).await;
        assert_eq!(house.arrived_ids(), ids("splunk", 0..3));
        house.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_read_holds_up_no_other() {
    let house = buried(3).await;
    let broken = house.objects("dead/")[1].clone();
    house.cloud.storage().put(crate::house::BUCKET, &broken, "hush").unwrap();
    let answer = redrive(&house, json!({ "all": true })).await;
    assert_eq!((&answer["unreadable"], &answer["delivered"]), (&1.into(), &2.into()));
    assert_eq!((house.arrived_ids(), house.objects("dead/")), (ids("splunk", [0, 2]), vec![broken]));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_resolved_costs_a_copy_and_is_told() {
    let house = buried(3).await;
    let stuck = house.cloud.faults().inject(Fault::on("DeleteObject").containing(".0001").answer(500, "Full"));
    let reply = house.ship(r#"{"redrive":{"all":true}}"#).await;
    assert!(!reply.is_success());
    assert_eq!(house.objects("dead/").len(), 1);
    house.cloud.faults().remove(stuck);
    redrive(&house, json!({ "all": true })).await;
    assert_eq!(house.arrived_ids(), ids("splunk", [0, 1, 1, 2]));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_wire_call_of_a_redrive_loses_nothing() {
    let mut kills = 0;
    for call in 1.. {
        let mut struck = false;
        for moment in [Moment::Before, Moment::After] {
            let house = buried(3).await;
            house.killer.aim(call, moment);
            let sent = tokio::select! {
                _ = house.ship(r#"{"redrive":{"all":true}}"#) => 0,
                () = house.killer.strike() => house.splunk.count(),
            };
            struck |= house.killer.has_struck();
            let resolved = 3 - house.objects("dead/").len();
            assert!(resolved <= house.splunk.count(), "a letter went before its record arrived: {moment:?} {call}");
            redrive(&house, json!({ "all": true })).await;
            let mut arrived = house.arrived_ids();
            let copies = arrived.len() - 3;
            arrived.dedup();
            assert_eq!(arrived, ids("splunk", 0..3), "killed {moment:?} wire call {call}");
            assert!(copies == 0 || copies == sent - resolved, "{copies} copies: {moment:?} {call}");
            house.assert_idle();
        }
        if !struck {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 8, "only {kills} wire calls were met");
}

#[tokio::test(start_paused = true)]
async fn two_redrives_at_once_cost_copies_and_lose_nothing() {
    let house = buried(150).await;
    let order = r#"{"redrive":{"all":true}}"#;
    let (one, other) = join(house.ship(order), house.ship(order)).await;
    assert!(one.is_success() && other.is_success(), "{one:?} {other:?}");
    let mut arrived = house.arrived_ids();
    arrived.dedup();
    assert_eq!(arrived, ids("splunk", 0..150));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_wrong_order_changes_nothing_and_a_doorbell_works_as_ever() {
    let house = quiet();
    house.run_until("00:05:00").await;
    for n in 0..2 {
        bury(&house, "2026-01-05", "splunk", n, "code 6").await;
    }
    let before = house.objects("");
    for body in [
        r#"{"redrive":{}}"#,
        r#"{"redrive":{"all":true,"rate":"hush"}}"#,
        r#"{"redrive":{"date":"hush"}}"#,
        r#"{"redrive":{"all":true},"v":1,"pointers":[]}"#,
        r#"{"redrive":null}"#,
        r#"{"redrives":{"all":true}}"#,
    ] {
        let reply = house.ship(body).await;
        let text = std::str::from_utf8(reply.body()).unwrap();
        assert!(!reply.is_success() && text.contains("not understood") && !text.contains("hush"), "{body}: {text}");
        if body.contains("hush") {
            assert!(text.contains("redrive.rate") || text.contains("redrive.date"), "{body}: {text}");
        }
    }
    assert_eq!((house.objects(""), house.splunk.traffic().0), (before, 0));
    house.event("us-ashburn-1", &house.root(), "00:07:00", "a-1");
    house.run_until("00:10:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_still_refuses_all_is_left_alone_and_another_call_goes_on_behind() {
    let mut house = buried(50).await;
    let strict = HecSettings { max_event_size: 10, ..HecSettings::new(HecToken::new(TOKEN)) };
    house.splunk = house.collector(SPLUNK, strict);
    let reply = house.ship(r#"{"redrive":{"all":true}}"#).await;
    assert!(!reply.is_success());
    let answer = summary(&reply);
    assert_eq!((&answer["status"], &answer["refused"], &answer["left"]), (&"failed".into(), &20.into(), &30.into()));
    let attempts = |house: &House, from: usize| -> Vec<Value> {
        house.objects("dead/")[from..].iter().map(|name| house.object(name)["attempts"].clone()).collect()
    };
    assert_eq!((attempts(&house, 20), house.objects("dead/").len()), (vec![json!(1); 30], 50));
    house.splunk = mended(&house);
    redrive(&house, json!({ "all": true, "from": answer["next"] })).await;
    assert_eq!((house.arrived_ids(), attempts(&house, 0)), (ids("splunk", 20..50), vec![json!(2); 20]));
}

#[tokio::test(start_paused = true)]
async fn more_letters_than_a_listing_tells_at_once_all_go() {
    let house = buried(1_030).await;
    for n in 0..40 {
        bury(&house, "2026-01-05", "second", n, "another's").await;
    }
    let answer = redrive(&house, json!({ "all": true })).await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&"done".into(), &1_030.into()));
    assert_eq!(house.arrived_ids(), ids("splunk", 0..1_030));
    assert_eq!(house.objects("dead/").len(), 40);
}
