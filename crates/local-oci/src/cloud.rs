//! The one value behind all services.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::audit::{Audit, AuditSettings};
use crate::clock::Clock;
use crate::credentials::{self, Credentials};
use crate::events::Events;
use crate::faults::Faults;
use crate::functions::Functions;
use crate::gateway::Gateway;
use crate::monitoring::Metrics;
use crate::notifications::Topics;
use crate::object_storage::ObjectStorage;
use crate::rng::Rng;
use crate::secrets::Secrets;
use crate::streaming::Streams;
use crate::tenancy::{REGIONS, Tenancy, TenancyPlan};
use crate::verify::Principals;

/// Everything that a test may set before the cloud exists.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The service's time.
    pub clock: Clock,
    /// What tenancy to make.
    pub plan: TenancyPlan,
    /// How the Audit service pages and delivers.
    pub audit: AuditSettings,
    /// Whether signatures are checked. Off, every call is the API user's.
    pub check_signatures: bool,
    /// How far the clock that signatures and tokens are held to is ahead.
    pub clock_skew: SignedDuration,
    /// How far the `date` header of every answer is ahead of [`Clock::now`].
    pub date_header_offset: SignedDuration,
    /// Whether ListCompartments puts an empty page, with a next page, before each full one.
    pub empty_compartment_pages: bool,
}

impl Settings {
    /// A small tenancy on `clock`, signatures checked, no oddities.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            plan: TenancyPlan::default(),
            audit: AuditSettings::default(),
            check_signatures: true,
            clock_skew: SignedDuration::ZERO,
            date_header_offset: SignedDuration::ZERO,
            empty_compartment_pages: false,
        }
    }
}

/// All services and what they share. Each locks for itself, and never over an await.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) tenancy: Tenancy,
    pub(crate) principals: Principals,
    pub(crate) credentials: Credentials,
    pub(crate) audit: Audit,
    pub(crate) storage: ObjectStorage,
    pub(crate) secrets: Secrets,
    pub(crate) streams: Streams,
    pub(crate) topics: Topics,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) functions: Functions,
    pub(crate) gateway: Gateway,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    request_ids: Mutex<Rng>,
}

/// Calls by operation name, refused ones included.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    /// Adds one call.
    pub(crate) fn count(&self, name: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                counts.insert(name.to_owned(), 1);
            }
        }
    }

    /// How often `name` was called.
    pub fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(0)
    }

    /// All counts by name.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Cloud {
    /// The cloud that `settings` describe.
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let clock = settings.clock.clone();
        let tenancy = Tenancy::new(&settings.plan);
        let compartments = tenancy.compartments(settings.plan.start);
        let compartment = compartments.first().map_or(tenancy.id(), |first| first.id.as_str()).to_owned();
        let credentials = Credentials::new(
            clock.clone(),
            settings.clock_skew,
            tenancy.id(),
            tenancy.user(),
            tenancy.home_region(),
            &compartment,
        );
        let (issuer, api_user) = credentials::fixture_keys();
        let principals = Principals::new(issuer, credentials.serials());
        let fingerprint = credentials.fingerprint();
        principals.add_api_key(tenancy.id(), tenancy.user(), "alice@example.com", &fingerprint, api_user);
        let seed = settings.plan.seed;
        Arc::new_cyclic(|cloud| Self {
            audit: Audit::new(&settings.plan, settings.audit.clone(), &tenancy, clock.clone()),
            storage: ObjectStorage::new(cloud.clone(), clock.clone(), seed, tenancy.namespace(), tenancy.home_region()),
            secrets: Secrets::new(clock.clone(), seed, &REGIONS[0].1.to_lowercase()),
            streams: Streams::new(clock.clone()),
            topics: Topics::new(),
            events: Events::new(seed),
            metrics: Metrics::default(),
            functions: Functions::new(),
            gateway: Gateway::new(),
            faults: Faults::new(),
            counters: Counters::default(),
            request_ids: Mutex::new(Rng::of(seed, u64::MAX - 1)),
            clock,
            tenancy,
            principals,
            credentials,
            settings,
        })
    }

    /// The time that signatures are held to, that of the service's answers: who signs by another is told so by a 401.
    pub(crate) fn signature_now(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(self.settings.clock_skew).unwrap_or(now)
    }

    /// The time that the lifetimes of tokens are held to.
    pub(crate) fn tokens_now(&self) -> Timestamp {
        let now = self.clock.real_now();
        now.checked_add(self.settings.clock_skew).unwrap_or(now)
    }

    /// The service's two parts of a request id.
    pub(crate) fn next_request_id(&self) -> String {
        let mut ids = self.request_ids.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016X}{:016X}/{:016X}{:016X}", ids.next(), ids.next(), ids.next(), ids.next())
    }
}
