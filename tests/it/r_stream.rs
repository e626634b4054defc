//! Faults of reading and writing the stream (R-01 to R-12).

use jiff::SignedDuration;
use local_oci::Fault;

use crate::house::{House, at, house, quiet};

/// Events `a-0` … in the root compartment, in one window; the planner and fetch have run, ship has not.
async fn fetched(house: &House, count: usize) -> Vec<bytes::Bytes> {
    for n in 0..count {
        house.event("us-ashburn-1", &house.root(), "00:02:00", &format!("a-{n}"));
    }
    house.wait(SignedDuration::from_mins(5)).await;
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell).await.is_success());
    }
    house.unheard(&house.splunk_topic)
}

fn ids(count: usize) -> Vec<String> {
    let mut ids: Vec<String> = (0..count).map(|n| format!("a-{n}")).collect();
    ids.sort();
    ids
}

/// One event a message, so that a batch has many.
fn plain() -> House {
    house(|plan| {
        plan.keys.insert("stream_encoding".into(), "plain".into());
    })
}

#[tokio::test(start_paused = true)]
async fn r_01_the_first_work_unit_of_a_batch_is_read_too() {
    let house = quiet();
    // One event in every scope: a unit that is not read leaves its event behind.
    let mut expected = Vec::new();
    for region in ["us-ashburn-1", "us-phoenix-1"] {
        for (n, compartment) in (0..6).map(|n| (n, house.compartment(n))).chain([(6, house.root())]) {
            let id = format!("{region}-{n}");
            house.event(region, &compartment, "00:02:00", &id);
            expected.push(id);
        }
    }
    house.run_until("00:05:00").await;
    expected.sort();
    assert_eq!(house.arrived_ids(), expected);
}

#[tokio::test(start_paused = true)]
async fn r_02_the_first_event_of_a_batch_is_sent_too() {
    let house = plain();
    for doorbell in fetched(&house, 2).await {
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ids(2));
}

#[tokio::test(start_paused = true)]
async fn r_03_foreign_records_on_a_shared_stream_are_passed_over() {
    // Both stages on one stream, as the reference sets it up.
    let house = house(|plan| {
        plan.keys.insert("event_stream_ocid".into(), String::new());
        plan.keys.insert("stream_encoding".into(), "plain".into());
    });
    house.cloud.streams().put_foreign(&house.work_stream, 0, None, b"{\"eventId\":\"foreign\"}");
    for n in 0..5 {
        house.event("us-ashburn-1", &house.root(), "00:02:00", &format!("a-{n}"));
    }
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived_ids(), ids(5));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_04_short_and_empty_reads_are_followed_to_the_end() {
    let house = plain();
    let doorbells = fetched(&house, 25).await;
    house.cloud.faults().inject(Fault::on("GetMessages").times(1).short_read(10));
    let empty = house.cloud.faults().inject(Fault::on("GetMessages").skip(1).times(1).empty_read());
    for doorbell in doorbells {
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ids(25));
    assert_eq!(house.cloud.faults().fired(empty), 1);
}

#[tokio::test(start_paused = true)]
async fn r_05_a_batch_is_found_on_whatever_partition_it_lies() {
    let house = house(|plan| {
        plan.partitions = 5;
        plan.keys.insert("stream_encoding".into(), "plain".into());
    });
    let mut expected = Vec::new();
    for minute in 0..30 {
        let id = format!("a-{minute:02}");
        house.event("us-ashburn-1", &house.root(), &format!("00:{minute:02}:00"), &id);
        expected.push(id);
    }
    house.run_until("00:30:00").await;
    let partitions: std::collections::BTreeSet<_> =
        house.cloud.streams().messages(&house.event_stream).into_iter().map(|message| message.partition).collect();
    assert!(partitions.len() > 1, "all batches lie on {partitions:?}");
    assert_eq!(house.arrived_ids(), expected);
}

#[tokio::test(start_paused = true)]
async fn r_06_a_batch_is_told_from_another_writers_messages_between_its_own() {
    let house = plain();
    // The first resend comes behind a foreign message, so the batch's offsets are not one run.
    house.cloud.faults().inject(Fault::on("PutMessages").containing(&house.event_stream).times(1).fail_entries([1, 3]));
    let streams = house.cloud.streams().clone();
    let stream = house.event_stream.clone();
    house.cloud.faults().inject(Fault::on("PutMessages").containing(&house.event_stream).skip(1).times(1).when(
        move |_, _| {
            streams.put_foreign(&stream, 0, None, b"{\"eventId\":\"foreign\"}");
            false
        },
    ));
    for doorbell in fetched(&house, 5).await {
        let pointer: serde_json::Value = serde_json::from_slice(&doorbell).unwrap();
        assert_eq!(pointer["pointers"][0]["num_records"], 5, "{pointer}");
        let (first, last) = (pointer["pointers"][0]["offset"].as_u64(), pointer["pointers"][0]["last_offset"].as_u64());
        assert!(last.unwrap() - first.unwrap() >= 5, "a foreign message lies between: {pointer}");
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ids(5));
}

#[tokio::test(start_paused = true)]
async fn r_07_a_half_failed_put_is_resent() {
    let house = plain();
    let stream = house.event_stream.clone();
    let first = house.cloud.faults().inject(Fault::on("PutMessages").containing(&stream).times(1).fail_entries([0, 2]));
    for doorbell in fetched(&house, 4).await {
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.cloud.faults().fired(first), 1);
    assert_eq!(house.arrived_ids(), ids(4));
    // The two that went through were not put again.
    assert_eq!(house.cloud.streams().messages(&house.event_stream).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn r_08_events_of_more_than_a_megabyte_in_all_make_several_puts() {
    let house = plain();
    for n in 0..50 {
        let filler = "x".repeat(25_000);
        let json = format!(r#"{{"eventId":"a-{n}","eventTime":"2026-01-05T00:02:00Z","x":"{filler}"}}"#);
        house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &json);
    }
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived_ids(), ids(50));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_11_a_tenancy_without_compartments_has_its_root() {
    let house = house(|plan| plan.settings.plan.compartments = 0);
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-0");
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived_ids(), ids(1));
}

#[tokio::test(start_paused = true)]
async fn r_12_a_window_without_events_writes_and_publishes_nothing() {
    let house = quiet();
    house.run_until("00:05:00").await;
    assert_eq!(house.cloud.streams().messages(&house.event_stream).len(), 0);
    assert!(house.cloud.topics().published().iter().all(|message| message.topic != house.splunk_topic));
    house.assert_idle();
    assert_eq!(house.objects("seen/"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn r_39_work_units_that_expired_on_the_stream_are_read_from_their_receipt() {
    let house = quiet();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-0");
    house.wait(SignedDuration::from_mins(5)).await;
    assert!(house.ring().await.is_success());
    let doorbells = house.unheard(&house.audit_topic);
    house.cloud.streams().recreate(&house.work_stream);
    for doorbell in doorbells {
        assert!(house.fetch(doorbell).await.is_success());
    }
    house.settle().await;
    assert_eq!(house.arrived_ids(), ids(1));
    house.assert_idle();
}
