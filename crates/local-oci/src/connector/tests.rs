use std::collections::BTreeSet;
use std::io::Read;

use serde_json::Value;

use super::*;
use crate::generate::compact;
use crate::{AddedEvent, Clock, Settings, TenancyPlan};

fn cloud(events: u32, hostile: f64) -> LocalOci {
    let plan = TenancyPlan { events, hostile, ..TenancyPlan::default() };
    let mut settings = Settings::new(Clock::leaping(plan.start));
    settings.plan = plan;
    LocalOci::new(settings)
}

fn start() -> Timestamp {
    TenancyPlan::default().start
}

fn settings() -> ConnectorSettings {
    ConnectorSettings::new("log-bucket")
}

/// A day and a bit, at once.
fn rolled(settings: ConnectorSettings, events: u32, hostile: f64) -> (LocalOci, Connector) {
    let cloud = cloud(events, hostile);
    let connector = Connector::new(&cloud, settings, start());
    for hours in (1..=26).map(SignedDuration::from_hours) {
        connector.roll_over(&cloud, start().checked_add(hours).expect("a time"));
    }
    (cloud, connector)
}

fn unpacked(cloud: &LocalOci, name: &str) -> String {
    let packed = cloud.storage().get("log-bucket", name).expect("an object");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_string(&mut text).expect("gzip");
    text
}

/// The records of a file, however they are framed, without white space.
fn read(text: &str) -> Vec<String> {
    if text.starts_with('[') {
        let records: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).expect("an array");
        return records.into_iter().map(|record| compact(record.get())).collect();
    }
    let records = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    records.map(|record| compact(record.expect("a record").get())).collect()
}

#[test]
fn every_framing_and_layout_holds_the_records_that_are_remembered() {
    let layouts = [Layout::Bare, Layout::Wrapped(Datetime::Millis), Layout::Wrapped(Datetime::Text)];
    for framing in [Framing::Concatenated, Framing::Lines, Framing::Mixed, Framing::Array] {
        for (members, layout) in [1, 3, 2].into_iter().zip(layouts) {
            let settings = ConnectorSettings { framing, layout, gzip_members: members, ..settings() };
            let (cloud, connector) = rolled(settings, 400, 0.5);
            let written = connector.records();
            assert_eq!(written.len(), 400);
            let mut records = written.iter();
            for (number, object) in connector.objects().iter().enumerate() {
                let text = unpacked(&cloud, &object.name);
                let found = read(&text);
                assert_eq!((found.len(), text.len()), (object.records, object.bytes));
                for record in found {
                    let expected = records.next().expect("a record that is remembered");
                    assert_eq!((expected.object, expected.record), (number, fingerprint(record.as_bytes())));
                    let value: Value = serde_json::from_str(&record).expect("JSON");
                    let content = match layout {
                        Layout::Bare => &value,
                        Layout::Wrapped(_) => &value["logContent"],
                    };
                    assert_eq!(content["id"], expected.id);
                    assert_eq!(expected.record == expected.content, layout == Layout::Bare);
                }
            }
            assert_eq!(records.next(), None);
        }
    }
}

#[test]
fn framings_look_as_they_are_called() {
    let body = |framing| {
        let (cloud, connector) = rolled(ConnectorSettings { framing, ..settings() }, 300, 0.0);
        connector.objects().iter().map(|object| unpacked(&cloud, &object.name)).collect::<Vec<_>>()
    };
    assert!(body(Framing::Concatenated).iter().all(|text| !text.contains('\n')));
    assert!(
        body(Framing::Lines).iter().all(|text| text.ends_with("}\n") && text.lines().all(|line| line.ends_with('}')))
    );
    assert!(body(Framing::Array).iter().all(|text| text.starts_with("[{") && text.ends_with("}]")));
    let mixed = body(Framing::Mixed).concat();
    for part in ["}{", "}\n{", "}\r\n{", "}\n\n{", "} \n{", "{\n\t\"data\"", "{\n \"data\""] {
        assert!(mixed.contains(part), "{part:?}");
    }
    assert_eq!(mixed, body(Framing::Mixed).concat(), "the seed decides");
}

#[test]
fn a_record_is_the_event_under_the_logging_service_s_names() {
    let cloud = cloud(0, 0.0);
    let event = r#"{
        "eventType" : "com.oraclecloud.virtualNetwork.UpdateVnic", "cloudEventsVersion": "0.1", "eventTypeVersion": "2.0",
        "source": "virtualNetwork", "eventId": "93e7a143-650b-4632-8a53-a464f45ee3c5", "eventTime": "2026-01-05T00:00:57.533Z",
        "contentType": "application/json",
        "data": { "eventName": "UpdateVnic", "compartmentId": "ocid1.compartment.oc1..x", "resourceName": "a } { b",
          "request": { "action": "PUT", "headers": { "Accept": ["x"], "accept": ["y"] } },
          "stateChange": { "current": { "n": [1.50E+2, 12345678901234567890.1] } } },
        "extensions": { "k" : null } }"#;
    let processed = start().checked_add(SignedDuration::from_secs(58)).expect("a time");
    let added = AddedEvent { bytes: event.into(), processed, visible_from: Timestamp::MAX };
    cloud.audit().add("us-phoenix-1", "ocid1.compartment.oc1..x", added);
    let connector = Connector::new(
        &cloud,
        ConnectorSettings { layout: Layout::Wrapped(Datetime::Millis), prefix: String::new(), ..settings() },
        start(),
    );
    let until = start().checked_add(SignedDuration::from_secs(420)).expect("a time");
    assert_eq!((connector.roll_over(&cloud, until), connector.roll_over(&cloud, until)), (1, 0));
    let name = format!("{}/20260105T000000Z_20260105T000700Z.0.log.gz", connector.id());
    assert!(connector.id().starts_with("ocid1.serviceconnector.oc1.iad."));
    assert_eq!(cloud.storage().objects("log-bucket"), [name.as_str()]);
    assert_eq!(cloud.storage().etag("log-bucket", &name), Some(connector.objects()[0].etag.clone()));
    let tenancy = cloud.tenancy().id();
    let expected = format!(
        r#"{{"datetime":1767571257533,"logContent":{{"data":{{"eventName":"UpdateVnic","compartmentId":"ocid1.compartment.oc1..x","resourceName":"a }} {{ b","request":{{"action":"PUT","headers":{{"Accept":["x"],"accept":["y"]}}}},"stateChange":{{"current":{{"n":[1.50E+2,12345678901234567890.1]}}}},"message":"UpdateVnic succeeded"}},"dataschema":"2.0","id":"93e7a143-650b-4632-8a53-a464f45ee3c5","oracle":{{"compartmentid":"ocid1.compartment.oc1..x","ingestedtime":"2026-01-05T00:01:05.000Z","loggroupid":"_Audit","tenantid":"{tenancy}"}},"source":"a }} {{ b","specversion":"1.0","time":"2026-01-05T00:00:57.533Z","type":"com.oraclecloud.virtualNetwork.UpdateVnic","extensions":{{"k":null}}}},"regionId":"us-phoenix-1"}}"#
    );
    assert_eq!(unpacked(&cloud, &name), expected);
}

#[test]
fn files_are_cut_by_size_within_an_interval() {
    let settings = ConnectorSettings { rollover_max_bytes: 20_000, ..settings() };
    let (cloud, connector) = rolled(settings, 500, 0.0);
    let objects = connector.objects();
    assert!(objects.iter().all(|object| object.bytes <= 20_000 || object.records == 1));
    assert!(objects.iter().any(|object| object.name.ends_with(".1.log.gz")));
    assert_eq!(objects.len(), cloud.storage().objects("log-bucket").len(), "no name twice");
    assert_eq!(connector.records().len(), 500);
    let whole = rolled(self::settings(), 500, 0.0).1;
    let contents = |connector: &Connector| connector.records().iter().map(|record| record.content).collect::<Vec<_>>();
    assert_eq!(contents(&connector), contents(&whole), "the cut changes no record and no order");
}

#[test]
fn the_query_leaves_out_what_was_not_asked_for() {
    let actions = ["POST", "PUT", "DELETE"].map(str::to_owned).to_vec();
    let (cloud, connector) = rolled(ConnectorSettings { actions, ..settings() }, 300, 0.0);
    let written = connector.records();
    assert!((50..250).contains(&written.len()), "{}", written.len());
    for record in written {
        let event: Value = serde_json::from_slice(&cloud.audit().event(&record.id).expect("an event")).expect("JSON");
        assert!(matches!(event["data"]["request"]["action"].as_str(), Some("POST" | "PUT" | "DELETE")));
    }
}

#[tokio::test]
async fn a_day_runs_on_the_cloud_s_clock_and_holds_what_the_audit_service_has() {
    let cloud = cloud(2000, 0.02);
    let connector = Connector::new(&cloud, settings(), start());
    let until = start().checked_add(SignedDuration::from_hours(25)).expect("a time");
    connector.run(&cloud, until).await;
    assert!(cloud.clock().now() >= until);
    let ids: BTreeSet<String> = connector.records().into_iter().map(|record| record.id).collect();
    let expected: BTreeSet<String> = cloud.audit().expected(Timestamp::MAX).map(|event| event.id).collect();
    assert_eq!((ids.len(), &ids), (2000, &expected));
    let objects = connector.objects();
    assert!((150..=215).contains(&objects.len()), "{}", objects.len());
    for object in objects {
        let (_, times) = object.name.rsplit_once('/').expect("a folder");
        let (from, rest) = times.split_once('_').expect("two times");
        let time = |text: &str| jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).expect("a time");
        let (end, _) = rest.split_once('.').expect("a number");
        let span = time(end).duration_since(time(from));
        assert!(span.as_secs() <= 420 && object.name.starts_with("audit/ocid1.serviceconnector."), "{}", object.name);
    }
}

#[tokio::test]
async fn a_file_is_an_event_for_the_rules() {
    let cloud = cloud(50, 0.0);
    let connector = Connector::new(&cloud, settings(), start());
    cloud.storage().set_object_events("log-bucket", true);
    connector.roll_over(&cloud, start().checked_add(SignedDuration::from_hours(26)).expect("a time"));
    let emitted = cloud.events().emitted();
    let written = connector.objects().swap_remove(0);
    assert_eq!((&emitted[0].object, &emitted[0].etag), (&written.name, &written.etag));
}
