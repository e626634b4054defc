//! The emulator's time: real, set, or leaping over the stretches in which nothing happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a leaping clock waits, in real time, before it believes that nothing is going on.
const GRACE: Duration = Duration::from_millis(1);

/// The clock that all services share. A clone is the same clock.
///
/// All but the real one are built on tokio's [`Instant`], so that they follow a paused runtime as well. A leaping clock
/// runs in real time while somebody holds a [`BusyGuard`]; when nobody does, it leaps to the earliest
/// [`Clock::sleep_until`].
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pace: Pace,
    start: Timestamp,
    anchor: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// The machine's clock, asked each time: a monotonic one would stand still while a laptop sleeps.
    Machine,
    /// From a start at the pace of tokio's time.
    Even,
    /// The same, and leaping.
    Leaping,
}

#[derive(Debug, Default)]
struct State {
    leapt: SignedDuration,
    busy: usize,
    /// Counts the guards ever taken: a leap is off if somebody was busy during the grace.
    ever_busy: u64,
    next_sleeper: u64,
    sleepers: BTreeMap<(Timestamp, u64), ()>,
}

impl Clock {
    /// The machine's own time.
    pub fn real() -> Self {
        Self::new(machine_now(), Pace::Machine)
    }

    /// Begins at `start` and runs at the pace of tokio's time. Signatures are checked against this clock too.
    pub fn starting_at(start: Timestamp) -> Self {
        Self::new(start, Pace::Even)
    }

    /// Begins at `start` and leaps while nothing is busy.
    ///
    /// Token lifetimes and deadlines follow the machine's clock then: [`Clock::real_now`].
    pub fn leaping(start: Timestamp) -> Self {
        Self::new(start, Pace::Leaping)
    }

    fn new(start: Timestamp, pace: Pace) -> Self {
        let inner = Inner { pace, start, anchor: Instant::now(), state: Mutex::default(), changed: Notify::new() };
        Self(Arc::new(inner))
    }

    /// Whether this clock leaps.
    pub fn is_leaping(&self) -> bool {
        self.0.pace == Pace::Leaping
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        if self.0.pace == Pace::Machine {
            return machine_now();
        }
        let leapt = self.state(|state| state.leapt);
        let elapsed = SignedDuration::try_from(self.0.anchor.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.0.start.checked_add(leapt.saturating_add(elapsed)).unwrap_or(Timestamp::MAX)
    }

    /// The time that token lifetimes and function deadlines are held to: the machine's while the
    /// clock leaps, else the same as [`Clock::now`].
    pub fn real_now(&self) -> Timestamp {
        if self.is_leaping() { machine_now() } else { self.now() }
    }

    /// Holds a leaping clock to real time until the guard is dropped.
    #[must_use]
    pub fn busy(&self) -> BusyGuard {
        self.state(|state| {
            state.busy += 1;
            state.ever_busy += 1;
        });
        BusyGuard(self.clone())
    }

    /// Waits until the service's time is `until`; a leaping clock leaps there once nothing else is going on.
    pub async fn sleep_until(&self, until: Timestamp) {
        let sleeper = Sleeper::new(self, until);
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.now();
            if now >= until {
                return;
            }
            let (mine, before) = self.state(|state| (state.may_leap(sleeper.key), state.ever_busy));
            if self.is_leaping() && mine {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(GRACE).await;
                let leapt = self.state(|state| state.may_leap(sleeper.key) && state.ever_busy == before);
                if leapt {
                    let ahead = until.duration_since(self.now());
                    if ahead.is_positive() {
                        self.state(|state| state.leapt = state.leapt.saturating_add(ahead));
                    }
                }
                continue;
            }
            let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            tokio::select! {
                // The same order each time, so that a simulation is the same run.
                biased;
                () = changed => {}
                // A millisecond more: tokio's timers are that coarse, and must not wake us early over and over.
                () = tokio::time::sleep(left + GRACE) => {}
            }
        }
    }

    /// Waits for `span` of the service's time.
    pub async fn sleep(&self, span: SignedDuration) {
        self.sleep_until(self.now().checked_add(span).unwrap_or(Timestamp::MAX)).await;
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn may_leap(&self, sleeper: (Timestamp, u64)) -> bool {
        self.busy == 0 && self.sleepers.first_key_value().is_some_and(|(first, ())| *first == sleeper)
    }
}

/// Keeps a leaping clock from leaping. See [`Clock::busy`].
#[derive(Debug)]
pub struct BusyGuard(Clock);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let left = self.0.state(|state| {
            state.busy -= 1;
            state.busy
        });
        if left == 0 {
            self.0.0.changed.notify_waiters();
        }
    }
}

/// A place in the queue of those who wait; given up on drop, so that a cancelled wait holds up nobody.
struct Sleeper<'a> {
    clock: &'a Clock,
    key: (Timestamp, u64),
}

impl<'a> Sleeper<'a> {
    fn new(clock: &'a Clock, until: Timestamp) -> Self {
        let key = clock.state(|state| {
            state.next_sleeper += 1;
            let key = (until, state.next_sleeper);
            state.sleepers.insert(key, ());
            key
        });
        Self { clock, key }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.state(|state| state.sleepers.remove(&self.key));
        self.clock.0.changed.notify_waiters();
    }
}

#[expect(clippy::disallowed_methods, reason = "the emulator's one reading of the machine's clock")]
fn machine_now() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::Clock;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: i64) -> Timestamp {
        START + SignedDuration::from_secs(seconds)
    }

    /// How far the clock is from where it should be; the grace and the timers cost some milliseconds.
    fn check(clock: &Clock, seconds: i64) {
        let off = clock.now().duration_since(at(seconds));
        assert!((0..200).contains(&off.as_millis()), "{off:?} from {seconds} s");
    }

    #[tokio::test]
    async fn an_idle_clock_leaps_over_a_day_in_no_time() {
        let clock = Clock::leaping(START);
        let before = std::time::Instant::now();
        clock.sleep_until(at(86_400)).await;
        check(&clock, 86_400);
        assert!(before.elapsed() < Duration::from_secs(2));
        assert!(clock.real_now() > at(1_000_000_000), "deadlines keep to the machine's time");
    }

    #[tokio::test]
    async fn sleepers_wake_in_the_order_of_their_times() {
        let clock = Clock::leaping(START);
        let woken = std::sync::Mutex::new(Vec::new());
        let sleep = async |seconds| {
            clock.sleep_until(at(seconds)).await;
            check(&clock, seconds);
            woken.lock().expect("no panic").push(seconds);
        };
        tokio::join!(sleep(300), sleep(60), sleep(3600), sleep(61));
        assert_eq!(*woken.lock().expect("no panic"), [60, 61, 300, 3600]);
    }

    #[tokio::test]
    async fn nothing_leaps_while_somebody_is_busy() {
        let clock = Clock::leaping(START);
        let busy = clock.busy();
        let sleep = clock.sleep_until(at(3600));
        tokio::pin!(sleep);
        let waited = tokio::time::timeout(Duration::from_millis(50), &mut sleep).await;
        assert!(waited.is_err());
        check(&clock, 0);
        drop(busy);
        sleep.await;
        check(&clock, 3600);
    }

    #[tokio::test]
    async fn somebody_who_is_busy_for_a_moment_only_puts_the_leap_off() {
        let clock = Clock::leaping(START);
        let sleep = clock.sleep_until(at(600));
        let work = async {
            for _ in 0..20 {
                let _busy = clock.busy();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(sleep, work);
        check(&clock, 600);
    }

    #[tokio::test]
    async fn a_sleeper_that_is_dropped_holds_up_nobody() {
        let clock = Clock::leaping(START);
        {
            let _busy = clock.busy();
            let dropped = tokio::time::timeout(Duration::from_millis(5), clock.sleep_until(at(10))).await;
            assert!(dropped.is_err());
        }
        clock.sleep_until(at(100)).await;
        check(&clock, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_runtime_carries_every_kind_of_clock() {
        for make in [Clock::starting_at, Clock::leaping] {
            let clock = make(START);
            clock.sleep(SignedDuration::from_secs(1000)).await;
            check(&clock, 1000);
            tokio::time::sleep(Duration::from_secs(50)).await;
            check(&clock, 1050);
        }
        let clock = Clock::starting_at(START);
        assert_eq!(clock.real_now(), clock.now());
    }
}
