//! What a receipt holds: its work in full, so that it can be done anew from nothing else.

use base64::{Engine, engine::general_purpose::STANDARD};
use oci_names::Ocid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Destination, EventHash, Location, WorkUnit, version::V1};

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
}

impl FetchBody {
    /// Work that nobody has begun.
    pub fn new(units: Vec<WorkUnit>, location: Option<Location>) -> Self {
        Self { v: V1, units, location, again: false, destinations: Vec::new() }
    }

    /// Whether `other` asks for the same listing for the same destinations.
    pub fn is_same_work(&self, other: &Self) -> bool {
        self.units == other.units && self.destinations == other.destinations
    }

    /// Work that is left of `self`; the stream's copy does not match it any more.
    #[must_use]
    pub fn left(&self, units: Vec<WorkUnit>) -> Self {
        Self { v: V1, units, location: None, again: true, destinations: self.destinations.clone() }
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
    /// How many of them, from the front, this destination has already taken or refused for good.
    #[serde(default)]
    pub done: u32,
}

impl ShipBody {
    /// A batch of which nothing was sent yet.
    pub fn new(location: Location, compartments: Vec<Ocid>, event_ids: Vec<EventHash>) -> Self {
        // A batch is bounded by its bytes, far below the type's limit.
        let events = u32::try_from(event_ids.len()).unwrap_or(u32::MAX);
        Self { v: V1, location, events, compartments, event_ids, done: 0 }
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
