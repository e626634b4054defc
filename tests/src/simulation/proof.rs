//! What the ledger proved of itself, held against what arrived.

use std::collections::{BTreeMap, HashSet};

use jiff::SignedDuration;
use pipeline::{EventHash, Minute, Proof, Receipt, Seen, ShipBody};

use super::{
    fault::Violation,
    world::{State, World},
};
use crate::house::{BUCKET, House, start};

/// By then a window must be proven: second looks, the hour that windows are proven together, and two runs.
const PROVEN_WITHIN: SignedDuration = SignedDuration::from_mins(110);

/// Holds each line of `proof/` to the others and all of them to what arrived.
pub(super) fn check(world: &World, house: &House, state: &mut State) {
    let mut lines: BTreeMap<Minute, Proof> = BTreeMap::new();
    for name in house.objects("proof/") {
        let body = house.cloud.storage().get(BUCKET, &name).unwrap_or_default();
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(proof) = serde_json::from_slice::<Proof>(line) else {
                state.tally.violation(Violation::ProofGap, || format!("{name} holds a line that is none"));
                continue;
            };
            for gap in &proof.gaps {
                state.tally.violation(Violation::ProofGap, || format!("{} to {}: {gap}", proof.from, proof.until));
            }
            match lines.insert(proof.from, proof.clone()) {
                Some(other) if other != proof => {
                    state.tally.violation(Violation::ProofGap, || format!("{} is proven in two ways", proof.from));
                }
                _ => {}
            }
        }
    }
    let mut until = Minute::floor(start());
    for proof in lines.values() {
        if proof.from != until {
            state.tally.violation(Violation::ProofGap, || format!("nothing proves {until} to {}", proof.from));
        }
        until = proof.until;
    }
    let due = world.now() - PROVEN_WITHIN;
    if until.start() < due && state.positions_missing.is_none() {
        state.tally.violation(Violation::ProofGap, || format!("nothing proves {until} to {due}"));
    }
    for (place, destination) in world.destinations.iter().enumerate() {
        let proven: u64 = lines
            .values()
            .flat_map(|proof| &proof.destinations)
            .filter(|(name, _)| name.as_str() == destination)
            .map(|(_, fate)| fate.sent + fate.dead)
            .sum();
        // A window's first look may end a little after its last: what lies well before is in it, and nothing is twice.
        let well_before = until.start() - SignedDuration::from_hours(3);
        let events: HashSet<EventHash> = (state.book.events().iter())
            .filter(|event| event.processed < well_before && event.visible < well_before)
            .map(|event| event.hash)
            .collect();
        let arrived: HashSet<EventHash> = state.book.arrivals[place].iter().map(|arrival| arrival.hash).collect();
        let least = events.intersection(&arrived).count() as u64;
        if proven < least {
            state.tally.violation(Violation::ProofGap, || {
                format!("{least} events arrived at {destination}, and {proven} are proven")
            });
        }
    }
}

/// The events that summaries stand for, of those that a destination was sent.
pub(super) fn summarised(house: &House, destination: &str) -> HashSet<EventHash> {
    let mut summarised = HashSet::new();
    for name in house.objects("") {
        let whose = match name.parse::<Seen>() {
            Ok(Seen::Shipped(whose, ..)) => whose,
            _ => match name.parse::<Receipt>().map(|receipt| receipt.stage) {
                Ok(pipeline::Stage::Ship(whose, _)) => whose,
                _ => continue,
            },
        };
        let body = house.cloud.storage().get(BUCKET, &name).unwrap_or_default();
        if let Ok(body) = serde_json::from_slice::<ShipBody>(&body)
            && whose.as_str() == destination
        {
            summarised.extend(body.summarised);
        }
    }
    summarised
}

/// How many events a summary says that it stands for; `None` for what is no summary.
pub(super) fn counted(raw: &[u8]) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_slice(raw).ok()?;
    (event["eventType"] == "siem.pipeline.OwnReads").then(|| event["data"]["count"].as_u64())?
}

/// Whether a record is the reduced form of one that lies whole in the bucket, under the hash that the form names.
pub(super) fn is_reduced(house: &House, raw: &[u8]) -> bool {
    let event: serde_json::Value = serde_json::from_slice(raw).unwrap_or_default();
    let object = event["pipeline"]["object"].as_str().unwrap_or_default();
    let letter = house.cloud.storage().get(BUCKET, object).unwrap_or_default();
    let letter: serde_json::Value = serde_json::from_slice(&letter).unwrap_or_default();
    event["truncated"] == true && letter["sha256"].is_string() && letter["sha256"] == event["pipeline"]["sha256"]
}
