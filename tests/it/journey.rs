//! From the ring of the schedule to the collector.

use jiff::SignedDuration;
use local_oci::TenancyPlan;

use crate::house::{at, house, quiet, start};

#[tokio::test(start_paused = true)]
async fn one_event_reaches_the_collector_byte_for_byte() {
    let house = quiet();
    let event = house.event("us-ashburn-1", &house.root(), "00:02:30", "a-1");
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived(), [event]);
    house.assert_idle();
    let seen = house.objects("seen/");
    assert_eq!(seen.iter().filter(|name| name.contains("/splunk/")).count(), 1, "{seen:?}");
    // Each region's listing leaves its account.
    assert_eq!(seen.iter().filter(|name| name.contains("/fetch/")).count(), 2, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn hours_of_a_tenancy_arrive_once_and_unaltered() {
    let house = house(|plan| {
        plan.partitions = 3;
        plan.settings.audit.own_reads = true;
        plan.settings.plan = TenancyPlan {
            regions: 3,
            compartments: 10,
            events: 2_000,
            hostile: 0.2,
            start: start(),
            end: at("03:00:00"),
            ..plan.settings.plan.clone()
        };
    });
    let mut count = 0;
    for until in ["00:30:00", "01:15:00", "03:00:00"] {
        house.run_until(until).await;
        count = house.assert_delivered_once(at(until));
    }
    assert!(count > 2_000, "{count}: our own reads are in the trail, too");
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn plain_messages_carry_the_same_bytes_as_packed_ones() {
    for encoding in ["plain", "packed"] {
        let house = house(|plan| {
            plan.keys.insert("stream_encoding".into(), encoding.into());
            plan.settings.plan.events = 300;
            plan.settings.plan.hostile = 0.5;
            plan.settings.plan.end = at("01:00:00");
        });
        house.run_until("01:30:00").await;
        assert_eq!(house.assert_delivered_once(at("01:30:00")), 300, "{encoding}");
        let messages = house.cloud.streams().messages(&house.event_stream).len();
        assert_eq!(messages >= 300, encoding == "plain", "{messages} messages");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_schedule_is_caught_up_in_windows() {
    let house = quiet();
    let ids: Vec<String> = (0..10).map(|hour| format!("a-{hour}")).collect();
    for (hour, id) in ids.iter().enumerate() {
        house.event("us-phoenix-1", &house.compartment(2), &format!("{hour:02}:30:00"), id);
    }
    house.wait(SignedDuration::from_hours(10)).await;
    house.run_until("10:05:00").await;
    house.run_until("10:20:00").await;
    assert_eq!(house.arrived_ids(), ids);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_backfill_goes_through_the_same_ledger_and_moves_no_position() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.run_until("00:30:00").await;
    let positions = house.object("positions.json");
    let body = r#"{"start":"2026-01-05T00:00:00Z","end":"2026-01-05T00:10:00Z","regions":["us-ashburn-1"]}"#;
    let reply = house.call_list(body).await;
    assert!(reply.is_success(), "{reply:?}");
    house.settle().await;
    // It was delivered by the schedule, and is delivered once more because somebody asked for it.
    assert_eq!(house.arrived_ids(), ["a-1", "a-1"]);
    assert_eq!(house.object("positions.json"), positions);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_wrong_backfill_changes_nothing() {
    let house = quiet();
    house.run_until("00:10:00").await;
    let before = house.objects("");
    for (body, expected) in [
        (r#"{"start":"2026-01-05T00:00:00Z"}"#, "missing"),
        (r#"{"start":"2026-01-05T00:00:00Z","end":"2026-01-06T00:00:00Z"}"#, "end must not lie after"),
        (r#"{"start":"2026-01-05T00:00:00Z","end":"2026-01-05T00:01:00Z","regions":["eu-madrid-3"]}"#, "READY region"),
        (r#"{"start":"2026-01-05T00:00:00Z","end":"2026-01-05T00:01:00Z","destination":"other"}"#, "destination"),
        ("not json", "not JSON"),
    ] {
        let reply = house.call_list(body).await;
        assert!(!reply.is_success(), "{body}");
        let text = String::from_utf8_lossy(reply.body()).into_owned();
        assert!(text.contains(expected), "{body} -> {text}");
    }
    assert_eq!(house.objects(""), before);
}

#[tokio::test(start_paused = true)]
async fn an_event_listed_late_is_found_by_the_second_look_and_no_other_is_sent_twice() {
    let house = house(|plan| {
        plan.settings.plan.events = 400;
        plan.settings.plan.compartments = 2;
        plan.settings.plan.lateness.listed_late = 0.3;
        plan.settings.plan.end = at("03:00:00");
    });
    house.run_until("04:00:00").await;
    let delivered = house.assert_delivered_once(at("03:00:00"));
    assert!(delivered > 300, "{delivered}");
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_backlog_in_which_both_looks_are_due_sends_nothing_twice() {
    for backwards in [false, true] {
        let house = house(|plan| {
            plan.settings.plan.events = 600;
            plan.settings.plan.end = at("03:00:00");
            plan.settings.clock = local_oci::Clock::starting_at(at("03:00:00"));
        });
        for _ in 0..16 {
            assert!(house.ring().await.is_success());
            // Both stages at once, and in either order: topics promise none.
            let (mut fetches, ships) = (house.unheard(&house.audit_topic), house.unheard(&house.splunk_topic));
            if backwards {
                fetches.reverse();
            }
            let calls = fetches.into_iter().map(|body| house.fetch(body));
            let ships = ships.into_iter().map(|body| house.ship(body));
            tokio::join!(futures_util::future::join_all(calls), futures_util::future::join_all(ships));
            house.wait(SignedDuration::from_mins(5)).await;
        }
        let delivered = house.assert_delivered_once(at("03:00:00"));
        assert!(delivered > 500, "{delivered}");
    }
}
