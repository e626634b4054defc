//! From windows to receipts: units on the work stream, then what is owed.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ledger::Owed;
use pipeline::{FetchBody, Lane, Location, Part, Pointer, Scopes, Window, parts};
use workbench::{Deadline, put_batch};

use crate::{App, schedule::RunError};

/// Messages of one put, keys included; the service takes 1 MiB.
pub(crate) const PUT_MAX_BYTES: usize = 1_000_000;

/// Parts are put side by side: a part is two round trips.
const PARTS_AT_ONCE: usize = 4;

pub(crate) struct Planned {
    pub(crate) units: usize,
    pub(crate) pointers: Vec<Pointer>,
}

/// Writes what both looks need. `again` where a dead planner may have written, and others done, part of it.
pub(crate) async fn windows(
    app: &App,
    scopes: &Scopes,
    first: Option<Window>,
    second: Option<Window>,
    again: bool,
    deadline: Deadline,
) -> Result<Planned, RunError> {
    let cut = |window: Window, look: u8| -> Vec<(Part, bool)> {
        let due = scopes.due(window);
        // A scope's lag is the first look's affair.
        let due =
            due.map(|(region, compartment, from)| (region, compartment, if look > 1 { window.from() } else { from }));
        let parts = parts(Lane::Live, window, look, due, app.config.records_per_fn, PUT_MAX_BYTES);
        parts.into_iter().map(|part| (part, again || look > 1)).collect()
    };
    let mut all = first.map(|window| cut(window, 1)).unwrap_or_default();
    all.extend(second.map(|window| cut(window, 2)).unwrap_or_default());
    let units = all.iter().map(|(part, _)| part.units.len()).sum();
    let writes: Vec<_> = all.into_iter().map(|(part, again)| write_of_window(app, part, again, deadline)).collect();
    let pointers = stream::iter(writes).buffered(PARTS_AT_ONCE).try_collect().await?;
    Ok(Planned { units, pointers })
}

async fn write_of_window(app: &App, part: Part, again: bool, deadline: Deadline) -> Result<Pointer, RunError> {
    let window = part.key.window;
    write(app, part, again, deadline).await.map_err(|source| RunError::Part { window, source })
}

/// One part: its units on the stream, then its receipt.
async fn write(
    app: &App,
    part: Part,
    again: bool,
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
    body.again = again;
    let (receipt, owed) = config.ledger.owe_listing(&part.key, &body, deadline).await?;
    // An adopted receipt points at the messages that its own planner put.
    let location = (owed == Owed::Written && !again).then_some(location);
    Ok(Pointer { receipt, location })
}
