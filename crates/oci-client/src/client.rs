//! The client: who signs, where calls go, what time it is there. One handle a service hangs on it.

use std::{fmt, sync::Arc};

use http_transport::Transport;
use jiff::Timestamp;
use oci_names::{Ocid, Region};

use crate::{
    Audit, Bucket, Endpoint, Endpoints, Error, Identity, Notifications, Principal, RetryPolicy, Secrets, Service,
    Streaming, clock::Clock, retry::Random,
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

    /// The service's time: the `date` of the latest answer, and what has passed since by the monotonic clock. None
    /// before the first answer.
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
