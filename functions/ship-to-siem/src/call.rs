//! One call: a doorbell's receipts, one after the other.

use std::time::Duration;

use delivery::{Fared, redrive, tell_the_sweep};
use fn_hyper::{Intent, Invocation, Reply};
use pipeline::{Doorbell, Pointer, Stage, Tally};
use serde::Serialize;
use workbench::{CallTime, Deadline};

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
fn time(deadline: Deadline) -> CallTime {
    CallTime::before(deadline, 4, Duration::from_secs(30))
}

/// Answers one call. The body is a doorbell, or, of a direct call, the order to redrive dead letters.
pub async fn handle(app: &App, call: Invocation) -> Reply {
    app.config.connection.client.begin_call();
    if let Intent::Direct = call.intent
        && let Some(order) = redrive::parse(&call.body)
    {
        return redrive::answer(app.config.parties(), order, time(call.deadline)).await;
    }
    let doorbell = match Doorbell::parse(&call.body) {
        Ok(doorbell) => doorbell,
        Err(error) => return Reply::not_understood(&error),
    };
    let mut summary = Summary::default();
    let mut failed = 0;
    let mut down = false;
    let time = time(call.deadline);
    let deliveries_max = doorbell.word.deliveries_max().unwrap_or(usize::MAX);
    for pointer in &doorbell.pointers {
        // A destination that just failed would fail for the next batch, too: what is not taken stays owed as it is.
        let is_enough = (summary.shipped + summary.owed) as usize >= deliveries_max;
        if down || is_enough || time.is_over() {
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
    let fared = match down {
        true => Fared::Failed,
        false if summary.shipped > 0 => Fared::Took,
        false => Fared::Untried,
    };
    tell_the_sweep(app.config.parties(), &doorbell.word, fared, call.deadline).await;
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
