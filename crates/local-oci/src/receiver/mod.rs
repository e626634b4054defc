//! Receivers that remember: what arrived, how often, and whether its bytes are the ones that were sent.

mod hec;

pub use hec::{AckMode, Arrival, HecFault, HecReceiver, HecSettings, HecToken, Oversize};

/// The first eight bytes of the SHA-256 of `bytes`, big-endian: tells two events apart without keeping them.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
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
