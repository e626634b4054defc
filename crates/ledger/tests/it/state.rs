//! Positions and scopes: compare-and-set, with answers that get lost.

use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use ledger::{Contents, Swapped};
use local_oci::Fault;
use pipeline::{Minute, Positions, Scopes};

use crate::house::{BUCKET, at, deadline, house};

fn position(time: &str) -> Positions {
    Positions::starting_at(Minute::floor(at(time)))
}

fn written(swapped: Swapped) -> String {
    match swapped {
        Swapped::Written(etag) => etag,
        Swapped::Lost => panic!("the race was lost"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_is_created_once_and_changed_only_by_who_read_it_last() {
    let house = house().await;
    let ledger = &house.ledger;
    assert!(ledger.positions(deadline()).await.unwrap().is_none());
    let first = written(ledger.swap_positions(&position("10:00:00"), None, deadline()).await.unwrap());
    assert_eq!(ledger.swap_positions(&position("11:00:00"), None, deadline()).await.unwrap(), Swapped::Lost);
    let second = written(ledger.swap_positions(&position("12:00:00"), Some(&first), deadline()).await.unwrap());
    assert_eq!(ledger.swap_positions(&position("13:00:00"), Some(&first), deadline()).await.unwrap(), Swapped::Lost);
    let read = ledger.positions(deadline()).await.unwrap().unwrap();
    assert_eq!((read.value, read.etag), (position("12:00:00"), second.clone()));
    let read_at = read.read_at.unwrap();
    assert!(read_at >= at("00:00:00") && read_at < at("00:01:00"), "the service's time: {read_at}");
    // What somebody removed is not written over nothing.
    house.cloud.storage().delete(BUCKET, "positions.json");
    assert_eq!(ledger.swap_positions(&position("14:00:00"), Some(&second), deadline()).await.unwrap(), Swapped::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_swap_whose_answer_was_lost_is_known_for_ours() {
    let house = house().await;
    let ledger = &house.ledger;
    let lost = house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    let first = written(ledger.swap_positions(&position("10:00:00"), None, deadline()).await.unwrap());
    assert_eq!(house.cloud.faults().fired(lost), 1);
    house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    let second = written(ledger.swap_positions(&position("11:00:00"), Some(&first), deadline()).await.unwrap());
    // The version that it tells is the one that lies there.
    written(ledger.swap_positions(&position("12:00:00"), Some(&second), deadline()).await.unwrap());
    assert_eq!(ledger.positions(deadline()).await.unwrap().unwrap().value, position("12:00:00"));
    let scopes = Scopes::first(Timestamp::UNIX_EPOCH, &["us-ashburn-1".parse().unwrap()], &[]);
    house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    let etag = written(ledger.swap_scopes(&scopes, None, deadline()).await.unwrap());
    let read = ledger.scopes(deadline()).await.unwrap().unwrap();
    assert_eq!((read.value, read.etag), (scopes, etag));
}

#[tokio::test(start_paused = true)]
async fn a_swap_whose_answer_was_lost_and_that_another_wrote_over_is_lost() {
    for removed in [false, true] {
        let house = house().await;
        let first = house.ledger.swap_positions(&position("10:00:00"), None, deadline()).await.unwrap();
        let first = written(first);
        // Ours takes effect unheard; then another writes, or removes it; then the repeat comes.
        house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
        let other = serde_json::to_vec(&position("20:00:00")).unwrap();
        let puts = AtomicU32::new(0);
        let cloud = house.cloud.clone();
        house.cloud.faults().inject(Fault::on("PutObject").when(move |_, _| {
            if puts.fetch_add(1, Ordering::Relaxed) == 1 {
                if removed {
                    cloud.storage().delete(BUCKET, "positions.json");
                } else {
                    cloud.storage().put(BUCKET, "positions.json", other.clone());
                }
            }
            false
        }));
        let swapped = house.ledger.swap_positions(&position("11:00:00"), Some(&first), deadline()).await;
        if removed {
            // Nobody can say any more; what matters is that it is no success.
            assert!(!matches!(swapped, Ok(Swapped::Written(_))), "{swapped:?}");
        } else {
            assert_eq!(swapped.unwrap(), Swapped::Lost);
            let there = house.ledger.positions(deadline()).await.unwrap().unwrap().value;
            assert_eq!(there, position("20:00:00"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_object_that_holds_something_else_is_an_error_that_names_it() {
    let house = house().await;
    for (name, body) in [("positions.json", "{}"), ("scopes.json", "not json")] {
        house.cloud.storage().put(BUCKET, name, body);
    }
    let errors = [
        house.ledger.positions(deadline()).await.map(|_| ()).unwrap_err().to_string(),
        house.ledger.scopes(deadline()).await.map(|_| ()).unwrap_err().to_string(),
    ];
    assert!(errors[0].contains("positions.json") && errors[1].contains("scopes.json"), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn contents_tell_a_ledger_from_foreign_objects_and_from_nothing() {
    let (nothing, ledger, foreign) = (Contents::default(), (true, false), (false, true));
    let of = |(ledger, foreign)| Contents { ledger, foreign };
    for (names, expected) in [
        (&[][..], nothing),
        (&["positions.json"], nothing),
        (&["owed/fetch/x"], of(ledger)),
        (&["held/ship/splunk/x"], of(ledger)),
        (&["seen/20260105T0000Z-20260105T0005Z/fetch/x"], of(ledger)),
        (&["proof/2026-01-05/x"], of(ledger)),
        (&["dead/2026-01-05/splunk/x"], of(ledger)),
        (&["scopes.json"], of(ledger)),
        (&["holiday.jpg"], of(foreign)),
        (&["positions.json", "owed-by-uncle.txt"], of(foreign)),
        (&["a", "zz", "seen/2026/x"], of((true, true))),
        // Log files have no position, and may be there before it is.
        (
            &["owed/object/splunk/x", "seen/object/splunk/x", "kept/object/x", "hush/splunk~0", "search/splunk/logs"],
            nothing,
        ),
        (&["dead/2026-01-05/splunk/object.x.000000001"], nothing),
    ] {
        let house = house().await;
        for name in names {
            house.cloud.storage().put(BUCKET, name, "x");
        }
        assert_eq!(house.ledger.contents(deadline()).await.unwrap(), expected, "{names:?}");
    }
}
