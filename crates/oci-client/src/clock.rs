//! Two clocks: our own, which only signs, and the service's, which everything else goes by.
//!
//! **The service's time is the middle one of its last three answers.** Each answer says what the service's clock showed
//! on our monotonic one; of three such voices the middle one counts. So one front end with a wrong `date` is outvoted,
//! and a real leap is believed as soon as two answers agree on it.
//!
//! - Two voices alone that differ: the later. A time too early lets a hold run out under its holder's hands, and its
//!   events are sent twice; a time too late makes the next attempt wait.
//! - Where a call of the function begins ([`Clock::rest`]), and after [`SILENCE`], our monotonic clock may have stood
//!   still with its frozen container, or the emulator's clock has leapt. What was believed before shrinks to one voice.
//!   It can only be too early then: a later answer is believed at once, an earlier one not, and the answer after it
//!   decides.
//! - A 401 has no voice. Its `date` is the time that signatures are held to, and mends those alone.
//!
//! What it cannot see: the same wrong `date` twice running, nor a late one right after a rest until the next answer. Who
//! plans by the time compares the answers himself.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use tokio::time::Instant;

/// The service refuses signatures that are five minutes off; a difference of this much is worth a second try.
const NOTEWORTHY_OFFSET: SignedDuration = SignedDuration::from_secs(60);

/// Longer than most pauses between the answers of a busy call: for callers that tell of no call's begin.
const SILENCE: Duration = Duration::from_secs(5);

/// What is known of the service's clock.
#[derive(Default)]
pub(crate) struct Clock {
    state: Mutex<State>,
    /// In a simulation, the container's own clock in the machine's place.
    own: Option<OwnClock>,
}

/// Tells the time of a simulated container.
pub(crate) type OwnClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Clone)]
struct State {
    /// Added to our own clock before signing.
    offset: SignedDuration,
    /// The last answers, at most three, the newest last.
    voices: Vec<Voice>,
    /// Whether nothing was heard since a new call began.
    is_resting: bool,
}

/// What an answer said, and when.
#[derive(Debug, Clone, Copy)]
struct Voice {
    date: Timestamp,
    heard: Instant,
}

impl Voice {
    /// What the service's clock shows at `at`, if this answer is right.
    fn time_at(&self, at: Instant) -> Timestamp {
        let passed = at.saturating_duration_since(self.heard);
        shifted(self.date, SignedDuration::try_from(passed).unwrap_or(SignedDuration::ZERO))
    }
}

impl State {
    /// The middle voice of three, the later one of two.
    fn time_at(&self, at: Instant) -> Option<Timestamp> {
        let mut times: Vec<Timestamp> = self.voices.iter().map(|voice| voice.time_at(at)).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    fn hear(&mut self, date: Timestamp, heard: Instant) {
        let is_silent = self.voices.last().is_some_and(|last| heard.saturating_duration_since(last.heard) > SILENCE);
        if std::mem::take(&mut self.is_resting) || is_silent {
            let before = self.time_at(heard).map(|date| Voice { date, heard });
            self.voices = before.into_iter().collect();
        } else if self.voices.len() == 3 {
            self.voices.remove(0);
        }
        self.voices.push(Voice { date, heard });
    }
}

impl Clock {
    pub(crate) fn over(own: OwnClock) -> Self {
        Self { state: Mutex::default(), own: Some(own) }
    }

    /// Our own time, put right by the offset learned.
    pub(crate) fn now(&self) -> Timestamp {
        shifted(self.own_now(), self.with(|state| state.offset))
    }

    fn own_now(&self) -> Timestamp {
        self.own.as_ref().map_or_else(wall_now, |own| own())
    }

    /// Remembers the `date` of an answer that was no 401.
    pub(crate) fn heard(&self, date: Timestamp) {
        self.with(|state| state.hear(date, Instant::now()));
    }

    /// A new call begins: the next answer stands against all that was heard before it.
    pub(crate) fn rest(&self) {
        self.with(|state| state.is_resting = true);
    }

    /// The service's time by its last answers, and what has passed since by the monotonic clock.
    pub(crate) fn service_time(&self) -> Option<Timestamp> {
        self.with(|state| state.time_at(Instant::now()))
    }

    /// The offset that would make us agree with `date`, where we are off by more than a minute.
    pub(crate) fn better_offset(&self, date: Timestamp) -> Option<SignedDuration> {
        let wall = self.own_now();
        let off_by = date.duration_since(shifted(wall, self.with(|state| state.offset)));
        (off_by.abs() > NOTEWORTHY_OFFSET).then(|| date.duration_since(wall))
    }

    /// How far the service is ahead of us, as learned.
    pub(crate) fn offset(&self) -> SignedDuration {
        self.with(|state| state.offset)
    }

    /// Signs with this offset from now on; gives back the former one.
    pub(crate) fn set_offset(&self, offset: SignedDuration) -> SignedDuration {
        self.with(|state| std::mem::replace(&mut state.offset, offset))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // A panic cannot leave the fields half written.
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

    /// An answer comes after so many seconds, with a `date` so far off the service's even time; what is then believed to
    /// be the time is off by so much.
    type Heard = (u64, i64, i64);

    async fn check(name: &str, answers: &[Heard]) {
        let clock = Clock::default();
        let mut honest: Timestamp = "2026-01-05T21:31:40Z".parse().unwrap();
        for (index, (pause, off, expected)) in answers.iter().enumerate() {
            tokio::time::advance(Duration::from_secs(*pause)).await;
            honest += Duration::from_secs(*pause);
            clock.heard(honest + SignedDuration::from_secs(*off));
            let believed = clock.service_time().unwrap().duration_since(honest).as_secs();
            assert_eq!(believed, *expected, "{name}: after answer {index}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_s_time_runs_on_by_the_monotonic_clock() {
        let clock = Clock::default();
        assert_eq!(clock.service_time(), None);
        clock.heard("2026-01-05T21:31:40Z".parse().unwrap());
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.service_time().unwrap().to_string(), "2026-01-05T21:33:10Z");
    }

    #[tokio::test(start_paused = true)]
    async fn one_wrong_date_is_outvoted_and_a_leap_is_believed() {
        const HOUR: i64 = 3600;
        let table: &[(&str, &[Heard])] = &[
            ("late", &[(0, 0, 0), (1, 0, 0), (1, HOUR, 0), (1, 0, 0), (1, 0, 0)]),
            ("early", &[(0, 0, 0), (1, 0, 0), (1, -HOUR, 0), (1, 0, 0), (1, 0, 0)]),
            ("every third", &[(0, 0, 0), (1, 0, 0), (1, HOUR, 0), (1, 0, 0), (1, 0, 0), (1, -HOUR, 0), (1, 0, 0)]),
            ("at once early", &[(0, -HOUR, -HOUR), (1, 0, 0), (1, 0, 0)]),
            ("at once late", &[(0, HOUR, HOUR), (1, 0, HOUR), (1, 0, 0), (1, 0, 0)]),
            ("second early", &[(0, 0, 0), (1, -HOUR, 0), (1, 0, 0)]),
            ("second late", &[(0, 0, 0), (1, HOUR, HOUR), (1, 0, 0)]),
            // A leaping clock: all answers are ahead from then on.
            ("leap", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (0, 300, 0), (0, 300, 300), (0, 300, 300)]),
            ("leap, wrong", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (0, HOUR, 0), (0, 300, 300), (0, 300, 300)]),
            ("leap back", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (0, -300, 0), (0, -300, -300)]),
            // Whole seconds, and answers of several front ends.
            ("jitter", &[(0, 0, 0), (1, -1, 0), (1, 0, 0), (1, 1, 0), (1, -1, 0)]),
        ];
        for (name, answers) in table {
            check(name, answers).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_silence_a_later_answer_is_believed_until_the_next_one_decides() {
        const HOUR: i64 = 3600;
        let table: &[(&str, &[Heard])] = &[
            ("frozen", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (6, 300, 300), (0, 300, 300), (0, 300, 300)]),
            ("not yet", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (5, 300, 0), (0, 300, 300)]),
            ("wrong late", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (6, HOUR, HOUR), (0, 0, 0), (0, 0, 0)]),
            ("wrong early", &[(0, 0, 0), (1, 0, 0), (1, 0, 0), (6, -HOUR, 0), (0, 0, 0), (0, 0, 0)]),
            ("frozen, wrong late", &[(0, 0, 0), (1, 0, 0), (6, HOUR, HOUR), (0, 300, 300), (0, 300, 300)]),
            ("frozen, wrong early", &[(0, 0, 0), (1, 0, 0), (6, -HOUR, 0), (0, 300, 0), (0, 300, 300)]),
            ("frozen twice", &[(0, 0, 0), (6, 300, 300), (6, 600, 600), (0, 600, 600)]),
            ("set back", &[(0, 0, 0), (1, 0, 0), (6, -HOUR, 0), (0, -HOUR, -HOUR)]),
        ];
        for (name, answers) in table {
            check(name, answers).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_call_is_a_silence_however_short() {
        let clock = Clock::default();
        let start: Timestamp = "2026-01-05T21:31:40Z".parse().unwrap();
        let mut ahead = 0;
        for leap in [0, 300, 86_400] {
            ahead += leap;
            clock.rest();
            for _ in 0..4 {
                clock.heard(start + SignedDuration::from_secs(ahead));
                assert_eq!(clock.service_time().unwrap().duration_since(start).as_secs(), ahead);
            }
        }
        clock.heard(start);
        assert_eq!(clock.service_time().unwrap().duration_since(start).as_secs(), ahead, "outvoted as ever");
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
