//! One scheduled run: look, plan what is due, ring, sweep.

use jiff::{SignedDuration, Timestamp};
use ledger::{Swapped, Versioned, Waiting};
use pipeline::{Minute, Pointer, Positions, Scopes, Stage, Turn, Window};
use serde::Serialize;
use workbench::{Deadline, ring};

use crate::{App, plan, refresh, sweep};

/// Longer than a call of this function can last, so that a lease outlives its holder's call but not the next schedule by
/// much.
const LEASE: SignedDuration = SignedDuration::from_secs(120);

/// After an outage at most so many windows a run: the gateway waits a minute.
const WINDOWS_MAX: u32 = 12;

/// New work is announced in at most so many notifications a run; the topic takes 60 a minute, the sweep has its share.
const DOORBELLS_MAX: usize = 20;

/// Room to answer, and for a last write that has begun.
const RESERVE: std::time::Duration = std::time::Duration::from_secs(8);

/// What a run did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_until: Option<Minute>,
    windows: u32,
    scopes: usize,
    units: usize,
    receipts: usize,
    doorbells: usize,
    released: usize,
    rung_again: usize,
    owed: usize,
    held: usize,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// Somebody else plans at this moment.
    Busy,
    /// Nothing was due.
    #[default]
    NothingToDo,
    Planned,
}

/// Why a run failed. Nothing is lost by it: positions move only over windows whose receipts are written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(
        "positions.json is missing, but the state bucket holds a ledger: put it back, or empty the bucket and set start"
    )]
    PositionMissing,
    #[error("positions.json lies in the future of the service's clock: look at it, and at who changed it")]
    PositionAhead,
    #[error("start lies in the future of the service's clock")]
    StartAhead,
    #[error("the state bucket holds foreign objects and no ledger: give the ledger a bucket of its own, or set start")]
    ForeignBucket,
    #[error("the service gave no time")]
    NoTime,
    #[error("the regions and compartments cannot be listed, and none are known")]
    Scopes(#[source] oci_client::Error),
    #[error("the window {window} was not planned in full")]
    Part {
        window: Window,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(crate) async fn run(app: &App, deadline: Deadline) -> Result<Summary, RunError> {
    let ledger = &app.config.ledger;
    let (positions, scopes, waiting) =
        tokio::join!(ledger.positions(deadline), ledger.scopes(deadline), ledger.waiting(deadline));
    let (positions, scopes, waiting) = (positions?, scopes?, waiting?);
    let now = match &positions {
        Some(positions) => positions.read_at,
        None => app.config.connection.client.service_time().ok_or(RunError::NoTime)?,
    };
    let positions = match positions {
        Some(positions) => Known { value: positions.value, etag: Some(positions.etag) },
        None => Known { value: first_position(app, now, deadline).await?, etag: None },
    };
    let mut summary = Summary { owed: waiting.owed.len(), held: waiting.held.len(), ..Summary::default() };
    if waiting.foreign > 0 {
        tracing::error!(
            foreign = waiting.foreign,
            "names in owed/ or held/ that are not receipts: look at the state bucket"
        );
    }
    let tried_until = tried_until(&waiting, positions.value.planned_until);
    let turn = next_turn(app, &positions.value, now, tried_until);
    if turn == Turn::Busy {
        return Ok(Summary { status: Status::Busy, ..summary });
    }
    if turn == Turn::Ahead {
        return Err(RunError::PositionAhead);
    }
    let outcome = plan_due(app, now, positions, scopes, (turn, tried_until), &mut summary, deadline).await;
    // The sweep runs whatever became of the planning: it depends on nothing but the listing.
    let swept = sweep::run(app, now, &waiting, deadline).await;
    summary.released = swept.released;
    summary.rung_again = swept.rung_again;
    outcome.map(|()| summary)
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

fn next_turn(app: &App, positions: &Positions, now: Timestamp, tried_until: Minute) -> Turn {
    let late_after = Some(app.config.late_after_minutes).filter(|minutes| *minutes > 0);
    positions.turn(now, app.config.max_window_minutes, late_after, tried_until)
}

/// The positions as last written.
struct Known {
    value: Positions,
    etag: Option<String>,
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

/// Plans window by window, one compare-and-set each, while time allows.
async fn plan_due(
    app: &App,
    now: Timestamp,
    mut positions: Known,
    scopes: Option<Versioned<Scopes>>,
    (mut turn, tried_until): (Turn, Minute),
    summary: &mut Summary,
    deadline: Deadline,
) -> Result<(), RunError> {
    let due = |turn: &Turn| matches!(turn, Turn::Plan { first, second, .. } if first.is_some() || second.is_some());
    if !due(&turn) {
        return Ok(());
    }
    let holder = app.ids.next();
    let mut pointers: Vec<Pointer> = Vec::new();
    let mut known_scopes: Option<refresh::Known> = None;
    let mut unread_scopes = Some(scopes);
    let outcome = loop {
        let Turn::Plan { first, second, takeover } = turn else { break Ok(()) };
        let leased = positions.value.leased(&holder, now + LEASE, first, second);
        match app.config.ledger.swap_positions(&leased, positions.etag.as_deref(), deadline).await {
            Ok(Swapped::Written(etag)) => positions = Known { value: leased, etag: Some(etag) },
            Ok(Swapped::Lost) => {
                summary.status = Status::Busy;
                break Ok(());
            }
            Err(error) => break Err(error.into()),
        }
        let scopes = match known_scopes.take() {
            Some(scopes) => scopes,
            None => {
                // Who takes over plans what the dead planner meant to plan, so over the scopes that it saw.
                let read = unread_scopes.take().flatten();
                match refresh::scopes(app, now, positions.value.planned_until, read, takeover, deadline).await {
                    Ok(scopes) => scopes,
                    Err(error) => break Err(error),
                }
            }
        };
        summary.scopes = scopes.value.count();
        let planned = plan::windows(app, &scopes.value, first, second, takeover, deadline).await;
        match planned {
            Ok(planned) => {
                summary.units += planned.units;
                summary.receipts += planned.pointers.len();
                pointers.extend(planned.pointers);
            }
            Err(error) => break Err(error),
        }
        let scopes = match refresh::after(app, scopes, first, deadline).await {
            Ok(scopes) => scopes,
            Err(error) => break Err(error),
        };
        known_scopes = Some(scopes);
        let advanced = positions.value.advanced(first, second);
        match app.config.ledger.swap_positions(&advanced, positions.etag.as_deref(), deadline).await {
            Ok(Swapped::Written(etag)) => positions = Known { value: advanced, etag: Some(etag) },
            Ok(Swapped::Lost) => {
                tracing::warn!("the lease was lost while planning; who took over adopts what was written");
                break Ok(());
            }
            Err(error) => break Err(error.into()),
        }
        summary.windows += 1;
        summary.status = Status::Planned;
        summary.planned_until = Some(positions.value.planned_until);
        turn = next_turn(app, &positions.value, now, tried_until);
        let time_left = deadline.saturating_duration_since(tokio::time::Instant::now()) > RESERVE;
        if !due(&turn) || summary.windows >= WINDOWS_MAX || !time_left {
            break Ok(());
        }
    };
    // What was written is rung even where a later window failed.
    let spread = pointers.len().min(DOORBELLS_MAX);
    let client = &app.config.connection.client;
    let rung =
        ring(client, &app.config.audit_topic, "fetch-audit-events: work units are waiting", pointers, spread, deadline)
            .await;
    summary.doorbells = rung.doorbells;
    outcome
}
