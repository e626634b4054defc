//! The one thing that is read of an event on its way: its id.

use serde::Deserialize;

/// Sixty-four bits that stand for an event's id in receipts.
pub type EventHash = u64;

#[derive(Deserialize)]
struct Ids<'a> {
    /// As the Logging service and identity domains spell it. First, for an identity domain's `eventId` is its type.
    #[serde(borrow, default)]
    id: Option<std::borrow::Cow<'a, str>>,
    /// As the Events service spells it.
    #[serde(borrow, rename = "eventID", default)]
    events: Option<std::borrow::Cow<'a, str>>,
    /// As the Audit API spells it.
    #[serde(borrow, rename = "eventId", default)]
    audit: Option<std::borrow::Cow<'a, str>>,
}

/// The hash of an event's id, or of its bytes where it has none: two copies of one event always agree.
pub fn event_hash(raw: &[u8]) -> EventHash {
    let ids = serde_json::from_slice::<Ids<'_>>(raw).ok();
    let id = ids.as_ref().and_then(|ids| ids.id.as_ref().or(ids.events.as_ref()).or(ids.audit.as_ref()));
    match id {
        Some(id) if !id.is_empty() => hash_of(id.as_bytes()),
        _ => hash_of(raw),
    }
}

pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    mix(fnv_1a(bytes))
}

/// FNV-1a, 64 bits: stable for ever, which the standard library's hasher does not promise.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A finaliser (the one of SplitMix64), since FNV's upper bits mix poorly.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_alone_decides_in_each_of_its_spellings() {
        let hash = event_hash(br#"{"eventId":"a-1","x":1}"#);
        for same in
            [r#"{"x":2,"eventId":"a-1"}"#, r#"{"eventID":"a-1"}"#, r#"{"id":"a-1"}"#, r#"{"eventId":"\u0061-1"}"#]
        {
            assert_eq!(event_hash(same.as_bytes()), hash, "{same}");
        }
        assert_ne!(event_hash(br#"{"eventId":"a-2","x":1}"#), hash);
    }

    #[test]
    fn an_event_without_an_id_is_known_by_its_bytes() {
        for (left, right, same) in [
            (r#"{"x":1}"#, r#"{"x":1}"#, true),
            (r#"{"x":1}"#, r#"{"x":2}"#, false),
            (r#"{"eventId":null,"x":1}"#, r#"{"eventId":null,"x":2}"#, false),
            (r#"{"eventId":"","x":1}"#, r#"{"eventId":"","x":2}"#, false),
            (r#"{"eventId":7,"x":1}"#, r#"{"eventId":7,"x":2}"#, false),
        ] {
            assert_eq!(event_hash(left.as_bytes()) == event_hash(right.as_bytes()), same, "{left} {right}");
        }
    }
}
