//! What of a call's time is whose, so that the ledger can always be told.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use workbench::Deadline;

/// Sending ends this long before the call does.
const LEDGER_RESERVE: Duration = Duration::from_secs(10);

/// What a destination that nears its limits is given before the next batch.
const SLOW_DOWN: Duration = Duration::from_secs(1);

/// When the parts of one delivery end at the latest, seen from its start.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// Sending: the ledger must still be told what became of the records.
    pub sending: Deadline,
    /// Setting aside: letters and summaries have time of their own, for what was taken behind a record that cannot be set
    /// aside is sent again.
    pub setting_aside: Deadline,
}

impl Ends {
    /// Those of a delivery that begins now, in a call that ends at `deadline`.
    pub fn before(deadline: Deadline) -> Self {
        let left = deadline.saturating_duration_since(Instant::now());
        Self {
            sending: deadline - (left / 4).min(LEDGER_RESERVE),
            setting_aside: deadline - (left / 8).min(LEDGER_RESERVE / 2),
        }
    }
}

/// Waits where a destination has asked for it. Only once the ledger knows what was delivered: a kill in this pause must not
/// send it again.
pub async fn slow_down() {
    tracing::warn!("the destination's queue is nearly full: pausing");
    sleep(SLOW_DOWN).await;
}
