//! What all parts of one seed share: its scenario, its book, its counters and its dice.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use jiff::{SignedDuration, Timestamp};
use local_oci::{Clock, receiver::HecReceiver};
use pipeline::EventHash;

use super::{
    book::Book,
    dice::Dice,
    fault::FaultKind,
    files::Files,
    mutant::Mutant,
    scenario::{Scenario, Spell},
    tally::Tally,
};
use crate::house::start;

/// One seed's world.
#[derive(Debug)]
pub struct World {
    /// What it is about.
    pub scenario: Scenario,
    /// The functions are wrong in this way.
    pub mutant: Option<Mutant>,
    /// The service's time.
    pub clock: Clock,
    /// The destinations' names, in order.
    pub destinations: Vec<String>,
    collectors: OnceLock<Vec<HecReceiver>>,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    /// The truth.
    pub book: Book,
    /// The log files.
    pub files: Files,
    /// The counters.
    pub tally: Tally,
    /// What each destination refuses for good.
    pub refused: Vec<Vec<EventHash>>,
    /// Since when positions.json is missing.
    pub positions_missing: Option<Timestamp>,
    /// Compartments that were deleted: our own last reads of one are listed by nobody.
    pub deleted: Vec<String>,
    /// Whether the function's token is not replaced when it should be.
    pub token_stays: bool,
    /// When the last fault struck.
    pub last_fault: Timestamp,
    dice: Dice,
    log: u64,
    /// Kept where somebody wants to read it.
    lines: Option<Vec<String>>,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(scenario: Scenario, mutant: Option<Mutant>, clock: Clock, keeps_log: bool) -> Arc<Self> {
        let destinations: Vec<String> =
            ["splunk", "second"].into_iter().take(scenario.destinations).map(str::to_owned).collect();
        let state = State {
            book: Book::new(destinations.len()),
            files: Files::draw(&scenario),
            tally: Tally::default(),
            refused: vec![Vec::new(); destinations.len()],
            positions_missing: None,
            deleted: Vec::new(),
            token_stays: false,
            last_fault: start(),
            dice: Dice::new(scenario.seed, 2),
            log: 0xcbf2_9ce4_8422_2325,
            lines: keeps_log.then(Vec::new),
        };
        Arc::new(Self { scenario, mutant, clock, destinations, collectors: OnceLock::new(), state: Mutex::new(state) })
    }

    /// The destinations' collectors, in order; they are there before anything runs.
    pub fn collectors(&self) -> &[HecReceiver] {
        self.collectors.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Makes them known, once.
    pub fn set_collectors(&self, collectors: Vec<HecReceiver>) {
        self.collectors.set(collectors).expect("set once");
    }

    /// The part that changes. Never held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a spell strikes now; it is counted then.
    pub fn strikes(&self, spell: &Spell) -> bool {
        let now = self.now();
        if !(spell.from..spell.until).contains(&now) {
            return false;
        }
        let mut state = self.state();
        let strikes = state.dice.chance(spell.chance);
        if strikes {
            state.tally.fault(spell.kind);
            state.last_fault = now;
        }
        strikes
    }

    /// Whether a spell of that kind strikes a destination now.
    pub fn strikes_destination(&self, kind: FaultKind, destination: usize) -> bool {
        let mut spells = self.scenario.spells.iter();
        spells.any(|spell| spell.kind == kind && spell.destination == destination && self.strikes(spell))
    }

    /// How far a spell of that kind moves a clock now; zero where there is none. Not counted.
    pub fn skew(&self, kind: FaultKind) -> SignedDuration {
        let now = self.now();
        let at = |spell: &&Spell| spell.kind == kind && (spell.from..spell.until).contains(&now);
        self.scenario.spells.iter().find(at).map_or(SignedDuration::ZERO, |spell| {
            let minutes = 6 + (spell.detail % 600) as i64;
            SignedDuration::from_mins(if spell.detail.is_multiple_of(2) { minutes } else { -minutes })
        })
    }
}

impl State {
    /// A number.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// Writes into the log of what happened, of which a hash is kept.
    pub fn log(&mut self, now: Timestamp, line: impl FnOnce() -> String) {
        let line = format!("{now} {}", line());
        for byte in line.bytes() {
            self.log = (self.log ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// Writes what helps a reader of the log and follows from the rest.
    pub fn remark(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("  {}", line()));
        }
    }

    /// The hash of everything that happened, in order.
    pub fn log_hash(&self) -> u64 {
        self.log
    }

    /// The log, where it was kept.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
