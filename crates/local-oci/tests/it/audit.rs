use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use local_oci::receiver::fingerprint;
use local_oci::{AddedEvent, AuditSettings, Lateness, TenancyPlan};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::{Client, Got, encoded, noon, settings};

const HOME: &str = "us-ashburn-1";

fn client(events: u32, change: impl FnOnce(&mut AuditSettings, &mut TenancyPlan)) -> Client {
    let mut settings = settings();
    settings.plan.events = events;
    settings.plan.compartments = 5;
    settings.audit.own_reads = false;
    change(&mut settings.audit, &mut settings.plan);
    Client::new(settings)
}

fn query(compartment: &str, start: &str, end: &str) -> String {
    format!("/20190901/auditEvents?compartmentId={compartment}&startTime={}&endTime={}", encoded(start), encoded(end))
}

/// All pages of one listing: the events as they stood, and the size of each page.
async fn list(client: &Client, path: &str) -> (Vec<String>, Vec<usize>) {
    let (mut events, mut pages, mut page) = (Vec::new(), Vec::new(), String::new());
    loop {
        let got = client.get(&format!("{path}{page}")).await;
        assert_eq!(got.status, 200, "{path}: {:?}", got.body);
        let found: Vec<&RawValue> = serde_json::from_slice(&got.body).expect("an array");
        pages.push(found.len());
        events.extend(found.into_iter().map(|event| event.get().to_owned()));
        let Some(next) = got.headers.get("opc-next-page") else { return (events, pages) };
        page = format!("&page={}", encoded(next));
    }
}

fn event_of(json: &str) -> Value {
    serde_json::from_str(json).expect("an event")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn scopes(client: &Client) -> Vec<(String, String)> {
    let tenancy = client.cloud.tenancy();
    let mut compartments = vec![tenancy.id().to_owned()];
    compartments.extend(tenancy.compartments(noon()).into_iter().map(|compartment| compartment.id));
    let regions = tenancy.regions(noon());
    regions.iter().flat_map(|region| compartments.iter().map(|id| (region.name.clone(), id.clone()))).collect()
}

#[tokio::test(start_paused = true)]
async fn every_event_of_the_plan_is_listed_once_in_its_place_as_it_was_rendered() {
    let client = client(3000, |_, plan| plan.hostile = 0.2);
    client.cloud.clock().sleep(SignedDuration::from_hours(24)).await;
    let mut listed = BTreeMap::new();
    for (region, compartment) in scopes(&client) {
        let client = Client::of(&client.cloud).in_region(&region);
        let (events, _) = list(&client, &query(&compartment, "2026-01-05T00:00:00Z", "2026-01-06T01:00:00Z")).await;
        for json in events {
            let event = event_of(&json);
            assert_eq!(event["data"]["compartmentId"], compartment.as_str());
            let id = event["eventId"].as_str().expect("an id").to_owned();
            assert_eq!(client.cloud.audit().event(&id).as_deref(), Some(json.as_bytes()));
            assert!(listed.insert(id, (region.clone(), compartment.clone(), fingerprint(json.as_bytes()))).is_none());
        }
    }
    let expected: Vec<_> = client.cloud.audit().expected(Timestamp::MAX).collect();
    assert_eq!((listed.len(), expected.len()), (3000, 3000));
    for event in expected {
        let (region, compartment, print) = &listed[&event.id];
        assert_eq!((region, compartment, Some(*print)), (&event.region, &event.compartment, event.fingerprint));
    }
    assert!(client.cloud.audit().event("5f0c9b52-0b43-4f58-9f0f-2f7f5b1c9a10").is_none());
}

#[tokio::test(start_paused = true)]
async fn windows_tile_by_processed_time_with_the_end_excluded() {
    let client = client(2000, |_, plan| plan.lateness.processed_late = 0.5);
    client.cloud.clock().sleep(SignedDuration::from_hours(24)).await;
    let root = client.cloud.tenancy().id().to_owned();
    let expected: BTreeMap<String, Timestamp> = client
        .cloud
        .audit()
        .expected(Timestamp::MAX)
        .filter(|event| event.region == HOME && event.compartment == root)
        .map(|event| (event.id, event.processed))
        .collect();
    let mut seen = 0;
    for hour in 0..25 {
        let (start, end) = (at("2026-01-05T00:00:00Z"), SignedDuration::from_hours(1));
        let start = start + SignedDuration::from_hours(hour);
        let (events, _) = list(&client, &query(&root, &start.to_string(), &(start + end).to_string())).await;
        for json in &events {
            let processed = expected[event_of(json)["eventId"].as_str().expect("an id")];
            assert!(start <= processed && processed < start + end);
        }
        seen += events.len();
    }
    assert_eq!((seen, seen > 20), (expected.len(), true));
    let before_noon = client.cloud.audit().expected(noon()).count();
    let all = client.cloud.audit().expected(Timestamp::MAX).count();
    assert!(before_noon > 500 && before_noon < all - 500, "{before_noon} of {all}");
}

#[tokio::test(start_paused = true)]
async fn pages_vary_come_empty_and_are_in_no_order() {
    let client =
        client(4000, |audit, _| *audit = AuditSettings { page_max_events: 20, empty_pages: 0.4, ..audit.clone() });
    client.cloud.clock().sleep(SignedDuration::from_hours(24)).await;
    let root = client.cloud.tenancy().id().to_owned();
    let path = query(&root, "2026-01-05T00:00:00Z", "2026-01-06T01:00:00Z");
    let (events, pages) = list(&client, &path).await;
    assert!(pages.len() > 5 && pages.iter().all(|size| *size <= 20), "{pages:?}");
    assert!(pages.iter().filter(|size| **size == 0).count() > 1, "{pages:?}");
    assert!(pages.iter().collect::<BTreeSet<_>>().len() > 3, "{pages:?}");
    let times: Vec<String> = events.iter().map(|json| event_of(json)["eventTime"].to_string()).collect();
    assert!(!times.is_sorted() && !times.iter().rev().is_sorted());
    let ids: BTreeSet<String> = events.iter().map(|json| event_of(json)["eventId"].to_string()).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_listed_before_it_is_visible_and_a_listing_under_way_stays_as_it_was() {
    let client = client(0, |audit, _| {
        *audit = AuditSettings { page_max_events: 1, pages_vary: false, empty_pages: 0.0, ..audit.clone() }
    });
    let root = client.cloud.tenancy().id().to_owned();
    let processed = at("2026-01-05T11:59:10Z");
    let add = |number: u32, visible_from| {
        let bytes = Bytes::from(format!(r#"{{ "eventId": "added-{number}" , "x":1e-7}}"#));
        client.cloud.audit().add(HOME, &root, AddedEvent { bytes, processed, visible_from });
    };
    add(1, processed);
    add(2, processed);
    add(3, noon() + SignedDuration::from_mins(7));
    let path = query(&root, "2026-01-05T11:59:00Z", "2026-01-05T12:00:00Z");
    let first = client.get(&path).await;
    client.cloud.clock().sleep(SignedDuration::from_mins(7)).await;
    let next = format!("{path}&page={}", encoded(first.header("opc-next-page")));
    let second = client.get(&next).await;
    assert_eq!(second.headers.get("opc-next-page"), None, "two were visible when the listing began");
    assert_ne!(first.body, second.body);
    let (events, _) = list(&client, &path).await;
    assert_eq!(events.len(), 3);
    assert!(events.contains(&r#"{ "eventId": "added-3" , "x":1e-7}"#.to_owned()), "bytes are as they were: {events:?}");
    let expected: Vec<_> = client.cloud.audit().expected(noon()).map(|event| (event.id, event.visible_from)).collect();
    assert_eq!(expected[2], ("added-3".to_owned(), noon() + SignedDuration::from_mins(7)));
}

#[tokio::test(start_paused = true)]
async fn times_are_whole_minutes_unless_the_service_is_lenient() {
    let strict = client(0, |_, _| {});
    let lenient = client(0, |audit, _| audit.strict_minutes = false);
    let root = strict.cloud.tenancy().id().to_owned();
    let event = || AddedEvent {
        bytes: Bytes::from_static(br#"{"eventId":"a"}"#),
        processed: at("2026-01-05T11:50:01Z"),
        visible_from: noon(),
    };
    lenient.cloud.audit().add(HOME, &root, event());
    for (start, end) in [
        ("2026-01-05T11:50:17Z", "2026-01-05T11:55:00Z"),
        ("2026-01-05T11:50:00Z", "2026-01-05T11:55:49.039Z"),
        ("2026-01-05T11:50:00.001Z", "2026-01-05T11:55:00Z"),
    ] {
        let path = query(&root, start, end);
        assert_eq!(strict.get(&path).await.error(), (400, "InvalidParameter".to_owned()), "{start} {end}");
        assert_eq!(list(&lenient, &path).await.0.len(), 1, "{start} {end}");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_queries_are_400_and_what_may_not_be_read_404() {
    let client = client(100, |_, plan| plan.regions = 2);
    let tenancy = client.cloud.tenancy();
    let root = tenancy.id().to_owned();
    let (start, end) = ("2026-01-05T11:50:00Z", "2026-01-05T11:55:00Z");
    let good = query(&root, start, end);
    assert_eq!(client.get(&good).await.status, 200);
    let check = async |path: String, status: u16, code: &str| {
        let got: Got = client.get(&path).await;
        assert_eq!(got.error(), (status, code.to_owned()), "{path}");
    };
    for name in ["compartmentId", "startTime", "endTime"] {
        check(good.replace(name, "other"), 400, "MissingParameter").await;
    }
    check(query(&root, "yesterday", end), 400, "InvalidParameter").await;
    check(query(&root, end, start), 400, "InvalidParameter").await;
    check(query(&root, start, start), 400, "InvalidParameter").await;
    check(format!("{good}&page=abc"), 400, "InvalidParameter").await;
    check(query("ocid1.compartment.oc1..nobody", start, end), 404, "NotAuthorizedOrNotFound").await;
    let hidden = tenancy.compartments(noon())[2].id.clone();
    check(query("", start, end), 400, "MissingParameter").await;
    assert_eq!(client.get(&query(&hidden, start, end)).await.status, 200);
    tenancy.set_accessible(&hidden, false);
    check(query(&hidden, start, end), 404, "NotAuthorizedOrNotFound").await;
    tenancy.subscribe("eu-madrid-1", noon(), noon() + SignedDuration::from_mins(5));
    for region in ["eu-madrid-1", "eu-paris-1"] {
        let got = Client::of(&client.cloud).in_region(region).get(&good).await;
        assert_eq!(got.error(), (404, "NotAuthorizedOrNotFound".to_owned()), "{region}");
    }
    client.cloud.clock().sleep(SignedDuration::from_mins(5)).await;
    assert_eq!(Client::of(&client.cloud).in_region("eu-madrid-1").get(&good).await.status, 200);
    let configuration = client.get(&format!("/20190901/configuration?compartmentId={root}")).await;
    assert_eq!(configuration.json()["retentionPeriodDays"], 365);
}

#[tokio::test(start_paused = true)]
async fn a_page_token_belongs_to_its_query() {
    let client = client(3000, |audit, _| audit.page_max_events = 2);
    client.cloud.clock().sleep(SignedDuration::from_hours(24)).await;
    let root = client.cloud.tenancy().id().to_owned();
    let path = query(&root, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z");
    let next = encoded(client.get(&path).await.header("opc-next-page"));
    assert_eq!(client.get(&format!("{path}&page={next}")).await.status, 200);
    let other = query(&root, "2026-01-05T00:00:00Z", "2026-01-05T23:00:00Z");
    assert_eq!(client.get(&format!("{other}&page={next}")).await.error().0, 400);
    let compartment = &client.cloud.tenancy().compartments(noon())[0].id;
    let other = query(compartment, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z");
    assert_eq!(client.get(&format!("{other}&page={next}")).await.error().0, 400);
}

#[tokio::test(start_paused = true)]
async fn our_own_reads_are_audited_where_we_read() {
    let client = client(0, |audit, _| *audit = AuditSettings { own_reads: true, empty_pages: 0.0, ..audit.clone() });
    let compartment = client.cloud.tenancy().compartments(noon())[1].id.clone();
    let path = query(&compartment, "2026-01-05T12:00:00Z", "2026-01-05T12:10:00Z");
    assert_eq!(list(&client, &path).await.0.len(), 0, "a read does not see itself");
    client.send("GET", &path, &[("user-agent", "test \"agent\"")], "").await;
    client.get(&query("ocid1.compartment.oc1..nobody", "2026-01-05T12:00:00Z", "2026-01-05T12:10:00Z")).await;
    client.cloud.clock().sleep(SignedDuration::from_secs(1)).await;
    let (events, _) = list(&client, &path).await;
    let events: Vec<Value> = events.iter().map(|json| event_of(json)).collect();
    assert_eq!(events.len(), 2, "the refused call left nothing");
    let agents: BTreeSet<&str> =
        events.iter().map(|event| event["data"]["identity"]["userAgent"].as_str().expect("text")).collect();
    assert_eq!(agents, BTreeSet::from(["", "test \"agent\""]));
    for event in &events {
        assert_eq!(event["eventType"], "com.oraclecloud.Audit.ListEvents");
        assert_eq!(event["data"]["compartmentId"], compartment.as_str());
        assert_eq!(event["data"]["compartmentName"], "compartment-01");
        assert_eq!(event["data"]["identity"]["principalId"], client.cloud.tenancy().user());
        assert_eq!(event["data"]["request"]["parameters"]["startTime"][0], "2026-01-05T12:00:00Z");
        assert!(event["eventTime"].as_str().is_some_and(|time| time.starts_with("2026-01-05T12:00:30.")));
    }
    let expected: Vec<_> = client.cloud.audit().expected(Timestamp::MAX).collect();
    assert_eq!((expected.len(), client.cloud.audit().own_reads()), (3, 3));
    assert!(expected.iter().all(|event| event.region == HOME && event.compartment == compartment));
    let listed: BTreeSet<&str> = events.iter().map(|event| event["eventId"].as_str().expect("an id")).collect();
    assert!(expected.iter().all(|event| listed.contains(event.id.as_str()) == event.fingerprint.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_own_reads_are_cheap() {
    let mut settings = settings();
    settings.check_signatures = false;
    settings.audit.empty_pages = 0.0;
    let client = Client::new(settings);
    let root = client.cloud.tenancy().id().to_owned();
    let path = query(&root, "2026-01-05T11:00:00Z", "2026-01-05T11:01:00Z");
    let request = || http::Request::get(&path).body(Bytes::new()).expect("a request");
    let before = std::time::Instant::now();
    for _ in 0..100_000 {
        let response = client.cloud.handle(request()).await.expect("no cut");
        assert_eq!(response.status(), 200);
    }
    assert!(before.elapsed().as_secs() < 60, "{:?}", before.elapsed());
    assert_eq!(client.cloud.audit().own_reads(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_million_events_are_planned_in_small_space() {
    let lateness = Lateness { listed_late: 0.1, ..Lateness::default() };
    let client =
        client(1_000_000, |_, plan| *plan = TenancyPlan { regions: 4, compartments: 96, lateness, ..plan.clone() });
    client.cloud.clock().sleep(SignedDuration::from_hours(12)).await;
    let before = std::time::Instant::now();
    let root = client.cloud.tenancy().id().to_owned();
    let (events, _) = list(&client, &query(&root, "2026-01-05T20:00:00Z", "2026-01-05T20:05:00Z")).await;
    assert!(!events.is_empty() && events.len() < 1000, "{}", events.len());
    assert!(before.elapsed().as_secs() < 5, "a window costs its own events: {:?}", before.elapsed());
    assert_eq!(client.cloud.audit().expected(Timestamp::MAX).count(), 1_000_000);
}
