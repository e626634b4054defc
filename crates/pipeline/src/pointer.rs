//! The doorbell on both topics: which receipts wait, and where their records lie.

use oci_names::Ocid;
use serde::{Deserialize, Serialize};

use crate::{Destination, Receipt, State};

/// The service's limit is 64 KB for the whole request, title and escapes included.
const DOORBELL_MAX_BYTES: usize = 60_000;

/// Where the messages of one batch lie. Its `partition` holds other writers' messages too, between `offset` and
/// `last_offset`: those of the batch have its id as their key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The key of every message of the batch.
    pub batch: String,
    /// The stream.
    pub stream: Ocid,
    /// The partition.
    pub partition: String,
    /// The batch's first message.
    pub offset: u64,
    /// Its last.
    pub last_offset: u64,
    /// How many messages it has.
    pub num_records: u32,
}

/// One receipt that waits. Without a location its body says where to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The receipt, owed.
    pub receipt: Receipt,
    /// Where its records lie.
    pub location: Option<Location>,
}

/// The body of a notification between the functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doorbell {
    /// Worked one after the other while the deadline allows.
    pub pointers: Vec<Pointer>,
    /// What the planner knows of the destinations.
    pub word: Word,
}

/// What a doorbell says of destinations that are down, so that each gets one probe a run and no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Who puts batches rings none of these: their receipts wait for a probe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hushed: Vec<Destination>,
    /// This doorbell is a probe of that level: who delivers all of it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<u8>,
    /// Whoever decodes log files looks through their buckets for those whose event never came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub search: bool,
}

impl Word {
    /// How many batches may be sent for a probe, whatever else becomes of the others that it names: one at first, and four
    /// times as many with each probe that was taken. `None` where this is no probe.
    pub fn deliveries_max(&self) -> Option<usize> {
        self.probe.map(|level| 4_usize.saturating_pow(level.into()))
    }
}

/// A body is no doorbell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDoorbell {
    /// Not of the shape.
    #[error("not a doorbell: expected {{\"v\":1,\"pointers\":[{{\"receipt\":…}}]}} ({0})")]
    Shape(String),
    /// Of another version.
    #[error("a doorbell of version {0}: this function reads version 1; deploy all functions from one version")]
    Version(u64),
    /// Names something other than an owed receipt.
    #[error("pointer {0} does not name an owed receipt")]
    Receipt(usize),
    /// Its numbers contradict each other.
    #[error(
        "pointer {0} is impossible: expected offset <= last_offset and 1 <= num_records <= last_offset - offset + 1"
    )]
    Range(usize),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u64,
    pointers: Vec<WirePointer>,
    #[serde(flatten)]
    word: Word,
}

#[derive(Serialize, Deserialize)]
struct WirePointer {
    receipt: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
}

impl Doorbell {
    /// Reads a notification's body.
    ///
    /// # Errors
    /// What is wrong with it; the text holds none of its values.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidDoorbell> {
        let shape = |error: serde_json::Error| {
            InvalidDoorbell::Shape(format!("line {} column {}", error.line(), error.column()))
        };
        let wire: Wire = serde_json::from_slice(body).map_err(shape)?;
        if wire.v != 1 {
            return Err(InvalidDoorbell::Version(wire.v));
        }
        let read = |(index, pointer): (usize, WirePointer)| {
            let receipt: Receipt = pointer.receipt.parse().map_err(|_| InvalidDoorbell::Receipt(index))?;
            if receipt.state != State::Owed {
                return Err(InvalidDoorbell::Receipt(index));
            }
            if let Some(location) = &pointer.location {
                let span = location.last_offset.checked_sub(location.offset).and_then(|span| span.checked_add(1));
                let possible = span.is_some_and(|span| (1..=span).contains(&u64::from(location.num_records)));
                if !possible {
                    return Err(InvalidDoorbell::Range(index));
                }
            }
            Ok(Pointer { receipt, location: pointer.location })
        };
        let pointers = wire.pointers.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { pointers, word: wire.word })
    }

    /// The notification's body.
    pub fn to_json(&self) -> String {
        let pointer = |pointer: &Pointer| WirePointer {
            receipt: pointer.receipt.to_string(),
            location: pointer.location.clone(),
        };
        let wire = Wire { v: 1, pointers: self.pointers.iter().map(pointer).collect(), word: self.word.clone() };
        // Strings and integers only: nothing here can fail to serialise.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

/// Spreads `pointers` over doorbells: at least `spread` of them where there are as many pointers (so that as many copies
/// of the next function start), and none longer than the service takes. Order is kept; each says `word`.
pub fn group(pointers: Vec<Pointer>, spread: usize, word: &Word) -> Vec<Doorbell> {
    let per_doorbell = pointers.len().div_ceil(spread.max(1)).max(1);
    let mut doorbells: Vec<Doorbell> = Vec::new();
    let mut bytes = 0;
    for pointer in pointers {
        // What its JSON takes, quoted once more inside the publish request.
        let size = 320
            + pointer.receipt.to_string().len()
            + pointer.location.as_ref().map_or(0, |at| at.batch.len() + at.stream.as_str().len() + at.partition.len());
        match doorbells.last_mut() {
            Some(last) if last.pointers.len() < per_doorbell && bytes + size <= DOORBELL_MAX_BYTES => {
                last.pointers.push(pointer);
                bytes += size;
            }
            _ => {
                doorbells.push(Doorbell { pointers: vec![pointer], word: word.clone() });
                bytes = size + word.hushed.iter().map(|name| name.as_str().len() + 8).sum::<usize>();
            }
        }
    }
    doorbells
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIPT: &str = "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0";

    fn pointer(offset: u64, last_offset: u64, num_records: u32) -> String {
        format!(
            r#"{{"v":1,"pointers":[{{"receipt":"{RECEIPT}","batch":"us-ashburn-1.00ff","stream":"ocid1.stream.oc1.iad.a","partition":"0","offset":{offset},"last_offset":{last_offset},"num_records":{num_records}}}]}}"#
        )
    }

    #[test]
    fn r_06_a_pointer_names_its_batch_and_both_of_its_ends() {
        // A's entries got offsets 10, 12, 14 while another writer's lie between.
        let body = pointer(10, 14, 3);
        let doorbell = Doorbell::parse(body.as_bytes()).unwrap();
        assert_eq!(doorbell.to_json(), body);
        let location = doorbell.pointers[0].location.as_ref().unwrap();
        assert_eq!((location.offset, location.last_offset, location.num_records), (10, 14, 3));
        assert_eq!((location.batch.as_str(), location.partition.as_str()), ("us-ashburn-1.00ff", "0"));
    }

    #[test]
    fn a_pointer_may_name_its_receipt_alone() {
        let body = format!(r#"{{"v":1,"pointers":[{{"receipt":"{RECEIPT}"}}]}}"#);
        let doorbell = Doorbell::parse(body.as_bytes()).unwrap();
        assert_eq!((doorbell.pointers[0].location.is_none(), doorbell.to_json()), (true, body));
    }

    #[test]
    fn a_word_on_destinations_travels_with_the_pointers() {
        let word = Word { hushed: vec!["splunk".parse().unwrap()], probe: Some(2), search: true };
        let receipt = RECEIPT.parse().unwrap();
        let doorbell = &group(vec![Pointer { receipt, location: None }], 1, &word)[0];
        let body =
            format!(r#"{{"v":1,"pointers":[{{"receipt":"{RECEIPT}"}}],"hushed":["splunk"],"probe":2,"search":true}}"#);
        assert_eq!(doorbell.to_json(), body);
        assert_eq!(Doorbell::parse(body.as_bytes()).unwrap(), *doorbell);
        let most = |probe| Word { probe, ..Word::default() }.deliveries_max();
        assert_eq!([None, Some(0), Some(1), Some(3)].map(most), [None, Some(1), Some(4), Some(64)]);
    }

    #[test]
    fn a_body_that_is_no_doorbell_says_what_is_wrong_and_repeats_nothing() {
        for (body, expected) in [
            (String::new(), "not a doorbell"),
            ("hush".into(), "not a doorbell"),
            (r#"{"offset":100,"num_records":2}"#.into(), "not a doorbell"),
            (r#"{"v":2,"pointers":[]}"#.into(), "version 2"),
            (r#"{"v":1,"pointers":[{"receipt":"hush"}]}"#.into(), "pointer 0 does not name"),
            (
                format!(
                    r#"{{"v":1,"pointers":[{{"receipt":"{}"}}]}}"#,
                    RECEIPT.replace("owed", "held").replace("~0", "~0~9")
                ),
                "pointer 0 does not name",
            ),
            (pointer(14, 10, 1), "pointer 0 is impossible"),
            (pointer(10, 10, 2), "pointer 0 is impossible"),
            (pointer(10, 10, 0), "pointer 0 is impossible"),
            (pointer(0, u64::MAX, 1), "pointer 0 is impossible"),
        ] {
            let error = Doorbell::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{body} -> {error}");
        }
    }

    #[test]
    fn pointers_are_spread_and_no_doorbell_is_too_long() {
        let doorbell = Doorbell::parse(pointer(10, 14, 3).as_bytes()).unwrap();
        let plain = Word::default();
        let many = |n: usize| vec![doorbell.pointers[0].clone(); n];
        let sizes =
            |doorbells: &[Doorbell]| doorbells.iter().map(|doorbell| doorbell.pointers.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&group(many(0), 4, &plain)), [0; 0]);
        assert_eq!(sizes(&group(many(5), 1, &plain)), [5]);
        assert_eq!(sizes(&group(many(5), 4, &plain)), [2, 2, 1]);
        assert_eq!(sizes(&group(many(5), 5, &plain)), [1; 5]);
        let doorbells = group(many(1000), 1, &plain);
        assert_eq!(sizes(&doorbells).iter().sum::<usize>(), 1000);
        for doorbell in doorbells {
            let request =
                serde_json::json!({ "title": "fetch-audit-events: work is waiting", "body": doorbell.to_json() });
            assert!(request.to_string().len() <= 64_000);
        }
    }
}
