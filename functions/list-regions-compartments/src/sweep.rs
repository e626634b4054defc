//! The sweep: what a vanished holder held is owed again, and what is owed for a while is rung again.

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use ledger::Waiting;
use pipeline::{Lane, Pointer, Receipt, Stage, State};
use workbench::{Deadline, ring};

use crate::App;

/// A receipt is rung again once it has waited this long: its first doorbell has had its time by then.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Notifications a run for each topic, beside those of new work.
const DOORBELLS_MAX: usize = 10;

/// Receipts a run for each topic: what ten calls of the next function can do.
const POINTERS_MAX: usize = 200;

/// Receipts that are given back a run, and how many at once.
const RELEASES_MAX: usize = 400;
const RELEASES_AT_ONCE: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) released: usize,
    pub(crate) rung_again: usize,
}

pub(crate) async fn run(app: &App, now: Timestamp, waiting: &Waiting, deadline: Deadline) -> Swept {
    let over = waiting.held.iter().filter(|receipt| matches!(receipt.state, State::Held { until } if until <= now));
    let releases: Vec<_> = over.take(RELEASES_MAX).map(|held| release(app, held, deadline)).collect();
    let released: Vec<Receipt> =
        stream::iter(releases).buffered(RELEASES_AT_ONCE).filter_map(std::future::ready).collect().await;
    let rested = |modified: &Option<Timestamp>| modified.is_none_or(|at| now.duration_since(at) >= PAUSE);
    let owed = waiting.owed.iter().filter(|(_, modified)| rested(modified)).map(|(receipt, _)| receipt);
    let mut due: Vec<&Receipt> = released.iter().chain(owed).collect();
    // The oldest window first, live work before any backfill; keys sort that way within a stage.
    due.sort_by_key(|receipt| (lane(receipt), (*receipt).clone()));
    let (fetch, ship): (Vec<&Receipt>, Vec<&Receipt>) =
        due.into_iter().partition(|receipt| matches!(receipt.stage, Stage::Fetch(_)));
    let mut swept = Swept { released: released.len(), rung_again: 0 };
    let client = &app.config.connection.client;
    for (receipts, topic, title) in [
        (fetch, &app.config.audit_topic, "fetch-audit-events: work units are still waiting"),
        (ship, &app.config.splunk_topic, "ship-to-siem: batches are still waiting"),
    ] {
        let pointers: Vec<Pointer> = receipts
            .into_iter()
            .take(POINTERS_MAX)
            .map(|receipt| Pointer { receipt: receipt.clone(), location: None })
            .collect();
        let count = pointers.len();
        let rung = ring(client, topic, title, pointers, DOORBELLS_MAX, deadline).await;
        swept.rung_again += count - rung.unrung;
    }
    swept
}

async fn release(app: &App, held: &Receipt, deadline: Deadline) -> Option<Receipt> {
    match app.config.ledger.release(held, deadline).await {
        Ok(owed) => Some(owed),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a receipt could not be given back; the next run tries again"
            );
            None
        }
    }
}

fn lane(receipt: &Receipt) -> Lane {
    match &receipt.stage {
        Stage::Fetch(key) => key.lane,
        Stage::Ship(_, key) => key.lane,
    }
}
