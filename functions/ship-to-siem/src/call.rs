//! One call: a doorbell's receipts, one after the other.

use std::time::Duration;

use fn_hyper::{Invocation, Reply};
use pipeline::{Doorbell, Pointer, Stage};
use serde::Serialize;
use tokio::time::Instant;
use workbench::Deadline;

use crate::{
    App,
    receipt::{self, Outcome},
};

/// What a call did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Receipts whose records are all delivered or dead.
    pub shipped: u32,
    /// Receipts that were done, or taken by somebody else.
    pub gone: u32,
    /// Receipts of other destinations, which their own functions work on.
    pub foreign: u32,
    /// Receipts that are owed again, in whole or in part.
    pub owed: u32,
    /// Receipts that there was no time for; they stay owed.
    pub untouched: u32,
    /// Records that the destination took.
    pub delivered: u64,
    /// Records that it refused for good.
    pub dead: u64,
}

/// A receipt is not begun in the last part of a call: a post and its answer must fit.
fn soft(deadline: Deadline) -> Deadline {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - (left / 4).min(Duration::from_secs(30))
}

/// Answers one call. The body is a doorbell.
pub async fn handle(app: &App, call: Invocation) -> Reply {
    let doorbell = match Doorbell::parse(&call.body) {
        Ok(doorbell) => doorbell,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the call was not understood; nothing was changed"
            );
            return Reply::failure(format!("the call was not understood: {error}"));
        }
    };
    let mut summary = Summary::default();
    let mut failed = 0;
    let mut down = false;
    let soft = soft(call.deadline);
    for pointer in &doorbell.pointers {
        // A destination that just failed would fail for the next batch, too: what is not taken stays owed as it is.
        if down || Instant::now() >= soft {
            summary.untouched += 1;
            continue;
        }
        let receipt = pointer.receipt.to_string();
        match work(app, pointer, call.deadline, &mut summary).await {
            Ok(destination_failed) => {
                failed += u32::from(destination_failed);
                down = destination_failed;
            }
            Err(error) => {
                failed += 1;
                tracing::error!(
                    receipt,
                    error = error.as_ref() as &dyn std::error::Error,
                    "work is left over; it stays owed and is done again"
                );
            }
        }
    }
    let text = serde_json::to_string(&summary).unwrap_or_default();
    tracing::info!(summary = text, failed, "done");
    if failed == 0 {
        Reply::json(text)
    } else {
        Reply::failure(format!("not all is delivered, and the rest is still owed: {text}"))
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether the destination failed; an error where the stream or the ledger did.
async fn work(app: &App, pointer: &Pointer, deadline: Deadline, summary: &mut Summary) -> Result<bool, BoxError> {
    let Stage::Ship(destination, key) = &pointer.receipt.stage else {
        return Err("the doorbell names a receipt of another function: look at the topics' subscriptions".into());
    };
    if *destination != app.config.destination {
        summary.foreign += 1;
        return Ok(false);
    }
    match receipt::ship(app, pointer, key, deadline).await? {
        Outcome::Gone => summary.gone += 1,
        Outcome::Shipped { delivered, dead } => {
            summary.shipped += 1;
            summary.delivered += delivered;
            summary.dead += dead;
        }
        Outcome::Owed { delivered, dead } => {
            summary.owed += 1;
            summary.delivered += delivered;
            summary.dead += dead;
            return Ok(true);
        }
    }
    Ok(false)
}
