//! An object store in which two renames of one source both succeed: the price is a duplicate, never a loss.

use std::time::Duration;

use ledger::Taken;
use pipeline::FileTally;

use crate::house::{House, at, batch, deadline, finish, house, receipt};

const SHIP: &str = "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0";
const SEEN: &str = "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff~3~0";
const ACCOUNT: &str = "seen/20260105T2120Z-20260105T2125Z/fetch/1.us-ashburn-1.0~3.0.0.0.0~splunk.3.0";
const FETCH: &str = "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~0";

async fn gap() -> House {
    let house = house().await;
    house.cloud.storage().set_rename_gap(Some(Duration::from_millis(50)));
    house
}

#[tokio::test(start_paused = true)]
async fn two_that_both_win_a_receipt_end_in_one_place() {
    for (name, second_until, expected) in
        [(SHIP, "00:06:00", vec![SEEN]), (SHIP, "00:05:00", vec![SEEN]), (FETCH, "00:06:00", vec![ACCOUNT])]
    {
        let house = gap().await;
        house.put(name, &batch(&[1]));
        let (owed, ledger) = (receipt(name), &house.ledger);
        let (one, other) = tokio::join!(
            ledger.take(&owed, at("00:05:00"), deadline()),
            ledger.take(&owed, at(second_until), deadline())
        );
        let (Taken::Held(one), Taken::Held(other)) = (one.unwrap(), other.unwrap()) else {
            panic!("the gap lets both win");
        };
        assert!(house.names().iter().all(|name| name.starts_with("held/")) && !house.names().is_empty());
        let (one, other) = tokio::join!(finish(ledger, &one), finish(ledger, &other));
        one.unwrap();
        other.unwrap();
        assert_eq!(house.names(), expected, "{name}, the second until {second_until}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_that_both_win_one_may_give_back_and_the_work_is_not_lost() {
    let house = gap().await;
    house.put(SHIP, &batch(&[1]));
    let (owed, ledger) = (receipt(SHIP), &house.ledger);
    let (one, other) =
        tokio::join!(ledger.take(&owed, at("00:05:00"), deadline()), ledger.take(&owed, at("00:06:00"), deadline()));
    let (Taken::Held(one), Taken::Held(other)) = (one.unwrap(), other.unwrap()) else { panic!("both win") };
    ledger.give_back(&one, deadline()).await.unwrap();
    ledger.give_back(&other, deadline()).await.unwrap();
    // Once or twice, but owed; twice is a copy at worst.
    let names = house.names();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("owed/ship/splunk/")), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_meets_the_sweep_leaves_the_work_seen_or_owed_and_never_nowhere() {
    for (name, lead) in [SHIP, FETCH].into_iter().flat_map(|name| [0, 20, 40, 60].map(|lead| (name, lead))) {
        for finishes_first in [true, false] {
            let house = gap().await;
            house.put(name, &batch(&[1]));
            let held = house.held(&receipt(name), "00:05:00").await;
            let wait = |waits: bool| tokio::time::sleep(Duration::from_millis(if waits { lead } else { 0 }));
            let (finished, released) = tokio::join!(
                async {
                    wait(!finishes_first).await;
                    finish(&house.ledger, &held).await
                },
                async {
                    wait(finishes_first).await;
                    house.ledger.release(&held, deadline()).await
                }
            );
            finished.unwrap();
            released.unwrap();
            let names = house.names();
            assert!(!names.iter().any(|name| name.starts_with("held/")), "{names:?}");
            assert!(!names.is_empty(), "{name} is lost, {lead} ms apart");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_done_only_for_whoever_s_end_is_written() {
    let house = house().await;
    let name = "owed/object/splunk/b27328c2d598fc9c1593e0294ca930bd-e1~0";
    house.put(name, &serde_json::json!({}));
    let (owed, ledger) = (receipt(name), &house.ledger);
    let tally = FileTally { sent: 3, dead: 0, filtered: 0 };
    let held = house.held(&owed, "00:05:00").await;
    // Somebody else gives it back meanwhile: it waits, and the file must stay where it is.
    ledger.give_back(&held, deadline()).await.unwrap();
    assert!(!ledger.finish_object(&held, tally, deadline()).await.unwrap());
    assert_eq!(house.names(), [name]);
    let held = house.held(&owed, "00:06:00").await;
    // The second time stands for an answer that was lost.
    for _ in 0..2 {
        assert!(ledger.finish_object(&held, tally, deadline()).await.unwrap());
        assert_eq!(house.names(), ["seen/object/splunk/b27328c2d598fc9c1593e0294ca930bd-e1~3~0~0"]);
    }
}
