//! One call: a doorbell's receipts, one after the other.

use std::time::Duration;

use delivery::redrive;
use fn_hyper::{Intent, Invocation, Reply};
use pipeline::{Doorbell, Pointer, Stage, Tally};
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
    /// Receipts whose work is owed in another shape: cut in halves, or listed anew.
    pub replaced: u32,
    /// Receipts that there was no time for; they stay owed.
    pub untouched: u32,
    /// Records that the destination took.
    pub delivered: u64,
    /// Records that it refused for good, or that are too large for it: a summary of these is delivered.
    pub dead: u64,
}

impl Summary {
    fn count(&mut self, tally: Tally) {
        self.delivered += u64::from(tally.sent);
        self.dead += u64::from(tally.dead);
    }
}

/// A receipt is not begun in the last part of a call: a post and its answer must fit.
fn soft(deadline: Deadline) -> Deadline {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - (left / 4).min(Duration::from_secs(30))
}

/// Answers one call. The body is a doorbell, or, of a direct call, the order to redrive dead letters.
pub async fn handle(app: &App, call: Invocation) -> Reply {
    app.config.connection.client.begin_call();
    if let Intent::Direct = call.intent
        && let Some(order) = redrive::parse(&call.body)
    {
        return redrive::answer(app.config.parties(), order, soft(call.deadline), call.deadline).await;
    }
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
    let deliveries_max = doorbell.word.deliveries_max().unwrap_or(usize::MAX);
    for pointer in &doorbell.pointers {
        // A destination that just failed would fail for the next batch, too: what is not taken stays owed as it is.
        let is_enough = (summary.shipped + summary.owed) as usize >= deliveries_max;
        if down || is_enough || Instant::now() >= soft {
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
    tell_the_sweep(app, &doorbell, &summary, down, call.deadline).await;
    let text = serde_json::to_string(&summary).unwrap_or_default();
    tracing::info!(summary = text, failed, "done");
    if failed == 0 {
        Reply::json(text)
    } else {
        Reply::failure(format!("not all is delivered, and the rest is still owed: {text}"))
    }
}

/// Leaves word of a destination that is down, or that took a whole probe. Advice only: where it cannot be left, the
/// sweep rings as it did.
async fn tell_the_sweep(app: &App, doorbell: &Doorbell, summary: &Summary, down: bool, deadline: Deadline) {
    let (ledger, destination) = (&app.config.ledger, app.config.target.name());
    let told = match doorbell.word.probe {
        _ if down => ledger.hush(destination, deadline).await,
        Some(level) if summary.shipped > 0 => ledger.relieve(destination, level, deadline).await,
        _ => return,
    };
    if let Err(error) = told {
        tracing::warn!(error = &error as &dyn std::error::Error, "the sweep is not told how the destination fares");
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether the destination failed; an error where the stream or the ledger did.
async fn work(app: &App, pointer: &Pointer, deadline: Deadline, summary: &mut Summary) -> Result<bool, BoxError> {
    let Stage::Ship(destination, key) = &pointer.receipt.stage else {
        return Err("the doorbell names a receipt of another function: look at the topics' subscriptions".into());
    };
    if destination != app.config.target.name() {
        summary.foreign += 1;
        return Ok(false);
    }
    match receipt::ship(app, pointer, key, deadline).await? {
        Outcome::Gone => summary.gone += 1,
        Outcome::Replaced => summary.replaced += 1,
        Outcome::Shipped(tally) => {
            summary.shipped += 1;
            summary.count(tally);
        }
        Outcome::Owed(tally) => {
            summary.owed += 1;
            summary.count(tally);
            return Ok(true);
        }
    }
    Ok(false)
}
