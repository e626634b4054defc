//! Where the planner stands: the content of `positions.json`, changed by compare-and-set alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Minute, Window, version::V1};

/// The planner's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    v: V1,
    /// First looks are planned for everything before this minute of processed time.
    pub planned_until: Minute,
    /// Second looks are planned for everything before this minute.
    pub looked_again_until: Minute,
    /// Held while a planner is at work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<Lease>,
}

/// One planner's right to plan, and the window that it means to plan: who takes over after its death plans the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub holder: String,
    /// When others may take over, by the service's clock.
    pub until: Timestamp,
    /// The end of the first look in progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plans_until: Option<Minute>,
    /// The end of the second look in progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub looks_again_until: Option<Minute>,
}

/// What a planner may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Somebody else plans.
    Busy,
    /// The position lies in the future: the object was tampered with, or the clock was.
    Ahead,
    /// Plan these windows: the first look and the second, as far as each is due.
    Plan {
        /// The window of the first look, if due.
        first: Option<Window>,
        /// The window of the second look, if due.
        second: Option<Window>,
        /// True where a dead planner's windows are finished: what it had begun is adopted.
        takeover: bool,
    },
}

/// Two front ends of one service may differ by this much: within it nothing is due, beyond it something is wrong.
const CLOCKS_DIFFER_MINUTES: u32 = 5;

impl Positions {
    /// The line begins at `start`.
    pub fn starting_at(start: Minute) -> Self {
        Self { v: V1, planned_until: start, looked_again_until: start, lease: None }
    }

    /// Decides what is to be planned at `now`, in windows of at most `max_minutes`; the second look at a window is due
    /// once its end is `late_after` minutes old (`None` switches second looks off), and its first look is over: no first
    /// attempt waits for anything before `tried_until`. Two looks at work side by side would not see each other's events.
    pub fn turn(&self, now: Timestamp, max_minutes: u32, late_after: Option<u32>, tried_until: Minute) -> Turn {
        if let Some(lease) = &self.lease {
            if lease.until > now {
                return Turn::Busy;
            }
            let first = lease.plans_until.and_then(|until| Window::new(self.planned_until, until));
            let second = lease.looks_again_until.and_then(|until| Window::new(self.looked_again_until, until));
            if first.is_some() || second.is_some() {
                return Turn::Plan { first, second, takeover: true };
            }
        }
        let minute = Minute::floor(now);
        if self.planned_until > minute.plus(CLOCKS_DIFFER_MINUTES) || self.looked_again_until > self.planned_until {
            return Turn::Ahead;
        }
        let first = Window::next(self.planned_until, minute, max_minutes);
        let second = late_after.and_then(|late_after| {
            let due = minute.minus(late_after).min(self.planned_until).min(tried_until);
            Window::next(self.looked_again_until, due, max_minutes)
        });
        Turn::Plan { first, second, takeover: false }
    }

    /// The same positions under a lease that names the windows it is for.
    #[must_use]
    pub fn leased(&self, holder: &str, until: Timestamp, first: Option<Window>, second: Option<Window>) -> Self {
        let lease = Lease {
            holder: holder.to_owned(),
            until,
            plans_until: first.map(Window::until),
            looks_again_until: second.map(Window::until),
        };
        Self { lease: Some(lease), ..self.clone() }
    }

    /// The positions once those windows are planned; the lease is given up. Without second looks their line follows the
    /// first: switched on later, they begin there and not at the beginning of all.
    #[must_use]
    pub fn advanced(&self, first: Option<Window>, second: Option<Window>, second_looks: bool) -> Self {
        let planned_until = first.map_or(self.planned_until, Window::until);
        let looked_again_until = second.map_or(self.looked_again_until, Window::until);
        let looked_again_until = if second_looks { looked_again_until } else { planned_until };
        Self { v: self.v, planned_until, looked_again_until, lease: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        format!("2026-01-05T{text}Z").parse().unwrap()
    }

    /// Everything was tried.
    fn tried() -> Minute {
        Minute::floor(Timestamp::MAX)
    }

    fn positions(planned: &str, looked: &str) -> Positions {
        let minute = |text| Minute::floor(time(text));
        Positions {
            planned_until: minute(planned),
            looked_again_until: minute(looked),
            ..Positions::starting_at(minute(planned))
        }
    }

    fn plan(turn: Turn) -> (String, String, bool) {
        let Turn::Plan { first, second, takeover } = turn else { panic!("{turn:?}") };
        let name = |window: Option<Window>| {
            window.map_or_else(|| "-".into(), |window| window.to_string().replace("20260105T", ""))
        };
        (name(first), name(second), takeover)
    }

    #[test]
    fn a_turn_plans_what_is_due_and_no_more() {
        for (planned, looked, now, first, second) in [
            ("10:00:00", "09:40:00", "10:00:59", "-", "-"),
            ("10:00:00", "09:40:00", "10:01:00", "1000Z-1001Z", "0940Z-0941Z"),
            ("10:00:00", "09:40:00", "10:05:20", "1000Z-1005Z", "0940Z-0945Z"),
            ("10:00:00", "10:00:00", "10:15:00", "1000Z-1015Z", "-"),
            ("10:00:00", "10:00:00", "14:00:00", "1000Z-1100Z", "-"),
            ("10:00:00", "06:00:00", "10:00:00", "-", "0600Z-0700Z"),
        ] {
            let turn = positions(planned, looked).turn(time(now), 60, Some(20), tried());
            assert_eq!(plan(turn), (first.into(), second.into(), false), "{planned} {looked} {now}");
        }
    }

    #[test]
    fn r_16_windows_continue_where_the_last_one_ended_whatever_the_trigger_did() {
        let mut positions = positions("10:00:00", "10:00:00");
        let mut windows = Vec::new();
        for now in ["10:05:20", "10:09:40", "10:20:05"] {
            let Turn::Plan { first, .. } = positions.turn(time(now), 60, None, tried()) else { panic!() };
            windows.push(first.unwrap().to_string().replace("20260105T", ""));
            positions = positions.advanced(first, None, true);
        }
        assert_eq!(windows, ["1000Z-1005Z", "1005Z-1009Z", "1009Z-1020Z"]);
    }

    #[test]
    fn r_17_a_faster_trigger_asks_for_nothing_twice() {
        let mut positions = positions("10:00:00", "10:00:00");
        let mut planned = 0;
        for second in (0..600).step_by(30) {
            let now = time("10:00:00") + jiff::SignedDuration::from_secs(second);
            let Turn::Plan { first, .. } = positions.turn(now, 60, None, tried()) else { panic!() };
            planned += usize::from(first.is_some());
            positions = positions.advanced(first, None, true);
        }
        assert_eq!((planned, positions.planned_until), (9, Minute::floor(time("10:09:00"))));
    }

    #[test]
    fn a_lease_keeps_others_out_and_its_windows_are_finished_by_who_takes_over() {
        let idle = positions("10:00:00", "09:40:00");
        let Turn::Plan { first, second, .. } = idle.turn(time("10:05:00"), 60, Some(20), tried()) else { panic!() };
        let leased = idle.leased("me", time("10:07:00"), first, second);
        assert_eq!(leased.turn(time("10:06:59"), 60, Some(20), tried()), Turn::Busy);
        assert_eq!(
            plan(leased.turn(time("10:20:00"), 60, Some(20), tried())),
            ("1000Z-1005Z".into(), "0940Z-0945Z".into(), true)
        );
        let done = leased.advanced(first, second, true);
        assert_eq!(done, positions("10:05:00", "09:45:00"));
    }

    #[test]
    fn a_second_look_waits_for_the_first() {
        let positions = positions("10:00:00", "09:00:00");
        let second = |tried| plan(positions.turn(time("10:00:00"), 60, Some(20), Minute::floor(time(tried)))).1;
        assert_eq!(second("10:00:00"), "0900Z-0940Z");
        assert_eq!(second("09:30:00"), "0900Z-0930Z");
        assert_eq!(second("08:30:00"), "-");
    }

    #[test]
    fn a_position_in_the_future_is_not_planned_from() {
        let turn = |planned, looked, now| positions(planned, looked).turn(time(now), 60, Some(20), tried());
        assert_eq!(turn("10:10:00", "10:00:00", "10:04:59"), Turn::Ahead);
        assert_eq!(turn("10:00:00", "10:05:00", "10:10:00"), Turn::Ahead);
        // Another front end's clock is a second behind: nothing is due yet.
        assert_eq!(plan(turn("10:05:00", "10:00:00", "10:04:59")), ("-".into(), "-".into(), false));
    }

    #[test]
    fn second_looks_that_are_switched_on_begin_there() {
        let off = positions("10:00:00", "09:00:00").advanced(None, None, false);
        assert_eq!(off.looked_again_until, off.planned_until);
    }

    #[test]
    fn positions_read_back_from_json() {
        let positions = positions("10:00:00", "09:40:00").leased("me", time("10:07:00"), None, None);
        let json = serde_json::to_string(&positions).unwrap();
        assert_eq!(serde_json::from_str::<Positions>(&json).unwrap(), positions);
    }
}
