//! A ledger on the emulator in process; tokio's paused clock is the service's, so that waiting takes no time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use jiff::{SignedDuration, Timestamp};
use ledger::{Deadline, Ledger};
use local_oci::{Clock, Cut, LocalOci, Operation, Settings};
use oci_client::{Client, Endpoints, Principal, Service};
use pipeline::{FetchBody, FileTally, Location, Receipt, ShipBody, Stage, Tally, WorkUnit};

pub(crate) const BUCKET: &str = "siem-state";

pub(crate) struct House {
    pub(crate) cloud: LocalOci,
    pub(crate) ledger: Ledger,
}

pub(crate) fn at(time: &str) -> Timestamp {
    format!("2026-01-05T{time}Z").parse().unwrap()
}

/// An empty bucket at midnight, and a client that has learned what time it is there: its first call is refused for its
/// date, and a fault should not be spent on that.
pub(crate) async fn house() -> House {
    let cloud = LocalOci::new(Settings::new(Clock::starting_at(at("00:00:00"))));
    cloud.storage().create_bucket(BUCKET);
    cloud.credentials().set_token_lifetime(SignedDuration::from_hours(24));
    let home = cloud.tenancy().home_region().to_owned();
    let function = cloud.tenancy().new_ocid("fnfunc", &home);
    // The principal reads its files at once, and again only after a 401.
    let tokens = tempfile::tempdir().unwrap();
    let env = cloud.credentials().resource_principal_env(&function, tokens.path()).unwrap();
    let lookup = |key: &str| env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let principal = Principal::resource(&lookup).unwrap();
    let endpoints = Endpoints::new(principal.region().unwrap().clone())
        .override_service(Service::ObjectStorage, "http://127.0.0.1:1/region/{region}")
        .unwrap();
    let client = Client::new(Arc::new(InProcess(cloud.clone())), principal, endpoints);
    let ledger = Ledger::new(client.bucket(cloud.tenancy().namespace(), BUCKET));
    assert!(ledger.positions(deadline()).await.unwrap().is_none());
    House { cloud, ledger }
}

pub(crate) fn deadline() -> Deadline {
    Deadline::now() + Duration::from_secs(120)
}

impl House {
    /// All names in the bucket.
    pub(crate) fn names(&self) -> Vec<String> {
        self.cloud.storage().objects(BUCKET)
    }

    /// What an object holds.
    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.cloud.storage().get(BUCKET, name).unwrap()).unwrap()
    }

    /// Puts an object as another would.
    pub(crate) fn put(&self, name: &str, body: &impl serde::Serialize) {
        self.cloud.storage().put(BUCKET, name, serde_json::to_vec(body).unwrap()).unwrap();
    }

    /// Takes what is owed until then.
    pub(crate) async fn held(&self, owed: &Receipt, until: &str) -> Receipt {
        match self.ledger.take(owed, at(until), deadline()).await.unwrap() {
            ledger::Taken::Held(held) => held,
            ledger::Taken::Gone => panic!("{owed} is gone"),
        }
    }
}

/// Does `change` to the bucket just before the next call of `operation` that names `part` takes effect.
pub(crate) fn meanwhile(
    house: &House,
    operation: &str,
    part: &str,
    change: impl Fn(&LocalOci) + Send + Sync + 'static,
) -> local_oci::FaultId {
    let cloud = house.cloud.clone();
    let condition = move |_: &Operation, _: &local_oci::Call| {
        change(&cloud);
        // One change is enough: the rule strikes, without effect, and is spent.
        true
    };
    house
        .cloud
        .faults()
        .inject(local_oci::Fault::on(operation).containing(part).times(1).when(condition).delay(Duration::ZERO))
}

/// Moves an object as somebody else's rename would.
pub(crate) fn moved(cloud: &LocalOci, from: &str, to: &str) {
    let body = cloud.storage().get(BUCKET, from).expect("the object to move");
    cloud.storage().put(BUCKET, to, body).unwrap();
    assert!(cloud.storage().delete(BUCKET, from));
}

pub(crate) fn receipt(name: &str) -> Receipt {
    name.parse().unwrap()
}

pub(crate) fn stage(name: &str) -> Stage {
    receipt(name).stage
}

/// A batch with these event ids.
pub(crate) fn batch(event_ids: &[u64]) -> ShipBody {
    let location = Location {
        batch: "us-ashburn-1.00ff".into(),
        stream: "ocid1.stream.oc1.iad.a".parse().unwrap(),
        partition: "0".into(),
        offset: 1200,
        last_offset: 1224,
        num_records: 25,
    };
    ShipBody::new(location, vec!["ocid1.tenancy.oc1..t".parse().unwrap()], event_ids.to_vec())
}

/// Listing work for these compartments.
pub(crate) fn listing(compartments: &[&str]) -> FetchBody {
    let unit = |name: &&str| WorkUnit {
        not_before: None,
        region: "us-ashburn-1".parse().unwrap(),
        compartment: format!("ocid1.compartment.oc1..{name}").parse().unwrap(),
        start_time: "2026-01-05T21:20:00Z".parse().unwrap(),
        end_time: "2026-01-05T21:25:00Z".parse().unwrap(),
        look: 1,
    };
    FetchBody::new(compartments.iter().map(unit).collect(), None)
}

/// The emulator, called in process.
struct InProcess(LocalOci);

impl Transport for InProcess {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let no_answer =
                |_: Cut| TransportError::NoAnswer { host: "127.0.0.1:1".into(), source: "connection reset".into() };
            let (head, body) = self.0.handle(request).await.map_err(no_answer)?.into_parts();
            let promised: Option<usize> =
                head.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            let body: Bytes = body;
            if promised.is_none_or(|promised| promised <= body.len()) {
                return Ok(http::Response::from_parts(head, Body::from_bytes(body)));
            }
            let frames = [Ok(Frame::data(body)), Err(TransportError::Cut { source: "connection reset".into() })];
            Ok(http::Response::from_parts(head, Body::new(StreamBody::new(stream::iter(frames)))))
        })
    }
}

/// Ends held work well: three events, each on its way.
pub(crate) async fn finish(ledger: &Ledger, held: &Receipt) -> Result<(), ledger::Error> {
    match held.stage {
        Stage::Fetch(_) => {
            let account = "3.0.0.0.0~splunk.3.0".parse().unwrap();
            ledger.finish_listing(held, &account, deadline()).await
        }
        Stage::Ship(..) => ledger.finish_batch(held, None, Tally { sent: 3, dead: 0 }, deadline()).await,
        Stage::Object(..) => {
            let tally = FileTally { sent: 3, dead: 0, filtered: 0 };
            ledger.finish_object(held, tally, deadline()).await.map(drop)
        }
    }
}
