//! One seed from its beginning to its last check.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use local_oci::{
    AddedEvent, Clock, ExpectedEvent, LifecycleState, LocalOci, TenancyPlan,
    receiver::{HecSettings, HecToken, fingerprint},
};
use pipeline::{EventHash, Positions};

use super::{
    book::{Scope, hash_of},
    deployment::{Deployment, deploy},
    dice::Dice,
    fault::{Condition, FaultKind, Violation},
    files,
    line::Line,
    mutant::Mutant,
    proof,
    redacted::is_redaction,
    scenario::{AfterSuccess, Happening, Scenario},
    tally::Tally,
    weather,
    world::{State, World},
};
use crate::{
    house::{BUCKET, House, LOGS, TOKEN, house, start},
    wire::SECOND,
};

/// By then everything must be delivered, after the last fault.
const SETTLED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// Before that nobody knows whether everything was listed: late events, the second look at them, new scopes, for which
/// Identity is asked once an hour.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(75);

/// How long a token lives in a seed that signs, and how often the platform replaces it.
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_mins(20);
const TOKEN_ROTATION: SignedDuration = SignedDuration::from_mins(10);

/// What a seed came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub tally: Tally,
    /// The hash of everything that happened.
    pub log_hash: u64,
    /// Everything that happened, where it was asked for.
    pub lines: Vec<String>,
}

/// Runs a seed on this thread.
pub fn run(scenario: Scenario, mutant: Option<Mutant>, keeps_log: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let deployment = build(scenario, mutant, keeps_log);
        drive(&deployment).await;
        settle(&deployment).await;
        let world = &deployment.world;
        let mut state = world.state();
        check(&deployment, &mut state);
        state.tally.seeds = 1;
        let throttled = deployment.house.cloud.topics().throttled();
        if throttled > 0 {
            state.tally.conditions.insert(Condition::PublishThrottled, throttled);
        }
        for name in deployment.house.objects("").into_iter().chain(deployment.house.cloud.storage().objects(LOGS)) {
            state.log(world.now(), || name);
        }
        Outcome { log_hash: state.log_hash(), lines: state.take_lines(), tally: std::mem::take(&mut state.tally) }
    })
}

fn build(scenario: Scenario, mutant: Option<Mutant>, keeps_log: bool) -> Arc<Deployment> {
    let clock = Clock::starting_at(start());
    let world = World::new(scenario, mutant, clock.clone(), keeps_log);
    let scenario = &world.scenario;
    let mut house = house(|plan| {
        plan.settings.clock = clock.clone();
        plan.settings.check_signatures = scenario.signs;
        plan.settings.audit.own_reads = scenario.own_reads;
        plan.settings.audit.page_max_events = 50;
        plan.settings.plan = TenancyPlan {
            seed: scenario.seed + 1,
            regions: scenario.regions,
            compartments: scenario.compartments,
            events: scenario.events,
            hostile: scenario.hostile,
            start: start(),
            end: scenario.calm,
            ..plan.settings.plan.clone()
        };
        plan.settings.plan.lateness.listed_late = scenario.listed_late;
        plan.partitions = scenario.partitions;
        plan.seed = scenario.seed;
        plan.signs = scenario.signs;
        let of_clock = Arc::clone(&world);
        plan.own_clock = Some(Arc::new(move || of_clock.now() + of_clock.skew(FaultKind::ContainerClockWrong)));
        let of_wire = Arc::clone(&world);
        plan.wire = Some(Box::new(move |inner| Arc::new(Line::new(inner, of_wire))));
        plan.log_files = scenario.log_files > 0;
        plan.keys.extend(keys(scenario));
    });
    let mut collectors = vec![house.splunk.clone()];
    if scenario.destinations > 1 {
        let settings = HecSettings { keep_raw: true, ..HecSettings::new(HecToken::new(TOKEN)) };
        collectors.push(house.collector(SECOND, settings));
        house.more_ships.push(house.ship_with(&[("destination", "second"), ("splunk_url", SECOND)]));
    }
    world.set_collectors(collectors);
    if scenario.signs {
        house.cloud.credentials().set_token_lifetime(TOKEN_LIFETIME);
        rotate(&house);
    }
    house.cloud.streams().configure(|streams| {
        (streams.foreign_every, streams.gap_every) = (scenario.foreign_every, scenario.gap_every);
        streams.page_max_bytes = scenario.page_max_bytes;
    });
    house.cloud.topics().configure(|topics| topics.publishes_max_per_minute = scenario.publishes_max_per_minute);
    if scenario.is_racy {
        house.cloud.storage().set_rename_gap(Some(Duration::from_millis(40)));
        world.state().tally.condition(Condition::RacyRenames);
    }
    weather::install(&world, &house.cloud);
    enter_trail(&world, &house);
    let scopes = scopes(&house.cloud);
    deploy(house, Arc::clone(&world), scopes)
}

fn keys(scenario: &Scenario) -> Vec<(String, String)> {
    let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut keys = vec![
        own("stream_encoding", if scenario.plain { "plain" } else { "packed" }),
        own("records_per_fn", &scenario.records_per_fn.to_string()),
        own("lists_at_once", &scenario.lists_at_once.to_string()),
        // An hour of kills is no poison; what is, and dies of it, is the journeys' to show.
        own("max_attempts", "100"),
    ];
    if scenario.destinations > 1 {
        keys.push(own("destination", "splunk,second"));
    }
    match scenario.after_success {
        AfterSuccess::Keep => {}
        AfterSuccess::Delete => keys.push(own("after_success", "delete")),
        AfterSuccess::Move => {
            keys.push(own("after_success", "move"));
            keys.push(own("done_prefix", files::DONE_PREFIX));
        }
    }
    keys.push(own("redact", if scenario.redacts { "on" } else { "off" }));
    keys.push(own("own_reads", if scenario.summarises { "summary" } else { "keep" }));
    keys
}

fn rotate(house: &House) {
    let function = house.cloud.tenancy().new_ocid("fnfunc", house.cloud.tenancy().home_region());
    house.cloud.credentials().rotate(&function, house.tokens()).unwrap();
}

fn scopes(cloud: &LocalOci) -> Vec<Scope> {
    let tenancy = cloud.tenancy();
    let mut compartments: Vec<String> = tenancy.compartments(start()).into_iter().map(|found| found.id).collect();
    compartments.push(tenancy.id().to_owned());
    let regions = tenancy.regions(start()).into_iter().map(|region| region.name);
    regions.flat_map(|region| compartments.iter().map(move |id| (region.clone(), id.clone()))).collect()
}

/// Enters the plan's events, chooses those that destinations refuse, and adds one that no put can hold.
fn enter_trail(world: &World, house: &House) {
    let dice = &mut Dice::new(world.scenario.seed, 3);
    let mut state = world.state();
    state.book.enter(house.cloud.audit().expected(Timestamp::MAX));
    let hashes: Vec<EventHash> = state.book.events().iter().map(|event| event.hash).collect();
    for refused in &mut state.refused {
        *refused = (0..world.scenario.refused).map(|_| dice.pick(&hashes)).collect();
    }
    let refused: Vec<EventHash> = state.files.refused().collect();
    state.refused[0].extend(refused);
    if world.scenario.oversized {
        let id = format!("oversized-{}", world.scenario.seed);
        // Base 64 of noise: a quarter is all that packing takes off.
        let noise: Vec<u8> = (0..150_000).flat_map(|_| dice.roll().to_le_bytes()).collect();
        let text = STANDARD.encode(noise);
        let at = start() + dice.seconds(600, 3600);
        let json = format!(r#"{{"eventId":"{id}","eventTime":"{at}","data":{{"message":"{text}"}}}}"#);
        let region = house.cloud.tenancy().home_region().to_owned();
        add_event(&mut state, house, &region, &house.root(), at, id, json);
        state.tally.condition(Condition::Oversized);
    }
    let late = state.book.events().iter().filter(|event| event.visible > event.processed).count() as u64;
    if late > 0 {
        state.tally.conditions.insert(Condition::ListedLate, late);
    }
}

fn add_event(
    state: &mut State,
    house: &House,
    region: &str,
    compartment: &str,
    at: Timestamp,
    id: String,
    json: String,
) {
    let bytes = Bytes::from(json);
    let print = fingerprint(&bytes);
    house.cloud.audit().add(region, compartment, AddedEvent { bytes, processed: at, visible_from: at });
    state.book.enter([ExpectedEvent {
        id,
        region: region.to_owned(),
        compartment: compartment.to_owned(),
        processed: at,
        visible_from: at,
        fingerprint: Some(print),
        is_own_read: false,
    }]);
}

/// What comes up at some time.
#[derive(Debug)]
enum Act {
    Ring,
    Happen(Happening),
    PutPositionsBack(Bytes),
    Rotate,
    ReplaceToken,
    PutFile(usize),
    Delete(String),
    Show(String),
}

/// Rings the schedule until the calm, and lets happen what the scenario wants.
async fn drive(deployment: &Arc<Deployment>) {
    let (world, house) = (&deployment.world, &deployment.house);
    let scenario = &world.scenario;
    let dice = &mut Dice::new(scenario.seed, 4);
    let mut agenda: BTreeMap<(Timestamp, u32), Act> = BTreeMap::new();
    let mut number = 0;
    let mut plan = |agenda: &mut BTreeMap<_, _>, at: Timestamp, act: Act| {
        number += 1;
        agenda.insert((at, number), act);
    };
    plan(&mut agenda, start() + dice.seconds(60, 240), Act::Ring);
    for (at, happening) in &scenario.happenings {
        plan(&mut agenda, *at, Act::Happen(happening.clone()));
    }
    for (number, file) in world.state().files.iter().enumerate() {
        plan(&mut agenda, file.at, Act::PutFile(number));
    }
    if scenario.signs {
        plan(&mut agenda, start() + TOKEN_ROTATION, Act::Rotate);
    }
    while let Some(((at, _), act)) = agenda.pop_first() {
        let now = world.now();
        if at >= scenario.calm && now >= scenario.calm {
            finish(deployment, act);
            continue;
        }
        if at > now {
            house.wait(at.duration_since(now)).await;
        }
        match act {
            Act::Ring => {
                if scenario.rings_at(world.now()) {
                    ring(deployment, dice).await;
                }
                let jitter = dice.seconds(0, 20);
                let next = (at + scenario.interval + jitter).max(world.now());
                if next < scenario.calm {
                    plan(&mut agenda, next, Act::Ring);
                }
            }
            Act::Rotate => {
                if !world.state().token_stays {
                    rotate(house);
                }
                if at < scenario.calm {
                    plan(&mut agenda, at + TOKEN_ROTATION, Act::Rotate);
                }
            }
            Act::Happen(Happening::PositionsDeleted(until)) => {
                if let Some(bytes) = house.cloud.storage().get(BUCKET, "positions.json") {
                    house.cloud.storage().delete(BUCKET, "positions.json");
                    let mut state = world.state();
                    state.positions_missing = Some(at);
                    state.tally.fault(FaultKind::PositionsDeleted);
                    plan(&mut agenda, until, Act::PutPositionsBack(bytes));
                }
            }
            Act::Happen(Happening::TokenStays(until)) => {
                world.state().token_stays = true;
                plan(&mut agenda, until, Act::ReplaceToken);
            }
            Act::Happen(Happening::CompartmentDeleted(events)) => {
                let life = SignedDuration::from_mins(dice.between(5, 120) as i64);
                let end = (at + life).min(scenario.calm);
                let id = make_compartment(deployment, dice, events, end);
                plan(&mut agenda, end, Act::Delete(id));
            }
            Act::Happen(Happening::CompartmentMade(events)) => {
                make_compartment(deployment, dice, events, scenario.calm);
            }
            Act::Happen(Happening::RegionSubscribed(events)) => subscribe(deployment, dice, events),
            Act::Happen(Happening::CompartmentHidden(until)) => {
                let tenancy = house.cloud.tenancy();
                let id = dice.pick(&tenancy.compartments(start())).id;
                tenancy.set_accessible(&id, false);
                world.state().tally.condition(Condition::CompartmentHidden);
                plan(&mut agenda, until, Act::Show(id));
            }
            Act::Happen(happening) => happen(deployment, &happening),
            Act::PutPositionsBack(_) | Act::ReplaceToken | Act::PutFile(_) | Act::Delete(_) | Act::Show(_) => {
                finish(deployment, act);
            }
        }
    }
    let now = world.now();
    if now < scenario.calm {
        house.wait(scenario.calm.duration_since(now)).await;
    }
}

/// What must be done sooner or later, the calm notwithstanding.
fn finish(deployment: &Deployment, act: Act) {
    let (world, house) = (&deployment.world, &deployment.house);
    match act {
        Act::PutPositionsBack(bytes) => {
            house.cloud.storage().put(BUCKET, "positions.json", bytes);
            let mut state = world.state();
            state.positions_missing = None;
            state.last_fault = world.now();
        }
        Act::ReplaceToken => {
            world.state().token_stays = false;
            rotate(house);
        }
        Act::Delete(id) => {
            let now = world.now();
            house.cloud.tenancy().set_state(&id, LifecycleState::Deleting, now);
            house.cloud.tenancy().set_state(&id, LifecycleState::Deleted, now + SignedDuration::from_mins(5));
            let mut state = world.state();
            state.tally.condition(Condition::CompartmentDeleted);
            state.deleted.push(id);
        }
        Act::PutFile(number) => files::put(world, &house.cloud, number),
        Act::Show(id) => house.cloud.tenancy().set_accessible(&id, true),
        Act::Ring | Act::Happen(_) | Act::Rotate => {}
    }
}

fn happen(deployment: &Deployment, happening: &Happening) {
    let (world, house) = (&deployment.world, &deployment.house);
    let stream = |events: bool| if events { &house.event_stream } else { &house.work_stream };
    let mut state = world.state();
    match happening {
        Happening::StreamTrimmed { events } => {
            for partition in 0..world.scenario.partitions {
                house.cloud.streams().trim(stream(*events), partition, u64::MAX);
            }
            state.tally.fault(FaultKind::StreamTrimmed);
        }
        Happening::StreamRecreated { events } => {
            house.cloud.streams().recreate(stream(*events));
            state.tally.fault(FaultKind::StreamRecreated);
        }
        Happening::ScheduleStops(_) => state.tally.condition(Condition::ScheduleOutage),
        Happening::PositionsDeleted(_)
        | Happening::CompartmentMade(_)
        | Happening::CompartmentDeleted(_)
        | Happening::CompartmentHidden(_)
        | Happening::RegionSubscribed(_)
        | Happening::TokenStays(_) => {}
    }
}

/// Subscribes to a region now, which is ready ten minutes later and has events in its root from then on.
fn subscribe(deployment: &Deployment, dice: &mut Dice, events: u32) {
    const REGION: &str = "eu-madrid-1";
    let (world, house) = (&deployment.world, &deployment.house);
    let now = world.now();
    let ready = now + SignedDuration::from_mins(10);
    house.cloud.tenancy().subscribe(REGION, now, ready);
    let mut state = world.state();
    state.tally.condition(Condition::RegionSubscribed);
    let life = world.scenario.calm.duration_since(ready).as_secs().max(1) as u64;
    for event in 0..events {
        let at = ready + dice.seconds(1, life + 1);
        let name = format!("madrid-{event}");
        let json = format!(r#"{{"eventId":"{name}","eventTime":"{at}","data":{{"n":{event}.0}}}}"#);
        add_event(&mut state, house, REGION, &house.root(), at, name, json);
    }
}

/// Makes a compartment now, with events until `end`; its OCID.
fn make_compartment(deployment: &Deployment, dice: &mut Dice, events: u32, end: Timestamp) -> String {
    let (world, house) = (&deployment.world, &deployment.house);
    let now = world.now();
    let tenancy = house.cloud.tenancy();
    let mut state = world.state();
    state.tally.condition(Condition::CompartmentMade);
    let id = tenancy.add_compartment("made", tenancy.id(), now);
    let regions: Vec<String> = tenancy.regions(now).into_iter().map(|region| region.name).collect();
    let life = end.duration_since(now).as_secs().max(1) as u64;
    for event in 0..events {
        let at = now + dice.seconds(1, life + 1);
        let name = format!("made-{}-{event}", id.chars().rev().take(12).collect::<String>());
        let json = format!(r#"{{"eventId":"{name}","eventTime":"{at}","data":{{"n":{event}.0}}}}"#);
        add_event(&mut state, house, &dice.pick(&regions), &id, at, name, json);
    }
    id
}

/// One ring of the schedule, or several at once.
async fn ring(deployment: &Deployment, dice: &mut Dice) {
    let most = deployment.world.scenario.rings_at_once as u64;
    let places = if most > 1 && dice.chance(0.3) { dice.between(2, most + 1) } else { 1 };
    if places > 1 {
        deployment.world.state().tally.condition(Condition::RingsAtOnce);
    }
    let cloud = &deployment.house.cloud;
    let rings = (0..places).map(|_| {
        let request = http::Request::get("http://gateway.local/gateway/regions/listregions");
        cloud.handle(request.header("x-siem-tick", "open sesame").body(Bytes::new()).unwrap())
    });
    join_all(rings).await;
}

/// Rings on without faults until everything is at rest, or two hours are over.
async fn settle(deployment: &Arc<Deployment>) {
    let (world, house) = (&deployment.world, &deployment.house);
    house.cloud.faults().clear();
    for collector in world.collectors() {
        collector.clear_faults();
    }
    let calm = world.now();
    let dice = &mut Dice::new(world.scenario.seed, 5);
    let pace = world.scenario.interval.min(SignedDuration::from_mins(5));
    if world.scenario.signs {
        world.state().token_stays = false;
        house.cloud.credentials().set_token_lifetime(SignedDuration::from_hours(24));
        rotate(house);
    }
    while world.now().duration_since(calm) < SETTLED_WITHIN {
        ring(deployment, dice).await;
        house.wait(pace).await;
        let is_late = world.now().duration_since(calm) >= SETTLED_AFTER;
        if is_late && house.cloud.topics().pending() == 0 && house.cloud.events().pending() == 0 && is_idle(house) {
            // What is still on its way comes within a second.
            tokio::time::sleep(Duration::from_secs(1)).await;
            if is_idle(house) {
                return;
            }
        }
    }
}

fn is_idle(house: &House) -> bool {
    house.objects("owed/").is_empty() && house.objects("held/").is_empty()
}

/// The last account.
fn check(deployment: &Deployment, state: &mut State) {
    let (world, house) = (&deployment.world, &deployment.house);
    proof::check(world, house, state);
    files::check(world, &house.cloud, state);
    for folder in ["owed/", "held/"] {
        for name in house.objects(folder) {
            state.tally.violation(Violation::StillOwed, || name);
        }
    }
    let positions = house.cloud.storage().get(BUCKET, "positions.json").unwrap_or_default();
    let positions: Option<Positions> = serde_json::from_slice(&positions).ok();
    let planned_until = positions.map_or(start(), |positions| positions.planned_until.start());
    let dead = state.book.dead(&house.cloud);
    let oversized = world.scenario.oversized.then(|| hash_of(&format!("oversized-{}", world.scenario.seed)));
    let own = |event: &ExpectedEvent| state.book.event(hash_of(&event.id)).is_none();
    // Our own reads go on to the end; what was read after the last window is nobody's yet.
    let expected: Vec<ExpectedEvent> = (house.cloud.audit().expected(Timestamp::MAX))
        .filter(|event| {
            let is_listed = event.processed < planned_until && !state.deleted.contains(&event.compartment);
            !own(event) || is_listed
        })
        .collect();
    let known: BTreeMap<EventHash, &ExpectedEvent> = expected.iter().map(|event| (hash_of(&event.id), event)).collect();
    for (place, destination) in world.destinations.iter().enumerate() {
        let refused = state.refused[place].clone();
        let summarised = proof::summarised(house, destination);
        for (hash, event) in &known {
            state.tally.events += 1;
            let is_dead = dead.iter().any(|(whose, dead)| dead == hash && (whose == destination || whose == "fetch"));
            let is_delivered = state.book.is_delivered(place, *hash) || summarised.contains(hash);
            if (refused.contains(hash) || oversized == Some(*hash)) && !is_dead {
                state.tally.violation(Violation::DeadMissing, || format!("{} at {destination}", event.id));
            } else if !is_delivered && !is_dead {
                state.tally.violation(Violation::Lost, || {
                    let ExpectedEvent { id, region, compartment, processed, visible_from, .. } = event;
                    format!("{id} of {compartment} in {region}, processed {processed}, listed {visible_from}, at {destination}")
                });
            }
        }
        let mut sums: BTreeMap<EventHash, u64> = BTreeMap::new();
        for arrival in state.book.arrivals[place].clone() {
            match known.get(&arrival.hash) {
                Some(event) => {
                    let raw = || world.collectors()[place].raw(arrival.index).unwrap_or_default();
                    let is_whole = if oversized == Some(arrival.hash) {
                        proof::is_reduced(house, &raw())
                    } else if world.scenario.redacts {
                        is_redaction(&house.cloud.audit().event(&event.id).unwrap_or_default(), &raw())
                    } else {
                        event.fingerprint == Some(arrival.fingerprint)
                    };
                    if !is_whole {
                        let listed = house.cloud.audit().event(&event.id).unwrap_or_default();
                        state.tally.violation(Violation::Altered, || {
                            format!("{} at {destination}: {}", event.id, difference(&listed, &raw()))
                        });
                    }
                }
                None if place == 0 && state.files.knows(arrival.hash) => {}
                None => {
                    let raw = world.collectors()[place].raw(arrival.index).unwrap_or_default();
                    if let Some(count) = proof::counted(&raw) {
                        sums.insert(arrival.hash, count);
                    } else if is_foreign(&house.cloud, &raw) {
                        let text = String::from_utf8_lossy(&raw).into_owned();
                        state.tally.violation(Violation::Invented, || text);
                    }
                }
            }
        }
        let sum: u64 = sums.values().sum();
        if sum < summarised.len() as u64 {
            let count = summarised.len();
            state
                .tally
                .violation(Violation::Lost, || format!("summaries at {destination} count {sum} of {count} own reads"));
        }
        for (hash, copies, unexplained) in state.book.copies(place) {
            state.tally.duplicates += u64::from(copies);
            if unexplained > 0 && !world.scenario.is_racy {
                let id = known.get(&hash).map_or_else(String::new, |event| event.id.clone());
                state.tally.violation(Violation::Duplicated, || {
                    format!("{id} ({hash:016x}) came {} times to {destination}", copies + 1)
                });
            }
        }
        for (whose, hash) in &dead {
            let expected = match whose.as_str() {
                "fetch" => oversized == Some(*hash),
                whose if whose == destination => refused.contains(hash),
                other => world.destinations.iter().any(|destination| destination == other),
            };
            if !expected {
                state.tally.violation(Violation::DeadUnexpected, || format!("{hash:016x} at {whose}"));
            }
        }
    }
}

/// Where two texts begin to differ.
fn difference(listed: &[u8], arrived: &[u8]) -> String {
    let same = listed.iter().zip(arrived).take_while(|(left, right)| left == right).count();
    let excerpt = |text: &[u8]| {
        let from = same.saturating_sub(60);
        String::from_utf8_lossy(text.get(from..text.len().min(same + 1200)).unwrap_or_default()).into_owned()
    };
    format!("listed {} arrived {}", excerpt(listed), excerpt(arrived))
}

/// Whether an arrival is in no trail: neither planned nor a read of ours.
fn is_foreign(cloud: &LocalOci, raw: &[u8]) -> bool {
    let event: serde_json::Value = serde_json::from_slice(raw).unwrap_or_default();
    let id = event["eventId"].as_str().unwrap_or_default();
    cloud.audit().event(id).is_none()
}
