//! Several destinations: each gets everything once, and none waits for another.

use local_oci::receiver::{HecFault, HecReceiver, HecSettings, HecToken};

use crate::{
    house::{House, TOKEN, at, house, ids_at},
    wire::SECOND,
};

const BUSY: HecFault = HecFault::Busy { code: 9, retry_after_secs: None };

/// Two collectors, each behind a `ship-to-siem` of its own that hears the same topic.
fn two() -> (House, HecReceiver) {
    let mut house = house(|plan| {
        plan.keys.insert("destination".into(), "splunk,second".into());
        plan.settings.plan.events = 200;
        plan.settings.plan.compartments = 1;
        plan.settings.plan.end = at("01:00:00");
    });
    let second = house.collector(SECOND, HecSettings::new(HecToken::new(TOKEN)));
    house.more_ships.push(house.ship_with(&[("destination", "second"), ("splunk_url", SECOND)]));
    (house, second)
}

fn expected(house: &House, until: &str) -> Vec<String> {
    let mut ids: Vec<String> = house.cloud.audit().expected(at(until)).map(|event| event.id).collect();
    ids.sort();
    assert!(!ids.is_empty());
    ids
}

#[tokio::test(start_paused = true)]
async fn both_get_everything_once() {
    let (house, second) = two();
    house.run_until("02:00:00").await;
    house.assert_delivered_once(at("01:00:00"));
    assert_eq!(ids_at(&second), expected(&house, "02:00:00"));
    assert_eq!(ids_at(&house.splunk), ids_at(&second));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_does_not_hold_up_the_other_and_gets_everything_once_when_it_is_back() {
    let (house, second) = two();
    second.inject(BUSY, None);
    let mut failed = false;
    while house.cloud.clock().now() < at("01:30:00") {
        house.wait(jiff::SignedDuration::from_mins(5)).await;
        assert!(house.ring().await.is_success());
        let before = house.splunk.count();
        let replies = house.settle_anyhow().await;
        failed |= !replies.iter().all(fn_hyper::Reply::is_success);
        assert!(house.splunk.count() >= before);
    }
    assert!(failed, "a destination that is down was passed over in silence");
    assert_eq!(ids_at(&house.splunk), expected(&house, "01:30:00"));
    assert_eq!(second.count(), 0);
    let waiting = house.objects("owed/ship/");
    assert!(!waiting.is_empty() && waiting.iter().all(|name| name.starts_with("owed/ship/second/")), "{waiting:?}");
    assert_eq!(house.objects("dead/"), [""; 0]);
    second.clear_faults();
    house.run_until("03:30:00").await;
    assert_eq!(ids_at(&second), expected(&house, "03:30:00"));
    assert_eq!(ids_at(&house.splunk), ids_at(&second));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_put_that_is_owed_to_one_only_is_made_good_for_the_other_and_doubles_nothing() {
    for destination in ["splunk", "second"] {
        let (house, second) = two();
        // Fetch cannot write what it owes to one of them, a few times.
        let refused = local_oci::Fault::on("PutObject").containing(&format!("ship%2F{destination}%2F"));
        let refused = house.cloud.faults().inject(refused.times(12).answer(503, "ServiceUnavailable"));
        while house.cloud.clock().now() < at("02:30:00") {
            house.wait(jiff::SignedDuration::from_mins(5)).await;
            assert!(house.ring().await.is_success());
            house.settle_anyhow().await;
        }
        assert_eq!(house.cloud.faults().fired(refused), 12);
        for collector in [&house.splunk, &second] {
            assert_eq!(ids_at(collector), expected(&house, "02:30:00"), "{destination} was not owed at first");
        }
        house.assert_idle();
    }
}
