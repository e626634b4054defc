//! The planner: which windows are due, one compare-and-set after the other.

use jiff::{SignedDuration, Timestamp};
use ledger::{Swapped, Versioned, Waiting};
use pipeline::{Destination, Minute, Pointer, Positions, Proof, Scopes, Stage, Turn, Windows, Word};
use workbench::{Deadline, ring};

use crate::{
    App, plan, prove, refresh,
    schedule::{RunError, Status, Summary},
};

/// Longer than a call of this function can last, so that a lease outlives its holder's call but not the next schedule by
/// much.
const LEASE: SignedDuration = SignedDuration::from_secs(120);

/// After an outage at most so many windows a run: the gateway waits a minute.
const WINDOWS_MAX: u32 = 12;

/// New work is announced in at most so many notifications a run; the topic takes 60 a minute, the sweep has its share.
const DOORBELLS_MAX: usize = 20;

/// A window is not begun with less than this left.
const WINDOW_MIN: std::time::Duration = std::time::Duration::from_secs(8);

/// What the run found in the ledger.
type Found = (Option<Versioned<Positions>>, Option<Versioned<Scopes>>);

/// Plans what is due and rings for it.
pub(crate) async fn run(
    app: &App,
    now: Timestamp,
    (positions, scopes): Found,
    waiting: &Waiting,
    summary: &mut Summary,
    deadline: Deadline,
) -> Result<(), RunError> {
    let (positions, etag) = match positions {
        Some(known) => (known.value, Some(known.etag)),
        None => (first_position(app, now, deadline).await?, None),
    };
    let tried_until = tried_until(waiting, positions.planned_until);
    let holder = app.ids.next();
    let scopes = Seen::Read(scopes);
    let mut planner = Planner { app, now, waiting, tried_until, holder, positions, etag, scopes, pointers: Vec::new() };
    let outcome = planner.windows(summary, deadline).await;
    summary.planned_until = Some(planner.positions.planned_until);
    // What was written is rung even where a later window failed.
    let spread = planner.pointers.len().min(DOORBELLS_MAX);
    let (client, topic) = (&app.config.connection.client, &app.config.audit_topic);
    let title = "fetch-audit-events: work units are waiting";
    let word = Word { hushed: down(waiting), ..Word::default() };
    summary.doorbells = ring(client, topic, title, (planner.pointers, spread), &word, deadline).await.doorbells;
    outcome
}

/// The destinations that are down: what is put for them is not rung.
pub(crate) fn down(waiting: &Waiting) -> Vec<Destination> {
    waiting.hushed.iter().filter(|(_, level)| **level == 0).map(|(destination, _)| destination.clone()).collect()
}

struct Planner<'a> {
    app: &'a App,
    now: Timestamp,
    waiting: &'a Waiting,
    tried_until: Minute,
    holder: String,
    positions: Positions,
    etag: Option<String>,
    scopes: Seen,
    pointers: Vec<Pointer>,
}

/// The scopes: as the run read them, or as the planner last left them.
enum Seen {
    Read(Option<Versioned<Scopes>>),
    Known(refresh::Known),
}

impl Planner<'_> {
    /// Window after window, while time allows.
    async fn windows(&mut self, summary: &mut Summary, deadline: Deadline) -> Result<(), RunError> {
        loop {
            let looks = self.app.config.looks;
            let turn = self.positions.turn(self.now, self.app.config.max_window_minutes, looks, self.tried_until);
            let (windows, takeover) = match turn {
                Turn::Busy => {
                    summary.status = Status::Busy;
                    return Ok(());
                }
                Turn::Ahead => return Err(RunError::PositionAhead),
                Turn::Plan { windows, .. } if windows.is_empty() => return Ok(()),
                Turn::Plan { windows, takeover } => (windows, takeover),
            };
            if !self.window(windows, takeover, summary, deadline).await? {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if summary.windows >= WINDOWS_MAX || left < WINDOW_MIN {
                return Ok(());
            }
        }
    }

    /// One window a look: lease, scopes, receipts, proof of what is over, position. False where another planner was
    /// faster.
    async fn window(
        &mut self,
        windows: Windows,
        takeover: bool,
        summary: &mut Summary,
        deadline: Deadline,
    ) -> Result<bool, RunError> {
        let looks = self.app.config.looks;
        let leased = self.positions.leased(&self.holder, self.now + LEASE, windows);
        if !self.swap(leased, deadline).await? {
            summary.status = Status::Busy;
            return Ok(false);
        }
        let scopes = match std::mem::replace(&mut self.scopes, Seen::Read(None)) {
            Seen::Known(scopes) => scopes,
            // Who takes over plans what the dead planner meant to plan, so over the scopes that it saw.
            Seen::Read(read) => {
                refresh::scopes(self.app, self.now, self.positions.planned_until, read, takeover, deadline).await?
            }
        };
        summary.scopes = scopes.value.count();
        let written = plan::windows(self.app, &scopes.value, windows, takeover, deadline).await?;
        summary.units += written.units;
        summary.receipts += written.pointers.len();
        self.pointers.extend(written.pointers);
        let proven = match summary.windows {
            0 => prove::due(self.app, self.now, &self.positions, self.waiting, deadline).await,
            // Once a run: the listing that it goes by is the run's.
            _ => Vec::new(),
        };
        let spans: Vec<_> = proven.iter().filter_map(Proof::window).collect();
        let advanced = self.positions.proven(&spans).advanced(windows, looks, written.planned);
        if !self.swap(advanced, deadline).await? {
            tracing::warn!("the lease was lost while planning; who took over adopts what was written");
            return Ok(false);
        }
        // Behind the position: a scope that catches up is asked once more, knowingly, where a planner dies in between. Before
        // it, who takes over would plan over other scopes than the dead planner, and adopt nothing of what that one wrote.
        self.scopes = Seen::Known(refresh::after(self.app, scopes, windows.first, deadline).await?);
        summary.proofs.extend(proven);
        summary.windows += 1;
        summary.status = Status::Planned;
        Ok(true)
    }

    async fn swap(&mut self, next: Positions, deadline: Deadline) -> Result<bool, RunError> {
        match self.app.config.ledger.swap_positions(&next, self.etag.as_deref(), deadline).await? {
            Swapped::Written(etag) => {
                self.positions = next;
                self.etag = Some(etag);
                Ok(true)
            }
            Swapped::Lost => Ok(false),
        }
    }
}

/// Up to where every first look has been tried at least once: where the run found the position, or the first window of
/// which a first attempt waits or works.
fn tried_until(waiting: &Waiting, planned_until: Minute) -> Minute {
    let untried = waiting.receipts().filter_map(|receipt| match &receipt.stage {
        Stage::Fetch(key) if receipt.attempts == 0 && key.is_first_attempt() => Some(key.window.from()),
        _ => None,
    });
    untried.min().map_or(planned_until, |from| from.min(planned_until))
}

async fn first_position(app: &App, now: Timestamp, deadline: Deadline) -> Result<Positions, RunError> {
    let contents = app.config.ledger.contents(deadline).await?;
    if contents.ledger {
        return Err(RunError::PositionMissing);
    }
    let minute = Minute::floor(now);
    match app.config.start {
        Some(start) if start > minute => Err(RunError::StartAhead),
        Some(start) => Ok(Positions::starting_at(start)),
        None if contents.foreign => Err(RunError::ForeignBucket),
        None => Ok(Positions::starting_at(minute.minus(app.config.looks.second_after.unwrap_or_default()))),
    }
}
