//! A client on the emulator in process; tokio's paused clock is the service's, so that waiting takes no time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use jiff::SignedDuration;
use local_oci::{Clock, Cut, LocalOci, Settings};
use oci_client::{Client, Endpoint, Endpoints, Principal, Service};
use oci_names::Ocid;
use pipeline::Location;
use workbench::{CannotPut, CannotRead, Deadline, Ids, open_batch, put_batch};

const OCI: &str = "http://127.0.0.1:1";

pub(crate) struct Bench {
    pub(crate) cloud: LocalOci,
    pub(crate) client: Client,
    pub(crate) endpoint: Endpoint,
    pub(crate) stream: Ocid,
    pub(crate) ids: Ids,
    forger: Arc<Mutex<Option<Forger>>>,
}

/// Writes the bodies of answers anew: given the request's path.
type Forger = Box<dyn FnMut(&str, &str) -> String + Send>;

/// A stream of one partition, and a client that has learned what time it is there: its first call is refused for its date,
/// and a fault should not be spent on that.
pub(crate) async fn bench() -> Bench {
    let cloud = LocalOci::new(Settings::new(Clock::starting_at("2026-01-05T00:00:00Z".parse().unwrap())));
    cloud.credentials().set_token_lifetime(SignedDuration::from_hours(24 * 30));
    let home = cloud.tenancy().home_region().to_owned();
    let function = cloud.tenancy().new_ocid("fnfunc", &home);
    // The principal reads its files at once, and again only after a 401.
    let tokens = tempfile::tempdir().unwrap();
    let env = cloud.credentials().resource_principal_env(&function, tokens.path()).unwrap();
    let lookup = |key: &str| env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let principal = Principal::resource(&lookup).unwrap();
    let mut endpoints = Endpoints::new(principal.region().unwrap().clone());
    for service in [Service::Notifications, Service::Secrets, Service::ObjectStorage] {
        endpoints = endpoints.override_service(service, &format!("{OCI}/region/{{region}}")).unwrap();
    }
    let forger = Arc::new(Mutex::new(None));
    let transport = InProcess { cloud: cloud.clone(), forger: Arc::clone(&forger) };
    let client = Client::new(Arc::new(transport), principal, endpoints);
    let stream = cloud.streams().create("events", 1, &home).parse().unwrap();
    let endpoint = format!("{OCI}/region/{home}").parse().unwrap();
    let bench = Bench { cloud, client, endpoint, stream, ids: Ids::seeded(7), forger };
    bench.client.bucket("ns", "none").get("none", 1, deadline()).await.unwrap_err();
    bench
}

pub(crate) fn deadline() -> Deadline {
    Deadline::now() + Duration::from_secs(120)
}

pub(crate) fn values(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

impl Bench {
    pub(crate) async fn put(&self, texts: &[&'static str]) -> Result<Location, CannotPut> {
        let names = (&self.ids, "us-ashburn-1");
        put_batch(&self.client, &self.endpoint, &self.stream, names, &values(texts), deadline()).await
    }

    pub(crate) async fn read(&self, location: &Location) -> Result<Vec<Bytes>, CannotRead> {
        open_batch(&self.client, &self.endpoint, location, deadline()).await?.read(deadline()).await
    }

    pub(crate) fn foreign(&self, value: &str) -> u64 {
        self.cloud.streams().put_foreign(self.stream.as_str(), 0, None, value.as_bytes()).unwrap()
    }

    /// Key and value of everything on the stream.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let messages = self.cloud.streams().messages(self.stream.as_str());
        messages
            .iter()
            .map(|message| (text(message.key.as_deref().unwrap_or_default()), text(&message.value)))
            .collect()
    }

    pub(crate) fn calls(&self, operation: &str) -> u64 {
        self.cloud.counters().of(operation)
    }

    pub(crate) fn forge(&self, forger: impl FnMut(&str, &str) -> String + Send + 'static) {
        *self.forger.lock().unwrap() = Some(Box::new(forger));
    }
}

/// The emulator, called in process.
struct InProcess {
    cloud: LocalOci,
    forger: Arc<Mutex<Option<Forger>>>,
}

impl Transport for InProcess {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let no_answer =
                |_: Cut| TransportError::NoAnswer { host: "127.0.0.1:1".into(), source: "connection reset".into() };
            let (mut head, mut body) = self.cloud.handle(request).await.map_err(no_answer)?.into_parts();
            if let Some(forger) = self.forger.lock().unwrap().as_mut() {
                body = forger(&path, std::str::from_utf8(&body).unwrap()).into();
                head.headers.remove(http::header::CONTENT_LENGTH);
            }
            let promised: Option<usize> =
                head.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            if promised.is_none_or(|promised| promised <= body.len()) {
                return Ok(http::Response::from_parts(head, Body::from_bytes(body)));
            }
            let frames = [Ok(Frame::data(body)), Err(TransportError::Cut { source: "connection reset".into() })];
            Ok(http::Response::from_parts(head, Body::new(StreamBody::new(stream::iter(frames)))))
        })
    }
}
