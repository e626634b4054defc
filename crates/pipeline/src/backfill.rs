//! A backfill asked for by hand: `{"start","end","regions"?,"compartments"?,"destination"?}`.

use oci_names::{Ocid, Region};
use serde::Deserialize;

use crate::{Destination, Lane, Minute, Part, Scopes, Window, parts};

/// A backfill's windows are at most a day wide.
const WINDOW_MINUTES: u32 = 24 * 60;

/// How long the Audit service keeps events.
const RETENTION_MINUTES: u32 = 365 * 24 * 60;

/// What somebody wants fetched again, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    span: Window,
    regions: Vec<Region>,
    compartments: Vec<Ocid>,
    /// For this destination alone, where one is named.
    pub destination: Option<Destination>,
}

/// Why a backfill cannot be planned. Says what to do instead; repeats none of the request's values but times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackfillError {
    /// Not the shape of a request.
    #[error(
        "expected {{\"start\",\"end\",\"regions\"?,\"compartments\"?,\"destination\"?}} with times such as 2026-01-05T21:20:00Z ({0})"
    )]
    Shape(String),
    /// Nothing lies between the two times.
    #[error("start must lie before end")]
    Empty,
    /// The future has no events yet.
    #[error("end must not lie after {0}, the service's current minute")]
    Future(Minute),
    /// The service has forgotten.
    #[error("start must not lie before {0}: the Audit service keeps events for 365 days")]
    Forgotten(Minute),
    /// Not a region that is subscribed and READY.
    #[error("regions: number {0} is not a READY region of this tenancy")]
    Region(usize),
    /// Not a compartment that is known.
    #[error(
        "compartments: number {0} is not a known compartment of this tenancy; name the tenancy's OCID for the root"
    )]
    Compartment(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    start: Minute,
    end: Minute,
    #[serde(default)]
    regions: Vec<Region>,
    #[serde(default)]
    compartments: Vec<Ocid>,
    destination: Option<Destination>,
}

impl Backfill {
    /// Reads a request at `now`, the service's current minute.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(body: &[u8], now: Minute) -> Result<Self, BackfillError> {
        let request: Request = serde_json::from_slice(body).map_err(|error| BackfillError::Shape(reason(&error)))?;
        let span = Window::new(request.start, request.end).ok_or(BackfillError::Empty)?;
        if span.until() > now {
            return Err(BackfillError::Future(now));
        }
        let oldest = now.minus(RETENTION_MINUTES);
        if span.from() < oldest {
            return Err(BackfillError::Forgotten(oldest));
        }
        Ok(Self {
            span,
            regions: request.regions,
            compartments: request.compartments,
            destination: request.destination,
        })
    }

    /// The parts of this backfill over the known `scopes`, window by window.
    ///
    /// # Errors
    /// A region or compartment that is not among them.
    pub fn plan(&self, scopes: &Scopes, units_max: u32, bytes_max: usize) -> Result<Vec<Part>, BackfillError> {
        let regions: Vec<&Region> = choose(scopes.regions(), &self.regions).map_err(BackfillError::Region)?;
        let compartments: Vec<&Ocid> =
            choose(scopes.compartments(), &self.compartments).map_err(BackfillError::Compartment)?;
        let mut all = Vec::new();
        let mut done = self.span.from();
        while let Some(window) = Window::next(done, self.span.until(), WINDOW_MINUTES) {
            let scopes = regions.iter().flat_map(|region| compartments.iter().map(|id| (*region, *id, window.from())));
            all.extend(parts(Lane::Backfill, window, 1, scopes, units_max, bytes_max));
            done = window.until();
        }
        Ok(all)
    }
}

/// All that is known, or the wanted ones of it; the number (from 1) of the first that is not known.
fn choose<'a, T: PartialEq>(known: impl Iterator<Item = &'a T>, wanted: &[T]) -> Result<Vec<&'a T>, usize> {
    let known: Vec<&T> = known.collect();
    if wanted.is_empty() {
        return Ok(known);
    }
    let find = |(index, want): (usize, &T)| known.iter().find(|have| **have == want).copied().ok_or(index + 1);
    wanted.iter().enumerate().map(find).collect()
}

/// serde's texts repeat the offending value, which may be anything; its place does not.
fn reason(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "a field is missing, unknown or of the wrong kind",
        _ => "not JSON",
    };
    format!("{what}, line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CompartmentSeen;

    fn minute(text: &str) -> Minute {
        text.parse().unwrap()
    }

    fn parse(body: &str) -> Result<Backfill, BackfillError> {
        Backfill::parse(body.as_bytes(), minute("2026-01-05T21:20:00Z"))
    }

    fn scopes() -> Scopes {
        let now = minute("2026-01-05T21:20:00Z").start();
        let seen = ["ocid1.tenancy.oc1..root", "ocid1.compartment.oc1..a"].map(|id| CompartmentSeen {
            id: id.parse().unwrap(),
            created: now,
            active: true,
        });
        Scopes::first(now, &["r-1".parse().unwrap(), "r-2".parse().unwrap()], &seen)
    }

    #[test]
    fn a_backfill_is_cut_into_days_over_all_scopes_or_the_wanted_ones() {
        let whole = parse(r#"{"start":"2026-01-01T00:00:00Z","end":"2026-01-03T12:00:00Z"}"#).unwrap();
        let parts = whole.plan(&scopes(), 0, 1_000_000).unwrap();
        let keys: Vec<_> = parts.iter().map(|part| part.key.to_string()).collect();
        assert_eq!(keys.len(), 6);
        assert_eq!(keys[0], "backfill.20260101T0000Z-20260102T0000Z.1.r-1.0");
        assert_eq!(keys[5], "backfill.20260103T0000Z-20260103T1200Z.1.r-2.0");
        let one = r#"{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T01:00:00Z","regions":["r-2"],"compartments":["ocid1.tenancy.oc1..root"],"destination":"splunk"}"#;
        let one = parse(one).unwrap();
        let parts = one.plan(&scopes(), 0, 1_000_000).unwrap();
        assert_eq!((parts.len(), parts[0].units.len(), one.destination.unwrap().as_str()), (1, 1, "splunk"));
    }

    #[test]
    fn a_wrong_backfill_says_what_to_do_instead() {
        let span = r#""start":"2026-01-05T10:00:00Z","end":"2026-01-05T11:00:00Z""#;
        for (body, expected) in [
            ("", "not JSON"),
            ("{}", "missing"),
            (r#"{"start":"2026-01-05T10:00:00Z","end":"2026-01-05T10:00:00Z"}"#, "before end"),
            (r#"{"start":"2026-01-05T10:00:30Z","end":"2026-01-05T11:00:00Z"}"#, "wrong kind"),
            (r#"{"start":"05/01/26 10:00:00","end":"2026-01-05T11:00:00Z"}"#, "wrong kind"),
            (r#"{"start":"2026-01-05T10:00:00Z","end":"2026-01-05T21:21:00Z"}"#, "2026-01-05T21:20:00Z"),
            (r#"{"start":"2024-01-05T10:00:00Z","end":"2024-01-05T11:00:00Z"}"#, "365 days"),
            (&format!(r#"{{{span},"region":"r-1"}}"#), "unknown"),
            (&format!(r#"{{{span},"destination":"Not A Name"}}"#), "wrong kind"),
        ] {
            let error = parse(body).unwrap_err().to_string();
            assert!(error.contains(expected), "{body} -> {error}");
        }
        let foreign = parse(&format!(r#"{{{span},"regions":["r-1","r-9"]}}"#)).unwrap();
        assert_eq!(foreign.plan(&scopes(), 0, 1_000_000), Err(BackfillError::Region(2)));
        let foreign = parse(&format!(r#"{{{span},"compartments":["ocid1.compartment.oc1..x"]}}"#)).unwrap();
        assert_eq!(foreign.plan(&scopes(), 0, 1_000_000), Err(BackfillError::Compartment(1)));
    }
}
