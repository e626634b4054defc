//! From a window and its scopes to work units, and from work units to parts.

use jiff::Timestamp;
use oci_names::{Ocid, Region};
use serde::{Deserialize, Serialize};

use crate::{FetchKey, Lane, Minute, Window};

/// One scope to list over one span of processed time: a message on the work stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkUnit {
    /// The region to ask.
    pub region: Region,
    /// The compartment to ask for; the tenancy's OCID for the root.
    pub compartment: Ocid,
    /// Inclusive, whole minutes of processed time, RFC 3339.
    pub start_time: Minute,
    /// Exclusive.
    pub end_time: Minute,
    /// 1 for the first look at a window, 2 for the second.
    pub look: u8,
    /// The minute of the service's clock from which on a later look may take place; else the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Minute>,
}

impl WorkUnit {
    /// Two units that tile this one in time; `None` where it is a single minute.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let (left, right) = Window::new(self.start_time, self.end_time)?.halves()?;
        let cut = |window: Window| Self { start_time: window.from(), end_time: window.until(), ..self.clone() };
        Some((cut(left), cut(right)))
    }

    /// When it may be listed, by the service's clock: what was planned by a wrong one waits for it.
    pub fn due(&self) -> Timestamp {
        self.not_before.map_or(self.end_time, |minute| minute.max(self.end_time)).start()
    }

    /// The first instant that is asked for.
    pub fn start(&self) -> Timestamp {
        self.start_time.start()
    }

    /// The first instant that is not asked for.
    pub fn end(&self) -> Timestamp {
        self.end_time.start()
    }
}

/// Work for one call of fetch: units of one region, under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in the ledger.
    pub key: FetchKey,
    /// What is to be listed.
    pub units: Vec<WorkUnit>,
}

/// Cuts `scopes` into parts: one region and one span each, at most `units_max` units (0 for no bound but `bytes_max`), and
/// never more than `bytes_max` bytes as messages. The same input gives the same parts under the same keys.
///
/// A scope that lags makes a part whose window is its own span, so that a key always tells which time it covers.
pub fn parts<'a>(
    lane: Lane,
    window: Window,
    look: u8,
    scopes: impl Iterator<Item = (&'a Region, &'a Ocid, Minute)>,
    units_max: u32,
    bytes_max: usize,
) -> Vec<Part> {
    let mut due: Vec<_> = scopes.map(|(region, compartment, from)| (region, from, compartment)).collect();
    due.sort_unstable();
    let mut parts: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for (region, from, compartment) in due {
        let Some(span) = Window::new(from, window.until()) else { continue };
        let unit = WorkUnit {
            region: region.clone(),
            compartment: compartment.clone(),
            start_time: from,
            end_time: window.until(),
            look,
            not_before: None,
        };
        let size = unit_bytes(&unit);
        let (number, fits) = match parts.last() {
            Some(last) if last.key.region == *region && last.key.window == span => {
                let room = units_max == 0 || (last.units.len() as u64) < u64::from(units_max);
                (last.key.part + 1, room && bytes + size <= bytes_max)
            }
            _ => (0, false),
        };
        match parts.last_mut() {
            Some(last) if fits => {
                last.units.push(unit);
                bytes += size;
            }
            _ => {
                let key = FetchKey { lane, window: span, look, region: region.clone(), part: number, continuation: 0 };
                parts.push(Part { key, units: vec![unit] });
                bytes = size;
            }
        }
    }
    parts
}

/// An upper bound of what a unit adds to a put: its JSON and a message key of at most 128 bytes.
fn unit_bytes(unit: &WorkUnit) -> usize {
    320 + unit.region.as_str().len() + unit.compartment.as_str().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(regions: usize, compartments: usize) -> Vec<(Region, Ocid)> {
        let name = |r| format!("region-{r:02}").parse().unwrap();
        let id = |c| format!("ocid1.compartment.oc1..aaaaaaaa{c:052}").parse().unwrap();
        (0..regions).flat_map(|r| (0..compartments).map(move |c| (name(r), id(c)))).collect()
    }

    fn cut(scopes: &[(Region, Ocid)], units_max: u32, bytes_max: usize) -> Vec<Part> {
        let from: Minute = "2026-01-05T21:20:00Z".parse().unwrap();
        let window = Window::new(from, from.plus(5)).unwrap();
        parts(Lane::Live, window, 1, scopes.iter().map(|(r, c)| (r, c, from)), units_max, bytes_max)
    }

    #[test]
    fn a_part_holds_one_region_and_no_more_than_it_may() {
        // (regions, compartments, units_max, bytes_max) -> units in each part
        for (regions, compartments, units_max, bytes_max, expected) in [
            (0, 0, 0, 1_000_000, vec![]),
            (1, 1, 0, 1_000_000, vec![1]),
            (2, 3, 0, 1_000_000, vec![3, 3]),
            (2, 3, 2, 1_000_000, vec![2, 1, 2, 1]),
            (4, 96, 25, 1_000_000, [25, 25, 25, 21].repeat(4)),
            (1, 3, 0, 1, vec![1, 1, 1]),
        ] {
            let parts = cut(&scopes(regions, compartments), units_max, bytes_max);
            let sizes: Vec<_> = parts.iter().map(|part| part.units.len()).collect();
            assert_eq!(sizes, expected, "{regions} x {compartments} by {units_max} units, {bytes_max} bytes");
        }
    }

    #[test]
    fn r_10_five_thousand_scopes_make_several_puts_below_the_limit() {
        let scopes = scopes(20, 250);
        for (units_max, bytes_max) in [(0, 50_000), (0, 1_000_000), (100, 1_000_000)] {
            let parts = cut(&scopes, units_max, bytes_max);
            assert!(parts.len() >= 20);
            for part in &parts {
                let bytes: usize = part.units.iter().map(|unit| serde_json::to_vec(unit).unwrap().len() + 128).sum();
                assert!(bytes <= bytes_max, "{bytes} bytes in {}", part.key);
                assert!(part.units.iter().all(|unit| unit.region == part.key.region));
            }
            assert_eq!(parts.iter().map(|part| part.units.len()).sum::<usize>(), 5_000);
        }
    }

    #[test]
    fn the_same_plan_has_the_same_keys() {
        let scopes = scopes(2, 30);
        let plan = cut(&scopes, 20, 1_000_000);
        assert_eq!(plan, cut(&scopes, 20, 1_000_000));
        let keys: Vec<_> = plan.iter().map(|part| part.key.to_string()).collect();
        let span = "20260105T2120Z-20260105T2125Z.1";
        assert_eq!(keys, ["00.0", "00.1", "01.0", "01.1"].map(|end| format!("{span}.region-{end}")));
    }

    #[test]
    fn a_scope_that_lags_makes_a_part_of_its_own_span() {
        let (region, scopes) = ("r-1".parse().unwrap(), scopes(1, 3));
        let until: Minute = "2026-01-05T21:25:00Z".parse().unwrap();
        let due = scopes.iter().zip([5, 18, 5]).map(|((_, id), back)| (&region, id, until.minus(back)));
        let window = Window::new(until.minus(5), until).unwrap();
        let keys: Vec<_> = parts(Lane::Live, window, 1, due, 0, 1_000_000)
            .iter()
            .map(|part| format!("{} {}", part.key, part.units.len()))
            .collect();
        assert_eq!(keys, ["20260105T2107Z-20260105T2125Z.1.r-1.0 1", "20260105T2120Z-20260105T2125Z.1.r-1.0 2"]);
    }

    #[test]
    fn a_unit_travels_with_rfc_3339_times() {
        let part = &cut(&scopes(1, 1), 0, 1_000_000)[0];
        assert_eq!(
            serde_json::to_string(&part.units[0]).unwrap(),
            r#"{"region":"region-00","compartment":"ocid1.compartment.oc1..aaaaaaaa0000000000000000000000000000000000000000000000000000","start_time":"2026-01-05T21:20:00Z","end_time":"2026-01-05T21:25:00Z","look":1}"#
        );
    }
}
