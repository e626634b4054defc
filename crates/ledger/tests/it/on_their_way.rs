//! Which events are on their way already: what a later look must not send again, and nothing else.

use std::collections::BTreeSet;

use pipeline::{Destination, Lane, Window};

use crate::house::{House, batch, deadline, house, meanwhile, moved};

const SPAN: &str = "20260105T2120Z-20260105T2125Z";

async fn known_in(house: &House, lane: Lane, destination: &str) -> Result<BTreeSet<u64>, ledger::Error> {
    let window: Window = SPAN.parse().unwrap();
    let destination: Destination = destination.parse().unwrap();
    let known = house.ledger.on_their_way(lane, window, "us-ashburn-1", &destination, None, deadline()).await;
    Ok(known?.into_iter().collect())
}

async fn known(house: &House, destination: &str) -> BTreeSet<u64> {
    known_in(house, Lane::Live, destination).await.unwrap()
}

fn set(ids: &[u64]) -> BTreeSet<u64> {
    ids.iter().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_wherever_it_is_on_its_way_and_only_where_it_is_the_same_work() {
    for (name, counts) in [
        (format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~0"), true),
        (format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~3"), true),
        (format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff.0-2~0"), true),
        (format!("held/ship/splunk/{SPAN}.us-ashburn-1.00ff~0~1767648300"), true),
        (format!("seen/{SPAN}/splunk/us-ashburn-1.00ff~2~0"), true),
        (format!("seen/{SPAN}/splunk/us-ashburn-1.00ff.0-2~1~1"), true),
        // Windows that share a minute with this one, from either side, around it and within it.
        ("owed/ship/splunk/20260105T2110Z-20260105T2121Z.us-ashburn-1.00ff~0".to_owned(), true),
        ("seen/20260105T2124Z-20260105T2130Z/splunk/us-ashburn-1.00ff~2~0".to_owned(), true),
        ("seen/20260105T1921Z-20260105T2221Z/splunk/us-ashburn-1.00ff~2~0".to_owned(), true),
        ("held/ship/splunk/20260105T2122Z-20260105T2123Z.us-ashburn-1.00ff~0~1767648300".to_owned(), true),
        // Windows that only meet it at an end, or not at all.
        ("owed/ship/splunk/20260105T2115Z-20260105T2120Z.us-ashburn-1.00ff~0".to_owned(), false),
        ("seen/20260105T2125Z-20260105T2130Z/splunk/us-ashburn-1.00ff~2~0".to_owned(), false),
        ("seen/20260104T2120Z-20260104T2125Z/splunk/us-ashburn-1.00ff~2~0".to_owned(), false),
        // Another region, lane or destination.
        (format!("owed/ship/splunk/{SPAN}.us-phoenix-1.00ff~0"), false),
        (format!("owed/ship/splunk/{SPAN}.us-ashburn-11.00ff~0"), false),
        (format!("seen/{SPAN}/splunk/us-phoenix-1.00ff~2~0"), false),
        (format!("owed/ship/splunk/backfill.{SPAN}.us-ashburn-1.00ff~0"), false),
        (format!("seen/backfill.{SPAN}/splunk/us-ashburn-1.00ff~2~0"), false),
        (format!("owed/ship/second/{SPAN}.us-ashburn-1.00ff~0"), false),
        (format!("held/ship/splunk2/{SPAN}.us-ashburn-1.00ff~0~1767648300"), false),
        (format!("seen/{SPAN}/second/us-ashburn-1.00ff~2~0"), false),
        // Neither on its way nor a batch.
        (format!("seen/{SPAN}/splunk/us-ashburn-1.00ff"), false),
        (format!("seen/{SPAN}/fetch/1.us-ashburn-1.0~2.0.0.0.0"), false),
        (format!("dead/2026-01-05/splunk/{SPAN}.us-ashburn-1.00ff.0"), false),
        (format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff"), false),
    ] {
        let house = house().await;
        house.put(&name, &batch(&[1, u64::MAX]));
        assert_eq!(known(&house, "splunk").await, set(if counts { &[1, u64::MAX] } else { &[] }), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_backfill_lane_has_its_own() {
    let house = house().await;
    house.put(&format!("seen/backfill.{SPAN}/splunk/us-ashburn-1.00ff~2~0"), &batch(&[1]));
    house.put(&format!("owed/ship/splunk/backfill.{SPAN}.us-ashburn-1.00fe~0"), &batch(&[2]));
    // A day wide, begun the day before.
    house.put("held/ship/splunk/backfill.20260104T2200Z-20260105T2121Z.us-ashburn-1.00fd~0~1", &batch(&[3]));
    house.put(&format!("seen/{SPAN}/splunk/us-ashburn-1.00fc~2~0"), &batch(&[4]));
    assert_eq!(known_in(&house, Lane::Backfill, "splunk").await.unwrap(), set(&[1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_range_of_a_batch_has_its_own_events_on_their_way_and_what_is_listed_anew_is_not() {
    let house = house().await;
    let key = |range: &str| format!("{SPAN}.us-ashburn-1.00ff.{range}");
    house.put(&format!("seen/{SPAN}/splunk/us-ashburn-1.00ff.0-1~1~0"), &batch(&[1, 2, 3, 4]));
    house.put(&format!("owed/ship/splunk/{}~0", key("1-3")), &batch(&[1, 2, 3, 4]));
    assert_eq!(known(&house, "splunk").await, set(&[1, 2, 3]));
    let window = SPAN.parse().unwrap();
    let destination = "splunk".parse().unwrap();
    let known = async |except: &str| -> BTreeSet<u64> {
        let ledger = &house.ledger;
        let known = ledger.on_their_way(Lane::Live, window, "us-ashburn-1", &destination, Some(except), deadline());
        known.await.unwrap().into_iter().collect()
    };
    assert_eq!(known(&key("1-3")).await, set(&[1]));
    assert_eq!(known(&key("0-1")).await, set(&[1, 2, 3]), "what is done stays done");
}

#[tokio::test(start_paused = true)]
async fn each_destination_is_asked_for_by_itself() {
    let house = house().await;
    house.put(&format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00f1~0"), &batch(&[1, 2]));
    house.put(&format!("seen/{SPAN}/splunk/us-ashburn-1.00f2~2~0"), &batch(&[3]));
    house.put(&format!("held/ship/second/{SPAN}.us-ashburn-1.00f1~0~1767648300"), &batch(&[2, 3]));
    house.put(&format!("seen/{SPAN}/second/us-ashburn-1.00f3~2~0"), &batch(&[4]));
    for (destination, expected) in [("splunk", &[1, 2, 3][..]), ("second", &[2, 3, 4]), ("third", &[])] {
        assert_eq!(known(&house, destination).await, set(expected), "{destination}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_moves_between_the_listing_and_the_reading_is_followed() {
    let owed = format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~0");
    let again = format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~1");
    let held = format!("held/ship/splunk/{SPAN}.us-ashburn-1.00ff~0~1767648300");
    let held_later = format!("held/ship/splunk/{SPAN}.us-ashburn-1.00ff~1~1767648999");
    let seen = format!("seen/{SPAN}/splunk/us-ashburn-1.00ff~2~0");
    for (from, to) in
        [(&owed, &held), (&owed, &seen), (&held, &seen), (&held, &again), (&held, &held_later), (&held, &owed)]
    {
        let house = house().await;
        house.put(from, &batch(&[1, 2]));
        let (source, target) = (from.clone(), to.clone());
        let moves = meanwhile(&house, "GetObject", &encoded(from), move |cloud| moved(cloud, &source, &target));
        assert_eq!(known(&house, "splunk").await, set(&[1, 2]), "{from} -> {to}");
        assert_eq!(house.cloud.faults().fired(moves), 1, "{from} -> {to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_moves_between_two_listings_is_met_in_its_next_place() {
    let owed = format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~0");
    let held = format!("held/ship/splunk/{SPAN}.us-ashburn-1.00ff~0~1767648300");
    let seen = format!("seen/{SPAN}/splunk/us-ashburn-1.00ff~2~0");
    // Just before a folder is listed, the batch moves into it from the folder that is listed next.
    for (listed, from, to) in
        [("prefix=held", &owed, &held), ("prefix=seen", &held, &seen), ("prefix=seen", &held, &owed)]
    {
        let house = house().await;
        house.put(from, &batch(&[1, 2]));
        let (source, target) = (from.clone(), to.clone());
        let moves = meanwhile(&house, "ListObjects", listed, move |cloud| moved(cloud, &source, &target));
        assert_eq!(known(&house, "splunk").await, set(&[1, 2]), "{from} -> {to}");
        assert_eq!(house.cloud.faults().fired(moves), 1, "{from} -> {to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_body_cannot_be_read_is_an_error_for_what_is_not_known_would_be_sent_twice() {
    let house = house().await;
    house.cloud.storage().put(crate::house::BUCKET, &format!("seen/{SPAN}/splunk/us-ashburn-1.00ff~2~0"), "{}");
    let known = known_in(&house, Lane::Live, "splunk").await;
    assert!(matches!(known, Err(ledger::Error::Corrupt { .. })), "{known:?}");
}

/// A name as it stands in a request's path.
fn encoded(name: &str) -> String {
    name.replace('/', "%2F")
}
