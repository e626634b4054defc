//! Faults of reading and writing the stream (R-01 to R-12).

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use local_oci::Fault;

use crate::{
    dead_letters::assert_summary,
    house::{House, at, house, quiet},
    wire::Moment,
};

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
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    // A reader that missed a message could still find its work in the receipt; it must not have to.
    let receipts_read = house.counting("GetObject", "owed%2Ffetch");
    let receipts_held_read = house.counting("GetObject", "held%2Ffetch");
    house.settle().await;
    expected.sort();
    assert_eq!(house.arrived_ids(), expected);
    assert_eq!((house.count(receipts_read), house.count(receipts_held_read)), (0, 0), "units come from the stream");
}

#[tokio::test(start_paused = true)]
async fn r_02_the_first_event_of_a_batch_is_sent_too() {
    let house = plain();
    for doorbell in fetched(&house, 2).await {
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ids(2));
}

/// How many of the messages at a doorbell's pointers are of the batch, and how many of others.
fn between(house: &House, doorbell: &[u8]) -> (usize, usize) {
    let doorbell: serde_json::Value = serde_json::from_slice(doorbell).unwrap();
    let (mut own, mut foreign) = (0, 0);
    for pointer in doorbell["pointers"].as_array().unwrap() {
        let range = pointer["offset"].as_u64().unwrap()..=pointer["last_offset"].as_u64().unwrap();
        let messages = house.cloud.streams().messages(pointer["stream"].as_str().unwrap());
        for message in messages.into_iter().filter(|message| range.contains(&message.offset)) {
            let is_own = message.key.as_deref() == Some(pointer["batch"].as_str().unwrap().as_bytes());
            (own, foreign) = if is_own { (own + 1, foreign) } else { (own, foreign + 1) };
        }
    }
    (own, foreign)
}

#[tokio::test(start_paused = true)]
async fn r_03_foreign_records_between_a_batch_s_own_are_passed_over_in_both_stages() {
    // Both stages on one stream, as the reference sets it up, and a third producer.
    let house = house(|plan| {
        plan.keys.insert("event_stream_ocid".into(), String::new());
        plan.keys.insert("stream_encoding".into(), "plain".into());
    });
    house.cloud.streams().configure(|settings| settings.foreign_every = Some(2));
    for n in 0..5 {
        house.event("us-ashburn-1", &house.root(), "00:02:00", &format!("a-{n}"));
    }
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let receipts_read = house.counting("GetObject", "owed%2Ffetch");
    let (mut units, mut events) = ((0, 0), (0, 0));
    for doorbell in house.unheard(&house.audit_topic) {
        let (own, foreign) = between(&house, &doorbell);
        units = (units.0 + own, units.1 + foreign);
        assert!(house.fetch(doorbell).await.is_success());
    }
    for doorbell in house.unheard(&house.splunk_topic) {
        let (own, foreign) = between(&house, &doorbell);
        events = (events.0 + own, events.1 + foreign);
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!((units.0, events.0), (14, 5));
    assert!(units.1 >= 4 && events.1 >= 2, "foreign records lie between: {units:?} {events:?}");
    assert_eq!(house.count(receipts_read), 0, "the units were found on the stream");
    assert_eq!(house.arrived_ids(), ids(5));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_04_short_and_empty_reads_are_followed_to_the_end() {
    let house = plain();
    let doorbells = fetched(&house, 25).await;
    let short = house.cloud.faults().inject(Fault::on("GetMessages").times(1).short_read(10));
    let empty = house.cloud.faults().inject(Fault::on("GetMessages").skip(1).times(1).empty_read());
    for doorbell in doorbells {
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ids(25));
    assert_eq!((house.cloud.faults().fired(short), house.cloud.faults().fired(empty)), (1, 1));
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
    let partitions: BTreeSet<_> =
        house.cloud.streams().messages(&house.event_stream).into_iter().map(|message| message.partition).collect();
    assert!(partitions.len() > 1, "all batches lie on {partitions:?}");
    assert_eq!(house.arrived_ids(), expected);
}

#[tokio::test(start_paused = true)]
async fn r_06_a_batch_is_told_from_another_writers_messages_between_its_own() {
    let house = plain();
    let foreign = || house.cloud.streams().put_foreign(&house.event_stream, 0, None, b"{\"eventId\":\"foreign\"}");
    // Two of the five go through and are orphans; a foreign message comes before the batch is put again, and one behind it.
    house
        .cloud
        .faults()
        .inject(Fault::on("PutMessages").containing(&house.event_stream).times(1).fail_entries([1, 3, 4]));
    let streams = house.cloud.streams().clone();
    let stream = house.event_stream.clone();
    house.cloud.faults().inject(Fault::on("PutMessages").containing(&house.event_stream).skip(1).times(1).when(
        move |_, _| {
            streams.put_foreign(&stream, 0, None, b"{\"eventId\":\"foreign\"}");
            false
        },
    ));
    for doorbell in fetched(&house, 5).await {
        foreign();
        let mut pointer: serde_json::Value = serde_json::from_slice(&doorbell).unwrap();
        let first = pointer["pointers"][0]["offset"].as_u64().unwrap();
        assert!(
            first >= 3 && pointer["pointers"][0]["num_records"] == 5,
            "orphans and a foreign message before it: {pointer}"
        );
        // Offsets are bounds, and nobody promises that all between them is ours.
        pointer["pointers"][0]["offset"] = 0.into();
        pointer["pointers"][0]["last_offset"] = (first + 5).into();
        assert!(house.ship(pointer.to_string()).await.is_success());
    }
    assert_eq!(house.arrived_ids(), ids(5));
}

#[tokio::test(start_paused = true)]
async fn r_07_a_half_failed_put_is_repeated_and_nothing_of_it_arrives_twice() {
    let house = plain();
    let stream = house.event_stream.clone();
    let first = house.cloud.faults().inject(Fault::on("PutMessages").containing(&stream).times(1).fail_entries([0, 2]));
    for doorbell in fetched(&house, 4).await {
        assert!(house.ship(doorbell).await.is_success());
    }
    assert_eq!(house.cloud.faults().fired(first), 1);
    assert_eq!(house.arrived_ids(), ids(4));
    // The two that went through lie there under an id that no receipt knows.
    assert_eq!(house.cloud.streams().messages(&house.event_stream).len(), 6);
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
    let put = house.cloud.streams().totals(&house.event_stream);
    assert_eq!((put.puts, put.messages_put), (2, 50), "1.25 MB in as few puts as hold it");
    largest_batch(&house, &house.event_stream);
}

/// The bytes of the largest batch on a stream, which are no more than one put may carry.
fn largest_batch(house: &House, stream: &str) -> usize {
    let mut batches: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for message in house.cloud.streams().messages(stream) {
        let key = message.key.unwrap();
        *batches.entry(key.to_vec()).or_default() += key.len() + message.value.len();
    }
    let largest = batches.into_values().max().unwrap();
    assert!(largest <= 1 << 20, "{largest} bytes");
    largest
}

#[tokio::test(start_paused = true)]
async fn r_09_an_event_that_no_put_can_hold_is_set_aside_with_a_pointer_and_the_rest_goes_on() {
    let house = plain();
    let large = format!(r#"{{"eventId":"large","eventTime":"2026-01-05T00:02:00Z","x":"{}"}}"#, "y".repeat(1_200_000));
    house.event("us-ashburn-1", &house.root(), "00:01:00", "a-0");
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &large);
    house.event("us-ashburn-1", &house.root(), "00:03:00", "a-1");
    house.run_until("00:05:00").await;
    let mut expected = ids(2);
    expected.push("large".to_owned());
    assert_eq!(house.arrived_ids(), expected);
    let dead = house.objects("dead/");
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].starts_with("dead/2026-01-05/fetch/us-ashburn-1."), "{dead:?}");
    // What arrived under its id says where the whole lies.
    let summary = house.arrived().into_iter().find(|raw| raw.starts_with(br#"{"eventId":"large""#)).unwrap();
    assert_summary(&summary, &large, &dead[0]);
    let letter = house.object(&dead[0]);
    assert_eq!(STANDARD.decode(letter["bytes"].as_str().unwrap()).unwrap(), large.as_bytes());
    assert!(!letter["reason"].as_str().unwrap().is_empty(), "{letter}");
    // Its receipt is not held up.
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
    // The second look meets the same event and knows it.
    house.run_until("00:45:00").await;
    assert_eq!((house.arrived_ids(), house.objects("dead/")), (expected, dead));
}

#[tokio::test(start_paused = true)]
async fn r_09_the_summary_arrives_once_though_fetch_is_killed_over_it() {
    let mut kills = 0;
    for (call, moment) in (1..).flat_map(|call| [(call, Moment::Before), (call, Moment::After)]) {
        let mut house = house(|plan| {
            plan.settings.plan.regions = 1;
            plan.settings.plan.compartments = 1;
            plan.keys.insert("stream_encoding".into(), "plain".into());
        });
        // A megabyte in each of these houses would take its time.
        house.fetch.config.limits.stream_max_bytes = 20_000;
        let large = format!(r#"{{"eventId":"large","x":"{}"}}"#, "y".repeat(30_000));
        house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &large);
        house.wait_until("00:05:00").await;
        assert!(house.ring().await.is_success());
        let mut struck = false;
        for doorbell in house.unheard(&house.audit_topic) {
            house.killer.aim(call, moment);
            tokio::select! {
                _ = house.fetch(doorbell) => {}
                () = house.killer.strike() => {}
            }
            struck |= house.killer.has_struck();
        }
        if !struck {
            break;
        }
        kills += 1;
        house.run_every(10, "00:55:00").await;
        let dead = house.objects("dead/");
        assert_eq!((house.arrived_ids(), dead.len()), (vec!["large".to_owned()], 1), "{call} {moment:?}");
        assert_summary(&house.arrived()[0], &large, &dead[0]);
    }
    assert!(kills >= 12, "only {kills} kills");
}

#[tokio::test(start_paused = true)]
async fn r_10_five_thousand_work_units_make_several_puts_and_each_unit_lies_on_the_stream_once() {
    for (regions, compartments) in [(16, 320), (1, 5_000)] {
        let house = house(|plan| {
            plan.settings.plan.regions = regions;
            plan.settings.plan.compartments = compartments;
        });
        house.wait_until("00:05:00").await;
        assert!(house.ring().await.is_success());
        let (mut units, mut bytes) = (BTreeSet::new(), 0);
        for message in house.cloud.streams().messages(&house.work_stream) {
            let unit: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
            let scope = (unit["region"].to_string(), unit["compartment"].to_string());
            assert!(units.insert(scope), "twice: {unit}");
            bytes += message.key.unwrap().len() + message.value.len();
        }
        assert_eq!(units.len(), regions * (compartments + 1));
        assert!(bytes > 1 << 20, "{bytes} bytes would fit into one put");
        assert!(house.cloud.streams().totals(&house.work_stream).puts >= 2);
        largest_batch(&house, &house.work_stream);
        // Each is owed, too, and nothing else is.
        let owed = house.objects("owed/fetch/");
        let owed = owed.iter().map(|name| house.object(name)["units"].as_array().unwrap().len());
        assert_eq!(owed.sum::<usize>(), units.len());
    }
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
    // But for the accounts that say so.
    let seen = house.objects("seen/");
    assert!(seen.len() == 2 && seen.iter().all(|name| name.ends_with("~0.0.0.0.0~splunk.0.0")), "{seen:?}");
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
