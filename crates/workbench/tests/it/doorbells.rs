//! Doorbells: published while the topic takes them, and never a failure.

use local_oci::Fault;
use pipeline::{Doorbell, Pointer, Word};
use workbench::{Rung, ring};

use crate::bench::{Bench, bench, deadline};

fn pointers(count: usize) -> Vec<Pointer> {
    let receipt = |n: usize| format!("owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.{n}~0").parse().unwrap();
    (0..count).map(|n| Pointer { receipt: receipt(n), location: None }).collect()
}

async fn rung(bench: &Bench, count: usize, spread: usize) -> (Rung, Vec<Doorbell>) {
    let topic = bench.cloud.topics().create("audit");
    let topic = topic.parse().unwrap();
    let word = Word { hushed: vec!["splunk".parse().unwrap()], ..Word::default() };
    let rung =
        ring(&bench.client, &topic, "fetch-audit-events: test", (pointers(count), spread), &word, deadline()).await;
    let bodies = bench.cloud.topics().published().into_iter().map(|message| Doorbell::parse(&message.body).unwrap());
    let doorbells: Vec<Doorbell> = bodies.collect();
    assert!(doorbells.iter().all(|doorbell| doorbell.word == word));
    (rung, doorbells)
}

#[tokio::test(start_paused = true)]
async fn every_pointer_is_in_one_doorbell() {
    for (count, spread) in [(0, 1), (1, 5), (10, 1), (10, 3), (10, 20)] {
        let bench = bench().await;
        let (rung, doorbells) = rung(&bench, count, spread).await;
        assert_eq!(doorbells.len(), spread.min(count), "{count} over {spread}");
        assert_eq!(rung, Rung { doorbells: doorbells.len(), unrung: 0 });
        let mut told: Vec<_> = doorbells.into_iter().flat_map(|doorbell| doorbell.pointers).collect();
        told.sort_by_key(|pointer| pointer.receipt.clone());
        assert_eq!(told, pointers(count));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_nothing_more_is_published_and_what_was_not_is_counted() {
    for fault in [
        Fault::on("PublishMessage").skip(2).times(1).throttle(None),
        Fault::on("PublishMessage").skip(2).times(1).answer(404, "NotAuthorizedOrNotFound"),
        Fault::on("PublishMessage").skip(2).times(1).answer(413, "RequestEntityTooLarge"),
    ] {
        let name = format!("{fault:?}");
        let bench = bench().await;
        bench.cloud.faults().inject(fault);
        let (rung, doorbells) = rung(&bench, 12, 6).await;
        assert_eq!((rung, doorbells.len()), (Rung { doorbells: 2, unrung: 8 }, 2), "{name}");
        // A 429 is no reason to ask again: the topic takes 60 a minute, and the sweep rings.
        assert_eq!(bench.calls("PublishMessage"), 3, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_topic_s_own_limit_of_a_minute_costs_time_and_no_failure() {
    let bench = bench().await;
    let (rung, doorbells) = rung(&bench, 100, 100).await;
    assert_eq!((rung, doorbells.len()), (Rung { doorbells: 60, unrung: 40 }, 60));
}
