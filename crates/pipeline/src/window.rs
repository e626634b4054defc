//! Whole minutes of processed time, and the windows that tile them.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, tz::Offset};
use serde::{Deserialize, Serialize};

/// A whole minute since the Unix epoch.
///
/// The Audit service takes whole minutes only, so nothing that reaches it can hold seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minute(i64);

/// A text is no RFC 3339 time on a whole minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time on a whole minute in UTC, such as 2026-01-05T21:20:00Z")]
pub struct InvalidMinute;

impl Minute {
    /// The minute that `time` lies in.
    pub fn floor(time: Timestamp) -> Self {
        Self(time.as_second().div_euclid(60))
    }

    /// Its first instant.
    pub fn start(self) -> Timestamp {
        // Clamped by construction: every minute comes from a timestamp or from a bounded shift of one.
        Timestamp::from_second(self.0 * 60).unwrap_or(Timestamp::MAX)
    }

    /// `minutes` later.
    #[must_use]
    pub fn plus(self, minutes: u32) -> Self {
        Self(self.0 + i64::from(minutes))
    }

    /// `minutes` earlier.
    #[must_use]
    pub fn minus(self, minutes: u32) -> Self {
        Self(self.0 - i64::from(minutes))
    }

    /// Form used in object names: sorts by time, holds no colon.
    fn compact(self) -> String {
        Offset::UTC.to_datetime(self.start()).strftime("%Y%m%dT%H%MZ").to_string()
    }

    fn from_compact(text: &str) -> Option<Self> {
        let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%MZ", text).ok()?;
        Some(Self::floor(Offset::UTC.to_timestamp(time).ok()?))
    }
}

impl FromStr for Minute {
    type Err = InvalidMinute;

    fn from_str(text: &str) -> Result<Self, InvalidMinute> {
        let time: Timestamp = text.parse().map_err(|_| InvalidMinute)?;
        let minute = Self::floor(time);
        if minute.start() == time { Ok(minute) } else { Err(InvalidMinute) }
    }
}

impl TryFrom<String> for Minute {
    type Error = InvalidMinute;

    fn try_from(text: String) -> Result<Self, InvalidMinute> {
        text.parse()
    }
}

impl From<Minute> for String {
    fn from(minute: Minute) -> String {
        minute.to_string()
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start())
    }
}

impl fmt::Debug for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Minutes of *processed* time, `[from, until)`; never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    from: Minute,
    until: Minute,
}

impl Window {
    /// `[from, until)`, or `None` where it would be empty.
    pub fn new(from: Minute, until: Minute) -> Option<Self> {
        (from < until).then_some(Self { from, until })
    }

    /// The next window of a line that is done up to `done_until` and due up to `due_until`: at most `max_minutes` wide,
    /// so that an outage is caught up in pieces.
    pub fn next(done_until: Minute, due_until: Minute, max_minutes: u32) -> Option<Self> {
        Self::new(done_until, due_until.min(done_until.plus(max_minutes.max(1))))
    }

    /// Its first minute.
    pub fn from(self) -> Minute {
        self.from
    }

    /// The first minute that is not in it.
    pub fn until(self) -> Minute {
        self.until
    }

    /// Whether the two share a minute.
    pub fn touches(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }

    /// Two windows that tile this one; `None` for a single minute.
    pub fn halves(self) -> Option<(Self, Self)> {
        let middle = Minute(self.from.0 + (self.until.0 - self.from.0) / 2);
        Some((Self::new(self.from, middle)?, Self::new(middle, self.until)?))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.compact(), self.until.compact())
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Window {
    type Err = InvalidMinute;

    fn from_str(text: &str) -> Result<Self, InvalidMinute> {
        let (from, until) = text.split_once('-').ok_or(InvalidMinute)?;
        let minute = |text| Minute::from_compact(text).ok_or(InvalidMinute);
        Self::new(minute(from)?, minute(until)?).ok_or(InvalidMinute)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minute(text: &str) -> Minute {
        text.parse().unwrap()
    }

    #[test]
    fn r_18_a_time_with_seconds_is_floored_to_the_minute_and_never_sent() {
        let time: Timestamp = "2026-01-05T10:03:27.9Z".parse().unwrap();
        assert_eq!(Minute::floor(time).to_string(), "2026-01-05T10:03:00Z");
        assert_eq!("2026-01-05T10:03:27Z".parse::<Minute>(), Err(InvalidMinute));
    }

    #[test]
    fn r_20_a_minute_is_written_with_its_century_and_its_zone() {
        assert_eq!(minute("2099-12-31T23:59:00Z").plus(1).to_string(), "2100-01-01T00:00:00Z");
        assert_eq!(minute("2026-01-05T12:00:00+02:00").to_string(), "2026-01-05T10:00:00Z");
    }

    #[test]
    fn a_window_reads_back_from_its_name() {
        let window = Window::new(minute("2026-01-05T21:20:00Z"), minute("2026-01-06T00:00:00Z")).unwrap();
        assert_eq!(window.to_string(), "20260105T2120Z-20260106T0000Z");
        assert_eq!(window.to_string().parse(), Ok(window));
        for text in ["", "20260105T2120Z", "20260105T2120Z-20260105T2120Z", "20260105T2130Z-20260105T2120Z", "x-y"] {
            assert_eq!(text.parse::<Window>(), Err(InvalidMinute), "{text}");
        }
    }

    #[test]
    fn a_single_minute_has_no_halves() {
        let from = minute("2026-01-05T21:20:00Z");
        assert_eq!(Window::new(from, from.plus(1)).unwrap().halves(), None);
        let (left, right) = Window::new(from, from.plus(5)).unwrap().halves().unwrap();
        assert_eq!(
            (left.from(), left.until(), right.from(), right.until()),
            (from, from.plus(2), from.plus(2), from.plus(5))
        );
    }

    proptest! {
        /// Whatever the trigger's jitter and pauses, the windows tile the line: no hole, no overlap.
        #[test]
        fn windows_tile_time_however_the_trigger_jitters(pauses in prop::collection::vec(0_i64..5_000, 1..60), max in 1_u32..90) {
            let start = minute("2026-01-05T10:00:00Z");
            let (mut done, mut now) = (start, start.start());
            for pause in pauses {
                now = Timestamp::from_second(now.as_second() + pause).unwrap();
                while let Some(window) = Window::next(done, Minute::floor(now), max) {
                    prop_assert_eq!(window.from(), done);
                    prop_assert!(window.until() > done && window.until().start() <= now);
                    prop_assert!(window.until() <= done.plus(max));
                    done = window.until();
                }
                prop_assert_eq!(done, Minute::floor(now).max(start));
            }
        }
    }
}
