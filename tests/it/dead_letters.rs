//! What a destination refuses for good lies as a dead letter, and nothing waits for it.

use base64::{Engine, engine::general_purpose::STANDARD};

use local_oci::receiver::HecFault;

use crate::house::{BUCKET, House, at, house};

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

/// Holds a summary against the record that it stands for, and the letter in which that lies.
pub(crate) fn assert_summary(summary: &[u8], whole: &str, letter: &str) {
    let summary: serde_json::Value = serde_json::from_slice(summary).unwrap();
    let pipeline = &summary["pipeline"];
    assert_eq!(summary["truncated"], true, "{summary}");
    assert_eq!((&pipeline["bucket"], &pipeline["object"]), (&BUCKET.into(), &letter.into()));
    assert_eq!(pipeline["bytes"], whole.len());
    assert_eq!(pipeline["sha256"], ledger::sha256_hex(whole.as_bytes()));
    assert!(pipeline["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{summary}");
}

/// A collector that takes no body of more than 100,000 bytes, and three events of which the second is larger.
fn one_above_the_body_limit() -> (House, String) {
    let house = house(|plan| plan.hec.max_content_length = 100_000);
    let large = format!(
        r#"{{"eventId":"a-1","eventTime":"2026-01-05T00:02:00Z","source":"api","data":{{"eventName":"Get","x":"{}"}}}}"#,
        "y".repeat(200_000)
    );
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-0");
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &large);
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-2");
    (house, large)
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_arrives_as_a_summary_and_lies_whole_in_the_bucket() {
    let (house, large) = one_above_the_body_limit();
    house.run_until("00:45:00").await;
    assert_eq!(house.arrived_ids(), ["a-0", "a-1", "a-2"]);
    let dead = house.objects("dead/");
    assert_eq!(dead.len(), 1, "{dead:?}");
    let letter = house.object(&dead[0]);
    assert_eq!(STANDARD.decode(letter["bytes"].as_str().unwrap()).unwrap(), large.as_bytes());
    let arrived = house.arrived();
    let summary = arrived.iter().find(|raw| raw.starts_with(br#"{"eventId":"a-1""#)).unwrap();
    assert!(summary.len() < 1_000);
    assert_summary(summary, &large, &dead[0]);
    let summary: serde_json::Value = serde_json::from_slice(summary).unwrap();
    assert_eq!((&summary["source"], &summary["data"]["eventName"]), (&"api".into(), &"Get".into()));
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_done_before_its_summary_is_taken() {
    let (house, large) = one_above_the_body_limit();
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    // The collector goes down when the letter is there, before the summary comes.
    let cloud = house.cloud.clone();
    let buried = move |_: &_| cloud.storage().objects(BUCKET).iter().any(|name| name.starts_with("dead/"));
    house.splunk.inject_when(HecFault::Busy { code: 9, retry_after_secs: None }, None, buried);
    let replies = house.settle_anyhow().await;
    assert!(!replies.iter().all(fn_hyper::Reply::is_success), "the event is dead, and nobody has its summary");
    assert_eq!((house.objects("owed/ship/").len(), house.objects("dead/").len()), (1, 1));
    house.splunk.clear_faults();
    house.run_until("00:20:00").await;
    let mut arrived = house.arrived_ids();
    arrived.dedup();
    assert_eq!(arrived, ["a-0", "a-1", "a-2"]);
    assert_eq!(house.objects("dead/").len(), 1, "a repeat finds its letter");
    let summaries: Vec<_> = house.arrived().into_iter().filter(|raw| raw.starts_with(br#"{"eventId":"a-1""#)).collect();
    assert_eq!(summaries.len(), 1);
    assert_summary(&summaries[0], &large, &house.objects("dead/")[0]);
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_on_another_day_finds_the_first_letter() {
    let (house, ..) = one_too_large();
    // The letter is written, and what comes after it is not: the batch is repeated a day later.
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell).await.is_success());
    }
    let stuck =
        house.cloud.faults().inject(local_oci::Fault::on("RenameObject").containing("seen").answer(500, "Full"));
    for doorbell in house.unheard(&house.splunk_topic) {
        assert!(!house.ship(doorbell).await.is_success());
    }
    let dead = house.objects("dead/");
    assert_eq!((dead.len(), house.objects("owed/ship/").len()), (1, 1));
    house.cloud.faults().remove(stuck);
    // Past midnight, and before the stream forgets.
    house.wait(jiff::SignedDuration::from_mins(23 * 60 + 57)).await;
    assert!(house.cloud.clock().now() > at("23:59:59"));
    assert!(house.ring().await.is_success());
    house.settle().await;
    assert_eq!(house.objects("dead/"), dead);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_refuses_everything_gets_no_more_than_twenty_letters_a_call() {
    let house = house(|plan| plan.hec.max_event_size = 10);
    for n in 0..100 {
        house.event("us-ashburn-1", &house.root(), "00:02:00", &format!("a-{n:02}"));
    }
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let replies = house.settle_anyhow().await;
    assert!(!replies.iter().all(fn_hyper::Reply::is_success), "nobody was told");
    assert_eq!((house.objects("dead/").len(), house.objects("owed/ship/").len(), house.splunk.count()), (20, 1, 0));
}
