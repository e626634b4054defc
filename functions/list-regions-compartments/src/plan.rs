//! From windows to receipts: units on the work stream, then what is owed.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ledger::Owed;
use oci_names::{Ocid, Region};
use pipeline::{FetchBody, Lane, Location, Minute, Part, Pointer, Scopes, Window, parts};
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

/// Writes what both looks need. At a `takeover` a dead planner may have written, and others done, part of it.
pub(crate) async fn windows(
    app: &App,
    scopes: &Scopes,
    first: Option<Window>,
    second: Option<Window>,
    takeover: bool,
    deadline: Deadline,
) -> Result<Planned, RunError> {
    let cut = |window, look, due: &mut dyn Iterator<Item = Due<'_>>| {
        parts(Lane::Live, window, look, due, app.config.records_per_fn, PUT_MAX_BYTES)
    };
    let mut all: Vec<(Part, How)> = Vec::new();
    if let Some(window) = first {
        for part in cut(window, 1, &mut scopes.due(window)) {
            // Who catches up may meet what was listed before it fell behind.
            let how = match takeover {
                true => How::Adopt,
                false if part.key.window != window => How::Again,
                false => How::New,
            };
            all.push((part, how));
        }
    }
    if let Some(window) = second {
        let mut due = scopes.settled().map(|(region, compartment)| (region, compartment, window.from()));
        let how = if takeover { How::Adopt } else { How::Again };
        all.extend(cut(window, 2, &mut due).into_iter().map(|part| (part, how)));
    }
    let units = all.iter().map(|(part, _)| part.units.len()).sum();
    let writes: Vec<_> = all.into_iter().map(|(part, how)| write_of_window(app, part, how, deadline)).collect();
    let pointers = stream::iter(writes).buffered(PARTS_AT_ONCE).try_collect().await?;
    Ok(Planned { units, pointers })
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
