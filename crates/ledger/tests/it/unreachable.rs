//! A bucket that cannot be reached is never taken for an empty one.

use ledger::{DeadLetter, Ledger, Versioned};
use local_oci::Fault;
use pipeline::{Lane, Minute, Positions};

use crate::{
    house::{House, at, batch, deadline, finish, house, listing, receipt, stage},
    letters::letter,
};

const SHIP: &str = "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0";
const FETCH: &str = "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~0";

/// Everything that a ledger can be asked for; what failed, by name.
async fn failures(ledger: &Ledger) -> Vec<(&'static str, Option<ledger::Error>)> {
    let (fetch, ship) = (receipt(FETCH), receipt(SHIP));
    let (fetch_held, ship_held) = (fetch.held_until(at("00:05:00")), ship.held_until(at("00:05:00")));
    let position = Positions::starting_at(Minute::floor(at("00:00:00")));
    let splunk = "splunk".parse().unwrap();
    let pipeline::Stage::Fetch(key) = fetch.stage.clone() else { panic!("a fetch receipt") };
    let letter = Versioned { value: letter("{}", "r"), etag: "etag".to_owned(), read_at: None };
    let shared = DeadLetter { owed_to: vec!["splunk".into(), "second".into()], ..letter.value.clone() };
    let shared = Versioned { value: shared, ..letter.clone() };
    let way = ledger.on_their_way(Lane::Live, key.window, "us-ashburn-1", &splunk, None, deadline()).await;
    vec![
        ("positions", ledger.positions(deadline()).await.err()),
        ("scopes", ledger.scopes(deadline()).await.err()),
        ("create positions", ledger.swap_positions(&position, None, deadline()).await.err()),
        ("swap positions", ledger.swap_positions(&position, Some("etag"), deadline()).await.err()),
        ("contents", ledger.contents(deadline()).await.err()),
        ("waiting", ledger.waiting(deadline()).await.err()),
        ("side by side", ledger.side_by_side(&fetch_held, at("00:01:00"), deadline()).await.err()),
        ("on their way", way.err()),
        ("owe", ledger.owe(&stage(SHIP), &batch(&[1]), deadline()).await.err()),
        ("owe listing", ledger.owe_listing(&key, &listing(&["a"]), deadline()).await.err()),
        ("adopt listing", ledger.adopt_listing(&key, &listing(&["a"]), deadline()).await.err()),
        ("take", ledger.take(&ship, at("00:05:00"), deadline()).await.err()),
        ("give back", ledger.give_back(&ship_held, deadline()).await.err()),
        ("release", ledger.release(&ship_held, deadline()).await.err()),
        ("finish a batch", finish(ledger, &ship_held).await.err()),
        ("finish a listing", finish(ledger, &fetch_held).await.err()),
        ("owe ranges", ledger.owe_ranges(&ship_held, &["0-1".parse().unwrap()], &batch(&[1]), deadline()).await.err()),
        ("replace", ledger.replace(&ship_held, deadline()).await.err()),
        ("hush", ledger.hush(&splunk, deadline()).await.err()),
        ("relieve", ledger.relieve(&splunk, 0, deadline()).await.err()),
        ("relieve for good", ledger.relieve(&splunk, 3, deadline()).await.err()),
        ("seen", ledger.seen(key.window.from(), key.window.until(), deadline()).await.err()),
        ("fetch body", ledger.fetch_body(&fetch, deadline()).await.err()),
        ("ship body", ledger.ship_body(&ship, deadline()).await.err()),
        ("bury", ledger.bury(&letter.value, deadline()).await.err()),
        ("letters", ledger.letters(&["splunk"], None, None, deadline()).await.err()),
        ("letter", ledger.letter(&letter.value.name(), deadline()).await.err()),
        ("resolve", ledger.resolve(&letter, "splunk", deadline()).await.err()),
        ("resolve for one of two", ledger.resolve(&shared, "splunk", deadline()).await.err()),
        ("refuse again", ledger.refuse_again(&letter, "r", at("00:00:00"), deadline()).await.err()),
    ]
}

async fn all_fail(house: &House, why: &str) {
    for (what, error) in failures(&house.ledger).await {
        let error = error.unwrap_or_else(|| panic!("{what} succeeds although {why}"));
        assert!(matches!(error, ledger::Error::Bucket { .. }), "{what}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_the_service_does_not_find_is_an_error_everywhere() {
    let house = house().await;
    house.cloud.faults().inject(Fault::anywhere().bucket_not_found());
    all_fail(&house, "there is no bucket").await;
    assert_eq!(house.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_does_not_answer_is_an_error_everywhere() {
    let house = house().await;
    house.cloud.faults().inject(Fault::anywhere().cut_before());
    all_fail(&house, "nothing is answered").await;
    assert_eq!(house.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_not_found_in_passing_is_asked_again() {
    let house = house().await;
    house.put(SHIP, &batch(&[1]));
    for operation in ["RenameObject", "ListObjects", "GetObject"] {
        house.cloud.faults().inject(Fault::on(operation).times(1).bucket_not_found());
    }
    assert_eq!(house.ledger.waiting(deadline()).await.unwrap().owed.len(), 1);
    assert!(house.ledger.ship_body(&receipt(SHIP), deadline()).await.unwrap().is_some());
    house.held(&receipt(SHIP), "00:05:00").await;
}
