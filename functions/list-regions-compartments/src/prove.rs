//! The proof of windows that are over.

use jiff::{SignedDuration, Timestamp};
use ledger::Waiting;
use pipeline::{Positions, Proof, Window};
use tokio::time::Instant;
use workbench::Deadline;

use crate::App;

/// Windows are proven together: the oldest may wait this long, so that one listing and one write an hour prove an hour.
const TOGETHER: SignedDuration = SignedDuration::from_mins(60);

/// A gap must be there for this long to be one: a receipt on its way between two folders may be missing in one listing.
const GRACE: SignedDuration = SignedDuration::from_mins(90);

/// Windows a run: the listing that proves them must stay short.
const WINDOWS_MAX: usize = 36;

/// Proves what is over, where that is due; what cannot be proven now is due again in the next run.
pub(crate) async fn due(
    app: &App,
    now: Timestamp,
    positions: &Positions,
    waiting: &Waiting,
    deadline: Deadline,
) -> Vec<Proof> {
    let looks = app.config.looks;
    // Past this age no look is to come.
    let after = looks.second_after.unwrap_or_default().max(looks.third_after.unwrap_or_default());
    let age = |window: Window| now.duration_since(window.until().start()) - SignedDuration::from_mins(after.into());
    let mut over = positions.over(looks, waiting.receipts());
    over.truncate(WINDOWS_MAX);
    if over.first().is_none_or(|oldest| age(*oldest) < TOGETHER) {
        return Vec::new();
    }
    if !waiting.is_whole {
        tracing::warn!(
            "more waits than one look takes in: what is not seen to wait is not known to be done, and nothing is proven"
        );
        return Vec::new();
    }
    // The position must still be written: planning goes before proof.
    let deadline = deadline - deadline.saturating_duration_since(Instant::now()) / 2;
    match prove(app, positions, &over, |window| age(window) > GRACE, deadline).await {
        Ok(proofs) => proofs,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "windows that are over cannot be proven; the next run tries again"
            );
            Vec::new()
        }
    }
}

async fn prove(
    app: &App,
    positions: &Positions,
    over: &[Window],
    is_final: impl Fn(Window) -> bool,
    deadline: Deadline,
) -> Result<Vec<Proof>, ledger::Error> {
    let reach = positions.unproven.iter().filter(|planned| over.iter().any(|window| planned.is_proven_with(*window)));
    let from = reach.map(|planned| planned.earliest).chain(over.iter().map(|window| window.from())).min();
    let until = over.iter().map(|window| window.until()).max();
    let (Some(from), Some(until)) = (from, until) else { return Ok(Vec::new()) };
    let seen = app.config.ledger.seen(from, until, deadline).await?;
    let all: Vec<Proof> = over.iter().map(|window| Proof::of(*window, &positions.unproven, &seen)).collect();
    // A receipt that was taken while the run listed may have been in neither folder: its window is not over.
    let still = match all.iter().any(|proof| !proof.gaps.is_empty()) {
        true => {
            let waiting = app.config.ledger.waiting(deadline).await?;
            positions.over(app.config.looks, waiting.receipts())
        }
        false => over.to_vec(),
    };
    let mut proofs = Vec::new();
    for (window, proof) in over.iter().zip(all) {
        if proof.gaps.is_empty() {
            proofs.push(proof);
        } else if is_final(*window) && still.contains(window) {
            tracing::error!(
                %window,
                gaps = ?proof.gaps,
                "events of this window cannot be accounted for: list it again with a backfill, and look at who changed the state bucket"
            );
            proofs.push(proof);
        } else {
            tracing::warn!(%window, gaps = ?proof.gaps, "a window does not add up yet; the next run looks again");
        }
    }
    app.config.ledger.prove(&proofs, deadline).await?;
    Ok(proofs)
}
