//! Which scopes exist, and from when each is owed: the content of `scopes.json`.
//!
//! A scope is a region × a compartment. All scopes follow the planner's one line of windows, save those that are new:
//! they lag until the planner has covered them from their own start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_names::{Ocid, Region};
use serde::{Deserialize, Serialize};

use crate::{Minute, Window, version::V1};

/// A compartment as Identity lists it, as far as the planner cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompartmentSeen {
    /// Its OCID; the tenancy's for the root compartment.
    pub id: Ocid,
    /// When it was made.
    pub created: Timestamp,
    /// False while it is being deleted, and after.
    pub active: bool,
}

/// The regions and compartments that are asked for events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    v: V1,
    refreshed: Timestamp,
    regions: BTreeMap<Region, RegionEntry>,
    compartments: BTreeMap<Ocid, CompartmentEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RegionEntry {
    ready: bool,
    /// Set while this region lags behind the planner: nothing before this minute is missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    planned_until: Option<Minute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CompartmentEntry {
    first_seen: Timestamp,
    last_active: Timestamp,
    /// Set by the first refresh that does not find it active.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    inactive_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    planned_until: Option<Minute>,
}

/// A deleted compartment is asked for this long after it was first found so: its last events, the deletion among them,
/// arrive late, and second looks come later still.
const AFTERLIFE_SECS: i64 = 3600;

impl Scopes {
    /// The first list: every scope follows the planner from its first window on.
    pub fn first(now: Timestamp, ready: &[Region], compartments: &[CompartmentSeen]) -> Self {
        let region = |region: &Region| (region.clone(), RegionEntry { ready: true, planned_until: None });
        let entry = CompartmentEntry { first_seen: now, last_active: now, inactive_since: None, planned_until: None };
        Self {
            v: V1,
            refreshed: now,
            regions: ready.iter().map(region).collect(),
            compartments: compartments
                .iter()
                .filter(|seen| seen.active)
                .map(|seen| (seen.id.clone(), entry.clone()))
                .collect(),
        }
    }

    /// The list after another look at Identity, `planned_until` being what all known scopes are planned to.
    ///
    /// What is new starts at its creation or at the last refresh, whichever is later: before that it was not there.
    /// A region that is not READY any more keeps its place, and resumes there.
    #[must_use]
    pub fn refreshed(
        &self,
        now: Timestamp,
        planned_until: Minute,
        ready: &[Region],
        compartments: &[CompartmentSeen],
    ) -> Self {
        let mut next = self.clone();
        next.refreshed = now;
        // A region that leaves resumes where its furthest lagging compartment stands: the others catch up without it.
        let lag = self.compartments.values().filter_map(|entry| entry.planned_until).min();
        let left_at = lag.map_or(planned_until, |lag| lag.min(planned_until));
        for (region, entry) in &mut next.regions {
            if entry.ready && !ready.contains(region) {
                let left_at = entry.planned_until.map_or(left_at, |own| own.min(left_at));
                *entry = RegionEntry { ready: false, planned_until: Some(left_at) };
            }
        }
        for region in ready {
            let starts = Minute::floor(self.refreshed);
            let entry =
                next.regions.entry(region.clone()).or_insert(RegionEntry { ready: true, planned_until: Some(starts) });
            entry.ready = true;
        }
        for seen in compartments.iter().filter(|seen| seen.active || seen.created > self.refreshed) {
            let starts = Minute::floor(seen.created.max(self.refreshed));
            let entry = next.compartments.entry(seen.id.clone()).or_insert(CompartmentEntry {
                first_seen: now,
                last_active: now,
                inactive_since: None,
                planned_until: Some(starts),
            });
            if seen.active {
                entry.last_active = now;
                entry.inactive_since = None;
            }
        }
        for entry in next.compartments.values_mut().filter(|entry| entry.last_active < now) {
            entry.inactive_since.get_or_insert(now);
        }
        let dead_for =
            |entry: &CompartmentEntry| entry.inactive_since.map_or(0, |since| now.as_second() - since.as_second());
        next.compartments.retain(|_, entry| dead_for(entry) <= AFTERLIFE_SECS);
        next
    }

    /// When Identity was last asked.
    pub fn refreshed_at(&self) -> Timestamp {
        self.refreshed
    }

    /// How many scopes are asked for events.
    pub fn count(&self) -> usize {
        self.regions.values().filter(|entry| entry.ready).count() * self.compartments.len()
    }

    /// The scopes that `window` concerns, with the minute that each is owed from: the window's first, or earlier or
    /// later for a scope that lags. Sorted by region and compartment.
    pub fn due(&self, window: Window) -> impl Iterator<Item = (&Region, &Ocid, Minute)> {
        self.regions.iter().filter(|(_, entry)| entry.ready).flat_map(move |(region, region_entry)| {
            self.compartments.iter().filter_map(move |(compartment, entry)| {
                let lag = region_entry.planned_until.max(entry.planned_until);
                let from = lag.unwrap_or(window.from());
                (from < window.until()).then_some((region, compartment, from))
            })
        })
    }

    /// The scopes that do not lag: a second look is due for them alone, since who lags has its first look still to come.
    pub fn settled(&self) -> impl Iterator<Item = (&Region, &Ocid)> {
        let ready = self.regions.iter().filter(|(_, entry)| entry.ready && entry.planned_until.is_none());
        ready.flat_map(|(region, _)| {
            let settled = self.compartments.iter().filter(|(_, entry)| entry.planned_until.is_none());
            settled.map(move |(compartment, _)| (region, compartment))
        })
    }

    /// The list after `window` was planned for all scopes; `None` where nothing lagged, so that nothing is to be written.
    pub fn after(&self, window: Window) -> Option<Self> {
        let caught_up = |lag: &mut Option<Minute>| match *lag {
            Some(from) if from < window.until() => lag.take().is_some(),
            _ => false,
        };
        let mut next = self.clone();
        let mut changed = false;
        for entry in next.regions.values_mut().filter(|entry| entry.ready) {
            changed |= caught_up(&mut entry.planned_until);
        }
        for entry in next.compartments.values_mut() {
            changed |= caught_up(&mut entry.planned_until);
        }
        changed.then_some(next)
    }

    /// The READY regions.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().filter(|(_, entry)| entry.ready).map(|(region, _)| region)
    }

    /// The compartments, the root among them.
    pub fn compartments(&self) -> impl Iterator<Item = &Ocid> {
        self.compartments.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "ocid1.tenancy.oc1..root";

    fn time(text: &str) -> Timestamp {
        format!("2026-01-05T{text}Z").parse().unwrap()
    }

    fn minute(text: &str) -> Minute {
        Minute::floor(time(text))
    }

    fn window(from: &str, until: &str) -> Window {
        Window::new(minute(from), minute(until)).unwrap()
    }

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    fn compartment(id: &str, created: &str, active: bool) -> CompartmentSeen {
        CompartmentSeen { id: id.parse().unwrap(), created: time(created), active }
    }

    fn due(scopes: &Scopes, window: Window) -> Vec<String> {
        let short = |id: &Ocid| id.as_str().rsplit('.').next().unwrap().to_owned();
        scopes.due(window).map(|(r, c, from)| format!("{r} {} {}", short(c), from.start().strftime("%H:%M"))).collect()
    }

    fn two() -> Scopes {
        let seen = [compartment(ROOT, "00:00:00", true), compartment("ocid1.compartment.oc1..a", "01:00:00", true)];
        Scopes::first(time("10:00:00"), &[region("r-1")], &seen)
    }

    #[test]
    fn known_scopes_follow_the_window() {
        assert_eq!(due(&two(), window("10:00:00", "10:05:00")), ["r-1 a 10:00", "r-1 root 10:00"]);
        assert_eq!(two().after(window("10:00:00", "10:05:00")), None);
    }

    #[test]
    fn a_new_compartment_starts_at_its_creation_and_then_follows() {
        let seen = [
            compartment(ROOT, "00:00:00", true),
            compartment("ocid1.compartment.oc1..a", "01:00:00", true),
            compartment("ocid1.compartment.oc1..b", "10:42:30", true),
            compartment("ocid1.compartment.oc1..old", "03:00:00", true),
        ];
        let scopes = two().refreshed(time("11:00:00"), minute("10:55:00"), &[region("r-1")], &seen);
        let next = window("10:55:00", "11:00:00");
        assert_eq!(due(&scopes, next), ["r-1 a 10:55", "r-1 b 10:42", "r-1 old 10:00", "r-1 root 10:55"]);
        let scopes = scopes.after(next).unwrap();
        assert_eq!(due(&scopes, window("11:00:00", "11:05:00")).len(), 4);
        assert_eq!(scopes.after(window("11:00:00", "11:05:00")), None);
    }

    #[test]
    fn r_14_a_deleted_compartment_stays_a_scope_for_an_hour() {
        let gone = [compartment(ROOT, "00:00:00", true), compartment("ocid1.compartment.oc1..a", "01:00:00", false)];
        let next = |scopes: Scopes, now: &str| scopes.refreshed(time(now), minute(now), &[region("r-1")], &gone);
        // However long after its deletion it is first found dead, it is asked for another hour.
        let found = next(two(), "11:05:04");
        assert_eq!(found.count(), 2);
        assert_eq!(next(found.clone(), "12:05:04").count(), 2);
        assert_eq!(next(found, "12:05:05").count(), 1);
    }

    #[test]
    fn a_compartment_made_and_deleted_between_two_refreshes_is_still_asked_for() {
        let seen = [compartment(ROOT, "00:00:00", true), compartment("ocid1.compartment.oc1..x", "10:30:00", false)];
        let scopes = two().refreshed(time("11:00:00"), minute("11:00:00"), &[region("r-1")], &seen);
        assert!(due(&scopes, window("11:00:00", "11:05:00")).contains(&"r-1 x 10:30".to_owned()));
    }

    #[test]
    fn r_15_a_region_starts_when_it_is_ready_and_keeps_its_place_while_it_is_not() {
        let seen = [compartment(ROOT, "00:00:00", true)];
        let both = [region("r-1"), region("r-2")];
        let first = Scopes::first(time("10:00:00"), &[region("r-1")], &seen);
        assert_eq!(due(&first, window("10:00:00", "10:05:00")), ["r-1 root 10:00"]);
        let second = first.refreshed(time("11:00:00"), minute("10:58:00"), &both, &seen);
        assert_eq!(due(&second, window("10:58:00", "11:00:00")), ["r-1 root 10:58", "r-2 root 10:00"]);
        let second = second.after(window("10:58:00", "11:00:00")).unwrap();
        let third = second.refreshed(time("12:00:00"), minute("12:00:00"), &[region("r-2")], &seen);
        assert_eq!(due(&third, window("12:00:00", "12:05:00")), ["r-2 root 12:00"]);
        let fourth = third.refreshed(time("13:00:00"), minute("13:00:00"), &both, &seen);
        assert_eq!(due(&fourth, window("13:00:00", "13:05:00")), ["r-1 root 12:00", "r-2 root 13:00"]);
    }

    #[test]
    fn a_scope_that_starts_after_the_window_waits_for_the_next() {
        let seen = [compartment(ROOT, "00:00:00", true), compartment("ocid1.compartment.oc1..b", "11:02:00", true)];
        let scopes = two().refreshed(time("11:03:00"), minute("10:55:00"), &[region("r-1")], &seen);
        let early = window("10:55:00", "11:00:00");
        assert!(!due(&scopes, early).iter().any(|line| line.contains(" b ")));
        assert_eq!(scopes.after(early), None);
    }

    #[test]
    fn the_list_reads_back_from_json() {
        let json = serde_json::to_string(&two()).unwrap();
        assert_eq!(serde_json::from_str::<Scopes>(&json).unwrap(), two());
    }
}
