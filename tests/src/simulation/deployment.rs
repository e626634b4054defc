//! The functions as they are deployed, behind topics and gateway; each call may be killed, and each answer is checked.

use std::sync::{Arc, Weak};

use fn_hyper::Reply;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use local_oci::{
    Backend, BackendDied, FnRequest, FnResponse, FunctionBackend, FunctionSpec, Redelivery, RuleAction, RuleSpec,
};
use pipeline::{Doorbell, Positions};

use super::{
    call::{CALL, CallState, Stage},
    fault::{Condition, FaultKind, Recovery, Violation},
    world::World,
};
use crate::{
    contract::{invocation, response},
    house::{BUCKET, House, LOGS, start},
    wire::Moment,
};

/// Who has written nothing down by then has tried as long as he could.
const LAST_MOMENTS: std::time::Duration = std::time::Duration::from_secs(30);

/// The most wire calls after which a kill comes.
const KILL_MAX: u64 = 40;

/// A house, deployed.
pub struct Deployment {
    /// The functions and everything around them.
    pub house: House,
    /// What its seed is about.
    pub world: Arc<World>,
    /// Scopes that are there from the beginning to the end.
    pub scopes: Vec<super::book::Scope>,
}

/// A library handler in a container's place.
struct Container {
    deployment: Weak<Deployment>,
    stage: Stage,
}

impl FunctionBackend for Container {
    fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
        let (deployment, stage) = (self.deployment.upgrade(), self.stage);
        Box::pin(async move { deployment.ok_or(BackendDied)?.call(stage, request).await })
    }
}

/// Deploys a house: subscribes its functions and opens the gateway.
pub fn deploy(house: House, world: Arc<World>, scopes: Vec<super::book::Scope>) -> Arc<Deployment> {
    let deployment = Arc::new(Deployment { house, world, scopes });
    let scenario = &deployment.world.scenario;
    let cloud = &deployment.house.cloud;
    let create = |name: &str, stage: Stage, timeout_secs: u32| {
        let container = Container { deployment: Arc::downgrade(&deployment), stage };
        let backend = Backend::InProcess(Arc::new(container));
        cloud.functions().create(FunctionSpec { timeout_secs, ..FunctionSpec::new(name, backend) }).unwrap()
    };
    let list = create("list-regions-compartments", Stage::List, 60);
    let fetch = create("fetch-audit-events", Stage::Fetch, scenario.timeout_secs);
    cloud.topics().subscribe(&deployment.house.audit_topic, &fetch);
    for (place, name) in ["ship-to-siem", "ship-to-second"].into_iter().take(scenario.destinations).enumerate() {
        let ship = create(name, Stage::Ship(place), scenario.timeout_secs);
        cloud.topics().subscribe(&deployment.house.splunk_topic, &ship);
    }
    if let Some(topic) = &deployment.house.object_topic {
        let decode = create("decode-bucket-gzip", Stage::Decode, scenario.decode_timeout_secs);
        cloud.topics().subscribe(topic, &decode);
        let condition = serde_json::json!({
            "eventType": ["com.oraclecloud.objectstorage.createobject", "com.oraclecloud.objectstorage.updateobject"],
            "data": { "additionalDetails": { "bucketName": LOGS } },
        });
        let rule = RuleSpec::new("log-files", &condition.to_string()).with(RuleAction::Faas(decode));
        cloud.events().create_rule(rule).unwrap();
        cloud.events().configure(|events| events.redelivery = Redelivery::OnFunctionError(scenario.repeats));
        cloud.storage().set_object_events(LOGS, true);
    }
    cloud.gateway().route("/regions/listregions", &list);
    cloud.topics().configure(|topics| topics.redelivery = Redelivery::OnFunctionError(scenario.repeats));
    deployment
}

impl Deployment {
    async fn call(&self, stage: Stage, request: FnRequest) -> Result<FnResponse, BackendDied> {
        let invocation = invocation(&request);
        let is_route = matches!(invocation.intent, fn_hyper::Intent::HttpRequest(_));
        let deadline = invocation.deadline;
        let began = self.world.now();
        let call = Arc::new(CallState::new(stage, began, self.aim(began)));
        let rung = self.rung(stage, &request.body);
        let body = request.body.clone();
        let mut end = End { world: &self.world, call: &call, deadline, is_success: None, was_killed: false };
        let work = CALL.scope(Arc::clone(&call), async {
            match stage {
                Stage::List => list_regions_compartments::handle(&self.house.list, invocation).await,
                Stage::Fetch => fetch_audit_events::handle(&self.house.fetch, invocation).await,
                Stage::Ship(0) => ship_to_siem::handle(&self.house.ship, invocation).await,
                Stage::Ship(place) => ship_to_siem::handle(&self.house.more_ships[place - 1], invocation).await,
                Stage::Decode => decode_bucket_gzip::handle(&self.house.decode, invocation).await,
            }
        });
        let reply = tokio::select! {
            biased;
            () = call.struck.notified() => None,
            reply = tokio::time::timeout_at(deadline, work) => Some(reply),
        };
        let reply = match reply {
            None => {
                (end.is_success, end.was_killed) = (Some(false), true);
                return Err(BackendDied);
            }
            // The contract's server answers so at its deadline.
            Some(Err(_)) => {
                self.world.state().tally.condition(Condition::CallTimedOut);
                Reply::timeout()
            }
            Some(Ok(reply)) => reply,
        };
        end.is_success = Some(reply.is_success());
        drop(end);
        self.answered(&call, (&body, &rung), &reply);
        Ok(response(&reply, is_route))
    }

    /// Where this call is killed, if it is.
    fn aim(&self, now: Timestamp) -> Option<(u64, Moment)> {
        let world = &self.world;
        let mut spells = world.scenario.kills.iter();
        let spell = spells.find(|kills| (kills.from..kills.until).contains(&now))?;
        let mut state = world.state();
        let dice = state.dice();
        if !dice.chance(spell.chance) {
            return None;
        }
        // Most calls make few wire calls.
        let last = dice.between(2, KILL_MAX);
        let number = dice.between(1, last + 1);
        Some((number, if dice.chance(0.5) { Moment::Before } else { Moment::After }))
    }

    /// The receipts that a doorbell names, and which of them are owed at this moment.
    fn rung(&self, stage: Stage, body: &[u8]) -> Vec<(String, bool)> {
        if stage == Stage::List {
            return Vec::new();
        }
        // One that is none is the handler's to refuse.
        let Ok(doorbell) = Doorbell::parse(body) else { return Vec::new() };
        let storage = self.house.cloud.storage();
        let names = doorbell.pointers.into_iter().map(|pointer| pointer.receipt.to_string());
        names.map(|name| (name.clone(), storage.get(BUCKET, &name).is_some())).collect()
    }

    fn answered(&self, call: &CallState, (body, rung): (&[u8], &[(String, bool)]), reply: &Reply) {
        let world = &self.world;
        let now = world.now();
        let cloud = &self.house.cloud;
        let succeeded = reply.is_success();
        let mut state = world.state();
        state.tally.calls += 1;
        state.log(now, || format!("{:?} answered {succeeded}", call.stage));
        if call.stage == Stage::List {
            state.tally.runs += 1;
            if state.positions_missing.is_some_and(|since| since <= call.began) && call.inner().owed_fetches > 0 {
                state.tally.violation(Violation::PlannedBlindly, || format!("at {now}"));
            }
        }
        if !succeeded {
            if call.stage != Stage::List {
                state.tally.fault(match world.scenario.repeats {
                    true => FaultKind::FunctionErrorRepeated,
                    false => FaultKind::FunctionErrorNotRepeated,
                });
            }
            return;
        }
        let missing = match call.stage {
            Stage::List => {
                let positions = cloud.storage().get(BUCKET, "positions.json");
                let positions: Option<Positions> = positions.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                match positions {
                    None => Some("there is no positions.json".to_owned()),
                    Some(positions) => state.book.unplanned(&self.scopes, start(), positions.planned_until.start()),
                }
            }
            Stage::Fetch => {
                let looks_again = rung.iter().all(|(name, _)| name.contains("Z.2."));
                let summary: serde_json::Value = serde_json::from_slice(reply.body()).unwrap_or_default();
                let owed = summary["owed"].as_object().map(|owed| owed.values()).into_iter().flatten();
                if looks_again && owed.filter_map(|owing| owing["put"].as_u64()).sum::<u64>() > 0 {
                    state.tally.recovery(Recovery::SecondLookHit);
                }
                for _ in 0..call.inner().owed_fetches {
                    state.tally.recovery(Recovery::HandOver);
                }
                rung.iter().find_map(|(name, was_owed)| {
                    let began = was_owed.then_some(call.began);
                    state.book.missing_of_fetch(cloud, &world.destinations, name, began)
                })
            }
            Stage::Ship(destination) => {
                let mine = format!("owed/ship/{}/", world.destinations[destination]);
                let mut mine = rung.iter().filter(|(name, _)| name.starts_with(&mine));
                mine.find_map(|(name, _)| state.book.missing_of_ship(cloud, &world.destinations, destination, name))
            }
            Stage::Decode => {
                let summary: serde_json::Value = serde_json::from_slice(reply.body()).unwrap_or_default();
                for (count, recovery) in [("owed", Recovery::FileHandOver), ("noticed", Recovery::SearchHit)] {
                    for _ in 0..summary[count].as_u64().unwrap_or(0) {
                        state.tally.recovery(recovery);
                    }
                }
                let given = state.files.given(body, rung);
                given.iter().find_map(|key| state.files.missing(cloud, &state.book, key))
            }
        };
        if let Some(missing) = missing {
            state.tally.violation(Violation::FalseSuccess, || {
                format!("{:?} from {} to {now}: {missing}", call.stage, call.began)
            });
        }
    }
}

/// Notes how a call ended, dropped or not: what it still held when it died may be done once more.
struct End<'a> {
    world: &'a World,
    call: &'a CallState,
    deadline: tokio::time::Instant,
    /// `None` where the call was dropped, or panicked.
    is_success: Option<bool>,
    was_killed: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if std::thread::panicking() {
            state.tally.violation(Violation::Panicked, || format!("{:?}", self.call.stage));
        } else if self.is_success.is_none() {
            state.tally.condition(Condition::CallTimedOut);
        }
        let left = self.deadline.saturating_duration_since(tokio::time::Instant::now());
        let gave_up_early = self.is_success == Some(false) && !self.was_killed && left > LAST_MOMENTS;
        if self.is_success == Some(true) || gave_up_early {
            return;
        }
        if self.call.stage == Stage::Decode {
            let receipts = {
                let inner = self.call.inner();
                inner.held.union(&inner.unnoted).cloned().collect::<Vec<_>>()
            };
            for name in receipts {
                if let Some(hashes) = state.files.batch(&name) {
                    state.book.allow(0, &hashes);
                }
            }
        }
        if let Stage::Ship(destination) = self.call.stage {
            let held = self.call.inner().held.clone();
            for name in held {
                if let Some(ids) = state.book.batch(&name) {
                    state.book.allow(destination, &ids);
                }
            }
        }
    }
}
