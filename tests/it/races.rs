//! An object store whose renames are not atomic: two racers win one receipt, and the price is a copy, never a loss.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::SignedDuration;

use crate::house::{at, house};

#[tokio::test(start_paused = true)]
async fn where_two_racers_both_win_a_rename_nothing_is_lost_and_copies_are_the_same_event() {
    let house = house(|plan| {
        plan.settings.plan.events = 150;
        plan.settings.plan.compartments = 1;
        plan.settings.plan.end = at("00:40:00");
    });
    house.cloud.storage().set_rename_gap(Some(Duration::from_millis(40)));
    while house.cloud.clock().now() < at("02:00:00") {
        house.wait(SignedDuration::from_mins(5)).await;
        // Two planners, and every doorbell heard twice at the same moment.
        let (one, other) = tokio::join!(house.ring(), house.ring());
        assert!(one.is_success() && other.is_success());
        loop {
            let (fetches, ships) = (house.unheard(&house.audit_topic), house.unheard(&house.splunk_topic));
            if fetches.is_empty() && ships.is_empty() {
                break;
            }
            join_all(fetches.iter().chain(&fetches).map(|body| house.fetch(body.clone()))).await;
            join_all(ships.iter().chain(&ships).map(|body| house.ship(body.clone()))).await;
        }
    }
    let mut arrived = house.arrived_ids();
    let count = arrived.len();
    arrived.dedup();
    let mut expected: Vec<String> = house.cloud.audit().expected(at("02:00:00")).map(|event| event.id).collect();
    expected.sort();
    assert_eq!(arrived, expected);
    assert!(count > arrived.len(), "nobody ever won twice: the gap was not met");
    for event in house.cloud.audit().expected(at("02:00:00")) {
        let copies = house.splunk.received(&event.id);
        assert!(copies.iter().all(|copy| Some(copy.fingerprint) == event.fingerprint), "{} was altered", event.id);
    }
    house.assert_idle();
}
