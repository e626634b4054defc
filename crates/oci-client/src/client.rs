//! The client: who signs, where calls go, what time it is there. One handle a service hangs on it.

use std::{fmt, sync::Arc};

use http_transport::Transport;
use jiff::Timestamp;
use oci_names::{Ocid, Region};

use crate::{
    Audit, Bucket, Endpoint, Endpoints, Error, Identity, Monitoring, Notifications, Principal, RetryPolicy, Secrets,
    Service, Streaming, clock::Clock, retry::Random,
};

/// Calls services as one principal. Cheap to clone; clones share credentials, clock and connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
    pub(crate) retry: RetryPolicy,
    pub(crate) random: Arc<Random>,
}

pub(crate) struct Core {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) principal: Principal,
    pub(crate) endpoints: Endpoints,
    pub(crate) clock: Clock,
}

impl Client {
    /// A client whose calls go to the region of `endpoints`, unless they name another. Nothing is sent yet.
    pub fn new(transport: Arc<dyn Transport>, principal: Principal, endpoints: Endpoints) -> Self {
        let retry = RetryPolicy::default();
        let core = Core { transport, principal, endpoints, clock: Clock::default() };
        Self { core: Arc::new(core), retry, random: Arc::new(Random::new(retry.seed)) }
    }

    /// Repeats calls by `retry` instead of the default.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, random: Arc::new(Random::new(retry.seed)), ..self }
    }

    /// The same client in a simulation: `own` tells the time of the container's clock, which only signatures go by. Nothing
    /// that was learned of the service's clock is kept.
    #[must_use]
    pub fn with_own_clock(self, own: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let Core { transport, principal, endpoints, .. } = &*self.core;
        let core = Core {
            transport: Arc::clone(transport),
            principal: principal.clone(),
            endpoints: endpoints.clone(),
            clock: Clock::over(own),
        };
        Self { core: Arc::new(core), ..self }
    }

    /// The region that calls go to by default.
    pub fn region(&self) -> &Region {
        self.core.endpoints.region()
    }

    /// Where services are reached.
    pub fn endpoints(&self) -> &Endpoints {
        &self.core.endpoints
    }

    /// The principal's tenancy, which is the root compartment.
    ///
    /// # Errors
    /// `Principal` where neither the configuration nor the token names it.
    pub fn tenancy(&self) -> Result<Ocid, Error> {
        Ok(self.core.principal.tenancy()?)
    }

    /// Who signs, as audit events name the caller in `principalId`; as [`Principal::id`].
    pub fn principal_id(&self) -> Option<Ocid> {
        self.core.principal.id()
    }

    /// The compartment that the function lies in, where its token says so.
    pub fn compartment(&self) -> Option<Ocid> {
        self.core.principal.compartment()
    }

    /// To be called when a call of the function begins: the container may have been frozen since the last one, so that
    /// what is known of the service's time counts for less than the next answer.
    pub fn begin_call(&self) {
        self.core.clock.rest();
    }

    /// The service's time by the `date` of its last three answers, of which one may be wrong, and what has passed since
    /// by the monotonic clock. None before the first answer.
    ///
    /// A leap ahead is believed at once after [`Client::begin_call`] or five silent seconds, else as soon as two answers
    /// agree on it. Of two answers alone the later counts: a hold that ends too early costs duplicates.
    pub fn service_time(&self) -> Option<Timestamp> {
        self.core.clock.service_time()
    }

    /// Regions and compartments.
    pub fn identity(&self) -> Identity<'_> {
        Identity::new(self)
    }

    /// Audit events.
    pub fn audit(&self) -> Audit<'_> {
        Audit::new(self)
    }

    /// The streams behind one messages endpoint, which a stream itself names.
    pub fn streaming(&self, messages_endpoint: &Endpoint) -> Streaming<'_> {
        Streaming::new(self, messages_endpoint.clone())
    }

    /// Topics.
    pub fn notifications(&self) -> Notifications<'_> {
        Notifications::new(self)
    }

    /// One bucket of the client's region.
    pub fn bucket(&self, namespace: &str, name: &str) -> Bucket {
        Bucket::new(self.clone(), namespace, name)
    }

    /// Secrets of the vaults.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets::new(self)
    }

    /// Custom metrics.
    pub fn monitoring(&self) -> Monitoring<'_> {
        Monitoring::new(self)
    }

    /// The endpoint of `service` in `region`, or in the client's own.
    pub(crate) fn endpoint(&self, service: Service, region: Option<&Region>) -> Result<Endpoint, Error> {
        Ok(self.core.endpoints.endpoint(service, region.unwrap_or_else(|| self.region()))?)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("principal", &self.core.principal)
            .field("region", self.region())
            .finish_non_exhaustive()
    }
}
