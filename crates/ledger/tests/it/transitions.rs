//! Owe, take, finish, give back, hand on: each whole, with its answer lost, and onto what stands already.

use ledger::{Owed, Taken};
use local_oci::Fault;
use pipeline::{EventRange, FetchKey, Stage, State, Tally};

use crate::house::{BUCKET, House, at, batch, deadline, finish, house, listing, meanwhile, moved, receipt, stage};

const FETCH: &str = "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~0";
const SHIP: &str = "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0";
const SEEN: &str = "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff~3~0";
const ACCOUNT: &str = "seen/20260105T2120Z-20260105T2125Z/fetch/1.us-ashburn-1.0~3.0.0.0.0~splunk.3.0";

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_written_once_and_what_lies_there_stays() {
    let house = house().await;
    let owe = |ids: &'static [u64]| {
        let ledger = &house.ledger;
        async move { ledger.owe(&stage(SHIP), &batch(ids), deadline()).await.unwrap() }
    };
    assert_eq!(owe(&[1, 2]).await, Owed::Written);
    assert_eq!(owe(&[3]).await, Owed::Already);
    assert_eq!(house.names(), [SHIP]);
    let body = house.ledger.ship_body(&receipt(SHIP), deadline()).await.unwrap().unwrap();
    assert_eq!(body, batch(&[1, 2]));
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_owed_though_the_answer_was_lost() {
    let house = house().await;
    let lost = house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    house.ledger.owe(&stage(FETCH), &listing(&["a"]), deadline()).await.unwrap();
    assert_eq!(house.cloud.faults().fired(lost), 1);
    let body = house.ledger.fetch_body(&receipt(FETCH), deadline()).await.unwrap();
    assert_eq!((house.names(), body), (vec![FETCH.to_owned()], Some(listing(&["a"]))));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_an_error_and_not_owed() {
    let house = house().await;
    for fault in [Fault::on("PutObject").answer(503, "ServiceUnavailable"), Fault::on("PutObject").cut_before()] {
        let fault = house.cloud.faults().inject(fault);
        assert!(house.ledger.owe(&stage(SHIP), &batch(&[1]), deadline()).await.is_err());
        house.cloud.faults().remove(fault);
        assert_eq!(house.names(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_taken_by_one() {
    let house = house().await;
    house.put(SHIP, &batch(&[1]));
    let held = house.held(&receipt(SHIP), "00:05:00").await;
    assert_eq!(house.names(), [held.to_string()]);
    for until in ["00:05:00", "00:06:00"] {
        let again = house.ledger.take(&receipt(SHIP), at(until), deadline()).await.unwrap();
        assert_eq!(again, Taken::Gone, "{until}");
    }
    assert_eq!(house.names(), [held.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn a_take_whose_answer_was_lost_is_no_licence_to_send() {
    let house = house().await;
    house.put(SHIP, &batch(&[1]));
    house.cloud.faults().inject(Fault::on("RenameObject").times(1).cut_after());
    let taken = house.ledger.take(&receipt(SHIP), at("00:05:00"), deadline()).await;
    assert!(taken.is_err(), "{taken:?}");
    // It lies as held, and comes back with one more attempt when its time is over.
    let waiting = house.ledger.waiting(deadline()).await.unwrap();
    let owed = house.ledger.release(&waiting.held[0].0, deadline()).await.unwrap();
    assert_eq!(owed.attempts, 1);
    assert_eq!(house.names(), [owed.to_string()]);
}

/// The ways out of `held/`, and where each leads from the receipt of that name.
async fn go(house: &House, way: &str, held: &pipeline::Receipt) -> Result<(), ledger::Error> {
    match way {
        "finish" => finish(&house.ledger, held).await,
        "give back" => house.ledger.give_back(held, deadline()).await,
        "release" => house.ledger.release(held, deadline()).await.map(|_| ()),
        "cut" => {
            let ranges = ["0-2", "2-3"].map(|range| range.parse().unwrap());
            house.ledger.owe_ranges(held, &ranges, &batch(&[1, 2, 3]), deadline()).await?;
            house.ledger.replace(held, deadline()).await
        }
        "hand on" => {
            house.ledger.owe_ranges(held, &["2-3".parse().unwrap()], &batch(&[1, 2, 3]), deadline()).await?;
            let tally = Tally { sent: 1, dead: 1 };
            house.ledger.finish_batch(held, EventRange::new(0, 2), tally, deadline()).await
        }
        way => panic!("{way} leads nowhere"),
    }
}

const PART: &str = "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.2-3~0";
const AFTER: [(&str, &str, &[&str]); 7] = [
    ("finish", SHIP, &[SEEN]),
    ("give back", SHIP, &[SHIP]),
    ("release", SHIP, &["owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~1"]),
    ("hand on", SHIP, &[PART, "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff.0-2~1~1"]),
    ("cut", SHIP, &["owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.0-2~0", PART]),
    ("finish", FETCH, &[ACCOUNT]),
    ("give back", FETCH, &[FETCH]),
];

#[tokio::test(start_paused = true)]
async fn each_way_out_of_held_ends_in_its_place_also_where_the_answer_was_lost() {
    for (way, from, to) in AFTER {
        for lost in ["", "RenameObject", "DeleteObject", "PutObject"] {
            let house = house().await;
            house.put(from, &batch(&[1, 2, 3]));
            let held = house.held(&receipt(from), "00:05:00").await;
            house.cloud.faults().inject(Fault::on(lost).times(1).cut_after());
            go(&house, way, &held).await.unwrap();
            assert_eq!(house.names(), to, "{way} of {from}, answer of {lost:?} lost");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_seen_or_owed_in_part_already_is_removed_and_what_stands_there_stays() {
    for (way, from, to) in AFTER.into_iter().filter(|(way, ..)| ["finish", "hand on", "cut"].contains(way)) {
        let house = house().await;
        house.put(from, &batch(&[1, 2, 3]));
        let held = house.held(&receipt(from), "00:05:00").await;
        for name in to {
            house.put(name, &batch(&[1, 2, 3]));
        }
        let there = || to.iter().map(|name| house.cloud.storage().get(BUCKET, name)).collect::<Vec<_>>();
        let before = there();
        go(&house, way, &held).await.unwrap();
        assert_eq!(house.names(), to, "{way}");
        assert_eq!(there(), before, "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_under_a_taken_name_is_owed_beside_what_waits_there() {
    // Other work came to wait under the name while this was held: both must be done.
    for (way, from, to) in AFTER.into_iter().filter(|(way, ..)| ["give back", "release"].contains(way)) {
        let house = house().await;
        house.put(from, &listing(&["mine"]));
        let held = house.held(&receipt(from), "00:05:00").await;
        house.put(to[0], &listing(&["anothers"]));
        go(&house, way, &held).await.unwrap();
        let mut works: Vec<_> = house.names().iter().map(|name| house.json(name)).collect();
        works.sort_by_key(|work| work["units"][0]["compartment"].to_string());
        let expected = ["anothers", "mine"].map(|name| serde_json::to_value(listing(&[name])).unwrap());
        assert_eq!(works, expected, "{way} of {from}");
        assert!(house.names().iter().all(|name| receipt(name).state == State::Owed), "{:?}", house.names());
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_source_is_gone_a_way_out_of_held_makes_nothing() {
    for (way, from, to) in AFTER {
        let house = house().await;
        house.put(from, &batch(&[1, 2, 3]));
        let held = house.held(&receipt(from), "00:05:00").await;
        // The sweep gave it away and somebody else has finished it.
        house.cloud.storage().delete(BUCKET, &held.to_string());
        go(&house, way, &held).await.unwrap();
        // The rest that is handed on is written before the held one is missed: a duplicate, not a loss.
        let expected: Vec<&&str> = to.iter().filter(|name| name.contains(".0-2~0") || **name == PART).collect();
        assert_eq!(house.names().iter().collect::<Vec<_>>(), expected, "{way} of {from}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_handed_on_stays_held() {
    let house = house().await;
    house.put(SHIP, &batch(&[1, 2, 3]));
    let held = house.held(&receipt(SHIP), "00:05:00").await;
    house.cloud.faults().inject(Fault::on("PutObject").answer(503, "ServiceUnavailable"));
    assert!(go(&house, "hand on", &held).await.is_err());
    assert_eq!(house.names(), [held.to_string()]);
}

fn key() -> FetchKey {
    match stage(FETCH) {
        Stage::Fetch(key) => key,
        Stage::Ship(..) | Stage::Object(..) => panic!("a fetch receipt"),
    }
}

#[tokio::test(start_paused = true)]
async fn listing_work_goes_under_the_next_name_where_other_work_waits_and_adopts_its_own() {
    let house = house().await;
    let owe = |compartments: &'static [&'static str]| {
        let ledger = &house.ledger;
        async move {
            let (receipt, owed) = ledger.owe_listing(&key(), &listing(compartments), deadline()).await.unwrap();
            (receipt.to_string(), owed)
        }
    };
    let continued = |n: u32| FETCH.replace("~0", &format!(".{n}~0"));
    assert_eq!(owe(&["a"]).await, (FETCH.to_owned(), Owed::Written));
    assert_eq!(owe(&["a"]).await, (FETCH.to_owned(), Owed::Already));
    assert_eq!(owe(&["b"]).await, (continued(1), Owed::Written));
    assert_eq!(owe(&["a", "b"]).await, (continued(2), Owed::Written));
    assert_eq!(owe(&["b"]).await, (continued(1), Owed::Already));
    assert_eq!(house.names().len(), 3);
    // Each name holds its own work.
    for (name, work) in [(FETCH.to_owned(), listing(&["a"])), (continued(1), listing(&["b"]))] {
        assert_eq!(house.ledger.fetch_body(&receipt(&name), deadline()).await.unwrap(), Some(work));
    }
    // For other destinations it is other work.
    let mut other = listing(&["a"]);
    other.destinations = vec!["second".parse().unwrap()];
    let (under, owed) = house.ledger.owe_listing(&key(), &other, deadline()).await.unwrap();
    assert_eq!((under.to_string(), owed), (continued(3), Owed::Written));
}

#[tokio::test(start_paused = true)]
async fn listing_work_whose_answer_was_lost_is_adopted_and_not_written_twice() {
    let house = house().await;
    house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    let (under, owed) = house.ledger.owe_listing(&key(), &listing(&["a"]), deadline()).await.unwrap();
    assert_eq!((under.to_string().as_str(), owed), (FETCH, Owed::Already));
    assert_eq!(house.names(), [FETCH]);
}

#[tokio::test(start_paused = true)]
async fn listing_work_that_is_taken_between_the_two_calls_is_owed_under_the_next_name() {
    let house = house().await;
    house.put(FETCH, &listing(&["a"]));
    let held = receipt(FETCH).held_until(at("00:05:00")).to_string();
    let target = held.clone();
    let taken = meanwhile(&house, "GetObject", "owed%2Ffetch", move |cloud| moved(cloud, FETCH, &target));
    let (under, owed) = house.ledger.owe_listing(&key(), &listing(&["a"]), deadline()).await.unwrap();
    assert_eq!(house.cloud.faults().fired(taken), 1);
    // Whether its holder ends well, nobody knows yet: it is owed once more.
    assert_eq!((under.to_string(), owed), (FETCH.replace("~0", ".1~0"), Owed::Written));
}

#[tokio::test(start_paused = true)]
async fn a_takeover_adopts_what_waits_untouched_and_else_owes_under_a_name_that_no_old_doorbell_knows() {
    let adopt = async |house: &House| {
        let (under, owed) = house.ledger.adopt_listing(&key(), &listing(&["a"]), deadline()).await.unwrap();
        (under.to_string(), owed)
    };
    let continued = FETCH.replace("~0", ".1~0");
    // It waits untouched.
    let untouched = house().await;
    untouched.put(FETCH, &listing(&["a"]));
    assert_eq!(adopt(&untouched).await, (FETCH.to_owned(), Owed::Already));
    assert_eq!(untouched.names(), [FETCH]);
    // It was never written, or is done, or is held: nobody can tell which.
    for there in ["", &receipt(FETCH).held_until(at("00:05:00")).to_string(), &FETCH.replace("~0", "~1")] {
        let house = house().await;
        if !there.is_empty() {
            house.put(there, &listing(&["a"]));
        }
        assert_eq!(adopt(&house).await, (continued.clone(), Owed::Written), "{there}");
        // A second takeover adopts the first's.
        assert_eq!(adopt(&house).await, (continued.clone(), Owed::Already), "{there}");
    }
    // Other work waits under the name, and stays.
    let other = house().await;
    other.put(FETCH, &listing(&["b"]));
    assert_eq!(adopt(&other).await, (continued.clone(), Owed::Written));
    assert_eq!(other.names(), [continued, FETCH.to_owned()]);
}
