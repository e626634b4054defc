//! Faults of failing and repeating (R-21 to R-27, R-48).

use std::time::Duration;

use jiff::SignedDuration;
use local_oci::{Fault, receiver::HecFault};

use crate::house::{House, house, quiet};

#[tokio::test(start_paused = true)]
async fn r_21_throttling_is_waited_out_as_the_service_asks() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    let throttle = house.cloud.faults().inject(Fault::on("ListEvents").times(5).throttle(Some(7)));
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let before = house.cloud.clock().now();
    house.settle().await;
    assert_eq!(house.cloud.faults().fired(throttle), 5);
    assert!(
        house.cloud.clock().now().duration_since(before) >= SignedDuration::from_secs(7),
        "Retry-After was not heeded"
    );
    assert_eq!(house.arrived_ids(), ["a-1"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_22_one_scope_that_fails_does_not_hold_up_the_others() {
    let house = quiet();
    let mut expected = Vec::new();
    for n in 0..6 {
        house.event("us-ashburn-1", &house.compartment(n), "00:02:00", &format!("a-{n}"));
        expected.push(format!("a-{n}"));
    }
    let bad = house.compartment(4);
    let fault =
        house.cloud.faults().inject(Fault::on("ListEvents").containing(&bad).answer(404, "NotAuthorizedOrNotFound"));
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let replies = house.settle_anyhow().await;
    assert!(replies.iter().any(|reply| !reply.is_success()), "nobody was told");
    assert_eq!(house.arrived_ids(), ["a-0", "a-1", "a-2", "a-3", "a-5"]);
    // What is owed is the failed scope alone, in both regions.
    let owed = house.objects("owed/fetch/");
    assert_eq!(owed.len(), 2, "{owed:?}");
    for name in owed {
        let receipt = house.object(&name);
        assert_eq!(receipt["units"].as_array().unwrap().len(), 1, "{receipt}");
        assert_eq!(receipt["units"][0]["compartment"], bad.as_str());
    }
    house.cloud.faults().remove(fault);
    house.run_until("00:20:00").await;
    assert_eq!(house.arrived_ids(), expected);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_24_a_batch_that_cannot_be_put_leaves_its_scopes_owed_and_doubles_none() {
    let house = house(|plan| {
        plan.keys.insert("records_per_fn".into(), "10".into());
    });
    for n in 0..100 {
        house.event("us-ashburn-1", &house.compartment(n % 6), "00:02:00", &format!("a-{n:02}"));
    }
    let stream = house.event_stream.clone();
    let down = house
        .cloud
        .faults()
        .inject(Fault::on("PutMessages").containing(&stream).skip(7).times(6).answer(503, "ServiceUnavailable"));
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let replies = house.settle_anyhow().await;
    assert!(house.cloud.faults().fired(down) >= 5);
    assert!(replies.iter().any(|reply| !reply.is_success()));
    house.run_until("00:20:00").await;
    assert_eq!(house.arrived_ids(), (0..100).map(|n| format!("a-{n:02}")).collect::<Vec<_>>());
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_25_a_doorbell_that_comes_twice_is_answered_once() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell.clone()).await.is_success());
        assert!(house.fetch(doorbell).await.is_success());
    }
    for doorbell in house.unheard(&house.splunk_topic) {
        assert!(house.ship(doorbell.clone()).await.is_success());
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ["a-1"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_26_doorbells_that_the_topic_refuses_are_rung_again_by_the_sweep() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.cloud.faults().inject(Fault::on("PublishMessage").times(3).throttle(None));
    house.wait_until("00:05:00").await;
    let reply = house.ring().await;
    assert!(reply.is_success(), "a 429 on publish is normal: {reply:?}");
    house.settle().await;
    assert_eq!(house.objects("owed/fetch/").len(), 2);
    house.run_until("00:15:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    house.assert_idle();
}

/// One batch is owed to the collector, and the call that ships it meets `fault`.
async fn shipped_into(fault: HecFault) -> (House, bool) {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell).await.is_success());
    }
    house.splunk.inject(fault, None);
    let mut success = true;
    for doorbell in house.unheard(&house.splunk_topic) {
        success &= house.ship(doorbell).await.is_success();
    }
    (house, success)
}

#[tokio::test(start_paused = true)]
async fn r_27_a_collector_that_does_not_take_events_is_never_a_success() {
    for fault in [
        HecFault::Busy { code: 9, retry_after_secs: Some(1) },
        HecFault::Busy { code: 26, retry_after_secs: None },
        HecFault::Busy { code: 8, retry_after_secs: None },
        HecFault::BalancerPage { status: 503 },
        HecFault::CutBefore,
    ] {
        let (house, success) = shipped_into(fault.clone()).await;
        assert!(!success, "{fault:?}");
        assert_eq!(house.objects("owed/ship/").len(), 1, "{fault:?}");
        assert_eq!(house.objects("held/"), [""; 0], "{fault:?}");
        assert_eq!(house.objects("dead/"), [""; 0], "an event is never refused for the collector's trouble: {fault:?}");
        house.splunk.clear_faults();
        house.run_until("00:20:00").await;
        assert_eq!(house.arrived_ids(), ["a-1"], "{fault:?}");
        house.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn r_27_a_wrong_token_or_index_keeps_every_event_owed() {
    for (key, value) in
        [("splunk_hec_token", "00000000-0000-4000-8000-000000000000"), ("splunk_index_name", "forbidden")]
    {
        let house = house(|plan| {
            plan.keys.insert(key.into(), value.into());
            for token in &mut plan.hec.tokens {
                token.indexes = vec!["main".into()];
            }
        });
        house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
        house.wait_until("00:05:00").await;
        assert!(house.ring().await.is_success());
        let replies = house.settle_anyhow().await;
        assert!(replies.iter().any(|reply| !reply.is_success()), "{key}");
        assert_eq!((house.splunk.count(), house.objects("owed/ship/").len()), (0, 1), "{key}");
        assert_eq!(house.objects("dead/"), [""; 0], "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_48_a_collector_that_never_answers_ends_at_the_time_out() {
    let (house, success) = shipped_into(HecFault::Silent { kept: false }).await;
    assert!(!success);
    assert!(house.cloud.clock().now() < crate::house::at("00:07:00"), "it hung until {}", house.cloud.clock().now());
    assert_eq!(house.objects("owed/ship/").len(), 1);
    house.splunk.clear_faults();
    house.run_until("00:20:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_at_most_a_copy_with_the_same_id() {
    let (house, success) = shipped_into(HecFault::CutAfterReading { kept: true }).await;
    assert!(!success, "nobody knows whether it was taken");
    house.splunk.clear_faults();
    house.run_until("00:20:00").await;
    assert_eq!(house.arrived_ids(), ["a-1", "a-1"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_fails_in_mid_batch_gets_the_rest_and_nothing_twice() {
    let house = house(|plan| {
        plan.keys.insert("splunk_batch_max_bytes".into(), "10000".into());
    });
    for n in 0..40 {
        let json =
            format!(r#"{{"eventId":"a-{n:02}","eventTime":"2026-01-05T00:02:00Z","x":"{}"}}"#, "y".repeat(2_000));
        house.event_of("us-ashburn-1", &house.root(), crate::house::at("00:02:00"), &json);
    }
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let posts = std::sync::atomic::AtomicU32::new(0);
    house.splunk.inject_when(HecFault::Busy { code: 9, retry_after_secs: None }, Some(9), move |_| {
        posts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3
    });
    let replies = house.settle_anyhow().await;
    assert!(replies.iter().any(|reply| !reply.is_success()));
    assert!((1..40).contains(&house.splunk.count()), "{}", house.splunk.count());
    let owed = house.objects("owed/ship/");
    // What is left is a receipt for the rest of the batch, by its place in it.
    assert!(owed[0].ends_with(&format!(".{}-40~0", house.splunk.count())), "{owed:?}");
    house.splunk.clear_faults();
    house.run_until("00:20:00").await;
    assert_eq!(house.arrived_ids(), (0..40).map(|n| format!("a-{n:02}")).collect::<Vec<_>>());
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_its_deadline_loses_nothing() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    // Fetch is killed while the service keeps it waiting.
    house.cloud.faults().inject(Fault::on("ListEvents").times(20).delay(Duration::from_secs(3_000)));
    for doorbell in house.unheard(&house.audit_topic) {
        let killed = tokio::time::timeout(Duration::from_secs(30), house.fetch(doorbell)).await;
        assert!(killed.is_err());
    }
    house.cloud.faults().clear();
    assert_eq!(house.objects("held/fetch/").len(), 2);
    house.run_until("00:30:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nears_its_deadline_hands_on_what_is_left() {
    let house = quiet();
    for n in 0..6 {
        house.event("us-ashburn-1", &house.compartment(n), "00:02:00", &format!("a-{n}"));
    }
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    // Two of the scopes never answer in time.
    for n in [1, 4] {
        let scope = house.compartment(n);
        house.cloud.faults().inject(Fault::on("ListEvents").containing(&scope).delay(Duration::from_secs(3_000)));
    }
    house.settle().await;
    assert_eq!(house.arrived_ids(), ["a-0", "a-2", "a-3", "a-5"]);
    let owed = house.objects("owed/fetch/");
    assert_eq!(owed.len(), 2, "{owed:?}");
    let units = house.object(&owed[0])["units"].clone();
    assert_eq!(units.as_array().unwrap().len(), 4, "each cut in half: {units}");
    house.cloud.faults().clear();
    house.run_until("00:30:00").await;
    assert_eq!(house.arrived_ids(), ["a-0", "a-1", "a-2", "a-3", "a-4", "a-5"]);
    house.assert_idle();
}
