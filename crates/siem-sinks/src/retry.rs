//! How long to wait before a repetition: backoff with jitter, `Retry-After`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use jiff::{Timestamp, fmt::rfc2822};
use ring::rand::{SecureRandom, SystemRandom};

/// The pause after the first attempt, which doubles after each further one.
const BASE: Duration = Duration::from_millis(500);

/// The pause before attempt `attempt + 1`: between the half and the whole of the doubled base, or what the other side asks
/// for where that is longer.
pub(crate) fn pause(attempt: u32, random: &Random, retry_after: Option<Duration>) -> Duration {
    let doubled = BASE.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let share = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    doubled.mul_f64(0.5 + share / 2.0).max(retry_after.unwrap_or_default())
}

/// `Retry-After`, as seconds or as a date; a date counts from the answer's own `Date`, for our clock may be wrong.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = http_date(headers.get(header::DATE)?)?;
    let until = http_date(headers.get(header::RETRY_AFTER)?)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

fn http_date(value: &HeaderValue) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(value.to_str().ok()?.trim()).ok()
}

/// Numbers for jitter and channel ids (SplitMix64); nothing secret depends on them.
pub(crate) struct Random(AtomicU64);

impl Random {
    /// The same numbers for the same seed; from the system's entropy without one.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            // Without entropy the numbers are merely the same in each process.
            SystemRandom::new().fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes))
        })))
    }

    fn next(&self) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random UUID (version 4).
    pub(crate) fn guid(&self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        let bits = (bits & !(0xF000_u128 << 64) & !(0xC000_u128 << 48)) | (0x4000_u128 << 64) | (0x8000_u128 << 48);
        let text = format!("{bits:032x}");
        let mut guid = String::with_capacity(36);
        for (place, digit) in text.chars().enumerate() {
            if matches!(place, 8 | 12 | 16 | 20) {
                guid.push('-');
            }
            guid.push(digit);
        }
        guid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_the_other_side_may_ask_for_more() {
        let random = Random::new(Some(7));
        for (attempt, low, high) in [(1, 250, 500), (2, 500, 1_000), (3, 1_000, 2_000)] {
            for _ in 0..100 {
                let pause = pause(attempt, &random, None).as_millis();
                assert!((low..=high).contains(&pause), "attempt {attempt}: {pause} ms");
            }
        }
        assert_eq!(pause(1, &random, Some(Duration::from_secs(9))), Duration::from_secs(9));
        assert!(pause(1, &random, Some(Duration::ZERO)) >= Duration::from_millis(250));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        const NOW: &str = "Mon, 05 Jan 2026 21:31:40 GMT";
        for (value, date, expected) in [
            ("7", None, Some(7)),
            (" 7 ", Some(NOW), Some(7)),
            ("Mon, 05 Jan 2026 21:32:00 GMT", Some(NOW), Some(20)),
            ("Mon, 05 Jan 2026 21:31:00 GMT", Some(NOW), Some(0)),
            ("Mon, 05 Jan 2026 21:32:00 GMT", None, None),
            ("soon", Some(NOW), None),
            ("-1", Some(NOW), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value} at {date:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_guid_has_the_form_of_a_random_uuid() {
        let random = Random::new(None);
        for _ in 0..100 {
            let guid = random.guid();
            let groups: Vec<&str> = guid.split('-').collect();
            assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{guid}");
            assert!(groups.concat().chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{guid}");
            assert!(groups[2].starts_with('4') && groups[3].starts_with(['8', '9', 'a', 'b']), "{guid}");
        }
        assert_ne!(random.guid(), random.guid());
    }
}
