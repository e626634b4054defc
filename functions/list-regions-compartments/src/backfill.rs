//! A backfill: receipts for past windows, in the same ledger, behind all live work.

use futures_util::{StreamExt, TryStreamExt, stream};
use pipeline::{Backfill, BackfillError, Destination, FetchBody, Minute, Part, Pointer, Word};
use serde::Serialize;
use workbench::{Deadline, NoTime, ring, service_time};

use crate::{App, plan::PUT_MAX_BYTES};

/// Rung at once; the sweep rings the others as live work leaves room.
const RUNG_AT_ONCE: usize = 4;

/// Receipts written side by side.
const WRITES_AT_ONCE: usize = 16;

/// What was planned.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    status: &'static str,
    receipts: usize,
    units: usize,
    rung: usize,
}

/// Why nothing, or not all, was planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Request(#[from] BackfillError),
    #[error("destination: not one of those configured")]
    Destination,
    #[error("no scopes are known yet: let the schedule run once first")]
    NoScopes,
    #[error(transparent)]
    NoTime(#[from] NoTime),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}

pub(crate) async fn run(app: &App, body: &[u8], deadline: Deadline) -> Result<Summary, RunError> {
    let config = &app.config;
    let scopes = config.ledger.scopes(deadline).await?;
    let now = service_time(&config.connection.client)?;
    let backfill = Backfill::parse(body, Minute::floor(now))?;
    if backfill.destination.as_ref().is_some_and(|wanted| !config.destinations.contains(wanted)) {
        return Err(RunError::Destination);
    }
    let scopes = scopes.ok_or(RunError::NoScopes)?.value;
    let parts = backfill.plan(&scopes, config.records_per_fn, PUT_MAX_BYTES)?;
    let units = parts.iter().map(|part| part.units.len()).sum();
    let destinations: Vec<_> = backfill.destination.into_iter().collect();
    let writes: Vec<_> = parts.into_iter().map(|part| owe(app, part, &destinations, deadline)).collect();
    let pointers: Vec<Pointer> = stream::iter(writes).buffered(WRITES_AT_ONCE).try_collect().await?;
    let receipts = pointers.len();
    let first: Vec<Pointer> = pointers.into_iter().take(RUNG_AT_ONCE).collect();
    let count = first.len();
    let title = "fetch-audit-events: a backfill is waiting";
    let (client, topic) = (&config.connection.client, &config.audit_topic);
    let rung = ring(client, topic, title, (first, RUNG_AT_ONCE), &Word::default(), deadline).await;
    Ok(Summary { status: "owed", receipts, units, rung: count - rung.unrung })
}

async fn owe(
    app: &App,
    part: Part,
    destinations: &[Destination],
    deadline: Deadline,
) -> Result<Pointer, ledger::Error> {
    let mut body = FetchBody::new(part.units, None);
    // The same backfill asked for twice finds what the first one has under way.
    body.again = true;
    body.destinations = destinations.to_vec();
    let (receipt, _) = app.config.ledger.owe_listing(&part.key, &body, deadline).await?;
    Ok(Pointer { receipt, location: None })
}
