//! What a receipt holds: its work in full, so that it can be done anew from nothing else.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use oci_names::Ocid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Destination, EventHash, EventRange, FetchKey, Lane, Location, ShipKey, WorkUnit, version::V1};

/// A fetch receipt: the units to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchBody {
    v: V1,
    /// What is to be listed.
    pub units: Vec<WorkUnit>,
    /// Where the units lie on the work stream, if they were put there.
    #[serde(flatten)]
    pub location: Option<Location>,
    /// True where some of these units may have been worked on before: events already on their way are skipped.
    #[serde(default)]
    pub again: bool,
    /// For these destinations alone; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Destination>,
    /// For these events alone: those of a batch that is gone from the event stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew: Option<Anew>,
}

/// Events that were on their way and are not on the event stream any more: exactly those are listed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anew {
    /// The key of the ship receipt that this work replaces. What that receipt names is no proof that an event is on its
    /// way.
    pub replaces: String,
    /// The hashes of the events that are wanted.
    #[serde(serialize_with = "write_hashes", deserialize_with = "read_hashes")]
    pub ids: Vec<EventHash>,
    /// The hashes of those that a summary among them stood for.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "write_hashes",
        deserialize_with = "read_hashes"
    )]
    pub summarised: Vec<EventHash>,
}

impl Anew {
    /// What is still wanted once `found` was listed.
    #[must_use]
    pub fn without(&self, found: &HashSet<EventHash>) -> Self {
        let left = |hashes: &[EventHash]| hashes.iter().copied().filter(|hash| !found.contains(hash)).collect();
        Self { replaces: self.replaces.clone(), ids: left(&self.ids), summarised: left(&self.summarised) }
    }

    /// Whether nothing is wanted any more.
    pub fn is_done(&self) -> bool {
        self.ids.is_empty() && self.summarised.is_empty()
    }
}

impl FetchBody {
    /// Work that nobody has begun.
    pub fn new(units: Vec<WorkUnit>, location: Option<Location>) -> Self {
        Self { v: V1, units, location, again: false, destinations: Vec::new(), anew: None }
    }

    /// Whether `other` asks for the same listing for the same destinations.
    pub fn is_same_work(&self, other: &Self) -> bool {
        self.units == other.units && self.destinations == other.destinations && self.anew == other.anew
    }

    /// Work that is left of `self`; the stream's copy does not match it any more.
    #[must_use]
    pub fn left(&self, units: Vec<WorkUnit>) -> Self {
        Self { units, location: None, again: true, ..self.clone() }
    }
}

/// A ship receipt: where the batch lies and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipBody {
    v: V1,
    /// Where the batch lies on the event stream.
    #[serde(flatten)]
    pub location: Location,
    /// How many events it holds.
    pub events: u32,
    /// The compartments that they come from.
    pub compartments: Vec<Ocid>,
    /// The hashes of their ids, in order.
    #[serde(serialize_with = "write_hashes", deserialize_with = "read_hashes")]
    pub event_ids: Vec<EventHash>,
    /// The hashes of the events that its last record, a summary, stands for: they are on their way with it.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "write_hashes",
        deserialize_with = "read_hashes"
    )]
    pub summarised: Vec<EventHash>,
    /// When it was put, by the service's clock; no stream keeps it longer than its retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_at: Option<Timestamp>,
}

impl ShipBody {
    /// A batch of which nothing was sent yet.
    pub fn new(location: Location, compartments: Vec<Ocid>, event_ids: Vec<EventHash>) -> Self {
        // A batch is bounded by its bytes, far below the type's limit.
        let events = u32::try_from(event_ids.len()).unwrap_or(u32::MAX);
        Self { v: V1, location, events, compartments, event_ids, summarised: Vec::new(), put_at: None }
    }

    /// The hashes of the events that a receipt for `range` (all, where it is `None`) has on its way: its own, and those
    /// that its summary stands for.
    pub fn on_their_way(&self, range: Option<EventRange>) -> impl Iterator<Item = EventHash> + '_ {
        let (own, summarised) = self.parts_of(range);
        own.iter().chain(summarised).copied()
    }

    /// The work that lists anew what a receipt under `key` has lost on the stream, for `destination` alone.
    ///
    /// The same receipt always gives the same key and work, so whoever finds it lost first plans it for all.
    pub fn planned_anew(&self, destination: &Destination, key: &ShipKey) -> Option<(FetchKey, FetchBody)> {
        let (ids, summarised) = self.parts_of(key.range);
        // A summary is in no listing: what it stands for is listed anew, and summed up anew.
        let ids = if summarised.is_empty() { ids } else { ids.split_last().map_or(ids, |(_, rest)| rest) };
        let region: oci_names::Region = key.region().parse().ok()?;
        let unit = |compartment: &Ocid| WorkUnit {
            region: region.clone(),
            compartment: compartment.clone(),
            start_time: key.window.from(),
            end_time: key.window.until(),
            look: FetchKey::ANEW,
            not_before: None,
        };
        let mut body = FetchBody::new(self.compartments.iter().map(unit).collect(), None);
        body.again = true;
        body.destinations = vec![destination.clone()];
        let replaces = key.to_string();
        // A name for this receipt's work and no other's, where a number is wanted.
        let part = u32::try_from(crate::event::hash_of(format!("{destination}/{replaces}").as_bytes()) >> 32);
        body.anew = Some(Anew { replaces, ids: ids.to_vec(), summarised: summarised.to_vec() });
        let lane: Lane = key.lane;
        let fetch = FetchKey {
            lane,
            window: key.window,
            look: FetchKey::ANEW,
            region,
            part: part.unwrap_or_default(),
            continuation: 0,
        };
        Some((fetch, body))
    }

    /// The events of `range`, and what the batch's last record stands for where that is among them.
    fn parts_of(&self, range: Option<EventRange>) -> (&[EventHash], &[EventHash]) {
        let Some(range) = range else { return (&self.event_ids, &self.summarised) };
        let own = self.event_ids.get(range.places()).unwrap_or(&self.event_ids);
        let has_last = range.until() as usize >= self.event_ids.len();
        (own, if has_last { &self.summarised } else { &[] })
    }
}

fn write_hashes<S: Serializer>(hashes: &[EventHash], to: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect();
    to.serialize_str(&STANDARD.encode(bytes))
}

fn read_hashes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<EventHash>, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("event_ids: expected base64"))?;
    let (hashes, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        Ok(hashes.iter().map(|hash| EventHash::from_be_bytes(*hash)).collect())
    } else {
        Err(D::Error::custom("event_ids: expected eight bytes an event"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location() -> Location {
        Location {
            batch: "us-ashburn-1.00ff".into(),
            stream: "ocid1.stream.oc1.iad.a".parse().unwrap(),
            partition: "0".into(),
            offset: 1200,
            last_offset: 1224,
            num_records: 25,
        }
    }

    #[test]
    fn a_ship_receipt_reads_back_with_its_hashes() {
        let body = ShipBody::new(location(), vec!["ocid1.tenancy.oc1..t".parse().unwrap()], vec![1, u64::MAX, 7]);
        let json = serde_json::to_string(&body).unwrap();
        assert!(json.contains(r#""event_ids":"AAAAAAAAAAH//////////wAAAAAAAAAH""#), "{json}");
        assert_eq!(serde_json::from_str::<ShipBody>(&json).unwrap(), body);
        assert!(serde_json::from_str::<ShipBody>(&json.replace("AAAH\"", "AAA\"")).is_err());
    }

    #[test]
    fn r_39_a_batch_that_is_gone_is_planned_anew_for_exactly_its_events() {
        let compartments = vec!["ocid1.tenancy.oc1..t".parse().unwrap(), "ocid1.compartment.oc1..c".parse().unwrap()];
        let mut body = ShipBody::new(location(), compartments, vec![1, 2, 3, 4]);
        body.summarised = vec![8, 9];
        let destination: Destination = "splunk".parse().unwrap();
        let plan = |range: &str| {
            let key = format!("20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff{range}").parse().unwrap();
            body.planned_anew(&destination, &key).unwrap()
        };
        let (key, whole) = plan("");
        assert_eq!((key.look, key.region.as_str(), whole.units.len(), whole.again), (0, "us-ashburn-1", 2, true));
        assert_eq!(whole.destinations, std::slice::from_ref(&destination));
        let anew = whole.anew.clone().unwrap();
        // The last of them is the summary, which no listing shows.
        assert_eq!((anew.ids, anew.summarised), (vec![1, 2, 3], vec![8, 9]));
        let (_, part) = plan(".1-3");
        let anew = part.anew.clone().unwrap();
        assert_eq!((anew.ids.clone(), anew.summarised.clone()), (vec![2, 3], vec![]));
        assert_eq!(anew.without(&[2].into()).ids, [3]);
        assert!(anew.without(&[2, 3].into()).is_done());
        assert_eq!(plan(""), (key.clone(), whole.clone()));
        assert_ne!(plan(".1-3").0, key);
        let json = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<FetchBody>(&json).unwrap(), whole);
        let on_their_way = |range: Option<&str>| {
            body.on_their_way(range.map(|range| range.parse().unwrap())).collect::<Vec<EventHash>>()
        };
        assert_eq!(on_their_way(None), [1, 2, 3, 4, 8, 9]);
        assert_eq!(on_their_way(Some("1-3")), [2, 3]);
        assert_eq!(on_their_way(Some("3-4")), [4, 8, 9]);
    }

    #[test]
    fn a_fetch_receipt_reads_back_with_and_without_a_place_on_the_stream() {
        let unit = r#"{"region":"r-1","compartment":"ocid1.tenancy.oc1..t","start_time":"2026-01-05T21:20:00Z","end_time":"2026-01-05T21:25:00Z","look":1}"#;
        let units: Vec<WorkUnit> = vec![serde_json::from_str(unit).unwrap()];
        for location in [None, Some(location())] {
            let body = FetchBody::new(units.clone(), location);
            let read: FetchBody = serde_json::from_str(&serde_json::to_string(&body).unwrap()).unwrap();
            assert_eq!(read, body);
            assert_eq!((read.left(Vec::new()).location, read.left(Vec::new()).again), (None, true));
        }
    }
}
