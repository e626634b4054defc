//! What a destination refuses for good lies as a dead letter, and nothing waits for it.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::house::{House, at, house};

/// A collector that takes no event of more than 10,000 bytes; 20 events in one batch, number 7 larger than that.
fn one_too_large() -> (House, String, Vec<String>) {
    let house = house(|plan| plan.hec.max_event_size = 10_000);
    let json = |n: usize, filler: usize| {
        let filler = "y".repeat(filler);
        format!(r#"{{"eventId":"a-{n:02}","eventTime":"2026-01-05T00:02:00Z","escaped":"\u00e9","x":"{filler}"}}"#)
    };
    let mut taken = Vec::new();
    for n in 0..20 {
        house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &json(n, if n == 7 { 20_000 } else { 100 }));
        taken.extend((n != 7).then(|| format!("a-{n:02}")));
    }
    (house, json(7, 20_000), taken)
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_collector_refuses_becomes_a_letter_and_its_neighbours_arrive() {
    let (house, refused, taken) = one_too_large();
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived_ids(), taken);
    let dead = house.objects("dead/");
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].starts_with("dead/2026-01-05/splunk/"), "{dead:?}");
    let letter = house.object(&dead[0]);
    assert_eq!(STANDARD.decode(letter["bytes"].as_str().unwrap()).unwrap(), refused.as_bytes());
    assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    assert_eq!((&letter["attempts"], &letter["destination"]), (&1.into(), &"splunk".into()));
    // The batch is done: nobody works on it again, and the second look takes neither it nor its neighbours up again.
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
    house.run_until("00:45:00").await;
    assert_eq!(house.arrived_ids(), taken);
    assert_eq!(house.objects("dead/"), dead);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_written_leaves_its_event_owed() {
    let (house, _, taken) = one_too_large();
    house.wait_until("00:05:00").await;
    let full = house.cloud.faults().inject(local_oci::Fault::on("PutObject").containing("dead").answer(500, "Full"));
    assert!(house.ring().await.is_success());
    let replies = house.settle_anyhow().await;
    assert!(!replies.iter().all(fn_hyper::Reply::is_success), "one event is neither delivered nor dead");
    assert_eq!(house.objects("dead/"), [""; 0]);
    house.cloud.faults().remove(full);
    house.run_until("00:20:00").await;
    let mut arrived = house.arrived_ids();
    arrived.dedup();
    assert_eq!((arrived, house.objects("dead/").len()), (taken, 1));
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
}
