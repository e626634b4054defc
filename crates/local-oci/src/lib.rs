//! An Oracle Cloud on loopback to rehearse in: the services that the functions speak to, written from the reference.
//!
//! It shares no code with `oci-client`: it checks every signature, date and digest by itself, and is in turn checked
//! with the official Python SDK. One process, one port, all services routed by path; a path may begin with
//! `/region/<region id>` to reach a region other than home. State lives in memory.
//!
//! What it is not: a place to keep data, nor a model of anything that the functions do not use.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use local_oci::{Clock, LocalOci, Settings};
//!
//! let cloud = LocalOci::new(Settings::new(Clock::real()));
//! let request = http::Request::get("http://localhost/n").body(bytes::Bytes::new()).expect("a request");
//! let answer = cloud.handle(request).await.expect("no fault cuts the connection");
//! assert_eq!(answer.status(), 401, "nobody signed it");
//! # }
//! ```

mod answer;
mod call;
mod cloud;
mod dispatch;
mod router;
mod server;

mod clock;
mod credentials;
mod md5;
mod page;
mod rng;
mod verify;

mod audit;
mod generate;
mod identity;
mod object_storage;
mod secrets;
mod tenancy;

mod delivery;
mod events;
mod faults;
mod functions;
mod gateway;
mod monitoring;
mod notifications;
mod streaming;

pub mod connector;
pub mod receiver;
pub mod schedule;

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;

pub use answer::Answer;
pub use audit::{AddedEvent, Audit, AuditSettings, ExpectedEvent};
pub use call::Call;
pub use clock::{BusyGuard, Clock};
pub use cloud::{Counters, Settings};
pub use credentials::{ConfigFile, Credentials};
pub use delivery::{Delivery, Redelivery};
pub use events::{BadRule, EmittedEvent, EventSettings, Events, RenameEvents, RuleAction, RuleSpec, Spelling};
pub use faults::{Cut, Effect, Fault, FaultId, Faults};
pub use functions::{
    Backend, BackendDied, BadConfig, Failure, FnRequest, FnResponse, FunctionBackend, FunctionReport, FunctionSettings,
    FunctionSpec, Functions, Intent, OwnCost,
};
pub use gateway::Gateway;
pub use monitoring::{Datapoint, Metrics};
pub use notifications::{Published, TopicSettings, Topics};
pub use object_storage::{LifecycleRule, ObjectStorage};
pub use router::Operation;
pub use secrets::Secrets;
pub use streaming::{Message, StreamSettings, StreamTotals, Streams};
pub use tenancy::{Compartment, Lateness, LifecycleState, Region, Tenancy, TenancyPlan};
pub use verify::{Caller, PrincipalKind};

use cloud::Cloud;

/// The emulator. A clone is the same cloud.
#[derive(Debug, Clone)]
pub struct LocalOci {
    cloud: Arc<Cloud>,
}

impl LocalOci {
    /// Makes the tenancy that `settings` plan.
    pub fn new(settings: Settings) -> Self {
        Self { cloud: Cloud::new(settings) }
    }

    /// Answers one request, in process. `Host` and `Content-Length` may be left to the URI and the body.
    ///
    /// # Errors
    /// [`Cut`], where a fault ends the connection without an answer. An answer cut short has a `content-length` larger
    /// than its body.
    pub async fn handle(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, Cut> {
        dispatch::handle(&self.cloud, request).await
    }

    /// Answers on `listener`, until the future is dropped.
    pub async fn serve(&self, listener: TcpListener) {
        server::serve(self.clone(), listener).await;
    }

    /// The service's time.
    pub fn clock(&self) -> &Clock {
        &self.cloud.clock
    }

    /// What goes wrong on the wire.
    pub fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    /// How often what was called.
    pub fn counters(&self) -> &Counters {
        &self.cloud.counters
    }

    /// Config files and tokens for clients.
    pub fn credentials(&self) -> &Credentials {
        &self.cloud.credentials
    }

    /// Regions, compartments and names.
    pub fn tenancy(&self) -> &Tenancy {
        &self.cloud.tenancy
    }

    /// The audit trail.
    pub fn audit(&self) -> &Audit {
        &self.cloud.audit
    }

    /// Buckets and objects.
    pub fn storage(&self) -> &ObjectStorage {
        &self.cloud.storage
    }

    /// The vault's secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.cloud.secrets
    }

    /// Streams and their messages.
    pub fn streams(&self) -> &Streams {
        &self.cloud.streams
    }

    /// Topics and their subscriptions.
    pub fn topics(&self) -> &Topics {
        &self.cloud.topics
    }

    /// The Events service: its rules, and what was emitted.
    pub fn events(&self) -> &Events {
        &self.cloud.events
    }

    /// The metrics that were posted.
    pub fn metrics(&self) -> &Metrics {
        &self.cloud.metrics
    }

    /// Functions and their processes.
    pub fn functions(&self) -> &Functions {
        &self.cloud.functions
    }

    /// The routes of the API gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.cloud.gateway
    }
}
