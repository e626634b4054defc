//! One work unit: a scope's events, page after page, into the outbox.

use std::collections::HashSet;

use bytes::Bytes;
use jiff::SignedDuration;
use pipeline::{EventHash, WorkUnit, event_hash};
use tokio::time::Instant;
use workbench::Deadline;

use crate::{App, outbox::Outbox};

/// How often a page that broke off is asked for again.
const PAGE_REPEATS_MAX: u32 = 3;

/// Front ends of one service agree on the time as far as this.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(30);

/// How a unit's listing ended.
pub(crate) enum Ended {
    /// Every page was read to its end.
    Done,
    /// There was no time to begin.
    NotBegun,
    /// The time ended within it.
    OutOfTime,
    /// The service did not give it.
    Failed(oci_client::Error),
}

pub(crate) async fn list(app: &App, index: usize, unit: &WorkUnit, outbox: &Outbox<'_>, soft: Deadline) -> Ended {
    if Instant::now() >= soft {
        return Ended::NotBegun;
    }
    // Planned by a clock that was wrong: what the trail holds later would be asked for by nobody.
    let now = app.config.connection.client.service_time();
    if now.is_some_and(|now| unit.due() > now + CLOCKS_DIFFER) {
        tracing::error!(due = %unit.due(), "a work unit is due in the future of the service's clock; it stays owed");
        return Ended::NotBegun;
    }
    match pages(app, index, unit, outbox, soft).await {
        Ok(()) => Ended::Done,
        Err(_) if Instant::now() >= soft => Ended::OutOfTime,
        // One record is longer than any may be: cut in time, so that the others are not kept from their way.
        Err(oci_client::Error::TooLarge { .. }) if unit.halves().is_some() => Ended::OutOfTime,
        Err(error) => Ended::Failed(error),
    }
}

async fn pages(
    app: &App,
    index: usize,
    unit: &WorkUnit,
    outbox: &Outbox<'_>,
    soft: Deadline,
) -> Result<(), oci_client::Error> {
    let mut page: Option<String> = None;
    loop {
        // A page that breaks off is asked for again, and what it gave before is not taken twice.
        let mut taken = HashSet::new();
        let mut repeats = 0;
        let next = loop {
            match one_page(app, index, unit, page.as_deref(), &mut taken, outbox, soft).await {
                Ok(next) => break next,
                // The client has waited out what the service itself refused; what is left is an answer that broke off.
                Err(error @ (oci_client::Error::Transport { .. } | oci_client::Error::Decode { .. }))
                    if repeats < PAGE_REPEATS_MAX && Instant::now() < soft =>
                {
                    repeats += 1;
                    tracing::warn!(error = &error as &dyn std::error::Error, "a page broke off; asking for it again");
                }
                Err(error) => return Err(error),
            }
        };
        match next {
            Some(next) => page = Some(next),
            None => return Ok(()),
        }
    }
}

async fn one_page(
    app: &App,
    index: usize,
    unit: &WorkUnit,
    page: Option<&str>,
    taken: &mut HashSet<EventHash>,
    outbox: &Outbox<'_>,
    soft: Deadline,
) -> Result<Option<String>, oci_client::Error> {
    let audit = app.config.connection.client.audit();
    let mut events = audit.list_events(&unit.region, &unit.compartment, unit.start(), unit.end(), page, soft).await?;
    while let Some(records) = events.next_records(soft).await? {
        let fresh: Vec<(EventHash, Bytes)> =
            records.into_iter().map(|raw| (event_hash(&raw), raw)).filter(|(id, _)| taken.insert(*id)).collect();
        outbox.push(index, &unit.compartment, fresh).await;
    }
    Ok(events.next_page)
}
