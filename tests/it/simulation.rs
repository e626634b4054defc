//! The simulation itself is the same run each time. What it finds, and that it finds it, is `scripts/simulate`'s to show.

use jiff::SignedDuration;
use journeys::simulation::{run::run, scenario::Scenario};

/// A small one: this is built without optimisation.
fn hash(seed: u64) -> u64 {
    let interval = SignedDuration::from_mins(20);
    let small = Scenario { events: 60, own_reads: false, compartments: 1, interval, ..Scenario::draw(seed) };
    run(small, None, false).log_hash
}

#[test]
fn a_seed_is_the_same_run_byte_for_byte_and_another_seed_another() {
    let one = hash(4);
    assert_eq!(one, hash(4));
    assert_ne!(one, hash(6));
}
