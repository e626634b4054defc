//! A tenancy with the whole pipeline in it: handlers as library futures, the emulator and the collector in process, one
//! virtual clock (tokio's, paused, so that waiting takes no time).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use fetch_audit_events as fetch;
use fn_hyper::{HttpCall, Invocation, Reply};
use http_transport::Transport;
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use list_regions_compartments as list;
use local_oci::{
    AddedEvent, Clock, Fault, FaultId, LocalOci, Settings,
    receiver::{HecReceiver, HecSettings, HecToken},
};
use oci_client::{Endpoints, Principal, Service};
use ship_to_siem as ship;
use tempfile::TempDir;
use workbench::{Connection, Ids};

use crate::wire::{Collectors, InProcess, Killer, OCI, SPLUNK};

pub(crate) const TOKEN: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const BUCKET: &str = "siem-state";

/// Longer than any call of the tests takes on the paused clock, save those that test the deadline.
const CALL: Duration = Duration::from_secs(290);

/// The pipeline and everything around it.
pub(crate) struct House {
    pub(crate) cloud: LocalOci,
    pub(crate) splunk: HecReceiver,
    pub(crate) killer: Arc<Killer>,
    pub(crate) list: list::App,
    pub(crate) fetch: fetch::App,
    pub(crate) ship: ship::App,
    /// The functions of further destinations: they hear the same doorbells.
    pub(crate) more_ships: Vec<ship::App>,
    pub(crate) collectors: Collectors,
    pub(crate) audit_topic: String,
    pub(crate) splunk_topic: String,
    pub(crate) work_stream: String,
    pub(crate) event_stream: String,
    /// How many published doorbells each topic's function has had.
    heard: Mutex<BTreeMap<String, usize>>,
    keys: BTreeMap<String, String>,
    transport: Arc<dyn Transport>,
    _tokens: TempDir,
}

/// What is changed before the house is built.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) hec: HecSettings,
    pub(crate) partitions: u32,
    pub(crate) keys: BTreeMap<String, String>,
}

/// Midnight of the planned day, where every house begins.
pub(crate) fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

pub(crate) fn at(time: &str) -> Timestamp {
    format!("2026-01-05T{time}Z").parse().unwrap()
}

/// A house on a quiet tenancy: two regions, six compartments below the root, no event but those that a test adds, and no
/// trace of our own reads.
pub(crate) fn quiet() -> House {
    house(|_| {})
}

pub(crate) fn house(change: impl FnOnce(&mut Plan)) -> House {
    let mut settings = Settings::new(Clock::starting_at(start()));
    settings.audit.own_reads = false;
    let token = HecToken::new(TOKEN);
    let mut plan = Plan {
        settings,
        hec: HecSettings { keep_raw: true, ..HecSettings::new(token) },
        partitions: 1,
        keys: BTreeMap::new(),
    };
    change(&mut plan);
    let cloud = LocalOci::new(plan.settings);
    let splunk = HecReceiver::new(plan.hec);
    let home = cloud.tenancy().home_region().to_owned();
    cloud.storage().create_bucket(BUCKET);
    let work_stream = cloud.streams().create("work", plan.partitions, &home);
    let event_stream = cloud.streams().create("events", plan.partitions, &home);
    let audit_topic = cloud.topics().create("audit");
    let splunk_topic = cloud.topics().create("splunk");
    let tokens = TempDir::new().unwrap();
    // Longer than any test: on the platform a token is replaced in its file, which has tests of its own.
    cloud.credentials().set_token_lifetime(SignedDuration::from_hours(24 * 30));
    let function = cloud.tenancy().new_ocid("fnfunc", &home);
    let mut keys: BTreeMap<String, String> =
        cloud.credentials().resource_principal_env(&function, tokens.path()).unwrap().into_iter().collect();
    let elsewhere = format!("{OCI}/region/{{region}}");
    for service in ["identity", "audit", "notification", "object_storage", "secrets"] {
        keys.insert(format!("oci_endpoint_{service}"), elsewhere.clone());
    }
    let namespace = cloud.tenancy().namespace().to_owned();
    for (key, value) in [
        ("state_namespace", namespace.as_str()),
        ("state_bucket", BUCKET),
        ("stream_ocid", &work_stream),
        ("event_stream_ocid", &event_stream),
        ("streaming_endpoint", &format!("{OCI}/region/{home}")),
        ("audit_topic", &audit_topic),
        ("splunk_topic", &splunk_topic),
        ("splunk_url", SPLUNK),
        ("splunk_hec_token", TOKEN),
        ("gateway_secret", "open sesame"),
        ("start", "2026-01-05T00:00:00Z"),
    ] {
        keys.insert(key.to_owned(), value.to_owned());
    }
    keys.extend(plan.keys);
    let lookup = |key: &str| keys.get(key).cloned();
    let killer = Arc::new(Killer::default());
    let collectors = Collectors::default();
    collectors.lock().unwrap().insert(SPLUNK, splunk.clone());
    let wire = InProcess { cloud: cloud.clone(), collectors: Arc::clone(&collectors), killer: Arc::clone(&killer) };
    let transport: Arc<dyn Transport> = Arc::new(wire);
    let connection = || connect(&lookup, &transport);
    let ledger = |connection: &Connection| Ledger::new(connection.client.bucket(&namespace, BUCKET));
    let mut list = list::App { ids: Ids::seeded(1), ..list::App::from_config(&lookup).unwrap() };
    list.config.connection = connection();
    list.config.ledger = ledger(&list.config.connection);
    let mut fetch = fetch::App { ids: Ids::seeded(2), ..fetch::App::from_config(&lookup).unwrap() };
    fetch.config.connection = connection();
    fetch.config.ledger = ledger(&fetch.config.connection);
    let ship = ship_app(&keys, &transport);
    House {
        cloud,
        splunk,
        killer,
        list,
        fetch,
        ship,
        more_ships: Vec::new(),
        collectors,
        audit_topic,
        splunk_topic,
        work_stream,
        event_stream,
        heard: Mutex::default(),
        keys,
        transport,
        _tokens: tokens,
    }
}

/// `ship-to-siem` with these keys; both Oracle Cloud and the collector are behind `transport`.
fn ship_app(keys: &BTreeMap<String, String>, transport: &Arc<dyn Transport>) -> ship::App {
    let mut app = real_ship_app(keys, transport);
    app.config.splunk = app.config.splunk.over(Arc::clone(transport));
    app
}

/// The same with a transport of its own to the collector, as its keys have it.
fn real_ship_app(keys: &BTreeMap<String, String>, transport: &Arc<dyn Transport>) -> ship::App {
    let mut keys = keys.clone();
    // One function a destination; the first is the house's own.
    if let Some((first, _)) = keys.get("destination").and_then(|all| all.split_once(',')) {
        let first = first.to_owned();
        keys.insert("destination".to_owned(), first);
    }
    let lookup = |key: &str| keys.get(key).cloned();
    let mut app = ship::App::from_config(&lookup).unwrap();
    app.config.connection = connect(&lookup, transport);
    let bucket = app.config.connection.client.bucket(&keys["state_namespace"], BUCKET);
    app.config.ledger = Ledger::new(bucket);
    app
}

fn connect(lookup: &dyn Fn(&str) -> Option<String>, transport: &Arc<dyn Transport>) -> Connection {
    let principal = Principal::resource(lookup).unwrap();
    let mut endpoints = Endpoints::new(principal.region().unwrap().clone());
    for service in [Service::Identity, Service::Audit, Service::Notifications, Service::ObjectStorage, Service::Secrets]
    {
        endpoints = endpoints.override_service(service, &format!("{OCI}/region/{{region}}")).unwrap();
    }
    Connection::over(Arc::clone(transport), principal, endpoints)
}

impl House {
    /// Another `ship-to-siem` of this house, some of its keys changed.
    pub(crate) fn ship_with(&self, changes: &[(&str, &str)]) -> ship::App {
        ship_app(&self.changed(changes), &self.transport)
    }

    /// The same with real connections to its collector.
    pub(crate) fn real_ship_with(&self, changes: &[(&str, &str)]) -> ship::App {
        real_ship_app(&self.changed(changes), &self.transport)
    }

    fn changed(&self, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut keys = self.keys.clone();
        keys.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        keys
    }

    /// Puts a collector behind a URL, in place of any that was there.
    pub(crate) fn collector(&self, url: &'static str, settings: HecSettings) -> HecReceiver {
        let collector = HecReceiver::new(settings);
        self.collectors.lock().unwrap().insert(url, collector.clone());
        collector
    }

    /// Lets time pass.
    pub(crate) async fn wait(&self, time: SignedDuration) {
        tokio::time::sleep(Duration::try_from(time).unwrap()).await;
    }

    /// Lets time pass until it is `time` on the planned day.
    pub(crate) async fn wait_until(&self, time: &str) {
        let left = at(time).duration_since(self.cloud.clock().now());
        self.wait(left).await;
    }

    /// Puts an event into the trail, listed as soon as it is processed.
    pub(crate) fn event(&self, region: &str, compartment: &str, processed: &str, id: &str) -> Bytes {
        let processed = at(processed);
        self.event_of(
            region,
            compartment,
            processed,
            &format!(r#"{{"eventId":"{id}","eventTime":"{processed}","data":{{"x":1.50}}}}"#),
        )
    }

    pub(crate) fn event_of(&self, region: &str, compartment: &str, processed: Timestamp, json: &str) -> Bytes {
        let bytes = Bytes::copy_from_slice(json.as_bytes());
        self.cloud.audit().add(
            region,
            compartment,
            AddedEvent { bytes: bytes.clone(), processed, visible_from: processed },
        );
        bytes
    }

    pub(crate) fn root(&self) -> String {
        self.cloud.tenancy().id().to_owned()
    }

    /// The OCID of compartment number `n` below the root.
    pub(crate) fn compartment(&self, n: usize) -> String {
        self.cloud.tenancy().compartments(start())[n].id.clone()
    }

    /// A scheduled run.
    pub(crate) async fn ring(&self) -> Reply {
        list::handle(&self.list, Invocation::direct("", deadline())).await
    }

    /// A direct call of the planner with a body.
    pub(crate) async fn call_list(&self, body: impl Into<Bytes>) -> Reply {
        list::handle(&self.list, Invocation::direct(body, deadline())).await
    }

    /// A call of the planner through the gateway, with these headers.
    pub(crate) async fn call_gateway(&self, headers: &[(&'static str, &str)]) -> Reply {
        let mut call = HttpCall {
            method: http::Method::GET,
            url: "/regions/listregions".to_owned(),
            headers: http::HeaderMap::new(),
        };
        for (name, value) in headers {
            call.headers.append(*name, value.parse().unwrap());
        }
        list::handle(&self.list, Invocation::http(call, "", deadline())).await
    }

    pub(crate) async fn fetch(&self, body: impl Into<Bytes>) -> Reply {
        fetch::handle(&self.fetch, Invocation::direct(body, deadline())).await
    }

    pub(crate) async fn ship(&self, body: impl Into<Bytes>) -> Reply {
        ship::handle(&self.ship, Invocation::direct(body, deadline())).await
    }

    /// The doorbells on a topic that its function has not had yet.
    pub(crate) fn unheard(&self, topic: &str) -> Vec<Bytes> {
        let all: Vec<Bytes> = (self.cloud.topics().published().into_iter())
            .filter(|message| message.topic == topic)
            .map(|message| message.body)
            .collect();
        let mut heard = self.heard.lock().unwrap();
        let from = heard.insert(topic.to_owned(), all.len()).unwrap_or(0);
        all[from..].to_vec()
    }

    /// Answers all doorbells, one after the other, until both topics are quiet; each call must succeed.
    pub(crate) async fn settle(&self) {
        for reply in self.settle_anyhow().await {
            assert!(reply.is_success(), "{reply:?}");
        }
    }

    /// Answers all doorbells; what the calls answered.
    pub(crate) async fn settle_anyhow(&self) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            let (fetches, ships) = (self.unheard(&self.audit_topic), self.unheard(&self.splunk_topic));
            if fetches.is_empty() && ships.is_empty() {
                return replies;
            }
            for body in fetches {
                replies.push(self.fetch(body).await);
            }
            for body in ships {
                replies.push(self.ship(body.clone()).await);
                for app in &self.more_ships {
                    replies.push(ship::handle(app, Invocation::direct(body.clone(), deadline())).await);
                }
            }
        }
    }

    /// Runs the schedule every five minutes until it is `until`, answering all doorbells.
    pub(crate) async fn run_until(&self, until: &str) {
        self.run_every(5, until).await;
    }

    pub(crate) async fn run_every(&self, minutes: i64, until: &str) {
        while self.cloud.clock().now() < at(until) {
            self.wait(SignedDuration::from_mins(minutes)).await;
            let reply = self.ring().await;
            assert!(reply.is_success(), "{reply:?}");
            self.settle().await;
        }
    }

    /// The ledger's objects under a prefix.
    pub(crate) fn objects(&self, prefix: &str) -> Vec<String> {
        self.cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with(prefix)).collect()
    }

    pub(crate) fn object(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.cloud.storage().get(BUCKET, name).unwrap()).unwrap()
    }

    /// The raw bytes that reached the collector, in order.
    pub(crate) fn arrived(&self) -> Vec<Bytes> {
        (0..self.splunk.count()).map(|index| self.splunk.raw(index).unwrap()).collect()
    }

    /// The ids that reached the collector, sorted, copies included.
    pub(crate) fn arrived_ids(&self) -> Vec<String> {
        ids_at(&self.splunk)
    }

    /// Counts the calls of `operation` that name `part`, from now on. Ask with [`House::count`].
    pub(crate) fn counting(&self, operation: &str, part: &str) -> FaultId {
        self.cloud.faults().inject(Fault::on(operation).containing(part).delay(Duration::ZERO))
    }

    pub(crate) fn count(&self, counter: FaultId) -> u64 {
        self.cloud.faults().fired(counter)
    }

    /// Nothing waits, nothing is held, nothing was refused.
    pub(crate) fn assert_idle(&self) {
        for folder in ["owed/", "held/", "dead/"] {
            assert_eq!(self.objects(folder), [""; 0], "{folder}");
        }
    }

    /// Holds what arrived against what the trail holds up to `until`.
    pub(crate) fn assert_delivered_once(&self, until: Timestamp) -> usize {
        let mut arrived: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for arrival in self.splunk.iter() {
            arrived.entry(arrival.id.unwrap()).or_default().push(arrival.fingerprint);
        }
        let (mut count, mut lost, mut doubled, mut altered) = (0, Vec::new(), Vec::new(), Vec::new());
        for expected in self.cloud.audit().expected(until) {
            count += 1;
            match arrived.get(&expected.id).map(Vec::as_slice) {
                None => lost.push(expected.id),
                Some([one]) if Some(*one) == expected.fingerprint => {}
                Some([_]) => altered.push(expected.id),
                Some(_) => doubled.push(expected.id),
            }
        }
        assert!(
            lost.is_empty() && doubled.is_empty() && altered.is_empty(),
            "of {count}: lost {lost:?}, doubled {doubled:?}, altered {altered:?}"
        );
        count
    }
}

/// The ids that reached a collector, sorted, copies included.
pub(crate) fn ids_at(collector: &HecReceiver) -> Vec<String> {
    let mut ids: Vec<String> = collector.iter().map(|arrival| arrival.id.unwrap()).collect();
    ids.sort();
    ids
}

pub(crate) fn deadline() -> tokio::time::Instant {
    tokio::time::Instant::now() + CALL
}
