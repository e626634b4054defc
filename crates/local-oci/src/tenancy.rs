//! The tenancy: its regions, its tree of compartments and its names.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::rng::Rng;

/// The regions of a planned tenancy, in order: id and key. The first is home.
pub(crate) const REGIONS: [(&str, &str); 16] = [
    ("us-ashburn-1", "IAD"),
    ("us-phoenix-1", "PHX"),
    ("eu-frankfurt-1", "FRA"),
    ("ap-mumbai-1", "BOM"),
    ("uk-london-1", "LHR"),
    ("ap-tokyo-1", "NRT"),
    ("ap-sydney-1", "SYD"),
    ("sa-saopaulo-1", "GRU"),
    ("ca-toronto-1", "YYZ"),
    ("eu-zurich-1", "ZRH"),
    ("eu-amsterdam-1", "AMS"),
    ("ap-singapore-1", "SIN"),
    ("ap-seoul-1", "ICN"),
    ("me-dubai-1", "DXB"),
    ("us-sanjose-1", "SJC"),
    ("eu-madrid-1", "MAD"),
];

/// What tenancy to make, and what happened in it. The same plan gives the same tenancy, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct TenancyPlan {
    /// Everything random follows from it.
    pub seed: u64,
    /// Subscribed regions, all `READY`, home included: 1 to 16.
    pub regions: usize,
    /// Compartments below the root, which comes on top.
    pub compartments: usize,
    /// Audit events.
    pub events: u32,
    /// The first event time.
    pub start: Timestamp,
    /// Past the last event time.
    pub end: Timestamp,
    /// The share of events made to hurt: `}{` in strings, keys that differ by case, numbers that no double holds.
    pub hostile: f64,
    /// How late events are.
    pub lateness: Lateness,
}

/// How late events are. Each share is `0.0..=1.0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lateness {
    /// The share of events processed noticeably after their event time; the others take about a second.
    pub processed_late: f64,
    /// The longest that an event waits to be processed.
    pub processed_late_max: SignedDuration,
    /// The share of events that are listed only some time after they were processed: into windows already read.
    pub listed_late: f64,
    /// The longest that a processed event waits to be listed.
    pub listed_late_max: SignedDuration,
}

impl Default for Lateness {
    /// A tenth processed up to 15 minutes late, none listed later than processed.
    fn default() -> Self {
        Self {
            processed_late: 0.1,
            processed_late_max: SignedDuration::from_mins(15),
            listed_late: 0.0,
            listed_late_max: SignedDuration::from_mins(10),
        }
    }
}

impl Default for TenancyPlan {
    /// Two regions, six compartments, no event, on 5 January 2026.
    fn default() -> Self {
        let start = Timestamp::new(1_767_571_200, 0).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            seed: 1,
            regions: 2,
            compartments: 6,
            events: 0,
            start,
            end: start.checked_add(SignedDuration::from_hours(24)).unwrap_or(start),
            hostile: 0.02,
            lateness: Lateness::default(),
        }
    }
}

/// The states that a compartment can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the API reference's own")]
pub enum LifecycleState {
    Creating,
    Active,
    Inactive,
    Deleting,
    Deleted,
}

impl LifecycleState {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Deleting => "DELETING",
            Self::Deleted => "DELETED",
        }
    }
}

/// A compartment as it is at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compartment {
    /// Its OCID.
    pub id: String,
    /// The OCID of its parent, which may be the tenancy.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// When it was made; before, nobody sees it.
    pub time_created: Timestamp,
    /// Its state.
    pub state: LifecycleState,
    /// Whether the caller may look inside. Where not, Audit answers 404.
    pub is_accessible: bool,
}

/// A region as it is at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its id, `us-ashburn-1`.
    pub name: String,
    /// Its key, `IAD`.
    pub key: String,
    /// `READY`, else `IN_PROGRESS`.
    pub is_ready: bool,
    /// Whether it is the home region.
    pub is_home: bool,
}

#[derive(Debug)]
struct Kept {
    compartment: Compartment,
    /// States to come and past, by time.
    states: Vec<(Timestamp, LifecycleState)>,
}

#[derive(Debug)]
struct Subscription {
    name: String,
    key: String,
    from: Timestamp,
    ready: Timestamp,
}

#[derive(Debug)]
struct State {
    regions: Vec<Subscription>,
    compartments: Vec<Kept>,
    names: Rng,
}

/// The tenancy. Times are the service's.
#[derive(Debug)]
pub struct Tenancy {
    id: String,
    namespace: String,
    user: String,
    home: String,
    state: Mutex<State>,
}

impl Tenancy {
    /// The tenancy that `plan` describes.
    pub(crate) fn new(plan: &TenancyPlan) -> Self {
        let mut names = Rng::of(plan.seed, u64::MAX);
        let id = format!("ocid1.tenancy.oc1..aaaaaaaa{}", names.base32(52));
        let user = format!("ocid1.user.oc1..aaaaaaaa{}", names.base32(52));
        let namespace = format!("ax{}", names.base32(10).replace(|c: char| c.is_ascii_digit(), "q"));
        let mut regions = Vec::new();
        for (name, key) in REGIONS.into_iter().take(plan.regions.max(1)) {
            let (name, key) = (name.to_owned(), key.to_owned());
            regions.push(Subscription { name, key, from: Timestamp::MIN, ready: Timestamp::MIN });
        }
        let mut compartments: Vec<Kept> = Vec::new();
        for index in 0..plan.compartments {
            // About a third lies below the root, the others below one that is there already: a tree some levels deep.
            let below = if names.chance(0.35) { None } else { names.pick(&compartments) };
            let parent = below.map_or_else(|| id.clone(), |kept| kept.compartment.id.clone());
            let compartment = Compartment {
                id: format!("ocid1.compartment.oc1..aaaaaaaa{}", names.base32(52)),
                parent,
                name: format!("compartment-{index:02}"),
                time_created: plan.start.checked_sub(SignedDuration::from_hours(24 * 90)).unwrap_or(plan.start),
                state: LifecycleState::Active,
                is_accessible: true,
            };
            compartments.push(Kept { compartment, states: Vec::new() });
        }
        let state = Mutex::new(State { regions, compartments, names });
        Self { id, namespace, user, home: REGIONS[0].0.to_owned(), state }
    }

    /// The tenancy's OCID, which is the root compartment's too.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The tenancy's name.
    pub fn name(&self) -> &'static str {
        "acme"
    }

    /// The Object Storage namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The OCID of the user whose API key the tenancy knows.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The home region's id.
    pub fn home_region(&self) -> &str {
        &self.home
    }

    /// The regions subscribed to at `now`, home first.
    pub fn regions(&self, now: Timestamp) -> Vec<Region> {
        let of = |region: &Subscription| Region {
            name: region.name.clone(),
            key: region.key.clone(),
            is_ready: region.ready <= now,
            is_home: region.name == self.home,
        };
        self.lock().regions.iter().filter(|region| region.from <= now).map(of).collect()
    }

    /// Whether `region` is subscribed to and `READY` at `now`.
    pub fn is_ready(&self, region: &str, now: Timestamp) -> bool {
        self.lock().regions.iter().any(|kept| kept.name == region && kept.ready <= now)
    }

    /// Subscribes to `region` (an id) at `from`; it is `IN_PROGRESS` until `ready`.
    pub fn subscribe(&self, region: &str, from: Timestamp, ready: Timestamp) {
        let key = REGIONS.iter().find(|(name, _)| *name == region).map_or("XXX", |(_, key)| *key).to_owned();
        self.lock().regions.push(Subscription { name: region.to_owned(), key, from, ready: ready.max(from) });
    }

    /// All compartments made by `now`, deleted ones included, the root never, in order of creation.
    pub fn compartments(&self, now: Timestamp) -> Vec<Compartment> {
        let state = self.lock();
        state.compartments.iter().filter(|kept| kept.compartment.time_created <= now).map(|kept| kept.at(now)).collect()
    }

    /// One compartment as it is at `now`; the root is no compartment here.
    pub fn compartment(&self, id: &str, now: Timestamp) -> Option<Compartment> {
        let state = self.lock();
        let kept = state.compartments.iter().find(|kept| kept.compartment.id == id)?;
        (kept.compartment.time_created <= now).then(|| kept.at(now))
    }

    /// Whether `id` is the root or a compartment made by `now` that the callers may look into.
    pub fn may_read(&self, id: &str, now: Timestamp) -> bool {
        id == self.id || self.compartment(id, now).is_some_and(|compartment| compartment.is_accessible)
    }

    /// Makes a compartment below `parent` at `at`, which may lie ahead. Gives its OCID.
    pub fn add_compartment(&self, name: &str, parent: &str, at: Timestamp) -> String {
        let mut state = self.lock();
        let id = format!("ocid1.compartment.oc1..aaaaaaaa{}", state.names.base32(52));
        let compartment = Compartment {
            id: id.clone(),
            parent: parent.to_owned(),
            name: name.to_owned(),
            time_created: at,
            state: LifecycleState::Active,
            is_accessible: true,
        };
        state.compartments.push(Kept { compartment, states: Vec::new() });
        id
    }

    /// From `at` on, the compartment is in `lifecycle`.
    pub fn set_state(&self, compartment: &str, lifecycle: LifecycleState, at: Timestamp) {
        let mut state = self.lock();
        if let Some(kept) = state.compartments.iter_mut().find(|kept| kept.compartment.id == compartment) {
            kept.states.push((at, lifecycle));
            kept.states.sort_by_key(|(at, _)| *at);
        }
    }

    /// Forbids (or allows again) to look into a compartment.
    pub fn set_accessible(&self, compartment: &str, is_accessible: bool) {
        let mut state = self.lock();
        if let Some(kept) = state.compartments.iter_mut().find(|kept| kept.compartment.id == compartment) {
            kept.compartment.is_accessible = is_accessible;
        }
    }

    /// A new OCID of that resource type in that region: `ocid1.stream.oc1.iad.amaaaaaa…`.
    pub fn new_ocid(&self, kind: &str, region: &str) -> String {
        let key =
            REGIONS.iter().find(|(name, _)| *name == region).map_or(region.to_owned(), |(_, key)| key.to_lowercase());
        format!("ocid1.{kind}.oc1.{key}.amaaaaaa{}", self.lock().names.base32(52))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn at(&self, now: Timestamp) -> Compartment {
        let mut compartment = self.compartment.clone();
        if let Some((_, state)) = self.states.iter().rev().find(|(at, _)| *at <= now) {
            compartment.state = *state;
        }
        compartment
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{LifecycleState, Tenancy, TenancyPlan};

    #[test]
    fn the_same_plan_makes_the_same_tenancy_and_another_seed_another() {
        let plan = TenancyPlan { regions: 4, compartments: 96, ..TenancyPlan::default() };
        let (one, same) = (Tenancy::new(&plan), Tenancy::new(&plan));
        let other = Tenancy::new(&TenancyPlan { seed: 2, ..plan.clone() });
        let all = |tenancy: &Tenancy| tenancy.compartments(plan.start);
        assert_eq!((one.id(), all(&one)), (same.id(), all(&same)));
        assert_ne!(one.id(), other.id());
        assert_eq!((one.regions(plan.start).len(), all(&one).len()), (4, 96));
        assert_eq!(one.id().len(), "ocid1.tenancy.oc1..".len() + 60);
    }

    #[test]
    fn compartments_form_a_tree_below_the_root() {
        let plan = TenancyPlan { compartments: 96, ..TenancyPlan::default() };
        let tenancy = Tenancy::new(&plan);
        let all = tenancy.compartments(plan.start);
        let mut deepest = 0;
        for compartment in &all {
            let (mut depth, mut parent) = (1, &compartment.parent);
            while parent != tenancy.id() {
                parent = &all.iter().find(|found| found.id == *parent).expect("a parent that is listed").parent;
                depth += 1;
            }
            deepest = deepest.max(depth);
        }
        let children = all.iter().filter(|compartment| compartment.parent == tenancy.id()).count();
        assert!(deepest >= 3 && (20..50).contains(&children), "{deepest} levels, {children} children");
    }

    #[test]
    fn states_and_new_compartments_come_at_their_time() {
        let plan = TenancyPlan::default();
        let tenancy = Tenancy::new(&plan);
        let (soon, later) = (plan.start + SignedDuration::from_mins(1), plan.start + SignedDuration::from_mins(2));
        let id = tenancy.add_compartment("new", tenancy.id(), soon);
        // Given out of order, taken in order.
        tenancy.set_state(&id, LifecycleState::Deleted, later + SignedDuration::from_mins(1));
        tenancy.set_state(&id, LifecycleState::Deleting, later);
        let state = |at| tenancy.compartment(&id, at).map(|found| found.state);
        assert_eq!(state(plan.start), None);
        assert!(!tenancy.may_read(&id, plan.start) && tenancy.may_read(&id, soon));
        assert_eq!(state(soon), Some(LifecycleState::Active));
        assert_eq!(state(later), Some(LifecycleState::Deleting));
        assert_eq!(state(later + SignedDuration::from_hours(1)), Some(LifecycleState::Deleted));
    }
}
