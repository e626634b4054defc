//! Which events of a window are on their way already, so that no look but the first sends them again.

use std::collections::HashSet;

use oci_client::ListObjects;
use pipeline::{Destination, EventHash, Lane, Receipt, ShipBody, ShipKey, Stage, Window};

use crate::{Deadline, Error, Ledger};

/// How far before a window another may begin that still reaches into it: the widest window of the lane. A scope that
/// lagged for longer has a wider one; its events may be sent twice then, which is the price of a short listing.
fn widest_minutes(lane: Lane) -> u32 {
    match lane {
        Lane::Live => 3 * 60,
        Lane::Backfill => 24 * 60,
    }
}

/// A day of a large tenancy has some thousand batches.
const LISTED_MAX: usize = 100_000;

impl Ledger {
    /// The events of `region` that are on their way to `destination` from windows that touch `window`: owed, held or seen.
    ///
    /// # Errors
    /// Where any of it cannot be read: then nobody may go on, for what is not known would be sent twice.
    pub async fn on_their_way(
        &self,
        lane: Lane,
        window: Window,
        region: &str,
        destination: &Destination,
        deadline: Deadline,
    ) -> Result<HashSet<EventHash>, Error> {
        let mut known = HashSet::new();
        // In the order in which a batch travels, so that one that moves on meanwhile is met in its next place; and the
        // first place once more for one that was given back.
        for folder in ["owed/ship", "held/ship", "seen", "owed/ship"] {
            for name in self.batches(folder, lane, window, region, destination, deadline).await? {
                match self.read::<ShipBody>(&name, deadline).await? {
                    Some(body) => known.extend(body.event_ids),
                    None => known.extend(self.moved_on(&name, destination, deadline).await?),
                }
            }
        }
        Ok(known)
    }

    /// The names in one folder of batches that touch `window`.
    async fn batches(
        &self,
        folder: &str,
        lane: Lane,
        window: Window,
        region: &str,
        destination: &Destination,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        let seen = folder == "seen";
        let prefix = if seen { "seen/".to_owned() } else { format!("{folder}/{destination}/") };
        let lane_prefix = if lane == Lane::Backfill { format!("{prefix}backfill.") } else { prefix.clone() };
        // Names sort by the window's first minute: the last one that matters begins before this window ends.
        let earliest = Window::new(window.from().minus(widest_minutes(lane)), window.until());
        let latest = Window::new(window.until(), window.until().plus(1));
        let (Some(earliest), Some(latest)) = (earliest, latest) else { return Ok(Vec::new()) };
        let range = ListObjects {
            prefix: Some(prefix.clone()),
            start: Some(format!("{lane_prefix}{earliest}")),
            end: Some(format!("{lane_prefix}{latest}")),
            ..ListObjects::default()
        };
        let listing =
            self.bucket.list_all(&range, LISTED_MAX, deadline).await.map_err(Error::bucket("list", &prefix))?;
        if listing.next_start_with.is_some() {
            return Err(Error::TooMany { prefix });
        }
        let touches = |name: &str| -> bool {
            let key = if seen { seen_key(name, destination) } else { ship_key(name) };
            key.is_some_and(|key| key.lane == lane && key.region() == region && key.window.touches(window))
        };
        Ok(listing.objects.into_iter().map(|object| object.name).filter(|name| touches(name)).collect())
    }

    /// A batch that was listed but is gone: it was taken, given back or finished between the two calls.
    async fn moved_on(
        &self,
        name: &str,
        destination: &Destination,
        deadline: Deadline,
    ) -> Result<Vec<EventHash>, Error> {
        let Some(key) = ship_key(name).or_else(|| seen_key(name, destination)) else { return Ok(Vec::new()) };
        for prefix in ["owed/ship/", "held/ship/"].map(|folder| format!("{folder}{destination}/{key}")) {
            let range = ListObjects { prefix: Some(prefix.clone()), ..ListObjects::default() };
            let listing =
                self.bucket.list_all(&range, LISTED_MAX, deadline).await.map_err(Error::bucket("list", &prefix))?;
            for object in listing.objects {
                if let Some(body) = self.read::<ShipBody>(&object.name, deadline).await? {
                    return Ok(body.event_ids);
                }
            }
        }
        let seen = pipeline::seen_name(destination, &key);
        Ok(self.read::<ShipBody>(&seen, deadline).await?.map(|body| body.event_ids).unwrap_or_default())
    }
}

fn ship_key(name: &str) -> Option<ShipKey> {
    match name.parse::<Receipt>().ok()?.stage {
        Stage::Ship(_, key) => Some(key),
        Stage::Fetch(_) => None,
    }
}

/// `seen/<span>/<destination>/<batch>`, where it is this destination's.
fn seen_key(name: &str, destination: &Destination) -> Option<ShipKey> {
    let mut fields = name.strip_prefix("seen/")?.split('/');
    let (span, whose, batch) = (fields.next()?, fields.next()?, fields.next()?);
    (whose == destination.as_str()).then(|| format!("{span}.{batch}").parse().ok()).flatten()
}
