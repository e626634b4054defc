//! From windows to receipts: units on the work stream, then what is owed.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ledger::Owed;
use oci_names::{Ocid, Region};
use pipeline::{FetchBody, Lane, Location, Minute, Part, Planned, Pointer, Scopes, Window, Windows, parts};
use workbench::{Deadline, put_batch};

use crate::{App, schedule::RunError};

/// Messages of one put, keys included; the service takes 1 MiB.
pub(crate) const PUT_MAX_BYTES: usize = 1_000_000;

/// Parts are put side by side: a part is two round trips.
const PARTS_AT_ONCE: usize = 4;

/// What was written.
pub(crate) struct Written {
    pub(crate) units: usize,
    pub(crate) pointers: Vec<Pointer>,
    /// For the proof: one entry a look.
    pub(crate) planned: Vec<Planned>,
}

/// A scope and the minute that it is owed from.
type Due<'a> = (&'a Region, &'a Ocid, Minute);

/// What may be known of a part's events before it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Nobody has listed them.
    New,
    /// Some are on their way: a second look.
    Again,
    /// A dead planner may have written the same part, and somebody may have done it.
    Adopt,
}

/// Writes what each look needs. At a `takeover` a dead planner may have written, and others done, part of it.
pub(crate) async fn windows(
    app: &App,
    scopes: &Scopes,
    windows: Windows,
    takeover: bool,
    deadline: Deadline,
) -> Result<Written, RunError> {
    let cut = |window, look, due: &mut dyn Iterator<Item = Due<'_>>| {
        parts(Lane::Live, window, look, due, app.config.records_per_fn, PUT_MAX_BYTES)
    };
    let mut all: Vec<(Part, How)> = Vec::new();
    let mut planned = Vec::new();
    if let Some(window) = windows.first {
        let parts = cut(window, 1, &mut scopes.due(window));
        planned.push(noted(window, 1, &parts));
        for part in parts {
            // Who catches up may meet what was listed before it fell behind.
            let how = match takeover {
                true => How::Adopt,
                false if part.key.window != window => How::Again,
                false => How::New,
            };
            all.push((part, how));
        }
    }
    for (look, window) in windows.later() {
        let mut due = scopes.settled().map(|(region, compartment)| (region, compartment, window.from()));
        let mut parts = cut(window, look, &mut due);
        planned.push(noted(window, look, &parts));
        let not_before = window.until().plus(app.config.looks.after(look));
        parts.iter_mut().flat_map(|part| &mut part.units).for_each(|unit| unit.not_before = Some(not_before));
        let how = if takeover { How::Adopt } else { How::Again };
        all.extend(parts.into_iter().map(|part| (part, how)));
    }
    let units = all.iter().map(|(part, _)| part.units.len()).sum();
    let writes: Vec<_> = all.into_iter().map(|(part, how)| write_of_window(app, part, how, deadline)).collect();
    let pointers = stream::iter(writes).buffered(PARTS_AT_ONCE).try_collect().await?;
    Ok(Written { units, pointers, planned })
}

fn noted(window: Window, look: u8, parts: &[Part]) -> Planned {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let earliest = parts.iter().map(|part| part.key.window.from()).min();
    Planned {
        window,
        look,
        parts: count(parts.len()),
        scopes: count(parts.iter().map(|part| part.units.len()).sum()),
        earliest: earliest.map_or(window.from(), |from| from.min(window.from())),
    }
}

async fn write_of_window(app: &App, part: Part, how: How, deadline: Deadline) -> Result<Pointer, RunError> {
    let window = part.key.window;
    write(app, part, how, deadline).await.map_err(|source| RunError::Part { window, source })
}

/// One part: its units on the stream, then its receipt.
async fn write(
    app: &App,
    part: Part,
    how: How,
    deadline: Deadline,
) -> Result<Pointer, Box<dyn std::error::Error + Send + Sync>> {
    let values =
        part.units.iter().map(|unit| serde_json::to_vec(unit).map(Bytes::from)).collect::<Result<Vec<_>, _>>()?;
    let config = &app.config;
    let names = (&app.ids, part.key.region.as_str());
    let client = &config.connection.client;
    let location: Location =
        put_batch(client, &config.streaming_endpoint, &config.stream, names, &values, deadline).await?;
    let mut body = FetchBody::new(part.units, Some(location.clone()));
    body.again = how != How::New;
    let (receipt, owed) = match how {
        How::New | How::Again => config.ledger.owe_listing(&part.key, &body, deadline).await?,
        How::Adopt => config.ledger.adopt_listing(&part.key, &body, deadline).await?,
    };
    // Where the place alone were told, fetch would not know that the events may be on their way; and an adopted receipt
    // points at the messages that its own planner put.
    let location = (owed == Owed::Written && how == How::New).then_some(location);
    Ok(Pointer { receipt, location })
}
