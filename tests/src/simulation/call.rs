//! One call of a function, as the wire knows it: whose it is, how far it has come, and where it ends.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::mutant::PutOff;
use crate::wire::Moment;

tokio::task_local! {
    /// The call on whose behalf this task runs.
    pub(super) static CALL: Arc<CallState>;
}

/// Which function, and whose destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `list-regions-compartments`.
    List,
    /// `fetch-audit-events`.
    Fetch,
    /// `ship-to-siem` of that destination.
    Ship(usize),
    /// `decode-bucket-gzip` of the first destination.
    Decode,
}

/// A call.
#[derive(Debug)]
pub(super) struct CallState {
    pub(super) stage: Stage,
    pub(super) began: Timestamp,
    /// At which wire call it is killed, and on which side of it.
    pub(super) aim: Option<(u64, Moment)>,
    pub(super) struck: Notify,
    wire_calls: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Whether it has been killed.
    pub(super) is_dead: bool,
    /// Receipts that it holds.
    pub(super) held: BTreeSet<String>,
    /// Ship receipts that a call of ship has written for the batch in its hands.
    pub(super) owed_ranges: u64,
    /// Fetch receipts that it has written.
    pub(super) owed_fetches: u64,
    /// Receipts of log files whose progress it could not note.
    pub(super) unnoted: BTreeSet<String>,
    /// What a mutant has put off.
    pub(super) put_off: Vec<PutOff>,
}

impl CallState {
    pub(super) fn new(stage: Stage, began: Timestamp, aim: Option<(u64, Moment)>) -> Self {
        Self { stage, began, aim, struck: Notify::new(), wire_calls: AtomicU64::new(0), inner: Mutex::default() }
    }

    /// The number of the next wire call, from 1.
    pub(super) fn next(&self) -> u64 {
        self.wire_calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}
