//! Where the planner stands: the content of `positions.json`, changed by compare-and-set alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Minute, Planned, Window, proof, version::V1};

/// The planner's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    v: V1,
    /// First looks are planned for everything before this minute of processed time.
    pub planned_until: Minute,
    /// Second looks are planned for everything before this minute.
    pub looked_again_until: Minute,
    /// Third looks, where they are switched on, are planned for everything before this minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub looked_late_until: Option<Minute>,
    /// Held while a planner is at work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<Lease>,
    /// What was planned and is not proven yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unproven: Vec<Planned>,
}

/// One planner's right to plan, and the windows that it means to plan: who takes over after its death plans the same.
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
    /// The end of the third look in progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub looks_late_until: Option<Minute>,
}

/// When a window is looked at again, in minutes after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looks {
    /// The second look; `None` for never.
    pub second_after: Option<u32>,
    /// The third, after the second; `None` for never.
    pub third_after: Option<u32>,
}

impl Looks {
    /// Minutes from the end of a window to a look at it.
    pub fn after(self, look: u8) -> u32 {
        let after = match look {
            2 => self.second_after,
            3 => self.third_after,
            _ => None,
        };
        after.unwrap_or_default()
    }

    /// The look after which nothing more is asked of a window.
    pub fn last(self) -> u8 {
        match (self.second_after, self.third_after) {
            (None, _) => 1,
            (Some(_), None) => 2,
            (Some(_), Some(_)) => 3,
        }
    }
}

/// One window a look, as far as each is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Windows {
    /// The first look.
    pub first: Option<Window>,
    /// The second.
    pub second: Option<Window>,
    /// The third.
    pub third: Option<Window>,
}

impl Windows {
    /// Whether nothing is due.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.second.is_none() && self.third.is_none()
    }

    /// The looks after the first that are due, by number.
    pub fn later(&self) -> impl Iterator<Item = (u8, Window)> {
        [(2, self.second), (3, self.third)].into_iter().filter_map(|(look, window)| Some((look, window?)))
    }
}

/// What a planner may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Somebody else plans.
    Busy,
    /// The position lies in the future: the object was tampered with, or the clock was.
    Ahead,
    /// Plan these windows.
    Plan {
        /// What is due.
        windows: Windows,
        /// True where a dead planner's windows are finished: what it had begun is adopted.
        takeover: bool,
    },
}

/// Two front ends of one service may differ by this much: within it nothing is due, beyond it something is wrong.
const CLOCKS_DIFFER_MINUTES: u32 = 5;

/// More than a month of windows that cannot be proven. Beyond it the oldest are given up, so that the object stays small.
const UNPROVEN_MAX: usize = 20_000;

impl Positions {
    /// The line begins at `start`.
    pub fn starting_at(start: Minute) -> Self {
        Self {
            v: V1,
            planned_until: start,
            looked_again_until: start,
            looked_late_until: None,
            lease: None,
            unproven: Vec::new(),
        }
    }

    /// Decides what is to be planned at `now`, in windows of at most `max_minutes`; a later look at a window is due once
    /// its end is as old as `looks` says, and the look before it is planned. The second look also waits until the first is
    /// over: no first attempt waits for anything before `tried_until`. Two looks at work side by side would not see each
    /// other's events.
    pub fn turn(&self, now: Timestamp, max_minutes: u32, looks: Looks, tried_until: Minute) -> Turn {
        if let Some(lease) = &self.lease {
            if lease.until > now {
                return Turn::Busy;
            }
            let windows = Windows {
                first: lease.plans_until.and_then(|until| Window::new(self.planned_until, until)),
                second: lease.looks_again_until.and_then(|until| Window::new(self.looked_again_until, until)),
                third: lease.looks_late_until.and_then(|until| Window::new(self.looked_late_until(), until)),
            };
            if !windows.is_empty() {
                return Turn::Plan { windows, takeover: true };
            }
        }
        let minute = Minute::floor(now);
        let ahead = self.planned_until > minute.plus(CLOCKS_DIFFER_MINUTES);
        if ahead || self.looked_again_until > self.planned_until || self.looked_late_until() > self.looked_again_until {
            return Turn::Ahead;
        }
        let second = looks.second_after.and_then(|after| {
            let due = minute.minus(after).min(self.planned_until).min(tried_until);
            Window::next(self.looked_again_until, due, max_minutes)
        });
        let third = looks.third_after.filter(|_| looks.second_after.is_some()).and_then(|after| {
            Window::next(self.looked_late_until(), minute.minus(after).min(self.looked_again_until), max_minutes)
        });
        let first = Window::next(self.planned_until, minute, max_minutes);
        Turn::Plan { windows: Windows { first, second, third }, takeover: false }
    }

    /// The same positions under a lease that names the windows it is for.
    #[must_use]
    pub fn leased(&self, holder: &str, until: Timestamp, windows: Windows) -> Self {
        let lease = Lease {
            holder: holder.to_owned(),
            until,
            plans_until: windows.first.map(Window::until),
            looks_again_until: windows.second.map(Window::until),
            looks_late_until: windows.third.map(Window::until),
        };
        Self { lease: Some(lease), ..self.clone() }
    }

    /// The positions once those windows are planned; the lease is given up. The line of a look that is switched off follows
    /// the one before it: switched on later, it begins there and not at the beginning of all.
    #[must_use]
    pub fn advanced(&self, windows: Windows, looks: Looks, planned: impl IntoIterator<Item = Planned>) -> Self {
        let planned_until = windows.first.map_or(self.planned_until, Window::until);
        let again = windows.second.map_or(self.looked_again_until, Window::until);
        let looked_again_until = if looks.second_after.is_some() { again } else { planned_until };
        let late = windows.third.map_or(self.looked_late_until(), Window::until);
        let looked_late_until = (looks.last() == 3).then_some(late);
        let mut unproven = self.unproven.clone();
        unproven.extend(planned);
        unproven.drain(..unproven.len().saturating_sub(UNPROVEN_MAX));
        Self { v: self.v, planned_until, looked_again_until, looked_late_until, lease: None, unproven }
    }

    /// The windows that are over, oldest first: no look at them is to come, and nothing in `waiting` touches them.
    pub fn over<'a>(&self, looks: Looks, waiting: impl Iterator<Item = &'a crate::Receipt>) -> Vec<Window> {
        let last_until = match looks.last() {
            1 => self.planned_until,
            2 => self.looked_again_until,
            _ => self.looked_late_until(),
        };
        proof::over(&self.unproven, looks.last(), last_until, waiting)
    }

    /// The positions once `windows` are proven.
    #[must_use]
    pub fn proven(&self, windows: &[Window]) -> Self {
        let mut next = self.clone();
        let is_proven = |planned: &Planned| windows.iter().any(|window| planned.is_proven_with(*window));
        next.unproven.retain(|planned| !is_proven(planned));
        next
    }

    fn looked_late_until(&self) -> Minute {
        self.looked_late_until.unwrap_or(self.looked_again_until)
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
        let Turn::Plan { windows, takeover } = turn else { panic!("{turn:?}") };
        (name(windows.first), name(windows.second), takeover)
    }

    fn name(window: Option<Window>) -> String {
        window.map_or_else(|| "-".into(), |window| window.to_string().replace("20260105T", ""))
    }

    /// Second looks after 20 minutes.
    const SECOND: Looks = Looks { second_after: Some(20), third_after: None };

    /// First looks alone.
    const FIRST: Looks = Looks { second_after: None, third_after: None };

    fn first_of(turn: Turn) -> Windows {
        let Turn::Plan { windows, .. } = turn else { panic!("{turn:?}") };
        Windows { first: windows.first, ..Windows::default() }
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
            let turn = positions(planned, looked).turn(time(now), 60, SECOND, tried());
            assert_eq!(plan(turn), (first.into(), second.into(), false), "{planned} {looked} {now}");
        }
    }

    #[test]
    fn r_16_windows_continue_where_the_last_one_ended_whatever_the_trigger_did() {
        let mut positions = positions("10:00:00", "10:00:00");
        let mut windows = Vec::new();
        for now in ["10:05:20", "10:09:40", "10:20:05"] {
            let due = first_of(positions.turn(time(now), 60, FIRST, tried()));
            windows.push(name(due.first));
            positions = positions.advanced(due, FIRST, []);
        }
        assert_eq!(windows, ["1000Z-1005Z", "1005Z-1009Z", "1009Z-1020Z"]);
    }

    #[test]
    fn r_17_a_faster_trigger_asks_for_nothing_twice() {
        let mut positions = positions("10:00:00", "10:00:00");
        let mut planned = 0;
        for second in (0..600).step_by(30) {
            let now = time("10:00:00") + jiff::SignedDuration::from_secs(second);
            let due = first_of(positions.turn(now, 60, FIRST, tried()));
            planned += usize::from(due.first.is_some());
            positions = positions.advanced(due, FIRST, []);
        }
        assert_eq!((planned, positions.planned_until), (9, Minute::floor(time("10:09:00"))));
    }

    #[test]
    fn a_lease_keeps_others_out_and_its_windows_are_finished_by_who_takes_over() {
        let idle = positions("10:00:00", "09:40:00");
        let Turn::Plan { windows, .. } = idle.turn(time("10:05:00"), 60, SECOND, tried()) else { panic!() };
        let leased = idle.leased("me", time("10:07:00"), windows);
        assert_eq!(leased.turn(time("10:06:59"), 60, SECOND, tried()), Turn::Busy);
        assert_eq!(
            plan(leased.turn(time("10:20:00"), 60, SECOND, tried())),
            ("1000Z-1005Z".into(), "0940Z-0945Z".into(), true)
        );
        let done = leased.advanced(windows, SECOND, []);
        assert_eq!(done, positions("10:05:00", "09:45:00"));
    }

    #[test]
    fn a_second_look_waits_for_the_first() {
        let positions = positions("10:00:00", "09:00:00");
        let second = |tried| plan(positions.turn(time("10:00:00"), 60, SECOND, Minute::floor(time(tried)))).1;
        assert_eq!(second("10:00:00"), "0900Z-0940Z");
        assert_eq!(second("09:30:00"), "0900Z-0930Z");
        assert_eq!(second("08:30:00"), "-");
    }

    #[test]
    fn a_position_in_the_future_is_not_planned_from() {
        let turn = |planned, looked, now| positions(planned, looked).turn(time(now), 60, SECOND, tried());
        assert_eq!(turn("10:10:00", "10:00:00", "10:04:59"), Turn::Ahead);
        assert_eq!(turn("10:00:00", "10:05:00", "10:10:00"), Turn::Ahead);
        // Another front end's clock is a second behind: nothing is due yet.
        assert_eq!(plan(turn("10:05:00", "10:00:00", "10:04:59")), ("-".into(), "-".into(), false));
    }

    #[test]
    fn second_looks_that_are_switched_on_begin_there() {
        let off = positions("10:00:00", "09:00:00").advanced(Windows::default(), FIRST, []);
        assert_eq!(off.looked_again_until, off.planned_until);
    }

    #[test]
    fn a_third_look_follows_the_second_and_begins_where_it_is_switched_on() {
        const THIRD: Looks = Looks { second_after: Some(20), third_after: Some(60) };
        let mut now = time("10:00:00");
        let mut positions = positions("10:00:00", "09:40:00");
        let mut third = Vec::new();
        for _ in 0..30 {
            let Turn::Plan { windows, .. } = positions.turn(now, 60, THIRD, tried()) else { panic!() };
            third.extend(windows.third.map(|window| name(Some(window))));
            positions = positions.advanced(windows, THIRD, []);
            now += jiff::SignedDuration::from_mins(5);
        }
        assert_eq!(third[..2], ["0940Z-0945Z", "0945Z-0950Z"]);
        assert_eq!(positions.looked_late_until, Some(Minute::floor(now).minus(65)));
        // Switched off, its line is forgotten.
        let off = positions.advanced(Windows::default(), SECOND, []);
        assert_eq!(off.looked_late_until, None);
    }

    #[test]
    fn what_was_planned_is_remembered_until_it_is_proven_whatever_becomes_of_the_settings() {
        let planned = |text: &str| format!("20260105T{}", text.replace('-', "-20260105T")).parse::<Planned>().unwrap();
        let idle = positions("10:10:00", "10:05:00");
        let all = [planned("1000Z-1005Z.1.4.384"), planned("1005Z-1010Z.1.4.384"), planned("1000Z-1005Z.2.4.384")];
        let positions = idle.advanced(Windows::default(), SECOND, all);
        let over = |looks| positions.over(looks, [].iter()).into_iter().map(|w| name(Some(w))).collect::<Vec<_>>();
        assert_eq!(over(SECOND), ["1000Z-1005Z"]);
        assert_eq!(over(FIRST), ["1000Z-1005Z", "1005Z-1010Z"]);
        // A third look begins at 10:05: what lies before it is proven by its second.
        assert_eq!(over(Looks { third_after: Some(60), ..SECOND }), ["1000Z-1005Z"]);
        let left = positions.proven(&positions.over(SECOND, [].iter()));
        assert_eq!(left.unproven, [all[1]]);
    }

    #[test]
    fn positions_read_back_from_json() {
        let positions = positions("10:00:00", "09:40:00").leased("me", time("10:07:00"), Windows::default());
        let json = serde_json::to_string(&positions).unwrap();
        assert_eq!(serde_json::from_str::<Positions>(&json).unwrap(), positions);
    }
}
