//! What the sweep is told of a destination.

use pipeline::Word;
use workbench::Deadline;

use crate::Parties;

/// How a destination fared in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fared {
    /// It failed: what is owed to it is probed with less from now on.
    Failed,
    /// It took all of some work.
    Took,
    /// Neither.
    Untried,
}

/// Leaves word of a destination that is down, or that took a whole probe; `word` is that of the doorbell. Advice only: where
/// it cannot be left, the sweep rings as it did.
pub async fn tell_the_sweep(parties: Parties<'_>, word: &Word, fared: Fared, deadline: Deadline) {
    let Parties { ledger, target, .. } = parties;
    let told = match (fared, word.probe) {
        (Fared::Failed, _) => ledger.hush(target.name(), deadline).await,
        (Fared::Took, Some(level)) => ledger.relieve(target.name(), level, deadline).await,
        (Fared::Took | Fared::Untried, _) => return,
    };
    if let Err(error) = told {
        tracing::warn!(error = &error as &dyn std::error::Error, "the sweep is not told how the destination fares");
    }
}
