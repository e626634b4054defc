//! The planner: which windows are due, one compare-and-set after the other.

use jiff::{SignedDuration, Timestamp};
use ledger::{Swapped, Versioned, Waiting};
use pipeline::{Minute, Pointer, Positions, Scopes, Stage, Turn, Window};
use workbench::{Deadline, ring};

use crate::{
    App, plan, refresh,
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
    let mut planner =
        Planner { app, now, tried_until, holder, positions, etag, scopes: Seen::Read(scopes), pointers: Vec::new() };
    let outcome = planner.windows(summary, deadline).await;
    // What was written is rung even where a later window failed.
    let spread = planner.pointers.len().min(DOORBELLS_MAX);
    let (client, topic) = (&app.config.connection.client, &app.config.audit_topic);
    let title = "fetch-audit-events: work units are waiting";
    summary.doorbells = ring(client, topic, title, planner.pointers, spread, deadline).await.doorbells;
    outcome
}

struct Planner<'a> {
    app: &'a App,
    now: Timestamp,
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
            let late_after = Some(self.app.config.late_after_minutes).filter(|minutes| *minutes > 0);
            let turn = self.positions.turn(self.now, self.app.config.max_window_minutes, late_after, self.tried_until);
            let (first, second, takeover) = match turn {
                Turn::Busy => {
                    summary.status = Status::Busy;
                    return Ok(());
                }
                Turn::Ahead => return Err(RunError::PositionAhead),
                Turn::Plan { first: None, second: None, .. } => return Ok(()),
                Turn::Plan { first, second, takeover } => (first, second, takeover),
            };
            if !self.window(first, second, takeover, summary, deadline).await? {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if summary.windows >= WINDOWS_MAX || left < WINDOW_MIN {
                return Ok(());
            }
        }
    }

    /// One pair of windows: lease, scopes, receipts, position. False where another planner was faster.
    async fn window(
        &mut self,
        first: Option<Window>,
        second: Option<Window>,
        takeover: bool,
        summary: &mut Summary,
        deadline: Deadline,
    ) -> Result<bool, RunError> {
        let leased = self.positions.leased(&self.holder, self.now + LEASE, first, second);
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
        let planned = plan::windows(self.app, &scopes.value, first, second, takeover, deadline).await?;
        summary.units += planned.units;
        summary.receipts += planned.pointers.len();
        self.pointers.extend(planned.pointers);
        self.scopes = Seen::Known(refresh::after(self.app, scopes, first, deadline).await?);
        let second_looks = self.app.config.late_after_minutes > 0;
        let advanced = self.positions.advanced(first, second, second_looks);
        if !self.swap(advanced, deadline).await? {
            tracing::warn!("the lease was lost while planning; who took over adopts what was written");
            return Ok(false);
        }
        summary.windows += 1;
        summary.status = Status::Planned;
        summary.planned_until = Some(self.positions.planned_until);
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
    let owed = waiting.owed.iter().map(|(receipt, _)| receipt);
    let untried = owed.chain(&waiting.held).filter_map(|receipt| match &receipt.stage {
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
        None => Ok(Positions::starting_at(minute.minus(app.config.late_after_minutes))),
    }
}
