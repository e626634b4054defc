//! The events that our own listing leaves in the trail, and the one event that stands for them.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use oci_names::Region;
use serde::{Deserialize, Serialize};

use crate::{EventHash, Minute, Window, digest::sha256, event_hash};

const OPERATION: &str = "ListEvents";
const EVENT_TYPE: &str = "com.oraclecloud.Audit.ListEvents";
const SOURCE: &str = "Audit";

/// Knows the reads of the trail by one principal: each listing of a compartment leaves an event in that compartment, which
/// the next listing finds.
#[derive(Debug, Clone)]
pub struct OwnReads {
    principal: String,
}

/// What is read of an event. A member that stands twice is an error, and the event then not ours.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "eventType")]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "eventName")]
    event_name: Cow<'a, str>,
    #[serde(borrow)]
    identity: Identity<'a>,
    #[serde(borrow)]
    response: Response<'a>,
}

#[derive(Deserialize)]
struct Identity<'a> {
    #[serde(borrow, rename = "principalId")]
    principal_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// An audit event of our own making: the members of the Audit API's, in its order, as far as they apply.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    event_type: &'static str,
    cloud_events_version: &'static str,
    event_type_version: &'static str,
    source: &'static str,
    event_id: &'a str,
    event_time: Minute,
    content_type: &'static str,
    data: SummaryData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryData<'a> {
    event_name: &'static str,
    /// Null: the reads went to many.
    compartment_id: (),
    region: &'a Region,
    window_start: Minute,
    window_end: Minute,
    count: usize,
    additional_details: Replaced<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replaced<'a> {
    replaced: &'static str,
    principal_id: &'a str,
}

impl OwnReads {
    /// The reads by `principal`: the OCID of the function or the user that signs the listing.
    pub fn new(principal: &str) -> Self {
        Self { principal: principal.to_owned() }
    }

    /// Whose reads they are.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// Whether `raw` is the event of a listing that this principal made and that was answered with 200.
    ///
    /// The Audit API's form of the event only. Whatever is doubtful is no: a listing that was refused, a member that is
    /// missing or of another type, an operation of the same name of another service.
    pub fn is_own_read(&self, raw: &[u8]) -> bool {
        // Rules out nearly all events at the speed of memory.
        if memmem::find(raw, OPERATION.as_bytes()).is_none() || memmem::find(raw, self.principal.as_bytes()).is_none() {
            return false;
        }
        let Ok(event) = serde_json::from_slice::<Event<'_>>(raw) else { return false };
        let source = event.source.as_deref().unwrap_or_default();
        event.event_type.eq_ignore_ascii_case(EVENT_TYPE)
            && (source.is_empty() || source.eq_ignore_ascii_case(SOURCE))
            && event.data.event_name == OPERATION
            && event.data.response.status == "200"
            && event.data.identity.principal_id == *self.principal
    }

    /// One event in place of `replaced`, the own reads that one listing of `window` in `region` found; with its hash.
    ///
    /// The same hashes, in any order and however often each, give the same bytes and the same `eventId`, so that a listing
    /// that is done anew sends a copy and no second event:
    ///
    /// ```json
    /// {"eventType":"siem.pipeline.OwnReads","cloudEventsVersion":"0.1","eventTypeVersion":"2.0","source":"siem-pipeline",
    ///  "eventId":"…","eventTime":"2026-01-05T21:26:00Z","contentType":"application/json","data":{"eventName":"OwnReads",
    ///  "compartmentId":null,"region":"us-ashburn-1","windowStart":"2026-01-05T21:20:00Z","windowEnd":"2026-01-05T21:27:00Z",
    ///  "count":96,"additionalDetails":{"replaced":"com.oraclecloud.Audit.ListEvents","principalId":"ocid1.fnfunc.oc1…"}}}
    /// ```
    ///
    /// `eventTime` is the window's last minute; `windowEnd` is not in the window; `count` is that of the different hashes.
    pub fn summary(&self, region: &Region, window: Window, replaced: &[EventHash]) -> (EventHash, Bytes) {
        let mut hashes = replaced.to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        let id = self.event_id(region, window, &hashes);
        let data = SummaryData {
            event_name: "OwnReads",
            compartment_id: (),
            region,
            window_start: window.from(),
            window_end: window.until(),
            count: hashes.len(),
            additional_details: Replaced { replaced: EVENT_TYPE, principal_id: &self.principal },
        };
        let summary = Summary {
            event_type: "siem.pipeline.OwnReads",
            cloud_events_version: "0.1",
            event_type_version: "2.0",
            source: "siem-pipeline",
            event_id: &id,
            event_time: window.until().minus(1),
            content_type: "application/json",
            data,
        };
        // Texts and numbers only, which always can be written.
        let bytes = Bytes::from(serde_json::to_vec(&summary).unwrap_or_default());
        (event_hash(&bytes), bytes)
    }

    /// A UUID of version 8, whose bits are our own choice: SHA-256 of what the summary is of.
    fn event_id(&self, region: &Region, window: Window, sorted: &[EventHash]) -> String {
        let hashes: Vec<u8> = sorted.iter().flat_map(|hash| hash.to_be_bytes()).collect();
        let head = format!("siem.pipeline.OwnReads\n{}\n{region}\n{window}\n", self.principal);
        let sum = sha256(&[head.as_bytes(), &hashes]);
        let (head, _) = sum.split_at(16);
        let mut bits = head.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        bits = bits & !(0xf << 76) | (0x8 << 76);
        bits = bits & !(0x3 << 62) | (0x2 << 62);
        let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
        format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINCIPAL: &str = "ocid1.fnfunc.oc1.iad.aaaa";

    /// As the Audit API gives it.
    const EVENT: &str = r#"{"eventType":"com.oraclecloud.Audit.ListEvents","cloudEventsVersion":"0.1","eventTypeVersion":"2.0","source":"Audit","eventId":"5f0c","eventTime":"2026-01-05T21:20:11.123Z","contentType":"application/json","data":{"eventGroupingId":null,"eventName":"ListEvents","compartmentId":"ocid1.compartment.oc1..c","identity":{"principalName":"fetch","principalId":"ocid1.fnfunc.oc1.iad.aaaa","authType":"resource","credentials":"ST$*****"},"request":{"id":"1/2/3","path":"/20190901/auditEvents","action":"GET","parameters":{},"headers":{}},"response":{"status":"200","responseTime":"2026-01-05T21:20:11.180Z","headers":{},"payload":{},"message":null},"additionalDetails":{}}}"#;

    fn check(from: &str, to: &str, own: bool) {
        let event = EVENT.replacen(from, to, 1);
        assert!(from.is_empty() || event != EVENT, "{from} is not in the event");
        assert_eq!(OwnReads::new(PRINCIPAL).is_own_read(event.as_bytes()), own, "{from} -> {to}");
    }

    #[test]
    fn a_listing_that_we_made_and_that_was_answered_is_ours() {
        check("", "", true);
        check("com.oraclecloud.Audit.", "com.oraclecloud.audit.", true);
        check("\"source\":\"Audit\"", "\"source\":\"audit\"", true);
        check("\"source\":\"Audit\"", "\"source\":\"\"", true);
        check("\"source\":\"Audit\",", "", true);
        check("\"principalName\":\"fetch\"", "\"principalName\":null", true);
    }

    #[test]
    fn whatever_is_doubtful_is_delivered() {
        for (from, to) in [
            ("iad.aaaa", "iad.aaaab"),
            ("iad.aaaa", "iad.aaa"),
            (
                "\"principalId\":\"ocid1.fnfunc.oc1.iad.aaaa\"",
                "\"principalId\":null,\"x\":\"ocid1.fnfunc.oc1.iad.aaaa\"",
            ),
            ("\"principalId\"", "\"callerId\""),
            ("\"status\":\"200\"", "\"status\":\"404\""),
            ("\"status\":\"200\"", "\"status\":200"),
            ("\"status\":\"200\",", ""),
            ("com.oraclecloud.Audit.ListEvents", "com.oraclecloud.Events.ListEvents"),
            ("com.oraclecloud.Audit.ListEvents", "com.oraclecloud.Audit.GetConfiguration"),
            ("\"source\":\"Audit\"", "\"source\":\"Events\""),
            ("\"source\":\"Audit\"", "\"source\":7"),
            ("\"eventName\":\"ListEvents\"", "\"eventName\":\"listEvents\""),
            ("\"data\":{", "\"data\":null,\"x\":{"),
            ("\"data\":{", "\"data\":{\"eventName\":\"ListEvents\","),
            ("{\"eventType\"", "[{\"eventType\""),
            ("{}}}", "{}}"),
        ] {
            check(from, to, false);
        }
    }

    fn window() -> Window {
        "20260105T2120Z-20260105T2127Z".parse().unwrap()
    }

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn the_summary_is_an_event_by_itself() {
        let (hash, bytes) = OwnReads::new(PRINCIPAL).summary(&region("us-ashburn-1"), window(), &[3, 1, 2, 3]);
        let wanted = r#"{"eventType":"siem.pipeline.OwnReads","cloudEventsVersion":"0.1","eventTypeVersion":"2.0","source":"siem-pipeline","eventId":"ID","eventTime":"2026-01-05T21:26:00Z","contentType":"application/json","data":{"eventName":"OwnReads","compartmentId":null,"region":"us-ashburn-1","windowStart":"2026-01-05T21:20:00Z","windowEnd":"2026-01-05T21:27:00Z","count":3,"additionalDetails":{"replaced":"com.oraclecloud.Audit.ListEvents","principalId":"ocid1.fnfunc.oc1.iad.aaaa"}}}"#;
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), wanted.replace("ID", "6ab6503f-2513-8962-aebc-aa871172884e"));
        assert_eq!(event_hash(&bytes), hash);
        assert!(!OwnReads::new(PRINCIPAL).is_own_read(&bytes));
    }

    #[test]
    fn the_same_reads_in_any_order_give_the_same_bytes_and_others_give_other_ones() {
        let summary = |principal: &str, place: &str, window, hashes: &[EventHash]| {
            OwnReads::new(principal).summary(&region(place), window, hashes)
        };
        let first = summary(PRINCIPAL, "us-ashburn-1", window(), &[1, 2, 3]);
        assert_eq!(summary(PRINCIPAL, "us-ashburn-1", window(), &[3, 2, 1, 1]), first);
        let (left, _) = window().halves().unwrap();
        for (hash, _) in [
            summary(PRINCIPAL, "us-ashburn-1", window(), &[1, 2]),
            summary(PRINCIPAL, "us-ashburn-1", left, &[1, 2, 3]),
            summary(PRINCIPAL, "us-phoenix-1", window(), &[1, 2, 3]),
            summary("ocid1.user.oc1..u", "us-ashburn-1", window(), &[1, 2, 3]),
        ] {
            assert_ne!(hash, first.0);
        }
    }
}
