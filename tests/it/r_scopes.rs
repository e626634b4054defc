//! Faults of scopes and windows.

use jiff::SignedDuration;
use local_oci::{Fault, LifecycleState};

use crate::house::{at, house, quiet};

#[tokio::test(start_paused = true)]
async fn r_13_the_root_compartment_is_listed_in_every_region() {
    let house = quiet();
    for (region, id) in [("us-ashburn-1", "policy"), ("us-phoenix-1", "login")] {
        house.event(region, &house.root(), "00:01:00", id);
    }
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived_ids(), ["login", "policy"]);
}

#[tokio::test(start_paused = true)]
async fn r_14_a_compartment_that_is_deleted_is_still_listed() {
    let house = quiet();
    house.run_until("00:55:00").await;
    let compartment = house.compartment(1);
    house.event("us-ashburn-1", &compartment, "00:56:00", "before");
    house.cloud.tenancy().set_state(&compartment, LifecycleState::Deleting, at("00:57:00"));
    house.event("us-ashburn-1", &compartment, "01:12:00", "deletion");
    house.run_until("01:20:00").await;
    assert_eq!(house.arrived_ids(), ["before", "deletion"]);
}

#[tokio::test(start_paused = true)]
async fn r_15_a_region_in_progress_is_not_asked_and_starts_at_its_own_watermark() {
    let house = house(|plan| plan.settings.plan.compartments = 1);
    house.cloud.tenancy().subscribe("eu-madrid-1", at("00:20:00"), at("01:30:00"));
    house.event("eu-madrid-1", &house.root(), "01:31:00", "first");
    house.run_until("03:00:00").await;
    assert_eq!(house.arrived_ids(), ["first"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_16_windows_tile_time_whatever_the_trigger_does() {
    let house = quiet();
    let mut expected = Vec::new();
    for minute in 0..40 {
        let id = format!("a-{minute:02}");
        house.event("us-ashburn-1", &house.root(), &format!("00:{minute:02}:30"), &id);
        expected.push(id);
    }
    for time in ["00:05:20", "00:10:00", "00:19:40", "00:19:55", "00:31:07", "00:40:00"] {
        house.wait_until(time).await;
        assert!(house.ring().await.is_success());
        house.settle().await;
    }
    assert_eq!(house.arrived_ids(), expected);
}

#[tokio::test(start_paused = true)]
async fn r_17_a_trigger_every_thirty_seconds_sends_nothing_twice() {
    let house = quiet();
    for minute in 0..10 {
        house.event("us-ashburn-1", &house.root(), &format!("00:{minute:02}:10"), &format!("a-{minute}"));
    }
    for _ in 0..20 {
        house.wait(SignedDuration::from_secs(30)).await;
        assert!(house.ring().await.is_success());
        house.settle().await;
    }
    assert_eq!(house.arrived_ids().len(), 10);
    assert_eq!(house.assert_delivered_once(at("00:10:00")), 10);
}

#[tokio::test(start_paused = true)]
async fn r_18_a_run_within_a_minute_asks_for_whole_minutes() {
    // The emulator refuses a window with seconds, as the service's documentation has it.
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:59", "a-1");
    house.wait_until("00:03:27").await;
    assert!(house.ring().await.is_success());
    house.settle().await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    assert_eq!(house.object("positions.json")["planned_until"], "2026-01-05T00:03:00Z");
}

#[tokio::test(start_paused = true)]
async fn r_20_work_units_carry_rfc_3339_times() {
    let house = quiet();
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let messages = house.cloud.streams().messages(&house.work_stream);
    assert_eq!(messages.len(), 14, "two regions, six compartments and the root");
    for message in messages {
        let unit: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
        assert_eq!(unit["start_time"], "2026-01-05T00:00:00Z");
        assert_eq!(unit["end_time"], "2026-01-05T00:05:00Z");
    }
}

#[tokio::test(start_paused = true)]
async fn r_38_identity_failing_costs_no_window() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    let down = house.cloud.faults().inject(Fault::on("ListCompartments").answer(503, "ServiceUnavailable"));
    house.wait_until("00:05:00").await;
    let reply = house.ring().await;
    assert!(!reply.is_success(), "no scope was known: {reply:?}");
    house.cloud.faults().remove(down);
    house.run_until("00:15:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_47_a_compartment_that_policy_hides_is_reported_and_stays_owed() {
    let house = quiet();
    let hidden = house.compartment(3);
    house.cloud.tenancy().set_accessible(&hidden, false);
    house.event("us-ashburn-1", &hidden, "00:01:00", "hidden");
    house.event("us-ashburn-1", &house.root(), "00:01:00", "seen");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let replies = house.settle_anyhow().await;
    assert!(replies.iter().any(|reply| !reply.is_success()), "the gap was passed over in silence");
    assert_eq!(house.arrived_ids(), ["seen"]);
    assert!(house.objects("owed/fetch/").iter().any(|name| name.contains("us-ashburn-1")));
    // The policy is mended: what was owed arrives.
    house.cloud.tenancy().set_accessible(&hidden, true);
    house.run_until("00:20:00").await;
    assert_eq!(house.arrived_ids(), ["hidden", "seen"]);
    house.assert_idle();
}
