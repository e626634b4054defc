//! The names of receipts: a folder is a state, and a name carries what the sweep must know.
//!
//! ```text
//! owed/<stage>/<key>~<attempts>            waits for a doorbell or the sweep
//! held/<stage>/<key>~<attempts>~<until>    somebody works on it until then (Unix seconds of the service's clock)
//! ```
//! `<stage>` is `fetch`, `ship/<destination>` or `object/<destination>`. A key of the first two begins with its span: the window of processed time, with
//! `backfill.` before it in the backfill lane, which therefore sorts behind all live work. What is done has a name under
//! `seen/`: see [`Seen`](crate::Seen).

use std::{fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;
use oci_names::Region;
use serde::{Deserialize, Serialize};

use crate::{ObjectKey, Window};

/// An object name is not that of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a receipt: expected owed/<stage>/<key>~<attempts> or held/<stage>/<key>~<attempts>~<until>")]
pub struct InvalidReceiptName;

/// A destination's name, as fetch and ship agree on it: lower-case letters, digits and hyphens, and not `fetch`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination(Arc<str>);

impl Destination {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Destination {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // `fetch` is where the dead letters of that stage lie.
        if (1..=40).contains(&text.len()) && text.chars().all(legal) && text != "fetch" {
            Ok(Self(text.into()))
        } else {
            Err(InvalidReceiptName)
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = InvalidReceiptName;

    fn try_from(text: String) -> Result<Self, InvalidReceiptName> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> String {
        destination.0.as_ref().to_owned()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether work follows the schedule or was asked for by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The schedule's own windows.
    Live,
    /// A manual backfill, paced behind live work.
    Backfill,
}

impl Lane {
    /// The span of `window` in this lane, as it begins a key.
    pub(crate) fn span(self, window: Window) -> String {
        match self {
            Self::Live => window.to_string(),
            Self::Backfill => format!("backfill.{window}"),
        }
    }

    /// Reads a span off the front of `key`; the rest follows its dot.
    pub(crate) fn split(key: &str) -> Option<(Self, Window, &str)> {
        let (lane, rest) = match key.strip_prefix("backfill.") {
            Some(rest) => (Self::Backfill, rest),
            None => (Self::Live, key),
        };
        let (window, rest) = rest.split_once('.')?;
        Some((lane, window.parse().ok()?, rest))
    }
}

/// Names one part of a window's listing work: the same plan gives the same key, so a second planner adopts what a dead
/// one left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchKey {
    /// Live or backfill.
    pub lane: Lane,
    /// The window that this work belongs to.
    pub window: Window,
    /// 1 for the first look at the window, 2 for the second, 3 for the third; [`FetchKey::ANEW`] for a batch that is
    /// gone from its stream.
    pub look: u8,
    /// The region that is asked; a part never mixes regions.
    pub region: Region,
    /// Numbers the parts of one region.
    pub part: u32,
    /// How often work was handed on to a new receipt.
    pub continuation: u32,
}

impl FetchKey {
    /// The look of work that lists again what was lost on the event stream: no look of the planner's.
    pub const ANEW: u8 = 0;

    /// Whether this is the first look of the schedule as it was planned, of which no event can be on its way yet.
    pub fn is_first_attempt(&self) -> bool {
        self.lane == Lane::Live && self.look == 1 && self.continuation == 0
    }
}

impl fmt::Display for FetchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.lane.span(self.window);
        write!(f, "{span}.{}.{}.{}", self.look, self.region, self.part)?;
        if self.continuation > 0 { write!(f, ".{}", self.continuation) } else { Ok(()) }
    }
}

impl FromStr for FetchKey {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let (lane, window, rest) = Lane::split(text).ok_or(InvalidReceiptName)?;
        let fields: Vec<&str> = rest.split('.').collect();
        let (look, region, part, continuation) = match fields.as_slice() {
            [look, region, part] => (look, region, part, &"0"),
            [look, region, part, continuation] => (look, region, part, continuation),
            _ => return Err(InvalidReceiptName),
        };
        Ok(Self {
            lane,
            window,
            look: look.parse().map_err(|_| InvalidReceiptName)?,
            region: region.parse().map_err(|_| InvalidReceiptName)?,
            part: part.parse().map_err(|_| InvalidReceiptName)?,
            continuation: continuation.parse().map_err(|_| InvalidReceiptName)?,
        })
    }
}

/// Names one batch on its way to one destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShipKey {
    /// Live or backfill.
    pub lane: Lane,
    /// The window that its events were listed in.
    pub window: Window,
    /// The batch id, which is also the key of its messages: `<region>.<32 hex digits>`.
    pub batch: Arc<str>,
    /// Which of its events; `None` for all. The name alone says what is to be sent, so two receipts of one name are the
    /// same work.
    pub range: Option<EventRange>,
}

/// Events of a batch by their places in it, `[from, until)`; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRange {
    from: u32,
    until: u32,
}

impl EventRange {
    /// `[from, until)`, or `None` where it would be empty.
    pub fn new(from: u32, until: u32) -> Option<Self> {
        (from < until).then_some(Self { from, until })
    }

    /// The first place.
    pub fn from(self) -> u32 {
        self.from
    }

    /// The first place that is not in it.
    pub fn until(self) -> u32 {
        self.until
    }

    /// Two ranges that tile this one; `None` for a single event.
    pub fn halves(self) -> Option<(Self, Self)> {
        let middle = self.from + (self.until - self.from) / 2;
        Some((Self::new(self.from, middle)?, Self::new(middle, self.until)?))
    }

    /// As places of a slice.
    pub fn places(self) -> std::ops::Range<usize> {
        self.from as usize..self.until as usize
    }
}

impl fmt::Display for EventRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.until)
    }
}

impl FromStr for EventRange {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let (from, until) = text.split_once('-').ok_or(InvalidReceiptName)?;
        let place = |text: &str| text.parse().map_err(|_| InvalidReceiptName);
        Self::new(place(from)?, place(until)?).ok_or(InvalidReceiptName)
    }
}

impl ShipKey {
    /// The region that the batch's events come from: audit events do not say.
    pub fn region(&self) -> &str {
        self.batch.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for ShipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.lane.span(self.window), self.batch)?;
        self.range.map_or(Ok(()), |range| write!(f, ".{range}"))
    }
}

impl FromStr for ShipKey {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let (lane, window, rest) = Lane::split(text).ok_or(InvalidReceiptName)?;
        let fields: Vec<&str> = rest.split('.').collect();
        let (region, id, range) = match fields.as_slice() {
            [region, id] => (region, id, None),
            [region, id, range] => (region, id, Some(range.parse()?)),
            _ => return Err(InvalidReceiptName),
        };
        let legal = region.parse::<Region>().is_ok() && !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
        if !legal {
            return Err(InvalidReceiptName);
        }
        Ok(Self { lane, window, batch: format!("{region}.{id}").into(), range })
    }
}

/// Which function a receipt waits for, and its key there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Listing work for `fetch-audit-events`.
    Fetch(FetchKey),
    /// A batch for the `ship-to-siem` of one destination.
    Ship(Destination, ShipKey),
    /// A log file whose records go to that destination, for `decode-bucket-gzip`.
    Object(Destination, ObjectKey),
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(key) => write!(f, "fetch/{key}"),
            Self::Ship(destination, key) => write!(f, "ship/{destination}/{key}"),
            Self::Object(destination, key) => write!(f, "object/{destination}/{key}"),
        }
    }
}

/// Where a receipt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for a doorbell or the sweep.
    Owed,
    /// Somebody works on it until then, by the service's clock.
    Held {
        /// Whole seconds.
        until: Timestamp,
    },
}

/// The name of a receipt, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// Whose work it is, and which.
    pub stage: Stage,
    /// How often a holder ended without an outcome of its own making.
    pub attempts: u32,
    /// Owed or held.
    pub state: State,
}

impl Receipt {
    /// A receipt that nobody has worked on yet.
    pub fn owed(stage: Stage) -> Self {
        Self { stage, attempts: 0, state: State::Owed }
    }

    /// The same work, held until `until`, in whole seconds as the name has it: the value and the name read back are equal.
    #[must_use]
    pub fn held_until(&self, until: Timestamp) -> Self {
        let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
        Self { state: State::Held { until }, ..self.clone() }
    }

    /// The same work given back; `attempts` as it was.
    #[must_use]
    pub fn given_back(&self) -> Self {
        Self { state: State::Owed, ..self.clone() }
    }

    /// The same work after its holder vanished.
    #[must_use]
    pub fn abandoned(&self) -> Self {
        Self { state: State::Owed, attempts: self.attempts.saturating_add(1), ..self.clone() }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::Owed => write!(f, "owed/{}~{}", self.stage, self.attempts),
            State::Held { until } => write!(f, "held/{}~{}~{}", self.stage, self.attempts, until.as_second()),
        }
    }
}

impl FromStr for Receipt {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let (folder, rest) = text.split_once('/').ok_or(InvalidReceiptName)?;
        let fields: Vec<&str> = rest.split('~').collect();
        let (stage, attempts, state) = match (folder, fields.as_slice()) {
            ("owed", [stage, attempts]) => (stage, attempts, State::Owed),
            ("held", [stage, attempts, until]) => {
                let until = until.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
                (stage, attempts, State::Held { until: until.ok_or(InvalidReceiptName)? })
            }
            _ => return Err(InvalidReceiptName),
        };
        let stage = match stage.split('/').collect::<Vec<_>>().as_slice() {
            ["fetch", key] => Stage::Fetch(key.parse()?),
            ["ship", destination, key] => Stage::Ship(destination.parse()?, key.parse()?),
            ["object", destination, key] => Stage::Object(destination.parse()?, key.parse()?),
            _ => return Err(InvalidReceiptName),
        };
        Ok(Self { stage, attempts: attempts.parse().map_err(|_| InvalidReceiptName)?, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        for name in [
            "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~0",
            "owed/fetch/backfill.20260105T0000Z-20260106T0000Z.1.eu-frankfurt-1.12.3~4",
            "held/fetch/20260105T2120Z-20260105T2125Z.2.us-ashburn-1.7~1~1767648300",
            "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0",
            "held/ship/on-call-2/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.10-25~2~1767648300",
            "owed/fetch/20260105T2120Z-20260105T2125Z.0.us-ashburn-1.4294967295~0",
            "owed/object/splunk/00112233445566778899aabbccddeeff-9a86a492-43fa-4c8c-a80e-dbd650188ff8~0",
            "held/object/logzio/00112233445566778899aabbccddeeff-x1~3~1767648300",
        ] {
            assert_eq!(name.parse::<Receipt>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_foreign_name_is_refused() {
        for name in [
            "",
            "positions.json",
            "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0",
            "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~0~1767648300",
            "held/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~0",
            "owed/fetch/20260105T2120Z-20260105T2125Z.1.us-ashburn-1.0~-1",
            "owed/ship/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0",
            "owed/ship/Splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0",
            "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.~0",
            "owed/ship/splunk/../positions.json~0",
            "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.25-25~0",
            "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.1~0",
            "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff",
        ] {
            assert_eq!(name.parse::<Receipt>(), Err(InvalidReceiptName), "{name}");
        }
    }

    #[test]
    fn a_name_carries_its_transitions() {
        let owed: Receipt = "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0".parse().unwrap();
        let held = owed.held_until("2026-01-05T21:25:00.987654321Z".parse().unwrap());
        assert_eq!(held.to_string().parse(), Ok(held.clone()));
        assert_eq!(held.to_string(), "held/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0~1767648300");
        assert_eq!(held.given_back(), owed);
        assert_eq!(held.abandoned().to_string(), "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~1");
        let Stage::Ship(_, key) = &owed.stage else { panic!("a ship receipt") };
        assert_eq!(key.region(), "us-ashburn-1");
    }

    #[test]
    fn a_range_halves_until_one_event_stands_alone() {
        let range = |text: &str| text.parse::<EventRange>().unwrap();
        assert_eq!(range("10-25").halves(), Some((range("10-17"), range("17-25"))));
        assert_eq!(range("10-12").halves(), Some((range("10-11"), range("11-12"))));
        assert_eq!(range("10-11").halves(), None);
    }

    #[test]
    fn live_work_sorts_before_any_backfill() {
        let live = "owed/fetch/20990105T2120Z-20990105T2125Z.1.us-ashburn-1.0~0";
        let backfill = "owed/fetch/backfill.20200105T0000Z-20200106T0000Z.1.us-ashburn-1.0~0";
        assert!(live < backfill);
    }
}
