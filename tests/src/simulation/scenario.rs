//! What one seed is about: a tenancy, a deployment, and what goes wrong when. Drawn from the seed alone, before anything runs.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{dice::Dice, fault::FaultKind};
use crate::house::start;

/// Everything that a seed decides beforehand.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// Subscribed regions.
    pub regions: usize,
    /// Compartments below the root.
    pub compartments: usize,
    /// Events of the plan.
    pub events: u32,
    /// The share of those made to hurt.
    pub hostile: f64,
    /// The share listed later than processed.
    pub listed_late: f64,
    /// Whether each ListEvents leaves an event.
    pub own_reads: bool,
    /// Whether fetch sums our own reads up.
    pub summarises: bool,
    /// Of each stream.
    pub partitions: u32,
    /// Events one a message.
    pub plain: bool,
    /// Events and units in a batch.
    pub records_per_fn: u32,
    /// Scopes that fetch lists at once.
    pub lists_at_once: u32,
    /// The timeout of fetch and ship.
    pub timeout_secs: u32,
    /// How many destinations.
    pub destinations: usize,
    /// Whether a topic repeats a call that its function failed.
    pub repeats: bool,
    /// Whether fetch redacts.
    pub redacts: bool,
    /// Whether requests are signed, and signatures checked.
    pub signs: bool,
    /// Whether it lasts five days.
    pub is_long: bool,
    /// Whether nothing happens after which an outcome may be unknown: then there may be no copies.
    pub is_strict: bool,
    /// From ring to ring.
    pub interval: SignedDuration,
    /// How many ring at once, at most.
    pub rings_at_once: usize,
    /// When the last fault is over.
    pub calm: Timestamp,
    /// What goes wrong on the wire.
    pub spells: Vec<Spell>,
    /// When functions are killed.
    pub kills: Vec<Kills>,
    /// What happens once.
    pub happenings: Vec<(Timestamp, Happening)>,
    /// How many of the plan's events each destination refuses for good.
    pub refused: usize,
    /// Whether there is an event that no put can hold.
    pub oversized: bool,
    /// Whether two racers may both win a rename: then copies are the price.
    pub is_racy: bool,
    /// After so many messages another producer's comes to lie between ours.
    pub foreign_every: Option<usize>,
    /// After so many messages an offset is left out.
    pub gap_every: Option<u64>,
    /// A stream's answer ends after so many bytes.
    pub page_max_bytes: usize,
    /// What a topic takes a minute.
    pub publishes_max_per_minute: usize,
    /// How many log files land in their bucket.
    pub log_files: usize,
    /// What becomes of those that are delivered.
    pub after_success: AfterSuccess,
    /// The timeout of decode.
    pub decode_timeout_secs: u32,
}

/// What becomes of a log file that is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSuccess {
    /// It stays.
    Keep,
    /// It is deleted.
    Delete,
    /// It is moved.
    Move,
}

/// A kind of fault, for a while.
#[derive(Clone)]
pub struct Spell {
    /// Which.
    pub kind: FaultKind,
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// How often it strikes.
    pub chance: f64,
    /// Only calls of that operation.
    pub operation: Option<&'static str>,
    /// Which destination's.
    pub destination: usize,
    /// What else there is to decide.
    pub detail: u64,
}

impl fmt::Debug for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, from, until, chance, operation, destination, detail } = self;
        let on = operation.unwrap_or("anything");
        write!(f, "{kind} on {on} of {destination} {from:.0}..{until:.0} at {chance:.2} ({detail})")
    }
}

/// Functions are killed for a while.
#[derive(Debug, Clone)]
pub struct Kills {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// The share of calls that do not live.
    pub chance: f64,
}

/// What happens once.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// The schedule stops ringing until then.
    ScheduleStops(Timestamp),
    /// positions.json is deleted, and put back then.
    PositionsDeleted(Timestamp),
    /// The event stream (or the work stream) loses what it holds.
    StreamTrimmed {
        /// Which.
        events: bool,
    },
    /// It is made anew.
    StreamRecreated {
        /// Which.
        events: bool,
    },
    /// A compartment is made, with some events.
    CompartmentMade(u32),
    /// A compartment is deleted, with some last events.
    CompartmentDeleted(u32),
    /// A region is subscribed to, with some events in its root.
    RegionSubscribed(u32),
    /// A compartment may not be looked into until then: its scope's listings are 404.
    CompartmentHidden(Timestamp),
    /// The function's token is not replaced until then.
    TokenStays(Timestamp),
}

/// What the pipeline calls.
const OPERATIONS: [&str; 13] = [
    "ListEvents",
    "ListEvents",
    "PutMessages",
    "GetMessages",
    "CreateCursor",
    "PublishMessage",
    "PutObject",
    "GetObject",
    "ListObjects",
    "RenameObject",
    "DeleteObject",
    "ListCompartments",
    "ListRegionSubscriptions",
];
const OF_THE_BUCKET: [&str; 5] = ["PutObject", "GetObject", "ListObjects", "RenameObject", "DeleteObject"];
const READS: [&str; 5] = ["ListEvents", "ListEvents", "GetObject", "ListObjects", "GetMessages"];

/// Kinds that spells are drawn of.
const ON_THE_WIRE: [FaultKind; 26] = [
    FaultKind::ThrottledWithRetryAfter,
    FaultKind::Throttled,
    FaultKind::Error500,
    FaultKind::Error503,
    FaultKind::ResetBefore,
    FaultKind::ResetAfter,
    FaultKind::SlowAnswer,
    FaultKind::TruncatedAnswer,
    FaultKind::ShortRead,
    FaultKind::EmptyRead,
    FaultKind::HalfFailedPut,
    FaultKind::NotificationLost,
    FaultKind::NotificationLate,
    FaultKind::NotificationDoubled,
    FaultKind::NotificationReordered,
    FaultKind::CursorExpired,
    FaultKind::BucketNotFound,
    FaultKind::PolicyRevoked,
    FaultKind::TokenExpired,
    FaultKind::DateHeaderWrong,
    FaultKind::SiemRefusesAll,
    FaultKind::SiemSilent,
    FaultKind::SiemSlow,
    FaultKind::SiemHalfAccepts,
    FaultKind::SiemBusy,
    FaultKind::SiemDown,
];

/// After which nobody may know what came of a call.
fn hides_outcomes(kind: FaultKind) -> bool {
    use FaultKind as K;
    match kind {
        K::ResetAfter
        | K::SlowAnswer
        | K::TruncatedAnswer
        | K::SiemSilent
        | K::SiemSlow
        | K::SiemHalfAccepts
        | K::KillBefore
        | K::KillAfter => true,
        K::ThrottledWithRetryAfter
        | K::Throttled
        | K::Error500
        | K::Error503
        | K::ResetBefore
        | K::ShortRead
        | K::EmptyRead
        | K::HalfFailedPut
        | K::NotificationLost
        | K::NotificationLate
        | K::NotificationDoubled
        | K::NotificationReordered
        | K::FunctionErrorRepeated
        | K::FunctionErrorNotRepeated
        | K::CursorExpired
        | K::StreamTrimmed
        | K::StreamRecreated
        | K::BucketNotFound
        | K::PolicyRevoked
        | K::TokenExpired
        | K::ContainerClockWrong
        | K::DateHeaderWrong
        | K::PositionsDeleted
        | K::SiemRefusesEvent
        | K::SiemRefusesAll
        | K::SiemBusy
        | K::SiemDown => false,
    }
}

impl Scenario {
    /// Draws it.
    pub fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, 1);
        let is_long = seed % 12 == 7;
        let is_strict = seed % 4 == 2;
        let hours = |hours: u64| SignedDuration::from_hours(hours as i64);
        let span = if is_long { hours(120) } else { SignedDuration::from_mins(dice.between(240, 320) as i64) };
        let interval = match is_long {
            true => SignedDuration::from_mins(dice.pick(&[15, 20, 30])),
            false => SignedDuration::from_secs(dice.pick(&[120, 180, 300, 300, 300])),
        };
        let mut scenario = Self {
            seed,
            regions: 2 + usize::from(dice.chance(0.2)),
            compartments: dice.between(2, 7) as usize,
            events: dice.between(500, 800) as u32,
            hostile: dice.pick(&[0.02, 0.1, 0.4]),
            listed_late: dice.pick(&[0.0, 0.05, 0.2]),
            own_reads: dice.chance(0.3),
            summarises: dice.chance(0.7),
            partitions: dice.between(1, 5) as u32,
            plain: dice.chance(0.3),
            records_per_fn: dice.pick(&[0, 0, 3, 20, 100]),
            lists_at_once: dice.pick(&[1, 2, 16]),
            timeout_secs: dice.pick(&[60, 120, 300, 300]),
            destinations: 1 + usize::from(dice.chance(0.3)),
            repeats: dice.chance(0.5),
            redacts: dice.chance(0.5),
            signs: seed % 10 == 3 && !is_long,
            is_long,
            is_strict,
            interval,
            rings_at_once: dice.pick(&[1, 1, 2, 3]),
            calm: start() + span,
            spells: Vec::new(),
            kills: Vec::new(),
            happenings: Vec::new(),
            refused: if dice.chance(0.3) { dice.between(1, 6) as usize } else { 0 },
            oversized: dice.chance(0.03),
            is_racy: !is_strict && dice.chance(0.1),
            foreign_every: dice.pick(&[None, None, Some(1), Some(3)]),
            gap_every: dice.pick(&[None, None, Some(2), Some(5)]),
            page_max_bytes: dice.pick(&[1 << 20, 1 << 20, 5_000]),
            publishes_max_per_minute: dice.pick(&[60, 60, 60, 25]),
            log_files: 0,
            after_success: AfterSuccess::Keep,
            decode_timeout_secs: 300,
        };
        if scenario.signs {
            // A signature costs ten times as much as the call that it is for.
            (scenario.regions, scenario.compartments, scenario.own_reads) = (2, 2, false);
            (scenario.interval, scenario.calm) =
                (SignedDuration::from_mins(5), start() + SignedDuration::from_mins(240));
        }
        let kinds = dice.between(5, 11);
        for _ in 0..kinds {
            let kind = dice.pick(&ON_THE_WIRE);
            // Where nobody signs, nobody vouches for the time: an hour of wrong dates would be the truth.
            let is_apt = scenario.signs || kind != FaultKind::DateHeaderWrong;
            if is_apt && !(is_strict && hides_outcomes(kind)) {
                for _ in 0..dice.between(1, 4) {
                    let spell = scenario.spell(dice, kind);
                    scenario.spells.push(spell);
                }
            }
        }
        if scenario.signs {
            for kind in [FaultKind::ContainerClockWrong, FaultKind::ContainerClockWrong, FaultKind::DateHeaderWrong] {
                let spell = scenario.spell(dice, kind);
                scenario.spells.push(spell);
            }
        }
        if !is_strict && dice.chance(0.7) {
            for _ in 0..dice.between(1, 4) {
                let (from, until) = scenario.while_in(dice, 10, 90);
                scenario.kills.push(Kills { from, until, chance: dice.pick(&[0.1, 0.3, 0.6]) });
            }
        }
        scenario.draw_happenings(dice);
        scenario.draw_log_files();
        scenario
    }

    /// Every second seed has log files, and often a while in which many of their events are lost. Dice of their own: what
    /// they are must not depend on what else a seed is about.
    fn draw_log_files(&mut self) {
        let dice = &mut Dice::new(self.seed, 6);
        if !dice.chance(0.5) {
            return;
        }
        self.log_files = dice.between(3, 9) as usize;
        self.after_success = dice.pick(&[AfterSuccess::Keep, AfterSuccess::Delete, AfterSuccess::Move]);
        self.decode_timeout_secs = dice.pick(&[30, 30, 45, 120]);
        if dice.chance(0.5) {
            let mut spell = self.spell(dice, FaultKind::NotificationLost);
            (spell.from, spell.until) = self.while_in(dice, 30, 120);
            (spell.operation, spell.chance) = (Some("EmitEvent"), 0.5);
            self.spells.push(spell);
        }
        // Files are handed on where a call's time does not last for their batches.
        if dice.chance(0.6) {
            let mut spell = self.spell(dice, FaultKind::SiemSlow);
            (spell.from, spell.until) = self.while_in(dice, 60, 180);
            (spell.destination, spell.chance, spell.detail) = (0, 0.9, dice.between(7, 20));
            self.spells.push(spell);
        }
    }

    fn spell(&self, dice: &mut Dice, kind: FaultKind) -> Spell {
        use FaultKind as K;
        let (shortest, longest) = match kind {
            K::SiemDown if self.is_long => (71 * 60, 73 * 60),
            K::SiemDown if self.is_long => (2 * 60, 6 * 60),
            K::SiemDown | K::SiemBusy | K::SiemRefusesAll => (10, 60),
            K::TokenExpired => (2, 15),
            K::PolicyRevoked => (5, 40),
            _ => (5, 60),
        };
        let (from, until) = self.while_in(dice, shortest, longest);
        let chance = match kind {
            K::PolicyRevoked | K::TokenExpired | K::SiemDown | K::SiemRefusesAll | K::ContainerClockWrong => 1.0,
            K::SlowAnswer => dice.pick(&[0.02, 0.1, 0.5]),
            K::EmptyRead => dice.pick(&[0.2, 0.6]),
            _ => dice.pick(&[0.05, 0.2, 0.5]),
        };
        let operation = match kind {
            K::ThrottledWithRetryAfter
            | K::Throttled
            | K::Error500
            | K::Error503
            | K::ResetBefore
            | K::ResetAfter
            | K::SlowAnswer => dice.chance(0.7).then(|| dice.pick(&OPERATIONS)),
            K::TruncatedAnswer => Some(dice.pick(&READS)),
            K::PolicyRevoked => Some(dice.pick(&OPERATIONS)),
            K::BucketNotFound => Some(dice.pick(&OF_THE_BUCKET)),
            K::ShortRead | K::EmptyRead | K::CursorExpired => Some("GetMessages"),
            K::HalfFailedPut => Some("PutMessages"),
            K::NotificationLost | K::NotificationLate | K::NotificationDoubled | K::NotificationReordered => {
                Some("PublishMessage")
            }
            _ => None,
        };
        let destination = dice.between(0, self.destinations as u64) as usize;
        Spell { kind, from, until, chance, operation, destination, detail: dice.roll() }
    }

    /// A stretch of some minutes before the calm, longer in long seeds.
    fn while_in(&self, dice: &mut Dice, shortest: u64, longest: u64) -> (Timestamp, Timestamp) {
        let longest = if self.is_long && longest <= 60 { longest * 6 } else { longest };
        let whole = self.calm.duration_since(start()).as_secs() as u64;
        let length = dice.between(shortest * 60, longest * 60 + 1).min(whole - 600);
        let from = dice.between(300, whole - length);
        let from = start() + Duration::from_secs(from);
        (from, (from + Duration::from_secs(length)).min(self.calm))
    }

    fn draw_happenings(&mut self, dice: &mut Dice) {
        let mut happens = Vec::new();
        if dice.chance(0.3) || self.is_long {
            let (from, until) = match self.is_long {
                true => self.while_in(dice, 61, 600),
                false => self.while_in(dice, 15, 90),
            };
            happens.push((from, Happening::ScheduleStops(until)));
        }
        if dice.chance(0.15) {
            let (from, _) = self.while_in(dice, 60, 61);
            let runs = dice.between(2, 5) as i32;
            happens.push((from, Happening::PositionsDeleted(from + self.interval * runs)));
        }
        for (share, make) in [
            (0.2, (|events| Happening::StreamTrimmed { events }) as fn(bool) -> Happening),
            (0.2, |events| Happening::StreamRecreated { events }),
        ] {
            let times = if dice.chance(share) { dice.between(1, 4) } else { 0 };
            for _ in 0..times {
                let (from, _) = self.while_in(dice, 10, 11);
                let events = dice.chance(0.6);
                happens.push((from, make(events)));
            }
        }
        for (share, make) in
            [(0.25, Happening::CompartmentMade as fn(u32) -> Happening), (0.2, Happening::CompartmentDeleted)]
        {
            if dice.chance(share) {
                let (from, _) = self.while_in(dice, 30, 31);
                happens.push((from, make(dice.between(1, 8) as u32)));
            }
        }
        if dice.chance(0.15) {
            let (from, _) = self.while_in(dice, 30, 31);
            happens.push((from, Happening::RegionSubscribed(dice.between(1, 8) as u32)));
        }
        if dice.chance(0.15) {
            let (from, until) = self.while_in(dice, 10, 90);
            happens.push((from, Happening::CompartmentHidden(until)));
        }
        if self.signs {
            for _ in 0..2 {
                let (from, until) = self.while_in(dice, 20, 60);
                happens.push((from, Happening::TokenStays(until)));
            }
        }
        happens.sort_by_key(|(at, _)| *at);
        self.happenings = happens;
    }

    /// Whether the schedule rings at `at`.
    pub fn rings_at(&self, at: Timestamp) -> bool {
        !self.happenings.iter().any(|(from, happening)| match happening {
            Happening::ScheduleStops(until) => (*from..*until).contains(&at),
            _ => false,
        })
    }
}
