//! What is proven of a window that is over: what was asked, what was found, and what became of it.
//!
//! The planner notes which parts it planned ([`Planned`]); fetch and ship leave the names of what they did
//! ([`Seen`]). A window is over when nothing that touches it waits any more. Then the three must agree: each planned part
//! has its account, and each event that was put for a destination was taken by it or lies as a dead letter.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    Account, Destination, EventRange, FetchKey, InvalidReceiptName, Lane, Minute, Receipt, Seen, Stage, Tally, Window,
};

/// One look at a window, as it was planned; kept until it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Planned {
    /// The window of the look.
    pub window: Window,
    /// Which look.
    pub look: u8,
    /// How many parts were planned; each leaves an account.
    pub parts: u32,
    /// How many scopes were asked.
    pub scopes: u32,
    /// Where the earliest of the parts begins: one for a scope that lagged begins before the window does.
    pub earliest: Minute,
}

impl Planned {
    /// Whether this is proven with `window`: it ends in it.
    pub fn is_proven_with(&self, window: Window) -> bool {
        belongs(self.window.until(), window)
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, look, parts, scopes, earliest } = self;
        write!(f, "{window}.{look}.{parts}.{scopes}")?;
        // The window that reaches back that far, where it is another.
        match Window::new(*earliest, window.until()) {
            Some(reach) if reach != *window => write!(f, ".{reach}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Planned {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let fields: Vec<&str> = text.split('.').collect();
        let (window, look, parts, scopes, reach) = match fields.as_slice() {
            [window, look, parts, scopes] => (window, look, parts, scopes, window),
            [window, look, parts, scopes, reach] => (window, look, parts, scopes, reach),
            _ => return Err(InvalidReceiptName),
        };
        let reach: Window = reach.parse().map_err(|_| InvalidReceiptName)?;
        Ok(Self {
            window: window.parse().map_err(|_| InvalidReceiptName)?,
            look: look.parse().map_err(|_| InvalidReceiptName)?,
            parts: parts.parse().map_err(|_| InvalidReceiptName)?,
            scopes: scopes.parse().map_err(|_| InvalidReceiptName)?,
            earliest: reach.from(),
        })
    }
}

impl TryFrom<String> for Planned {
    type Error = InvalidReceiptName;

    fn try_from(text: String) -> Result<Self, InvalidReceiptName> {
        text.parse()
    }
}

impl From<Planned> for String {
    fn from(planned: Planned) -> String {
        planned.to_string()
    }
}

/// The windows that are over: no look at them is to come, the line of the look `last` being at `last_until`, and nothing
/// in `waiting` touches them. Oldest first.
///
/// A window of the last look is the unit of proof, and looks before it are proven with the one that their window ends in.
/// Where settings were changed, and no last look was or will be planned over an earlier one, that is a unit by itself.
pub(crate) fn over<'a>(
    unproven: &[Planned],
    last: u8,
    last_until: Minute,
    waiting: impl Iterator<Item = &'a Receipt>,
) -> Vec<Window> {
    let mut units: Vec<Window> = Vec::new();
    let looks = [last].into_iter().chain((1..=3).rev().filter(|look| *look != last));
    for look in looks {
        let of_look = unproven.iter().filter(|planned| planned.look == look).map(|planned| planned.window);
        let found: Vec<Window> = match look == last {
            true => of_look.collect(),
            false => of_look
                .filter(|window| window.until() <= last_until)
                .filter(|window| !units.iter().any(|unit| belongs(window.until(), *unit)))
                .collect(),
        };
        units.extend(found);
    }
    let open: Vec<Window> = waiting.filter_map(live_window).collect();
    units.retain(|unit| !open.iter().any(|open| open.touches(*unit)));
    units.sort_unstable();
    units
}

fn live_window(receipt: &Receipt) -> Option<Window> {
    match &receipt.stage {
        Stage::Fetch(key) => (key.lane == Lane::Live).then_some(key.window),
        Stage::Ship(_, key) => (key.lane == Lane::Live).then_some(key.window),
        // A file has no window: its own name under seen/ says what became of it.
        Stage::Object(..) => None,
    }
}

/// Whether work that ends at `until` is proven with `window`.
fn belongs(until: Minute, window: Window) -> bool {
    window.from() < until && until <= window.until()
}

/// One line of `proof/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The first minute of processed time.
    pub from: Minute,
    /// The first minute that is not in it.
    pub until: Minute,
    /// Scopes asked by the last look.
    pub scopes: u32,
    /// Parts planned, over all looks.
    pub parts: u32,
    /// Events listed, over all looks.
    pub listed: u64,
    /// Of those, replaced by summaries.
    pub filtered: u64,
    /// The summaries.
    pub summaries: u64,
    /// Events too large for the stream: whole in `dead/`, and a reduced form of each on its way.
    pub oversized: u64,
    /// Values withheld from destinations.
    pub redacted: u64,
    /// What became of them, by destination.
    pub destinations: BTreeMap<Destination, Fate>,
    /// What does not add up; empty in a proof that holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

/// What became of a window's events at one destination: `listed + summaries = filtered + put + seen_before`, and
/// `sent + dead = put + recovered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fate {
    /// Put on the stream for it; what was put twice, because it was lost there, counts once.
    pub put: u64,
    /// On their way before they were listed once more.
    pub seen_before: u64,
    /// Taken by it.
    pub sent: u64,
    /// Refused by it: dead letters.
    pub dead: u64,
    /// Put by calls that ended before they could say so; they are among `seen_before` of a later listing.
    pub recovered: u64,
}

/// A part of a look: its window, region and number.
type PartId<'a> = (Window, &'a str, u32);

/// What one receipt of a batch, or of a range of it, came to.
type Shipped = (Option<EventRange>, Tally);

impl Proof {
    /// The window that is proven.
    pub fn window(&self) -> Option<Window> {
        Window::new(self.from, self.until)
    }

    /// Proves `window` from what was planned and from `seen`, the names of what was done.
    pub fn of(window: Window, unproven: &[Planned], seen: &[Seen]) -> Self {
        let planned: Vec<&Planned> = unproven.iter().filter(|planned| planned.is_proven_with(window)).collect();
        let last = planned.iter().max_by_key(|planned| (planned.look, planned.window));
        let mut proof = Self {
            from: window.from(),
            until: window.until(),
            scopes: last.map_or(0, |planned| planned.scopes),
            parts: planned.iter().map(|planned| planned.parts).sum(),
            listed: 0,
            filtered: 0,
            summaries: 0,
            oversized: 0,
            redacted: 0,
            destinations: BTreeMap::new(),
            gaps: Vec::new(),
        };
        let mut known_anew: BTreeMap<&Destination, u64> = BTreeMap::new();
        let mine = || seen.iter().filter(|seen| seen.lane() == Lane::Live && belongs(seen.window().until(), window));
        let mut accounted: BTreeMap<(Minute, u8), BTreeSet<PartId<'_>>> = BTreeMap::new();
        let mut shipped: BTreeMap<&Destination, BTreeMap<&str, Vec<Shipped>>> = BTreeMap::new();
        for seen in mine() {
            match seen {
                Seen::Fetched(key, account) => {
                    let part = (key.window, key.region.as_str(), key.part);
                    accounted.entry((key.window.until(), key.look)).or_default().insert(part);
                    proof.redacted += account.redacted;
                    if key.look == FetchKey::ANEW {
                        // What was lost on the stream and had come another way was put, and counted, twice.
                        let known = account.owed.iter().map(|(destination, owing)| (destination, owing.known));
                        known.for_each(|(destination, known)| *known_anew.entry(destination).or_default() += known);
                    } else {
                        proof.add(key, account);
                    }
                }
                Seen::Shipped(destination, key, tally) => {
                    shipped.entry(destination).or_default().entry(&key.batch).or_default().push((key.range, *tally));
                }
            }
        }
        for planned in planned {
            let found = accounted.get(&(planned.window.until(), planned.look)).map_or(0, BTreeSet::len);
            if found < planned.parts as usize {
                let (look, parts) = (planned.look, planned.parts);
                proof.gaps.push(format!("look {look} at {}: {found} of {parts} parts left an account", planned.window));
            }
        }
        for (destination, batches) in shipped {
            let fate = proof.destinations.entry(destination.clone()).or_default();
            for done in batches.into_values() {
                let (sent, dead) = total(done);
                fate.sent += sent;
                fate.dead += dead;
            }
        }
        for (destination, known) in known_anew {
            let fate = proof.destinations.entry(destination.clone()).or_default();
            fate.put = fate.put.saturating_sub(known);
        }
        proof.compare();
        proof
    }

    fn add(&mut self, key: &FetchKey, account: &Account) {
        self.listed += account.listed;
        self.filtered += account.filtered;
        self.summaries += account.summaries;
        self.oversized += account.dead;
        for (destination, owing) in &account.owed {
            let fate = self.destinations.entry(destination.clone()).or_default();
            fate.put += owing.put;
            fate.seen_before += owing.known;
            if account.listed + account.summaries != account.filtered + owing.put + owing.known {
                self.gaps.push(format!("{key}: not every listed event is put, known or filtered for {destination}"));
            }
        }
    }

    fn compare(&mut self) {
        for (destination, fate) in &mut self.destinations {
            let arrived = fate.sent + fate.dead;
            match arrived.checked_sub(fate.put) {
                Some(recovered) => fate.recovered = recovered,
                None => {
                    let missing = fate.put - arrived;
                    self.gaps
                        .push(format!("{missing} events that were put for {destination} left no trace of its answer"));
                }
            }
        }
    }
}

/// What became of one batch. Ranges of it may overlap, where a call was killed between two steps; each event counts once.
fn total(mut done: Vec<Shipped>) -> (u64, u64) {
    let span = |(range, tally): &Shipped| match range {
        Some(range) => (range.from(), range.until()),
        None => (0, tally.sent + tally.dead),
    };
    // The longest first among those that begin at one place: what it holds is passed over.
    done.sort_unstable_by_key(|done| (span(done).0, u32::MAX - span(done).1));
    let (mut counted_until, mut sent, mut dead) = (0, 0, 0);
    for entry in &done {
        let (from, until) = span(entry);
        let fresh = until.saturating_sub(from.max(counted_until));
        // Of an entry that overlaps in part, its dead are taken to lie in the fresh part.
        let fresh_dead = entry.1.dead.min(fresh);
        dead += u64::from(fresh_dead);
        sent += u64::from(fresh - fresh_dead);
        counted_until = counted_until.max(until);
    }
    (sent, dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: &str = "20260105T0000Z-20260105T0005Z";

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    fn planned(text: &str) -> Planned {
        text.parse().unwrap()
    }

    fn proof(planned: &[&str], seen: &[&str]) -> Proof {
        let planned: Vec<Planned> = planned.iter().map(|text| text.parse().unwrap()).collect();
        let seen: Vec<Seen> = seen.iter().map(|rest| format!("seen/{rest}").parse().unwrap()).collect();
        Proof::of(window(SPAN), &planned, &seen)
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        for text in [
            "20260105T0000Z-20260105T0005Z.1.4.384",
            "20260105T0000Z-20260105T0005Z.2.4.384.20260104T2310Z-20260105T0005Z",
        ] {
            assert_eq!(planned(text).to_string(), text);
        }
        assert!("20260105T0000Z-20260105T0005Z.1.4".parse::<Planned>().is_err());
    }

    #[test]
    fn a_window_is_over_once_nothing_that_touches_it_waits() {
        let unproven = ["20260105T0000Z-20260105T0005Z.1.4.384", "20260105T0000Z-20260105T0005Z.2.4.384"].map(planned);
        let check = |waits: &[&str], expected: usize| {
            let waiting: Vec<Receipt> = waits.iter().map(|name| name.parse().unwrap()).collect();
            assert_eq!(over(&unproven, 2, window(SPAN).until(), waiting.iter()).len(), expected, "{waits:?}");
        };
        check(&[], 1);
        check(&["owed/ship/splunk/20260105T0000Z-20260105T0005Z.r-1.00ff~0"], 0);
        check(&["held/fetch/20260104T2300Z-20260105T0001Z.1.r-1.0~0~1767648300"], 0);
        check(&["owed/fetch/20260105T0005Z-20260105T0010Z.1.r-1.0~0"], 1);
        check(&["owed/fetch/backfill.20260105T0000Z-20260106T0000Z.1.r-1.0~0"], 1);
    }

    #[test]
    fn what_was_planned_listed_put_and_sent_adds_up() {
        let proof = proof(
            &["20260105T0000Z-20260105T0005Z.1.1.96", "20260105T0000Z-20260105T0005Z.2.1.96"],
            &[
                &format!("{SPAN}/fetch/1.r-1.0~120.96.1.0.3~splunk.25.0"),
                &format!("{SPAN}/fetch/2.r-1.0~122.96.1.0.0~splunk.2.25"),
                &format!("{SPAN}/splunk/r-1.aa~24~1"),
                &format!("{SPAN}/splunk/r-1.bb.0-1~1~0"),
                &format!("{SPAN}/splunk/r-1.bb.1-2~1~0"),
                "20260105T0005Z-20260105T0010Z/splunk/r-1.cc~9~0",
                "backfill.20260105T0000Z-20260105T0005Z/splunk/r-1.dd~9~0",
            ],
        );
        assert_eq!(proof.gaps, [""; 0]);
        assert_eq!((proof.scopes, proof.parts, proof.listed, proof.filtered, proof.redacted), (96, 2, 242, 192, 3));
        let fate = proof.destinations.values().next().unwrap();
        assert_eq!(*fate, Fate { put: 27, seen_before: 25, sent: 26, dead: 1, recovered: 0 });
    }

    #[test]
    fn a_gap_is_named() {
        let account = format!("{SPAN}/fetch/1.r-1.0~25.0.0.0.0~splunk.25.0");
        for (planned, seen, expected) in [
            (format!("{SPAN}.1.2.4"), vec![account.as_str()], "1 of 2 parts"),
            (format!("{SPAN}.1.1.4"), vec![], "0 of 1 parts"),
            (format!("{SPAN}.1.1.4"), vec![&account], "25 events that were put for splunk left no trace"),
            (format!("{SPAN}.1.1.4"), vec![&account, &format!("{SPAN}/splunk/r-1.aa~20~4")], "1 events that were put"),
            (
                format!("{SPAN}.1.1.4"),
                vec![&format!("{SPAN}/fetch/1.r-1.0~25.0.0.0.0~splunk.0.24")],
                "not every listed event",
            ),
        ] {
            let gaps = proof(&[&planned], &seen).gaps;
            assert!(gaps.iter().any(|gap| gap.contains(expected)), "{expected}: {gaps:?}");
        }
    }

    #[test]
    fn a_killed_call_s_batches_are_recovered_and_overlaps_count_once() {
        let proof = proof(
            &[&format!("{SPAN}.1.1.4")],
            &[
                &format!("{SPAN}/fetch/1.r-1.0~25.0.0.0.0~splunk.5.20"),
                &format!("{SPAN}/splunk/r-1.aa~20~0"),
                &format!("{SPAN}/splunk/r-1.aa.12-20~8~0"),
                &format!("{SPAN}/splunk/r-1.bb.0-3~3~0"),
                &format!("{SPAN}/splunk/r-1.bb.2-5~2~1"),
            ],
        );
        assert_eq!(proof.gaps, [""; 0]);
        let fate = proof.destinations.values().next().unwrap();
        assert_eq!(*fate, Fate { put: 5, seen_before: 20, sent: 24, dead: 1, recovered: 20 });
    }

    #[test]
    fn work_planned_anew_counts_neither_as_listed_nor_as_put() {
        let proof = proof(
            &[&format!("{SPAN}.1.1.4")],
            &[
                &format!("{SPAN}/fetch/1.r-1.0~25.0.0.0.0~splunk.25.0"),
                &format!("{SPAN}/fetch/0.r-1.77~25.0.0.0.0~splunk.25.0"),
                &format!("{SPAN}/splunk/r-1.bb~25~0"),
            ],
        );
        assert_eq!((proof.gaps.len(), proof.listed), (0, 25));
    }
}
