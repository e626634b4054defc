//! Which events of a window are on their way already, so that no look but the first sends them again.

use std::collections::HashSet;

use oci_client::ListObjects;
use pipeline::{Destination, EventHash, Lane, Receipt, Seen, ShipBody, ShipKey, Stage, Tally, Window};

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
    /// A receipt that waits under the key `except` does not count: its events are not on the stream any more, and are
    /// listed anew in its place.
    ///
    /// # Errors
    /// Where any of it cannot be read: then nobody may go on, for what is not known would be sent twice.
    pub async fn on_their_way(
        &self,
        lane: Lane,
        window: Window,
        region: &str,
        destination: &Destination,
        except: Option<&str>,
        deadline: Deadline,
    ) -> Result<HashSet<EventHash>, Error> {
        let mut known = HashSet::new();
        // In the order in which a batch travels, so that one that moves on meanwhile is met in its next place; and the
        // first place once more for one that was given back.
        for folder in ["owed/ship", "held/ship", "seen", "owed/ship"] {
            for (name, key) in self.batches(folder, lane, window, region, destination, deadline).await? {
                let waits = folder != "seen";
                if waits && except == Some(key.to_string().as_str()) {
                    continue;
                }
                let body = match self.read::<ShipBody>(&name, deadline).await? {
                    Some(body) => Some(body),
                    None => self.moved_on(&key, destination, deadline).await?,
                };
                known.extend(body.iter().flat_map(|body| body.on_their_way(key.range)));
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
    ) -> Result<Vec<(String, ShipKey)>, Error> {
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
        let mine = |name: String| {
            let key = if seen { seen_key(&name, destination) } else { ship_key(&name) }?;
            let touches = key.lane == lane && key.region() == region && key.window.touches(window);
            touches.then_some((name, key))
        };
        Ok(listing.objects.into_iter().filter_map(|object| mine(object.name)).collect())
    }

    /// A batch that was listed but is gone: it was taken, given back, finished or cut between the two calls. Whatever of it
    /// is found holds the ids of all of it.
    async fn moved_on(
        &self,
        key: &ShipKey,
        destination: &Destination,
        deadline: Deadline,
    ) -> Result<Option<ShipBody>, Error> {
        let whole = ShipKey { range: None, ..key.clone() };
        let waiting = ["owed/ship/", "held/ship/"].map(|folder| format!("{folder}{destination}/{whole}"));
        let done = Seen::Shipped(destination.clone(), whole, Tally::default()).to_string();
        let done = done.split('~').next().unwrap_or_default().to_owned();
        for prefix in waiting.into_iter().chain([done]) {
            let range = ListObjects { prefix: Some(prefix.clone()), ..ListObjects::default() };
            let listing =
                self.bucket.list_all(&range, LISTED_MAX, deadline).await.map_err(Error::bucket("list", &prefix))?;
            for object in listing.objects {
                if let Some(body) = self.read::<ShipBody>(&object.name, deadline).await? {
                    return Ok(Some(body));
                }
            }
        }
        Ok(None)
    }
}

fn ship_key(name: &str) -> Option<ShipKey> {
    match name.parse::<Receipt>().ok()?.stage {
        Stage::Ship(_, key) => Some(key),
        Stage::Fetch(_) | Stage::Object(..) => None,
    }
}

/// The key of a shipped batch, where it is this destination's.
fn seen_key(name: &str, destination: &Destination) -> Option<ShipKey> {
    match name.parse().ok()? {
        Seen::Shipped(whose, key, _) if whose == *destination => Some(key),
        Seen::Shipped(..) | Seen::Fetched(..) => None,
    }
}
