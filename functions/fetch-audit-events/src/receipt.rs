//! One receipt: taken, worked off, removed or handed on.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, stream};
use pipeline::{Account, Destination, FetchBody, FetchKey, Location, Pointer, Receipt, WorkUnit};
use tokio::time::Instant;
use workbench::{CallTime, CannotRead, Deadline, give_back, hold_until, open_batch, release, service_time};

use crate::{
    App,
    listing::{self, Ended},
    outbox::{Addressee, Outbox, Sent},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a receipt waits for another that lists the same events, and how often it looks.
const ALONE_WITHIN: Duration = Duration::from_secs(30);
const ALONE_PAUSE: Duration = Duration::from_secs(2);

/// Work that is ours until the hold ends.
pub(crate) struct Work {
    held: Receipt,
    key: FetchKey,
    body: FetchBody,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) account: Account,
    pub(crate) batches: u32,
    /// Doorbells for the batches that were put.
    pub(crate) pointers: Vec<Pointer>,
    /// Units that a later call does.
    pub(crate) left: u32,
    /// Why, if it was not for want of time alone.
    pub(crate) error: Option<BoxError>,
}

/// So many holders that ended without a word, and the work is cut in halves until what ends them stands alone.
const ATTEMPTS_WHOLE: u32 = 2;

/// Reads the receipt's units and takes it; `None` where it is done or taken.
pub(crate) async fn take(
    app: &App,
    pointer: &Pointer,
    key: &FetchKey,
    deadline: Deadline,
) -> Result<Option<Work>, BoxError> {
    let ledger = &app.config.ledger;
    let from_stream = match &pointer.location {
        Some(location) => {
            units_at(app, location, deadline).await.map(|units| FetchBody::new(units, Some(location.clone())))
        }
        None => None,
    };
    let body = match from_stream {
        Some(body) => body,
        // No place given, or nothing there any more: the receipt names its work in full.
        None => match ledger.fetch_body(&pointer.receipt, deadline).await? {
            Some(body) => body,
            None => return Ok(None),
        },
    };
    // The reading above told the service's time.
    let now = service_time(&app.config.connection.client)?;
    match ledger.take(&pointer.receipt, hold_until(now, deadline), deadline).await? {
        ledger::Taken::Held(held) => Ok(Some(Work { held, key: key.clone(), body })),
        ledger::Taken::Gone => Ok(None),
    }
}

/// The units of a batch on the work stream; `None` where they are not there or not ours, so that the receipt has to tell.
async fn units_at(app: &App, location: &Location, deadline: Deadline) -> Option<Vec<WorkUnit>> {
    let (client, endpoint) = (&app.config.connection.client, &app.config.streaming_endpoint);
    let opened = match open_batch(client, endpoint, location, deadline).await {
        Ok(opened) => opened.read(deadline).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(values) => {
            let units: Result<Vec<WorkUnit>, _> = values.iter().map(|value| serde_json::from_slice(value)).collect();
            if units.is_err() {
                tracing::warn!("the work stream holds something else at that place; reading the receipt instead");
            }
            units.ok()
        }
        Err(error @ (CannotRead::Gone { .. } | CannotRead::Stalled { .. })) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the work units are not on the stream any more; reading the receipt instead"
            );
            None
        }
        Err(error @ CannotRead::Client(_)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the work stream cannot be read; reading the receipt instead"
            );
            None
        }
    }
}

/// Lists the units, puts what they hold, and leaves the ledger telling the truth.
pub(crate) async fn work_off(app: &App, work: Work, time: CallTime) -> Outcome {
    let CallTime { soft, deadline } = time;
    let count = u32::try_from(work.body.units.len()).unwrap_or(u32::MAX);
    if let Some(halves) = halves(&work) {
        tracing::error!(receipt = %work.held, "calls end in the middle of this work: cut in halves");
        let error = hand_on(app, &work, &halves, deadline).await.err();
        if error.is_some() {
            release(&app.config.ledger, &work.held, deadline).await;
        }
        return Outcome { left: count, error, ..Outcome::default() };
    }
    let ready = match destinations(app, &work.body) {
        Ok(destinations) => addressees(app, &work, destinations, time).await,
        Err(error) => Err(error),
    };
    let addressees = match ready {
        Ok(Some(addressees)) => addressees,
        not_ready => {
            give_back(&app.config.ledger, &work.held, deadline).await;
            return Outcome { left: count, error: not_ready.err(), ..Outcome::default() };
        }
    };
    let redactor = match &app.config.redaction {
        Some(redaction) => Some(redaction.redactor(&app.config.connection.client, soft).await),
        None => None,
    };
    let outbox = Outbox::new(app, &work.key, &addressees, work.body.anew.as_ref(), redactor, deadline);
    // Futures first, stream second: closures that borrow inside a stream's adaptors defeat the compiler's proof of `Send`.
    let listings: Vec<_> = (work.body.units.iter().enumerate())
        .map(|(index, unit)| listing::list(app, index, unit, &outbox, soft))
        .collect();
    let endings: Vec<Ended> = stream::iter(listings).buffered(app.config.lists_at_once).collect().await;
    let mut sent = outbox.close().await;
    let mut left = Vec::new();
    let mut error = sent.error.take();
    let mut undone = HashSet::new();
    for (index, (unit, ended)) in work.body.units.iter().zip(endings).enumerate() {
        let before = left.len();
        match ended {
            Ended::Done if !sent.failed_units.contains(&index) => {}
            Ended::Done | Ended::NotBegun => left.push(unit.clone()),
            // It was begun and did not fit: cut in time, down to a minute.
            Ended::OutOfTime => match unit.halves() {
                Some((early, late)) => left.extend([early, late]),
                None => left.push(unit.clone()),
            },
            Ended::Failed(reason) => {
                tracing::error!(
                    region = unit.region.as_str(),
                    compartment = unit.compartment.as_str(),
                    error = &reason as &dyn std::error::Error,
                    "a scope could not be listed; it stays owed"
                );
                left.push(unit.clone());
                error.get_or_insert_with(|| reason.into());
            }
        }
        if left.len() > before {
            undone.insert(index);
        }
    }
    let rest = rest(&work.body, left, &undone, &sent, &mut error);
    let left = rest.as_ref().map_or(0, |body| body.units.len());
    if let Err(reason) = close(app, &work, &rest, &sent.account, deadline).await {
        release(&app.config.ledger, &work.held, deadline).await;
        error.get_or_insert(reason);
    }
    Outcome {
        account: sent.account,
        batches: sent.batches,
        pointers: sent.pointers,
        left: u32::try_from(left).unwrap_or(u32::MAX),
        error,
    }
}

/// What is left of `body`: the units `left`, those of `undone` anew; none where all is done.
fn rest(
    body: &FetchBody,
    left: Vec<WorkUnit>,
    undone: &HashSet<usize>,
    sent: &Sent,
    error: &mut Option<BoxError>,
) -> Option<FetchBody> {
    let Some(anew) = &body.anew else { return (!left.is_empty()).then(|| body.left(left)) };
    let found = sent.found.iter().filter(|(unit, _)| !undone.contains(unit)).map(|(_, id)| *id).collect();
    let wanted = anew.without(&found);
    if wanted.is_done() {
        return None;
    }
    let mut rest = body.left(left);
    if rest.units.is_empty() {
        // They were listed once. Until they are listed again this goes on, and is heard.
        let missing = wanted.ids.len() + wanted.summarised.len();
        error.get_or_insert_with(|| format!("{missing} events that are listed anew are not in the trail").into());
        rest.units.clone_from(&body.units);
    }
    rest.anew = Some(wanted);
    Some(rest)
}

/// Replaces the receipt by its account, what is left being owed before.
async fn close(
    app: &App,
    work: &Work,
    rest: &Option<FetchBody>,
    account: &Account,
    deadline: Deadline,
) -> Result<(), BoxError> {
    if let Some(rest) = rest {
        app.config.ledger.owe_listing(&next(&work.key), rest, deadline).await?;
    }
    Ok(app.config.ledger.finish_listing(&work.held, account, deadline).await?)
}

/// The work in two, where holder after holder ended without a word and there is something to cut.
fn halves(work: &Work) -> Option<[FetchBody; 2]> {
    let units = &work.body.units;
    if work.held.attempts < ATTEMPTS_WHOLE {
        return None;
    }
    let (early, late) = match units.as_slice() {
        [unit] => unit.halves().map(|(early, late)| (vec![early], vec![late]))?,
        units => units.split_at_checked(units.len() / 2).map(|(early, late)| (early.to_vec(), late.to_vec()))?,
    };
    // Work that is planned anew looks for its events in both.
    (work.body.anew.is_none() && !early.is_empty()).then(|| [work.body.left(early), work.body.left(late)])
}

/// Owes `parts` in place of the receipt.
async fn hand_on(app: &App, work: &Work, parts: &[FetchBody], deadline: Deadline) -> Result<(), BoxError> {
    for part in parts {
        app.config.ledger.owe_listing(&next(&work.key), part, deadline).await?;
    }
    Ok(app.config.ledger.replace(&work.held, deadline).await?)
}

fn next(key: &FetchKey) -> FetchKey {
    FetchKey { continuation: key.continuation + 1, ..key.clone() }
}

/// Whom this work is for: all destinations, or those that a backfill named.
fn destinations(app: &App, body: &FetchBody) -> Result<Vec<Destination>, BoxError> {
    let configured = &app.config.destinations;
    if body.destinations.is_empty() {
        return Ok(configured.clone());
    }
    if body.destinations.iter().all(|wanted| configured.contains(wanted)) {
        Ok(body.destinations.clone())
    } else {
        Err("the receipt names a destination that this function does not have: set destination alike in all functions"
            .into())
    }
}

/// Each destination with the events that must not be put for it again; none where another receipt goes first. Only the
/// first attempt of a first look needs no such list.
async fn addressees(
    app: &App,
    work: &Work,
    destinations: Vec<Destination>,
    time: CallTime,
) -> Result<Option<Vec<Addressee>>, BoxError> {
    let key = &work.key;
    let first = key.is_first_attempt() && work.held.attempts == 0 && !work.body.again;
    if !first && !alone(app, &work.held, time).await? {
        // A warning, for one that gives way again and again is work that never gets done.
        tracing::warn!(receipt = %work.held, "the same events are being listed under another receipt; this one comes after it");
        return Ok(None);
    }
    let mut addressees = Vec::new();
    for destination in destinations {
        let known = if first {
            HashSet::new()
        } else {
            let (ledger, region) = (&app.config.ledger, key.region.as_str());
            let except = work.body.anew.as_ref().map(|anew| anew.replaces.as_str());
            ledger.on_their_way(key.lane, key.window, region, &destination, except, time.deadline).await?
        };
        addressees.push(Addressee { destination, known });
    }
    Ok(Some(addressees))
}

/// Waits until nobody else lists the same events: what another has listed and not put yet is in no list of what is known.
/// False where the other takes too long, or goes first.
///
/// Of two that meet, the one with the larger name gives way and comes again with the sweep, the other waits for it.
async fn alone(app: &App, held: &Receipt, time: CallTime) -> Result<bool, BoxError> {
    let until = time.soft.min(Instant::now() + ALONE_WITHIN);
    loop {
        let now = service_time(&app.config.connection.client)?;
        let others = app.config.ledger.side_by_side(held, now, time.deadline).await?;
        if others.is_empty() {
            return Ok(true);
        }
        if others.iter().any(|other| other < held) || Instant::now() + ALONE_PAUSE >= until {
            return Ok(false);
        }
        tokio::time::sleep(ALONE_PAUSE).await;
    }
}
