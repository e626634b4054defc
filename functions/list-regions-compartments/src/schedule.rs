//! One scheduled run: look, plan what is due, ring, sweep.

use std::time::Duration;

use pipeline::{Minute, Window};
use serde::Serialize;
use tokio::time::Instant;
use workbench::Deadline;

use crate::{App, planner, sweep};

/// Planning ends this long before the call does: the sweep has its share of every run, and nothing waits behind a plan
/// that hangs.
const SWEEP_RESERVE: Duration = Duration::from_secs(15);

/// What a run did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) planned_until: Option<Minute>,
    pub(crate) windows: u32,
    pub(crate) scopes: usize,
    pub(crate) units: usize,
    pub(crate) receipts: usize,
    pub(crate) doorbells: usize,
    released: usize,
    rung_again: usize,
    owed: usize,
    held: usize,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
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

/// Plans and sweeps; neither waits for the other's success.
pub(crate) async fn run(app: &App, deadline: Deadline) -> Result<Summary, RunError> {
    let ledger = &app.config.ledger;
    // The position first: its answer tells the time, and a listing taken after it shows whatever was planned up to it.
    let positions = ledger.positions(deadline).await;
    let (scopes, waiting) = tokio::join!(ledger.scopes(deadline), ledger.waiting(deadline));
    let waiting = waiting?;
    let read_at = positions.as_ref().ok().and_then(|known| known.as_ref().map(|known| known.read_at));
    let now = read_at.or_else(|| app.config.connection.client.service_time()).ok_or(RunError::NoTime)?;
    let mut summary = Summary { owed: waiting.owed.len(), held: waiting.held.len(), ..Summary::default() };
    if waiting.foreign > 0 {
        tracing::error!(
            foreign = waiting.foreign,
            "names in owed/ or held/ that are not receipts: look at the state bucket"
        );
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let planning = deadline - (left / 3).min(SWEEP_RESERVE);
    let outcome = match (positions, scopes) {
        (Ok(positions), Ok(scopes)) => {
            planner::run(app, now, (positions, scopes), &waiting, &mut summary, planning).await
        }
        (Err(error), _) | (_, Err(error)) => Err(error.into()),
    };
    let swept = sweep::run(app, now, &waiting, deadline).await;
    summary.released = swept.released;
    summary.rung_again = swept.rung_again;
    outcome.map(|()| summary)
}
