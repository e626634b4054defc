use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::{EventNumber, Generator};
use crate::tenancy::{Lateness, Tenancy, TenancyPlan};

fn generator(hostile: f64) -> Generator {
    let lateness = Lateness { listed_late: 0.2, ..Lateness::default() };
    let plan = TenancyPlan { regions: 4, compartments: 96, events: 4000, hostile, lateness, ..TenancyPlan::default() };
    Generator::new(&plan, &Tenancy::new(&plan))
}

#[test]
fn an_event_is_the_same_bytes_every_time() {
    let (one, other) = (generator(0.3), generator(0.3));
    for index in [0, 7, 3999] {
        assert_eq!(one.render(index), other.render(index));
        assert_ne!(one.render(index), one.render(index + 1));
    }
}

#[test]
fn events_have_the_shape_of_the_api_and_ids_of_their_own() {
    let generator = generator(0.2);
    let mut ids = BTreeSet::new();
    for index in 0..2000 {
        let json = generator.render(index);
        let event: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let keys: BTreeSet<&str> = event.as_object().expect("an object").keys().map(String::as_str).collect();
        for key in ["eventType", "cloudEventsVersion", "eventTypeVersion", "source", "eventTime", "contentType", "data"]
        {
            assert!(keys.contains(key), "{key} in {json}");
        }
        let data = &event["data"];
        for key in ["identity", "request", "response", "stateChange", "additionalDetails"] {
            assert!(data.get(key).is_some(), "{key} in {json}");
        }
        let place = generator.draw(index).place;
        assert_eq!(data["compartmentId"], *generator.compartments()[place.compartment as usize].0);
        assert!(event["eventTime"].as_str().expect("a time").parse::<jiff::Timestamp>().is_ok());
        assert!(data["response"]["status"].is_string());
        let id = event["eventId"].as_str().expect("an id");
        assert_eq!(EventNumber::parse(id, generator.seed), Some(EventNumber::Generated(index)));
        assert!(ids.insert(id.to_owned()));
    }
}

#[test]
fn ids_are_uuids_of_their_seed_alone() {
    for number in [EventNumber::Generated(0), EventNumber::Generated(u32::MAX), EventNumber::OwnRead(5)] {
        let id = number.id(9);
        let marks = (id.len(), id.chars().nth(14), id.chars().nth(19).map(|mark| "89ab".contains(mark)));
        assert_eq!(marks, (36, Some('4'), Some(true)), "{id}");
        assert_eq!(EventNumber::parse(&id, 9), Some(number));
        assert_eq!(EventNumber::parse(&id, 8), None);
        assert_eq!(EventNumber::parse(&id.to_uppercase(), 9), None, "an id is its exact text");
    }
    for foreign in ["", "x", "5f0c9b52-0b43-4f58-9f0f-2f7f5b1c9a10", "é".repeat(18).as_str()] {
        assert_eq!(EventNumber::parse(foreign, 9), None, "{foreign}");
    }
}

#[test]
fn sizes_and_places_are_as_uneven_as_life() {
    let generator = generator(0.02);
    let (mut bytes, mut pretty, mut by_place) = (0, 0, BTreeMap::new());
    for index in 0..4000 {
        let json = generator.render(index);
        bytes += json.len();
        pretty += usize::from(json.contains('\n'));
        *by_place.entry(generator.draw(index).place).or_insert(0_u32) += 1;
    }
    let mean = bytes / 4000;
    assert!((1500..1900).contains(&mean), "{mean} bytes a record");
    assert!((5..60).contains(&pretty), "{pretty} over several lines");
    let silent = 4 * 97 - generator.weights.len();
    assert!((40..120).contains(&silent), "{silent} scopes are silent");
    let busiest = by_place.values().max().copied().unwrap_or_default();
    assert!(busiest > 10 * 4000 / (4 * 97), "the busiest has {busiest}");
    let root = generator.weights.iter().any(|(_, place)| (place.region, place.compartment) == (0, 0));
    assert!(root, "home's root is never silent");
}

#[test]
fn some_events_are_processed_late_and_some_are_listed_late() {
    let generator = generator(0.0);
    let (mut late, mut hidden) = (0, 0);
    for index in 0..4000 {
        let drawn = generator.draw(index);
        let wait = drawn.processed.duration_since(drawn.event_time).as_secs();
        assert!((0..15 * 60).contains(&wait), "{wait} s");
        late += usize::from(wait > 2);
        let rest = drawn.visible_from.duration_since(drawn.processed).as_secs();
        assert!((0..10 * 60).contains(&rest), "{rest} s");
        hidden += usize::from(rest > 0);
    }
    assert!((300..500).contains(&late), "{late}");
    assert!((700..900).contains(&hidden), "{hidden}");
}

#[test]
fn hostile_events_hold_what_breaks_text_tools() {
    let generator = generator(1.0);
    let all: Vec<String> = (0..600).map(|index| generator.render(index)).collect();
    let count = |what: &dyn Fn(&str) -> bool| all.iter().filter(|json| what(json)).count();
    assert!(count(&|json| json.contains("}{")) > 100);
    assert!(count(&|json| json.contains("12345678901234567890") && json.contains("1e-7")) > 20);
    assert!(count(&|json| json.contains("\"Accept\"") && json.contains("\"accept\"")) > 3);
    assert!(count(&|json| !json.is_ascii()) > 50);
    assert!(count(&|json| json.is_ascii() && json.contains("\\ud83d")) > 2, "escaped surrogate pairs");
    assert!(count(&|json| json.contains("securityAttributes")) > 50);
    assert!(count(&|json| json.len() > 20_000) > 10);
    // Keys that differ by case stay apart in the text, whatever a map makes of them.
    let json = all.iter().find(|json| json.contains("\"ACCEPT\"")).expect("one of them");
    let raw: BTreeMap<String, &RawValue> = serde_json::from_str(json).expect("an object");
    assert!(raw["data"].get().contains("\"accept\""));
}
