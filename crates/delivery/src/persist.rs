//! Tells the ledger what became of records, for as long as there is time.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use workbench::Deadline;

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Tells the ledger what became of a record or a receipt, again and again until `deadline`: what it is not told is done, and
/// sent, twice. Each such step may be repeated.
///
/// # Errors
/// The last one, where time is over.
pub async fn persist<T, F>(step: impl Fn() -> F, deadline: Deadline) -> Result<T, ledger::Error>
where
    F: Future<Output = Result<T, ledger::Error>>,
{
    let mut pause = Duration::from_secs(1);
    loop {
        match step().await {
            Err(error) if Instant::now() + pause < deadline => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the ledger cannot be told what became of a batch; telling it again"
                );
            }
            outcome => return outcome,
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
