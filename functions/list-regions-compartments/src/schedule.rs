//! One scheduled run: look, plan what is due, ring, sweep.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pipeline::{Minute, Proof, Window};
use serde::Serialize;
use tokio::time::Instant;
use workbench::{Deadline, NoTime, service_time};

use crate::{App, health, planner, sweep};

/// Planning ends this long before the call does: the sweep has its share of every run, and nothing waits behind a plan
/// that hangs.
const SWEEP_RESERVE: Duration = Duration::from_secs(15);

/// Front ends of one service agree on the time as far as this, besides the time that passes between two answers.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(30);

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
    pub(crate) released: usize,
    pub(crate) rung_again: usize,
    pub(crate) owed: usize,
    pub(crate) held: usize,
    /// How far delivery is behind; `None` before the first window is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lag_minutes: Option<i64>,
    /// Whether that is further than it may be.
    pub(crate) lags: bool,
    #[serde(skip)]
    pub(crate) proofs: Vec<Proof>,
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
    #[error(transparent)]
    NoTime(#[from] NoTime),
    #[error("answers of one service differ by {0} seconds in their date: nothing is planned until they agree")]
    ClocksDisagree(i64),
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
    let began = Instant::now();
    let positions = ledger.positions(deadline).await;
    let (scopes, waiting) = tokio::join!(ledger.scopes(deadline), ledger.waiting(deadline));
    let waiting = waiting?;
    let read_at = positions.as_ref().ok().and_then(|known| known.as_ref().and_then(|known| known.read_at));
    let scopes_read_at = scopes.as_ref().ok().and_then(|known| known.as_ref().and_then(|known| known.read_at));
    let told = [read_at, scopes_read_at, waiting.read_at];
    let now = match told.iter().any(Option::is_some) {
        true => agreed(told, began.elapsed())?,
        false => service_time(&app.config.connection.client)?,
    };
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
    health::tell(app, now, &waiting, &mut summary, outcome.is_err(), deadline).await;
    outcome.map(|()| summary)
}

/// The time that all answers agree on, the earliest of them. One wrong date would plan windows that are not over yet, and no
/// look would ever come back to them. Two against one decide nothing: they may have come by the same wrong front end.
fn agreed(told: [Option<Timestamp>; 3], within: Duration) -> Result<Timestamp, RunError> {
    let within = CLOCKS_DIFFER + SignedDuration::try_from(within).unwrap_or(SignedDuration::ZERO);
    let told = || told.into_iter().flatten();
    let (Some(first), Some(last)) = (told().min(), told().max()) else { return Err(NoTime.into()) };
    let apart = last.duration_since(first);
    if apart > within { Err(RunError::ClocksDisagree(apart.as_secs())) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_what_all_answers_agree_on() {
        let at = |seconds: i64| Timestamp::from_second(1_767_571_200 + seconds).ok();
        for (told, expected) in [
            ([at(0), at(1), at(2)], at(0)),
            ([at(0), at(9_000), at(8)], None),
            ([at(-9_000), at(3), at(8)], None),
            ([at(0), at(-9_000), at(9_000)], None),
            ([at(0), None, at(9_000)], None),
            ([at(0), None, at(20)], at(0)),
            ([None, None, at(9)], at(9)),
        ] {
            assert_eq!(agreed(told, Duration::ZERO).ok(), expected, "{told:?}");
        }
        assert!(agreed([at(0), at(100), None], Duration::from_secs(90)).is_ok(), "a slow answer is no wrong one");
    }
}
