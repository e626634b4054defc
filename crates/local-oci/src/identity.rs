//! Identity: region subscriptions and the tree of compartments.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::cloud::Cloud;
use crate::generate::time;
use crate::page::Position;
use crate::router::Operation;
use crate::tenancy::Compartment;
use crate::verify::Caller;

/// The default and the largest `limit` (both unverified).
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
const STATES: [&str; 5] = ["CREATING", "ACTIVE", "INACTIVE", "DELETING", "DELETED"];

/// Serves the reads of Identity.
///
/// Source: Identity API reference.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, _caller: &Caller) -> Answer {
    let answer = match operation {
        Operation::ListRegionSubscriptions { tenancy } => list_region_subscriptions(cloud, tenancy),
        Operation::GetTenancy { tenancy } => tenancy_of(cloud, tenancy),
        Operation::GetCompartment { compartment } => get_compartment(cloud, compartment),
        _ => list_compartments(cloud, call),
    };
    answer.unwrap_or_else(Answer::from)
}

fn list_region_subscriptions(cloud: &Cloud, tenancy: &str) -> Result<Answer, Refused> {
    own_tenancy(cloud, tenancy)?;
    let subscriptions: Vec<Value> = cloud
        .tenancy
        .regions(cloud.clock.now())
        .iter()
        .map(|region| {
            json!({
                "regionKey": region.key,
                "regionName": region.name,
                "status": if region.is_ready { "READY" } else { "IN_PROGRESS" },
                "isHomeRegion": region.is_home,
            })
        })
        .collect();
    Ok(Answer::ok(&subscriptions))
}

fn tenancy_of(cloud: &Cloud, id: &str) -> Result<Answer, Refused> {
    own_tenancy(cloud, id)?;
    let regions = cloud.tenancy.regions(cloud.clock.now());
    let home = regions.iter().find(|region| region.is_home).map(|region| region.key.as_str());
    Ok(Answer::ok(&json!({
        "id": id,
        "name": cloud.tenancy.name(),
        "description": "an emulated tenancy",
        "homeRegionKey": home,
        "upiIdcsCompatibilityLayerEndpoint": null,
        "freeformTags": {},
        "definedTags": {},
    })))
}

fn own_tenancy(cloud: &Cloud, id: &str) -> Result<(), Refused> {
    if id == cloud.tenancy.id() { Ok(()) } else { Err(Refused::not_authorized_or_not_found()) }
}

fn get_compartment(cloud: &Cloud, id: &str) -> Result<Answer, Refused> {
    let now = cloud.clock.now();
    if id == cloud.tenancy.id() {
        let root = Compartment {
            id: id.to_owned(),
            parent: String::new(),
            name: cloud.tenancy.name().to_owned(),
            time_created: cloud.settings.plan.start,
            state: crate::tenancy::LifecycleState::Active,
            is_accessible: true,
        };
        return Ok(Answer::ok(&shape(&root, None)));
    }
    let found = cloud.tenancy.compartment(id, now).filter(|compartment| compartment.is_accessible);
    found.map(|compartment| Answer::ok(&shape(&compartment, None))).ok_or_else(Refused::not_authorized_or_not_found)
}

fn list_compartments(cloud: &Cloud, call: &Call) -> Result<Answer, Refused> {
    let now = cloud.clock.now();
    let ask = Ask::read(call, cloud, now)?;
    let mark = ask.mark(call);
    let position = match call.query("page") {
        None => Position::start(now.as_millisecond()),
        Some(token) => Position::parse(token, mark)
            .ok_or_else(|| Refused::invalid_parameter("page is not a token of this query"))?,
    };
    if cloud.settings.empty_compartment_pages && !position.after_empty {
        let next = Position { after_empty: true, ..position };
        return Ok(Answer::ok(&json!([])).with("opc-next-page", &next.token(mark)));
    }
    let mut found = cloud.tenancy.compartments(now);
    // What was made since the first page would shift the others.
    found
        .retain(|compartment| compartment.time_created.as_millisecond() <= position.as_of_ms && ask.wants(compartment));
    ask.sort(&mut found);
    let is_accessible = ask.accessible_only.then_some(true);
    let page: Vec<Value> = found
        .iter()
        .skip(position.offset)
        .take(ask.limit)
        .map(|compartment| shape(compartment, is_accessible))
        .collect();
    let offset = position.offset + page.len();
    let mut answer = Answer::ok(&page);
    if offset < found.len() {
        let next = Position { offset, after_empty: false, ..position };
        answer = answer.with("opc-next-page", &next.token(mark));
    }
    Ok(answer)
}

/// The parameters of ListCompartments, checked.
struct Ask<'a> {
    parent: &'a str,
    subtree: bool,
    accessible_only: bool,
    state: Option<&'a str>,
    name: Option<&'a str>,
    by_name: bool,
    descending: bool,
    limit: usize,
}

impl<'a> Ask<'a> {
    fn read(call: &'a Call, cloud: &Cloud, now: Timestamp) -> Result<Self, Refused> {
        let parent = call.required("compartmentId")?;
        let is_root = parent == cloud.tenancy.id();
        if !is_root && cloud.tenancy.compartment(parent, now).is_none() {
            return Err(Refused::not_authorized_or_not_found());
        }
        let subtree = one_of(call, "compartmentIdInSubtree", &["false", "true"])? == Some("true");
        if subtree && !is_root {
            return Err(Refused::invalid_parameter("compartmentIdInSubtree is for the tenancy only"));
        }
        let by_name = one_of(call, "sortBy", &["TIMECREATED", "NAME"])? == Some("NAME");
        let order = one_of(call, "sortOrder", &["ASC", "DESC"])?;
        let limit = match call.query("limit") {
            None => LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| Refused::invalid_parameter("limit must lie between 1 and 1000"))?,
        };
        Ok(Self {
            parent,
            subtree,
            accessible_only: one_of(call, "accessLevel", &["ANY", "ACCESSIBLE"])? == Some("ACCESSIBLE"),
            state: one_of(call, "lifecycleState", &STATES)?,
            name: call.query("name"),
            by_name,
            descending: order.map_or(!by_name, |order| order == "DESC"),
            limit,
        })
    }

    fn wants(&self, compartment: &Compartment) -> bool {
        (self.subtree || compartment.parent == self.parent)
            && (compartment.is_accessible || !self.accessible_only)
            && self.state.is_none_or(|state| state == compartment.state.name())
            && self.name.is_none_or(|name| name == compartment.name)
    }

    fn sort(&self, found: &mut [Compartment]) {
        // Stable: those made at the same time stay in order of creation.
        if self.by_name {
            found.sort_by(|a, b| a.name.cmp(&b.name));
        } else {
            found.sort_by_key(|compartment| compartment.time_created);
        }
        if self.descending {
            found.reverse();
        }
    }

    /// What a page token is bound to: everything asked but the page itself.
    fn mark(&self, call: &Call) -> u64 {
        let mut asked: Vec<String> = call
            .query
            .iter()
            .filter(|(name, _)| name != "page" && name != "limit")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        asked.sort();
        crate::receiver::fingerprint(asked.join("&").as_bytes())
    }
}

/// A parameter that must be one of some words, in whatever case.
fn one_of(call: &Call, name: &str, words: &[&'static str]) -> Result<Option<&'static str>, Refused> {
    let Some(value) = call.query(name) else { return Ok(None) };
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(value)).copied();
    found.map(Some).ok_or_else(|| Refused::invalid_parameter(format!("{name} must be one of {}", words.join(", "))))
}

fn shape(compartment: &Compartment, is_accessible: Option<bool>) -> Value {
    json!({
        "id": compartment.id,
        "compartmentId": (!compartment.parent.is_empty()).then_some(&compartment.parent),
        "name": compartment.name,
        "description": format!("the compartment {}", compartment.name),
        "timeCreated": time(compartment.time_created),
        "lifecycleState": compartment.state.name(),
        "inactiveStatus": null,
        "isAccessible": is_accessible,
        "freeformTags": {},
        "definedTags": {},
    })
}
