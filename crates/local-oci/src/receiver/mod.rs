//! Receivers that remember: what arrived, how often, and whether its bytes are the ones that were sent.

mod hec;
mod logzio;

mod listen;
mod rules;
mod store;

use std::borrow::Cow;

use serde::Deserialize;

pub use hec::{AckMode, Arrival, HecFault, HecReceiver, HecSettings, HecToken, Oversize};
pub use logzio::{LogzioFault, LogzioLine, LogzioReceiver, LogzioSettings};

/// The first eight bytes of the SHA-256 of `bytes`, big-endian: tells two events apart without keeping them.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The id that the record itself carries, under any of its three spellings.
pub(crate) fn own_id(event: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Ids<'a> {
        #[serde(borrow, default, rename = "eventId")]
        audit: Option<Cow<'a, str>>,
        #[serde(borrow, default, rename = "eventID")]
        events: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
    }
    if !event.starts_with(b"{") {
        return None;
    }
    let ids: Ids<'_> = serde_json::from_slice(event).ok()?;
    ids.audit.or(ids.events).or(ids.id)
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn the_fingerprint_is_the_head_of_the_sha_256() {
        // FIPS 180-4: SHA-256("abc") = ba7816bf 8f01cfea …
        assert_eq!(fingerprint(b"abc"), 0xba78_16bf_8f01_cfea);
        assert_ne!(fingerprint(b"abd"), fingerprint(b"abc"));
    }
}
