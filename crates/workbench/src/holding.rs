//! Giving up a receipt that is held.

use ledger::Ledger;
use pipeline::Receipt;

use crate::Deadline;

const STAYS_HELD: &str = "the receipt stays held until its time is over";

/// Gives a receipt back as it was: nothing of its work was begun, or all that was is noted in it. Where that fails, the
/// sweep gives it back.
pub async fn give_back(ledger: &Ledger, held: &Receipt, deadline: Deadline) {
    if let Err(error) = ledger.give_back(held, deadline).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "{STAYS_HELD}");
    }
}

/// Gives a receipt back and counts the attempt: the next one must know that it is not the first.
pub async fn release(ledger: &Ledger, held: &Receipt, deadline: Deadline) {
    if let Err(error) = ledger.release(held, deadline).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "{STAYS_HELD}");
    }
}
