//! A client for the Oracle Cloud services that the functions use.
//!
//! Signs, finds the endpoint, follows pages, repeats what may be repeated and stops at the caller's deadline. It knows
//! no SIEM and no pipeline, does not read the environment, keeps no state but credentials and the service's clock, and
//! does not decide what an error means for the caller's work: it says what can be known ([`Error`]).
//!
//! Under it lies [`http_transport::Transport`]. Each operation says where it may be repeated and what is then unknown.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{path::Path, sync::Arc, time::Duration};
//!
//! use http_transport::{HttpTransport, TlsRoots};
//! use oci_client::{Client, Deadline, Endpoints, Principal};
//!
//! let home = Path::new("/home/opc");
//! let principal = Principal::from_config_file(&home.join(".oci/config"), "DEFAULT", home)?;
//! let region = principal.region().ok_or("no region in the profile")?.clone();
//! let transport = Arc::new(HttpTransport::new(&TlsRoots::default())?);
//! let client = Client::new(transport, principal, Endpoints::new(region));
//!
//! let deadline = Deadline::now() + Duration::from_secs(20);
//! let regions = client.identity().list_region_subscriptions(&client.tenancy()?, deadline).await?;
//! # Ok(()) }
//! ```

mod answer;
mod audit;
mod call;
mod client;
mod clock;
mod endpoint;
mod error;
mod identity;
mod key;
mod monitoring;
mod notifications;
mod object_storage;
mod page;
mod principal;
mod region;
mod retry;
mod secrets;
mod send;
mod signer;
mod streaming;
mod target;

pub use self::{
    audit::{Audit, EVENT_MAX_BYTES, EventsPage},
    client::Client,
    endpoint::{Endpoint, Endpoints, InvalidEndpoint, Service},
    error::{Error, ServiceMessage},
    identity::{AccessLevel, Compartment, Identity, LifecycleState, RegionStatus, RegionSubscription, Tenancy},
    monitoring::{Metric, MetricEntry, Monitoring, NotPosted},
    notifications::{Notifications, PUBLISH_MAX_BYTES},
    object_storage::{
        Bucket, Head, ListObjects, Listing, Object, ObjectReader, ObjectSummary, Precondition, Put, Renamed,
    },
    principal::{ApiKey, Principal, PrincipalError, Resource, SessionToken, Unsigned},
    retry::RetryPolicy,
    secrets::Secrets,
    streaming::{
        CursorType, KEY_MAX_BYTES, Message, MessagesPage, PUT_MAX_BYTES, PutEntry, Rejected, StreamMessage, Streaming,
        Written,
    },
};

/// When a call gives up, on tokio's clock.
pub type Deadline = tokio::time::Instant;
