//! What a listing alone tells: who waits, who works, and who works on the same events.

use pipeline::Receipt;

use crate::house::{BUCKET, at, deadline, house, receipt};

const SPAN: &str = "20260105T2120Z-20260105T2125Z";

#[tokio::test(start_paused = true)]
async fn one_listing_tells_owed_from_held_and_counts_what_is_neither() {
    let house = house().await;
    let owed = [
        format!("owed/fetch/{SPAN}.1.us-ashburn-1.0~0"),
        format!("owed/fetch/backfill.{SPAN}.1.us-ashburn-1.0~3"),
        format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~0"),
    ];
    let held = [format!("held/fetch/{SPAN}.2.us-ashburn-1.0~0~1767648300"), {
        format!("held/ship/on-call/{SPAN}.us-ashburn-1.00ff.1-2~1~1767648300")
    }];
    let foreign = ["held/readme.txt".to_owned(), "owed/".to_owned(), format!("owed/fetch/{SPAN}.1.us-ashburn-1.0")];
    let hushed = ["hush/second~2", "hush/splunk~3", "hush/splunk~1"];
    for name in hushed {
        house.cloud.storage().put(BUCKET, name, "{}");
    }
    let elsewhere = [
        format!("seen/{SPAN}/splunk/us-ashburn-1.00ff"),
        "positions.json".into(),
        "owed0".into(),
        "held.txt".into(),
        "dead/x".into(),
    ];
    for name in owed.iter().chain(&held).chain(&foreign).chain(&elsewhere) {
        house.cloud.storage().put(BUCKET, name, "{}");
    }
    let waiting = house.ledger.waiting(deadline()).await.unwrap();
    let names = |receipts: Vec<&Receipt>| receipts.into_iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(waiting.owed.iter().map(|(receipt, _)| receipt).collect()), owed);
    assert_eq!(names(waiting.held.iter().map(|(receipt, _)| receipt).collect()), held);
    let levels: Vec<(&str, u8)> = waiting.hushed.iter().map(|(name, level)| (name.as_str(), *level)).collect();
    assert_eq!(levels, [("second", 2), ("splunk", 1)]);
    assert_eq!(waiting.foreign, 3);
    let written = waiting.owed.iter().map(|(_, modified)| modified.unwrap());
    assert!(written.into_iter().all(|at_| at_ >= at("00:00:00") && at_ < at("00:01:00")));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_was_given_back_is_as_old_as_that() {
    let house = house().await;
    let name = format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~0");
    house.cloud.storage().put(BUCKET, &name, "{}");
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    let held = house.held(&receipt(&name), "00:20:00").await;
    house.ledger.give_back(&held, deadline()).await.unwrap();
    // It was owed for ten minutes; its next ring waits for a pause that begins now.
    let waiting = house.ledger.waiting(deadline()).await.unwrap();
    assert!(waiting.owed[0].1.unwrap() >= at("00:10:00"), "{:?}", waiting.owed);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_more_than_a_page_is_listed_to_its_end_oldest_first() {
    let house = house().await;
    for part in 0..2_500 {
        house.cloud.storage().put(BUCKET, &format!("owed/fetch/{SPAN}.1.us-ashburn-1.{part}~0"), "{}");
    }
    house.cloud.storage().put(BUCKET, "owed/fetch/20260105T2115Z-20260105T2120Z.1.us-ashburn-1.0~0", "{}");
    let waiting = house.ledger.waiting(deadline()).await.unwrap();
    assert_eq!(waiting.owed.len(), 2_501);
    assert!(waiting.owed[0].0.to_string().contains("20260105T2115Z"));
}

#[tokio::test(start_paused = true)]
async fn batches_do_not_wait_behind_listing_work_of_more_than_one_look() {
    let house = house().await;
    for part in 0..6_000 {
        house.cloud.storage().put(BUCKET, &format!("owed/fetch/backfill.{SPAN}.1.us-ashburn-1.{part}~0"), "{}");
    }
    let ships = [
        format!("owed/ship/second/{SPAN}.us-ashburn-1.00ff~0"),
        format!("owed/ship/splunk/{SPAN}.us-ashburn-1.00ff~2"),
    ];
    let held = format!("held/ship/splunk/{SPAN}.us-ashburn-1.00fe~0~1767648300");
    for name in ships.iter().chain([&held]) {
        house.cloud.storage().put(BUCKET, name, "{}");
    }
    let waiting = house.ledger.waiting(deadline()).await.unwrap();
    let mut names: Vec<String> = waiting.owed.iter().map(|(receipt, _)| receipt.to_string()).collect();
    assert!(ships.iter().all(|ship| names.contains(ship)), "they starve");
    assert_eq!(waiting.held.iter().map(|(receipt, _)| receipt.to_string()).collect::<Vec<_>>(), [held]);
    let listed = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), listed, "none is told twice");
}

#[tokio::test(start_paused = true)]
async fn side_by_side_are_those_at_work_on_the_same_region_lane_and_minutes() {
    let house = house().await;
    // Held until 00:10; asked at 00:05.
    let (until, over) = (at("00:10:00").as_second(), at("00:00:00").as_second());
    let mine = format!("held/fetch/{SPAN}.2.us-ashburn-1.0~0~{until}");
    for (name, meets) in [
        (mine.clone(), false),
        // Another part of the same plan has other scopes.
        (format!("held/fetch/{SPAN}.2.us-ashburn-1.1~0~{until}"), false),
        (format!("held/fetch/{SPAN}.2.us-ashburn-1.1.3~0~{until}"), false),
        (format!("held/fetch/{SPAN}.0.us-ashburn-1.1~0~{until}"), true),
        (format!("held/fetch/20260105T2124Z-20260105T2200Z.2.us-ashburn-1.1~0~{until}"), true),
        (format!("held/fetch/{SPAN}.1.us-ashburn-1.0~0~{until}"), true),
        (format!("held/fetch/{SPAN}.2.us-ashburn-1.0.1~0~{until}"), true),
        (format!("held/fetch/20260105T2124Z-20260105T2200Z.1.us-ashburn-1.0~0~{until}"), true),
        // The same work held twice, as after a takeover or a race that both won.
        (format!("held/fetch/{SPAN}.2.us-ashburn-1.0~1~{until}"), true),
        (format!("held/fetch/{SPAN}.2.us-ashburn-1.0~0~{}", until + 1), true),
        // Its time is over, so that its holder is gone.
        (format!("held/fetch/20260105T2121Z-20260105T2123Z.1.us-ashburn-1.0~0~{over}"), false),
        (format!("held/fetch/20260105T2125Z-20260105T2130Z.1.us-ashburn-1.0~0~{until}"), false),
        (format!("held/fetch/20260105T2115Z-20260105T2120Z.1.us-ashburn-1.0~0~{until}"), false),
        (format!("held/fetch/{SPAN}.1.us-phoenix-1.0~0~{until}"), false),
        (format!("held/fetch/backfill.{SPAN}.1.us-ashburn-1.0~0~{until}"), false),
        (format!("held/ship/splunk/{SPAN}.us-ashburn-1.00ff~0~{until}"), false),
        (format!("owed/fetch/{SPAN}.1.us-ashburn-1.7~0"), false),
        ("held/fetch/something else".to_owned(), false),
    ] {
        let house = crate::house::house().await;
        house.cloud.storage().put(BUCKET, &mine, "{}");
        house.cloud.storage().put(BUCKET, &name, "{}");
        let found = house.ledger.side_by_side(&receipt(&mine), at("00:05:00"), deadline()).await.unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, if meets { vec![name.clone()] } else { Vec::new() }, "{name}");
    }
    // What ships meets nobody.
    let ship = receipt(&format!("held/ship/splunk/{SPAN}.us-ashburn-1.00ff~0~{until}"));
    house.cloud.storage().put(BUCKET, &mine, "{}");
    assert_eq!(house.ledger.side_by_side(&ship, at("00:05:00"), deadline()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_comes_back_level_by_level_and_falls_back_at_once() {
    let house = house().await;
    let splunk = "splunk".parse().unwrap();
    let level = async |house: &crate::house::House| {
        house.ledger.waiting(deadline()).await.unwrap().hushed.values().next().copied()
    };
    assert_eq!(level(&house).await, None);
    for _ in 0..2 {
        house.ledger.hush(&splunk, deadline()).await.unwrap();
        assert_eq!(level(&house).await, Some(0));
    }
    for expected in [Some(1), Some(2)] {
        let before = level(&house).await.unwrap();
        house.ledger.relieve(&splunk, before, deadline()).await.unwrap();
        assert_eq!(level(&house).await, expected);
        // A second call that took the same probe changes nothing.
        house.ledger.relieve(&splunk, before, deadline()).await.unwrap();
        assert_eq!(level(&house).await, expected);
    }
    house.ledger.hush(&splunk, deadline()).await.unwrap();
    assert_eq!(level(&house).await, Some(0));
    for before in [0, 1, 2, 3] {
        house.cloud.faults().inject(local_oci::Fault::anywhere().containing("hush").times(1).cut_after());
        house.ledger.relieve(&splunk, before, deadline()).await.unwrap();
    }
    assert_eq!(house.names(), [""; 0]);
}
