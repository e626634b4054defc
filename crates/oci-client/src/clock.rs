//! Two clocks: our own, which only signs, and the service's, which everything else goes by.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use tokio::time::Instant;

/// The service refuses signatures that are five minutes off; a difference of this much is worth a second try.
const NOTEWORTHY_OFFSET: SignedDuration = SignedDuration::from_secs(60);

/// What is known of the service's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// Added to our own clock before signing.
    offset: SignedDuration,
    /// The `date` of the latest answer and when it came.
    latest: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// Our own time, put right by the offset learned.
    pub(crate) fn now(&self) -> Timestamp {
        shifted(wall_now(), self.state().offset)
    }

    /// Remembers the `date` of an answer.
    pub(crate) fn heard(&self, date: Timestamp) {
        self.with(|state| state.latest = Some((date, Instant::now())));
    }

    /// The service's time by the latest answer, and what has passed since by the monotonic clock.
    pub(crate) fn service_time(&self) -> Option<Timestamp> {
        let (date, heard) = self.state().latest?;
        Some(shifted(date, SignedDuration::try_from(heard.elapsed()).ok()?))
    }

    /// The offset that would make us agree with `date`, where we are off by more than a minute.
    pub(crate) fn better_offset(&self, date: Timestamp) -> Option<SignedDuration> {
        let wall = wall_now();
        let off_by = date.duration_since(shifted(wall, self.state().offset));
        (off_by.abs() > NOTEWORTHY_OFFSET).then(|| date.duration_since(wall))
    }

    /// Signs with this offset from now on; gives back the former one.
    pub(crate) fn set_offset(&self, offset: SignedDuration) -> SignedDuration {
        self.with(|state| std::mem::replace(&mut state.offset, offset))
    }

    fn state(&self) -> State {
        self.with(|state| *state)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // A panic cannot leave the two fields half written.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The form of the `date` header: `Mon, 05 Jan 2026 21:31:40 GMT`.
pub(crate) fn http_date(at: Timestamp) -> Option<String> {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

/// Reads what [`http_date`] writes, and its relatives.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

#[expect(clippy::disallowed_methods, reason = "a signature bears a date before any answer has told one")]
fn wall_now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_date_header_is_padded_and_read_back() {
        let at: Timestamp = "2026-01-05T21:31:40Z".parse().unwrap();
        assert_eq!(http_date(at).unwrap(), "Mon, 05 Jan 2026 21:31:40 GMT");
        assert_eq!(parse_http_date("Mon, 05 Jan 2026 21:31:40 GMT"), Some(at));
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_s_time_runs_on_by_the_monotonic_clock() {
        let clock = Clock::default();
        assert_eq!(clock.service_time(), None);
        clock.heard("2026-01-05T21:31:40Z".parse().unwrap());
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.service_time().unwrap().to_string(), "2026-01-05T21:33:10Z");
    }

    #[test]
    fn an_offset_is_worth_learning_past_a_minute_and_is_unlearned_in_the_same_way() {
        let clock = Clock::default();
        let right = wall_now();
        assert_eq!(clock.better_offset(right), None);
        let ahead = shifted(right, SignedDuration::from_hours(2));
        let offset = clock.better_offset(ahead).unwrap();
        assert!((offset - SignedDuration::from_hours(2)).abs() < SignedDuration::from_secs(5), "{offset}");
        clock.set_offset(offset);
        assert_eq!(clock.better_offset(ahead), None);
        assert!((clock.now().duration_since(ahead)).abs() < SignedDuration::from_secs(5));
        let back = clock.better_offset(right).unwrap();
        assert!(back.abs() < SignedDuration::from_secs(5), "{back}");
    }
}
