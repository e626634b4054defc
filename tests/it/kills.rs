//! Each function is killed before and after each of its wire calls in turn: nothing is lost.

use fn_hyper::Reply;
use jiff::SignedDuration;

use crate::{
    house::{House, house},
    wire::Moment,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    List,
    Fetch,
    Ship,
}

/// One region with three scopes and an event in each.
fn small() -> (House, Vec<String>) {
    let house = house(|plan| {
        plan.settings.plan.regions = 1;
        plan.settings.plan.compartments = 2;
    });
    let scopes = [house.root(), house.compartment(0), house.compartment(1)];
    let ids: Vec<String> = (0..3).map(|n| format!("a-{n}")).collect();
    for (scope, id) in scopes.iter().zip(&ids) {
        house.event("us-ashburn-1", scope, "00:02:00", id);
    }
    (house, ids)
}

/// Runs `call`, unless it is killed at the aimed wire call.
async fn mortal(house: &House, call: impl Future<Output = Reply>) -> Option<Reply> {
    tokio::select! {
        reply = call => Some(reply),
        () = house.killer.strike() => None,
    }
}

/// One run of the schedule with a kill in it; whether the kill happened.
async fn run(house: &House, stage: Stage, call: u64, moment: Moment) -> bool {
    let aim = |now: Stage| {
        if now == stage {
            house.killer.aim(call, moment);
        }
    };
    house.wait(SignedDuration::from_mins(5)).await;
    aim(Stage::List);
    mortal(house, house.ring()).await;
    let mut struck = stage == Stage::List && house.killer.has_struck();
    for doorbell in house.unheard(&house.audit_topic) {
        aim(Stage::Fetch);
        mortal(house, house.fetch(doorbell)).await;
        struck |= stage == Stage::Fetch && house.killer.has_struck();
    }
    for doorbell in house.unheard(&house.splunk_topic) {
        aim(Stage::Ship);
        mortal(house, house.ship(doorbell)).await;
        struck |= stage == Stage::Ship && house.killer.has_struck();
    }
    struck
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_wire_call_loses_nothing() {
    let mut kills = 0;
    for stage in [Stage::List, Stage::Fetch, Stage::Ship] {
        for call in 1.. {
            let mut struck = false;
            for moment in [Moment::Before, Moment::After] {
                let (house, ids) = small();
                struck |= run(&house, stage, call, moment).await;
                // A lease lapses, a hold ends, the sweep rings again, and all is looked at again.
                house.run_every(10, "00:45:00").await;
                let mut arrived = house.arrived_ids();
                let copies = arrived.len() - ids.len().min(arrived.len());
                arrived.dedup();
                assert_eq!(arrived, ids, "{stage:?} killed {moment:?} wire call {call}");
                // Only a ship that was killed between sending and finishing leaves copies.
                assert!(
                    copies == 0 || stage == Stage::Ship,
                    "{copies} copies: {stage:?} killed {moment:?} wire call {call}"
                );
                house.assert_idle();
            }
            if !struck {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 20, "only {kills} wire calls were met");
}
