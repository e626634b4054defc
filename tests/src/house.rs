//! A tenancy with the whole pipeline in it: handlers as library futures, the emulator and the collector in process, one
//! virtual clock (tokio's, paused, so that waiting takes no time).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use decode_bucket_gzip as decode;
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
use oci_client::{Endpoints, Principal, RetryPolicy, Service};
use ship_to_siem as ship;
use tempfile::TempDir;
use workbench::{Connection, Ids};

use crate::wire::{Collectors, InProcess, Killer, OCI, SPLUNK};

/// The collector's token.
pub const TOKEN: &str = "11111111-2222-4333-8444-555555555555";
/// The state bucket.
pub const BUCKET: &str = "siem-state";
/// The bucket in which log files land.
pub const LOGS: &str = "logs";

/// Longer than any call of the tests takes on the paused clock, save those that test the deadline.
const CALL: Duration = Duration::from_secs(290);

/// The pipeline and everything around it.
pub struct House {
    /// The emulator.
    pub cloud: LocalOci,
    /// The first destination.
    pub splunk: HecReceiver,
    /// Ends callers at a wire call, where the wire is the harness's own.
    pub killer: Arc<Killer>,
    /// `list-regions-compartments`.
    pub list: list::App,
    /// `fetch-audit-events`.
    pub fetch: fetch::App,
    /// `ship-to-siem` of the first destination.
    pub ship: ship::App,
    /// The functions of further destinations: they hear the same doorbells.
    pub more_ships: Vec<ship::App>,
    /// `decode-bucket-gzip` of the first destination.
    pub decode: decode::App,
    /// All destinations by their URLs.
    pub collectors: Collectors,
    /// The topic that wakes fetch.
    pub audit_topic: String,
    /// The topic that wakes ship.
    pub splunk_topic: String,
    /// The topic that wakes decode, where the plan has log files.
    pub object_topic: Option<String>,
    /// The stream of work units.
    pub work_stream: String,
    /// The stream of events.
    pub event_stream: String,
    /// How many published doorbells each topic's function has had.
    heard: Mutex<BTreeMap<String, usize>>,
    keys: BTreeMap<String, String>,
    way: Way,
    tokens: TempDir,
}

/// How the functions reach everything else.
#[derive(Clone)]
struct Way {
    transport: Arc<dyn Transport>,
    seed: u64,
    signs: bool,
    tenancy: String,
    own_clock: Option<OwnClock>,
}

/// Tells the time of the functions' containers.
pub type OwnClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Makes the wire that the functions are put on, of the one that works.
pub type MakeWire = Box<dyn FnOnce(InProcess) -> Arc<dyn Transport>>;

/// What is changed before the house is built.
pub struct Plan {
    /// The emulator.
    pub settings: Settings,
    /// The first destination.
    pub hec: HecSettings,
    /// Whether the planner knows of log files, and searches for them.
    pub log_files: bool,
    /// Of each stream.
    pub partitions: u32,
    /// Keys of the functions' configuration, over those that the house gives.
    pub keys: BTreeMap<String, String>,
    /// Jitter and names follow from it.
    pub seed: u64,
    /// Whether requests are signed. Where not, the emulator must not check.
    pub signs: bool,
    /// The containers' own clock, in the machine's place.
    pub own_clock: Option<OwnClock>,
    /// Another wire.
    pub wire: Option<MakeWire>,
}

/// Midnight of the planned day, where every house begins.
pub fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

/// A time of the planned day.
pub fn at(time: &str) -> Timestamp {
    format!("2026-01-05T{time}Z").parse().unwrap()
}

/// A house on a quiet tenancy: two regions, six compartments below the root, no event but those that a test adds, and no
/// trace of our own reads.
pub fn quiet() -> House {
    house(|_| {})
}

/// A house on such a tenancy, changed.
pub fn house(change: impl FnOnce(&mut Plan)) -> House {
    let mut settings = Settings::new(Clock::starting_at(start()));
    settings.audit.own_reads = false;
    let token = HecToken::new(TOKEN);
    let mut plan = Plan {
        settings,
        hec: HecSettings { keep_raw: true, ..HecSettings::new(token) },
        log_files: false,
        partitions: 1,
        keys: BTreeMap::new(),
        seed: 0,
        signs: true,
        own_clock: None,
        wire: None,
    };
    change(&mut plan);
    let cloud = LocalOci::new(plan.settings);
    let splunk = HecReceiver::new(plan.hec);
    let home = cloud.tenancy().home_region().to_owned();
    cloud.storage().create_bucket(BUCKET);
    cloud.storage().create_bucket(LOGS);
    let work_stream = cloud.streams().create("work", plan.partitions, &home);
    let event_stream = cloud.streams().create("events", plan.partitions, &home);
    let audit_topic = cloud.topics().create("audit");
    let splunk_topic = cloud.topics().create("splunk");
    let object_topic = plan.log_files.then(|| cloud.topics().create("object"));
    let tokens = TempDir::new().unwrap();
    // Longer than any test: on the platform a token is replaced in its file, which has tests of its own.
    cloud.credentials().set_token_lifetime(SignedDuration::from_hours(24 * 30));
    let function = cloud.tenancy().new_ocid("fnfunc", &home);
    let mut keys: BTreeMap<String, String> =
        cloud.credentials().resource_principal_env(&function, tokens.path()).unwrap().into_iter().collect();
    let elsewhere = format!("{OCI}/region/{{region}}");
    for service in ["identity", "audit", "notification", "object_storage", "secrets", "monitoring"] {
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
        ("input_bucket", LOGS),
        ("gateway_secret", "open sesame"),
        ("start", "2026-01-05T00:00:00Z"),
        // What arrives is held against the trail byte for byte; the two exceptions have tests of their own.
        ("redact", "off"),
        ("own_reads", "keep"),
    ] {
        keys.insert(key.to_owned(), value.to_owned());
    }
    keys.extend(object_topic.clone().map(|topic| ("object_topic".to_owned(), topic)));
    if !plan.signs {
        // Nobody signed: the emulator takes such calls for its user's.
        keys.insert("own_principal".to_owned(), cloud.tenancy().user().to_owned());
    }
    keys.extend(plan.keys);
    let lookup = |key: &str| keys.get(key).cloned();
    let killer = Arc::new(Killer::default());
    let collectors = Collectors::default();
    collectors.lock().unwrap().insert(SPLUNK, splunk.clone());
    let wire = InProcess { cloud: cloud.clone(), collectors: Arc::clone(&collectors), killer: Arc::clone(&killer) };
    let transport: Arc<dyn Transport> = match plan.wire {
        Some(make) => make(wire),
        None => Arc::new(wire),
    };
    let way = Way {
        transport,
        seed: plan.seed,
        signs: plan.signs,
        tenancy: cloud.tenancy().id().to_owned(),
        own_clock: plan.own_clock,
    };
    let connection = || connect(&lookup, &way);
    let ledger = |connection: &Connection| Ledger::new(connection.client.bucket(&namespace, BUCKET));
    let mut list = list::App { ids: Ids::seeded(2 * plan.seed + 1), ..list::App::from_config(&lookup).unwrap() };
    list.config.connection = connection();
    list.config.ledger = ledger(&list.config.connection);
    let mut fetch = fetch::App { ids: Ids::seeded(2 * plan.seed + 2), ..fetch::App::from_config(&lookup).unwrap() };
    fetch.config.connection = connection();
    fetch.config.ledger = ledger(&fetch.config.connection);
    let ship = ship_app(&keys, &way);
    let decode = decode_app(&keys, &way);
    House {
        cloud,
        splunk,
        killer,
        list,
        fetch,
        ship,
        more_ships: Vec::new(),
        decode,
        collectors,
        audit_topic,
        splunk_topic,
        object_topic,
        work_stream,
        event_stream,
        heard: Mutex::default(),
        keys,
        way,
        tokens,
    }
}

/// `ship-to-siem` with these keys; both Oracle Cloud and the collector are behind the one wire.
fn ship_app(keys: &BTreeMap<String, String>, way: &Way) -> ship::App {
    let mut app = real_ship_app(keys, way);
    app.config.target = app.config.target.over(Arc::clone(&way.transport));
    app
}

/// The same with a transport of its own to the collector, as its keys have it.
fn real_ship_app(keys: &BTreeMap<String, String>, way: &Way) -> ship::App {
    let keys = of_one_destination(keys);
    let lookup = |key: &str| keys.get(key).cloned();
    let mut app = ship::App::from_config(&lookup).unwrap();
    app.config.connection = connect(&lookup, way);
    let bucket = app.config.connection.client.bucket(&keys["state_namespace"], BUCKET);
    app.config.ledger = Ledger::new(bucket);
    app
}

/// One function a destination; the first is the house's own.
fn of_one_destination(keys: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut keys = keys.clone();
    if let Some((first, _)) = keys.get("destination").and_then(|all| all.split_once(',')) {
        let first = first.to_owned();
        keys.insert("destination".to_owned(), first);
    }
    keys
}

/// `decode-bucket-gzip` with these keys, over the one wire.
fn decode_app(keys: &BTreeMap<String, String>, way: &Way) -> decode::App {
    let keys = of_one_destination(keys);
    let lookup = |key: &str| keys.get(key).cloned();
    let mut app = decode::App::from_config(&lookup).unwrap();
    app.config.connection = connect(&lookup, way);
    let bucket = app.config.connection.client.bucket(&keys["state_namespace"], BUCKET);
    app.config.ledger = Ledger::new(bucket);
    app.config.target = app.config.target.over(Arc::clone(&way.transport));
    app
}

fn connect(lookup: &dyn Fn(&str) -> Option<String>, way: &Way) -> Connection {
    let mut principal = Principal::resource(lookup).unwrap();
    let home = principal.region().unwrap().clone();
    if !way.signs {
        principal = Principal::unsigned(home.clone(), way.tenancy.parse().unwrap());
    }
    let mut endpoints = Endpoints::new(home);
    let services = [
        Service::Identity,
        Service::Audit,
        Service::Notifications,
        Service::ObjectStorage,
        Service::Secrets,
        Service::Monitoring,
    ];
    for service in services {
        endpoints = endpoints.override_service(service, &format!("{OCI}/region/{{region}}")).unwrap();
    }
    let mut connection = Connection::over(Arc::clone(&way.transport), principal, endpoints);
    // The same pauses each time.
    connection.client = connection.client.with_retry(RetryPolicy { seed: Some(way.seed), ..RetryPolicy::default() });
    if let Some(clock) = &way.own_clock {
        connection.client = connection.client.with_own_clock(Arc::clone(clock));
    }
    connection
}

impl House {
    /// Another `ship-to-siem` of this house, some of its keys changed.
    pub fn ship_with(&self, changes: &[(&str, &str)]) -> ship::App {
        ship_app(&self.changed(changes), &self.way)
    }

    /// The same with real connections to its collector.
    pub fn real_ship_with(&self, changes: &[(&str, &str)]) -> ship::App {
        real_ship_app(&self.changed(changes), &self.way)
    }

    /// Another `decode-bucket-gzip` of this house, some of its keys changed.
    pub fn decode_with(&self, changes: &[(&str, &str)]) -> decode::App {
        decode_app(&self.changed(changes), &self.way)
    }

    fn changed(&self, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut keys = self.keys.clone();
        keys.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        keys
    }

    /// Puts a collector behind a URL, in place of any that was there.
    pub fn collector(&self, url: &'static str, settings: HecSettings) -> HecReceiver {
        let collector = HecReceiver::new(settings);
        self.collectors.lock().unwrap().insert(url, collector.clone());
        collector
    }

    /// Where the functions' token and key lie, which the platform replaces.
    pub fn tokens(&self) -> &std::path::Path {
        self.tokens.path()
    }

    /// Lets time pass.
    pub async fn wait(&self, time: SignedDuration) {
        tokio::time::sleep(Duration::try_from(time).unwrap()).await;
    }

    /// Lets time pass until it is `time` on the planned day.
    pub async fn wait_until(&self, time: &str) {
        let left = at(time).duration_since(self.cloud.clock().now());
        self.wait(left).await;
    }

    /// Puts an event into the trail, listed as soon as it is processed.
    pub fn event(&self, region: &str, compartment: &str, processed: &str, id: &str) -> Bytes {
        let processed = at(processed);
        self.event_of(
            region,
            compartment,
            processed,
            &format!(r#"{{"eventId":"{id}","eventTime":"{processed}","data":{{"x":1.50}}}}"#),
        )
    }

    /// The same with other text.
    pub fn event_of(&self, region: &str, compartment: &str, processed: Timestamp, json: &str) -> Bytes {
        let bytes = Bytes::copy_from_slice(json.as_bytes());
        self.cloud.audit().add(
            region,
            compartment,
            AddedEvent { bytes: bytes.clone(), processed, visible_from: processed },
        );
        bytes
    }

    /// The OCID of the root compartment.
    pub fn root(&self) -> String {
        self.cloud.tenancy().id().to_owned()
    }

    /// The OCID of compartment number `n` below the root.
    pub fn compartment(&self, n: usize) -> String {
        self.cloud.tenancy().compartments(start())[n].id.clone()
    }

    /// A scheduled run.
    pub async fn ring(&self) -> Reply {
        list::handle(&self.list, Invocation::direct("", deadline())).await
    }

    /// A direct call of the planner with a body.
    pub async fn call_list(&self, body: impl Into<Bytes>) -> Reply {
        list::handle(&self.list, Invocation::direct(body, deadline())).await
    }

    /// A call of the planner through the gateway, with these headers.
    pub async fn call_gateway(&self, headers: &[(&'static str, &str)]) -> Reply {
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

    /// A call of fetch.
    pub async fn fetch(&self, body: impl Into<Bytes>) -> Reply {
        fetch::handle(&self.fetch, Invocation::direct(body, deadline())).await
    }

    /// A call of ship.
    pub async fn ship(&self, body: impl Into<Bytes>) -> Reply {
        ship::handle(&self.ship, Invocation::direct(body, deadline())).await
    }

    /// A call of decode.
    pub async fn decode(&self, body: impl Into<Bytes>) -> Reply {
        decode::handle(&self.decode, Invocation::direct(body, deadline())).await
    }

    /// Puts a log file into its bucket; the event that tells of it.
    pub fn log_file(&self, object: &str, bytes: impl Into<Bytes>) -> Bytes {
        let etag = self.cloud.storage().put(LOGS, object, bytes).unwrap();
        object_event(self.cloud.tenancy().namespace(), LOGS, object, &etag, self.cloud.clock().now())
    }

    /// The doorbells on a topic that its function has not had yet.
    pub fn unheard(&self, topic: &str) -> Vec<Bytes> {
        let all: Vec<Bytes> = (self.cloud.topics().published().into_iter())
            .filter(|message| message.topic == topic)
            .map(|message| message.body)
            .collect();
        let mut heard = self.heard.lock().unwrap();
        let from = heard.insert(topic.to_owned(), all.len()).unwrap_or(0);
        all[from..].to_vec()
    }

    /// Answers all doorbells, one after the other, until both topics are quiet; each call must succeed.
    pub async fn settle(&self) {
        for reply in self.settle_anyhow().await {
            assert!(reply.is_success(), "{reply:?}");
        }
    }

    /// Answers all doorbells; what the calls answered.
    pub async fn settle_anyhow(&self) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            let (fetches, ships) = (self.unheard(&self.audit_topic), self.unheard(&self.splunk_topic));
            let objects = self.object_topic.as_deref().map(|topic| self.unheard(topic)).unwrap_or_default();
            if fetches.is_empty() && ships.is_empty() && objects.is_empty() {
                return replies;
            }
            for body in objects {
                replies.push(self.decode(body).await);
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
    pub async fn run_until(&self, until: &str) {
        self.run_every(5, until).await;
    }

    /// The same at another pace.
    pub async fn run_every(&self, minutes: i64, until: &str) {
        while self.cloud.clock().now() < at(until) {
            self.wait(SignedDuration::from_mins(minutes)).await;
            let reply = self.ring().await;
            assert!(reply.is_success(), "{reply:?}");
            self.settle().await;
        }
    }

    /// The ledger's objects under a prefix.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        self.cloud.storage().objects(BUCKET).into_iter().filter(|name| name.starts_with(prefix)).collect()
    }

    /// One of them, read.
    pub fn object(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.cloud.storage().get(BUCKET, name).unwrap()).unwrap()
    }

    /// The raw bytes that reached the collector, in order.
    pub fn arrived(&self) -> Vec<Bytes> {
        (0..self.splunk.count()).map(|index| self.splunk.raw(index).unwrap()).collect()
    }

    /// The ids that reached the collector, sorted, copies included.
    pub fn arrived_ids(&self) -> Vec<String> {
        ids_at(&self.splunk)
    }

    /// Counts the calls of `operation` that name `part`, from now on. Ask with [`House::count`].
    pub fn counting(&self, operation: &str, part: &str) -> FaultId {
        self.cloud.faults().inject(Fault::on(operation).containing(part).delay(Duration::ZERO))
    }

    /// How many there were.
    pub fn count(&self, counter: FaultId) -> u64 {
        self.cloud.faults().fired(counter)
    }

    /// Nothing waits, nothing is held, nothing was refused.
    pub fn assert_idle(&self) {
        for folder in ["owed/", "held/", "dead/"] {
            assert_eq!(self.objects(folder), [""; 0], "{folder}");
        }
    }

    /// Holds what arrived against what the trail holds up to `until`.
    pub fn assert_delivered_once(&self, until: Timestamp) -> usize {
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
pub fn ids_at(collector: &HecReceiver) -> Vec<String> {
    let mut ids: Vec<String> = collector.iter().map(|arrival| arrival.id.unwrap()).collect();
    ids.sort();
    ids
}

/// The event that a rule hands over when an object has come into a bucket.
pub fn object_event(namespace: &str, bucket: &str, object: &str, etag: &str, time: Timestamp) -> Bytes {
    serde_json::json!({
        "eventType": "com.oraclecloud.objectstorage.createobject", "cloudEventsVersion": "0.1", "eventTypeVersion": "2.0",
        "source": "ObjectStorage", "eventTime": time, "contentType": "application/json",
        "data": {
            "compartmentId": "ocid1.compartment.oc1..x", "compartmentName": "siem", "resourceName": object,
            "resourceId": format!("/n/{namespace}/b/{bucket}/o/{object}"), "availabilityDomain": "AD-1",
            "additionalDetails": {
                "bucketName": bucket, "archivalState": "Available", "namespace": namespace,
                "bucketId": "ocid1.bucket.oc1.iad.x", "eTag": etag,
            },
        },
        "eventID": "3e47d127-19de-6eb8-eb67-0c1ab961fcbc", "extensions": { "compartmentId": "ocid1.compartment.oc1..x" },
    })
    .to_string()
    .into()
}

/// The end of a call that begins now.
pub fn deadline() -> tokio::time::Instant {
    tokio::time::Instant::now() + CALL
}
