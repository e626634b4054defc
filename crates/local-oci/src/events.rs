//! The Events service: what happens to objects, held against rules, and delivered to functions and topics.

mod condition;
mod envelope;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::call::Call;
use crate::cloud::Cloud;
use crate::delivery::{Deliveries, Delivery, Outgoing, Redelivery, Retries, Target};
use crate::object_storage::{Cause, Change, ChangeKind};
use crate::rng::Rng;
use crate::router::Operation;
use crate::streaming::named_ocid;
use crate::tenancy::{REGIONS, Tenancy};

use condition::Condition;
use envelope::Envelope;
pub use envelope::Spelling;

/// The most actions of a rule.
const ACTIONS_MAX: usize = 10;

/// The service's habits. None of them is documented well enough to rely on: each is a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSettings {
    /// What becomes of an event that its function failed.
    pub redelivery: Redelivery,
    /// So many tries of an action in all, at least one.
    pub attempts_max: u32,
    /// The pauses before the second, third … try, by the cloud's clock. The last is repeated; none means at once.
    pub pauses: Vec<SignedDuration>,
    /// What a rename emits.
    pub renames: RenameEvents,
    /// Whether what the life cycle deletes is emitted.
    pub lifecycle_deletes: bool,
    /// How `data.resourceName` spells an object's name.
    pub resource_name: Spelling,
    /// How the name at the end of `data.resourceId` is spelt.
    pub resource_id: Spelling,
}

impl Default for EventSettings {
    /// Ten tries within about two hours, whoever failed; a rename is the creation of its new name; names are literal.
    fn default() -> Self {
        Self {
            redelivery: Redelivery::OnFunctionError(true),
            attempts_max: 10,
            pauses: [0, 1, 2, 4, 8, 16, 32].map(SignedDuration::from_mins).into(),
            renames: RenameEvents::NewName,
            lifecycle_deletes: false,
            resource_name: Spelling::Literal,
            resource_id: Spelling::Literal,
        }
    }
}

/// What a rename emits (unverified).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameEvents {
    /// Nothing.
    Silent,
    /// The new name is created, or overwritten.
    NewName,
    /// The old name is deleted, then the new one is created or overwritten.
    BothNames,
}

/// A rule to create, in the home region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Its name; the same again replaces the rule.
    pub name: String,
    /// What it matches: a JSON object as text. Arrays mean any of, `*` is a wildcard, `{}` matches all.
    pub condition: String,
    /// Where it delivers.
    pub actions: Vec<RuleAction>,
    /// The OCID of its compartment; `None` is the root. It sees the events of this one and of those below.
    pub compartment: Option<String>,
}

impl RuleSpec {
    /// A rule of the root compartment, without actions yet.
    pub fn new(name: &str, condition: &str) -> Self {
        Self { name: name.to_owned(), condition: condition.to_owned(), actions: Vec::new(), compartment: None }
    }

    /// The same with one more action.
    #[must_use]
    pub fn with(mut self, action: RuleAction) -> Self {
        self.actions.push(action);
        self
    }
}

/// Where a rule delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleAction {
    /// `FAAS`: a function, by its OCID.
    Faas(String),
    /// `ONS`: a topic, by its OCID. Its functions get the event as the message's body.
    Ons(String),
}

/// Why a rule cannot be created so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// The condition must be a JSON object.
    #[error("the condition is no JSON object: {0}")]
    Condition(String),
    /// A rule has 1 to 10 actions.
    #[error("{0} actions, where 1 to {ACTIONS_MAX} are allowed")]
    Actions(usize),
}

/// An event as it was emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmittedEvent {
    /// Its `eventID`.
    pub id: String,
    /// Its `eventType`, in lower case.
    pub event_type: String,
    /// The bucket's name.
    pub bucket: String,
    /// The object's name, literal.
    pub object: String,
    /// The object's etag.
    pub etag: String,
    /// When it happened, by the cloud's clock.
    pub at: Timestamp,
    /// The whole envelope, as actions get it.
    pub body: Bytes,
    /// The OCIDs of the rules that it matched.
    pub rules: Vec<String>,
}

/// All rules of the tenancy, in its home region.
#[derive(Debug)]
pub struct Events {
    state: Mutex<State>,
    deliveries: Deliveries,
}

#[derive(Debug)]
struct State {
    settings: EventSettings,
    rules: Vec<Rule>,
    emitted: Vec<EmittedEvent>,
    ids: Rng,
}

#[derive(Debug)]
struct Rule {
    id: String,
    condition: Condition,
    targets: Vec<Target>,
    compartment: Option<String>,
    is_enabled: bool,
    overtaken: Arc<Notify>,
}

impl Events {
    pub(crate) fn new(seed: u64) -> Self {
        let ids = Rng::of(seed, u64::MAX - 7);
        let state = State { settings: EventSettings::default(), rules: Vec::new(), emitted: Vec::new(), ids };
        Self { state: Mutex::new(state), deliveries: Deliveries::default() }
    }

    /// Creates a rule and gives its OCID, which follows from the name.
    ///
    /// # Errors
    /// What the service would refuse.
    pub fn create_rule(&self, spec: RuleSpec) -> Result<String, BadRule> {
        if !(1..=ACTIONS_MAX).contains(&spec.actions.len()) {
            return Err(BadRule::Actions(spec.actions.len()));
        }
        let condition = Condition::parse(&spec.condition).map_err(BadRule::Condition)?;
        let id = named_ocid("eventrule", REGIONS[0].0, &spec.name);
        let target = |action| match action {
            RuleAction::Faas(function) => Target::Function(function),
            RuleAction::Ons(topic) => Target::Topic(topic),
        };
        let rule = Rule {
            id: id.clone(),
            condition,
            targets: spec.actions.into_iter().map(target).collect(),
            compartment: spec.compartment,
            is_enabled: true,
            overtaken: Arc::default(),
        };
        let mut state = self.lock();
        state.rules.retain(|kept| kept.id != id);
        state.rules.push(rule);
        Ok(id)
    }

    /// Switches a rule off, or on again.
    pub fn set_enabled(&self, rule: &str, is_enabled: bool) {
        if let Some(rule) = self.lock().rules.iter_mut().find(|kept| kept.id == rule) {
            rule.is_enabled = is_enabled;
        }
    }

    /// Takes a rule away; deliveries under way go on.
    pub fn delete_rule(&self, rule: &str) {
        self.lock().rules.retain(|kept| kept.id != rule);
    }

    /// Changes the service's habits, for all rules and from now on.
    pub fn configure(&self, change: impl FnOnce(&mut EventSettings)) {
        change(&mut self.lock().settings);
    }

    /// Everything emitted so far, in order, matched by a rule or not.
    pub fn emitted(&self) -> Vec<EmittedEvent> {
        self.lock().emitted.clone()
    }

    /// Every try to deliver so far, in the order in which they ended.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.tried()
    }

    /// How many deliveries are neither done nor given up. What a topic has taken over is the topic's.
    pub fn pending(&self) -> usize {
        self.deliveries.pending()
    }

    fn retries(cloud: &Cloud) -> Retries {
        let settings = &cloud.events.lock().settings;
        Retries {
            redelivery: settings.redelivery,
            pauses: settings.pauses.clone(),
            attempts_max: settings.attempts_max,
            duration: SignedDuration::MAX,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Emits the event of a change, and starts its deliveries.
pub(crate) fn emit(cloud: &Arc<Cloud>, change: &Change) {
    let tenancy = &cloud.tenancy;
    let compartment = change.compartment.as_deref().unwrap_or(tenancy.id());
    let mut state = cloud.events.lock();
    let State { settings, rules, emitted, ids } = &mut *state;
    let is_told = match change.cause {
        Cause::Call => true,
        Cause::Lifecycle => settings.lifecycle_deletes,
        Cause::Rename => match settings.renames {
            RenameEvents::Silent => false,
            RenameEvents::NewName => change.kind != ChangeKind::Deleted,
            RenameEvents::BothNames => true,
        },
    };
    if !is_told {
        return;
    }
    let name = tenancy.compartment(compartment, change.at).map_or(tenancy.name().to_owned(), |found| found.name);
    let envelope = Envelope::of(change, tenancy.namespace(), (compartment, &name), event_id(ids), settings);
    let (body, value) = envelope.json();
    let matching: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.is_enabled && change.region == REGIONS[0].0)
        .filter(|rule| is_below(tenancy, compartment, rule.compartment.as_deref(), change.at))
        .filter(|rule| rule.condition.matches(&value))
        .collect();
    let event = EmittedEvent {
        id: envelope.event_id().to_owned(),
        event_type: envelope.event_type().to_owned(),
        bucket: change.bucket.clone(),
        object: change.object.clone(),
        etag: change.etag.clone(),
        at: change.at,
        body: body.clone(),
        rules: matching.iter().map(|rule| rule.id.clone()).collect(),
    };
    let outgoing: Vec<Outgoing> = matching
        .iter()
        .map(|rule| Outgoing {
            id: event.id.clone(),
            body: body.clone(),
            at: change.at,
            targets: rule.targets.clone(),
            overtaken: Arc::clone(&rule.overtaken),
        })
        .collect();
    let operation = Operation::EmitEvent { event_type: event.event_type.clone() };
    emitted.push(event);
    drop(state);
    let call = Call::internal(envelope.resource_id(), &change.region, body);
    for message in &outgoing {
        // Asked once a rule that matched, so that a fault's `times` counts those.
        let effects = cloud.faults.of_service(&operation, &call);
        cloud.events.deliveries.begin(cloud, message, Events::retries, &effects);
    }
}

/// Whether `compartment` is `top` or lies below it; `None` is the root, below which everything lies.
fn is_below(tenancy: &Tenancy, compartment: &str, top: Option<&str>, now: Timestamp) -> bool {
    let Some(top) = top else { return true };
    let mut at = compartment.to_owned();
    loop {
        if at == top {
            return true;
        }
        match tenancy.compartment(&at, now) {
            Some(found) => at = found.parent,
            None => return false,
        }
    }
}

fn event_id(ids: &mut Rng) -> String {
    let (high, low) = (ids.next(), ids.next());
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests;
