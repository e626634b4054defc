//! How often and how long: attempts, backoff with jitter, `Retry-After`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};

use crate::clock;

/// How a call is repeated. The call's deadline ends it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent at most, the first time included; 0 counts as 1.
    pub attempts: u32,
    /// The pause after the first attempt, which doubles after each further one.
    pub base: Duration,
    /// The longest pause, save where the service itself asks for a longer one.
    pub cap: Duration,
    /// Makes jitter and request ids the same in each run; none in production.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    /// A function has seconds, not the ten minutes of the official SDKs.
    fn default() -> Self {
        Self { attempts: 5, base: Duration::from_millis(200), cap: Duration::from_secs(5), seed: None }
    }
}

impl RetryPolicy {
    /// The pause before the next attempt, between the half and the whole of the doubled base, or what the service asks
    /// for where that is longer.
    pub(crate) fn pause(&self, attempt: u32, random: &Random, retry_after: Option<Duration>) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(self.cap);
        let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
        doubled.mul_f64(0.5 + share / 2.0).max(retry_after.unwrap_or_default())
    }
}

/// `Retry-After`: seconds, or a date, which is compared with the service's own `now`.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = clock::parse_http_date(value)?.duration_since(now);
    Some(Duration::try_from(until).unwrap_or_default())
}

/// Numbers for jitter and request ids (SplitMix64); nothing secret depends on them.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            // Without entropy the numbers are merely the same in each process.
            SystemRandom::new().fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes))
        })))
    }

    pub(crate) fn next(&self) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn next_u32(&self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// 32 upper-case hexadecimal characters, the documented form of the client's part of a request id.
    pub(crate) fn request_id(&self) -> String {
        format!("{:016X}{:016X}", self.next(), self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_the_service_may_ask_for_more() {
        let policy = RetryPolicy::default();
        let random = Random::new(Some(7));
        for (attempt, low, high) in [(1, 100, 200), (2, 200, 400), (3, 400, 800), (6, 2_500, 5_000), (99, 2_500, 5_000)]
        {
            let pause = policy.pause(attempt, &random, None).as_millis();
            assert!((low..=high).contains(&pause), "attempt {attempt}: {pause} ms");
        }
        assert_eq!(policy.pause(1, &random, Some(Duration::from_secs(30))), Duration::from_secs(30));
    }

    #[test]
    fn a_seed_makes_a_run_repeatable_and_ids_differ() {
        let (a, b) = (Random::new(Some(1)), Random::new(Some(1)));
        let first = a.request_id();
        assert_eq!(first, b.request_id());
        assert_ne!(first, a.request_id());
        assert!(first.len() == 32 && first.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')), "{first}");
        assert_ne!(Random::new(None).request_id(), Random::new(None).request_id());
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = "2026-01-05T21:31:40Z".parse().unwrap();
        for (value, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Mon, 05 Jan 2026 21:32:00 GMT", Some(20)),
            ("Mon, 05 Jan 2026 21:31:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
