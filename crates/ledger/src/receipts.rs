//! Receipts and their transitions: owe, take, finish, give back, hand on.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use oci_client::{ListObjects, Precondition};
use pipeline::{
    Account, Destination, EventRange, FetchBody, FetchKey, Receipt, Seen, ShipBody, ShipKey, Stage, State, Tally,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Deadline, Error, Ledger, error::refusal, hush, state::to_json};

/// A hold that has just ended may be one that our clock ends too early.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// Whether the two are parts of one look at one window: then no scope is in both.
fn are_of_one_plan(one: &FetchKey, other: &FetchKey) -> bool {
    one.look == other.look && one.look != FetchKey::ANEW && one.window == other.window && one.part != other.part
}

/// A receipt names at most some thousand units of 200 bytes, or some ten thousand events of 11.
const RECEIPT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How many receipts one look at the ledger takes in; a backlog beyond it is met by later looks, oldest first.
const WAITING_MAX: usize = 20_000;

/// What came of owing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// The receipt was written.
    Written,
    /// One of that name waits already: what was planned before is adopted.
    Already,
}

/// What came of taking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is ours until then.
    Held(Receipt),
    /// It is done, or somebody else has it.
    Gone,
}

/// What waits and what is being worked on, as one listing shows it.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// Owed, with the time of the last change where the service tells; by name, so the oldest window of a stage first.
    pub owed: Vec<(Receipt, Option<Timestamp>)>,
    /// Held, likewise.
    pub held: Vec<(Receipt, Option<Timestamp>)>,
    /// Destinations that are down, with how far each has come back: see [`Ledger::hush`].
    pub hushed: BTreeMap<Destination, u8>,
    /// Names that are not ours.
    pub foreign: usize,
    /// False where more waits than one look takes in.
    pub is_whole: bool,
    /// The service's time at the listing, where the answer told it.
    pub read_at: Option<Timestamp>,
}

impl Waiting {
    /// All receipts.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.owed.iter().chain(&self.held).map(|(receipt, _)| receipt)
    }
}

impl Ledger {
    /// Everything owed and held.
    ///
    /// # Errors
    /// Where the bucket cannot be listed.
    pub async fn waiting(&self, deadline: Deadline) -> Result<Waiting, Error> {
        // `0` follows `/`: the range holds held/, hush/ and owed/ and nothing else, so one listing tells all.
        let range = ListObjects {
            start: Some("held/".into()),
            end: Some("owed0".into()),
            with_times: true,
            ..ListObjects::default()
        };
        let mut waiting = Waiting { is_whole: true, ..Waiting::default() };
        if !self.wait_for(&range, &mut waiting, deadline).await? {
            // A long backfill stands before the batches and files in this order, and those must not wait for it.
            tracing::warn!(
                listed = waiting.owed.len(),
                "more is owed than one look takes in; the oldest and the batches go first"
            );
            let behind = ListObjects { start: Some("owed/object/".into()), ..range };
            waiting.is_whole = false;
            self.wait_for(&behind, &mut waiting, deadline).await?;
            waiting.owed.sort_unstable();
            waiting.owed.dedup();
        }
        Ok(waiting)
    }

    /// Adds what `range` holds; whether that is all.
    async fn wait_for(&self, range: &ListObjects, waiting: &mut Waiting, deadline: Deadline) -> Result<bool, Error> {
        let listing = self
            .bucket
            .list_all(range, WAITING_MAX, deadline)
            .await
            .map_err(Error::bucket("list", "held/ and owed/"))?;
        waiting.read_at = waiting.read_at.or(listing.date);
        for object in listing.objects {
            let modified = object.time_modified.max(object.time_created);
            match object.name.parse::<Receipt>() {
                Ok(receipt) if receipt.state == State::Owed => waiting.owed.push((receipt, modified)),
                Ok(receipt) => waiting.held.push((receipt, modified)),
                Err(_) => match hush::parse(&object.name) {
                    // A race may leave several: the lowest is the most careful.
                    Some((destination, level)) => {
                        let lowest = waiting.hushed.entry(destination).or_insert(level);
                        *lowest = level.min(*lowest);
                    }
                    None => waiting.foreign += 1,
                },
            }
        }
        Ok(listing.next_start_with.is_none())
    }

    /// The other fetch receipts that somebody works on at `now` and whose listing could meet the same events as `mine`.
    ///
    /// # Errors
    /// Where the bucket cannot be listed.
    pub async fn side_by_side(
        &self,
        mine: &Receipt,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<Vec<Receipt>, Error> {
        let Stage::Fetch(key) = &mine.stage else { return Ok(Vec::new()) };
        let list = ListObjects { prefix: Some("held/fetch/".into()), ..ListObjects::default() };
        let listing =
            self.bucket.list_all(&list, WAITING_MAX, deadline).await.map_err(Error::bucket("list", "held/fetch/"))?;
        let meets = |receipt: &Receipt| match (&receipt.stage, receipt.state) {
            (Stage::Fetch(other), State::Held { until }) => {
                // The same key may be held twice: planned again after its first planner died.
                receipt != mine
                    && until + CLOCKS_DIFFER > now
                    && other.lane == key.lane
                    && other.region == key.region
                    && other.window.touches(key.window)
                    && !are_of_one_plan(key, other)
            }
            _ => false,
        };
        let names = listing.objects.iter().filter_map(|object| object.name.parse::<Receipt>().ok());
        Ok(names.filter(meets).collect())
    }

    /// Writes that `stage` is owed, with its work in full.
    ///
    /// # Errors
    /// Where it cannot be written: then it is not owed, and what it replaces must stay.
    pub async fn owe(&self, stage: &Stage, body: &(impl Serialize + Sync), deadline: Deadline) -> Result<Owed, Error> {
        let name = Receipt::owed(stage.clone()).to_string();
        match self.bucket.put(&name, to_json(&name, body)?, Precondition::IfNoneMatch, deadline).await {
            Ok(_) => Ok(Owed::Written),
            // Also where our own write's answer was lost and the repeat met it.
            Err(error) if refusal(&error).is_precondition_failed() => Ok(Owed::Already),
            Err(error) => Err(Error::bucket("write", &name)(error)),
        }
    }

    /// Owes listing work under `key`, or, where other work waits under that name, under the key's next free continuation:
    /// nothing is ever taken for done because its name is taken. The receipt, and whether it was there already, with the
    /// same work.
    ///
    /// # Errors
    /// Where it cannot be written: then it is not owed, and what it replaces must stay.
    pub async fn owe_listing(
        &self,
        key: &FetchKey,
        body: &FetchBody,
        deadline: Deadline,
    ) -> Result<(Receipt, Owed), Error> {
        let mut key = key.clone();
        loop {
            let receipt = Receipt::owed(Stage::Fetch(key.clone()));
            if self.owe(&receipt.stage, body, deadline).await? == Owed::Written {
                return Ok((receipt, Owed::Written));
            }
            match self.fetch_body(&receipt, deadline).await? {
                Some(there) if there.is_same_work(body) => return Ok((receipt, Owed::Already)),
                _ => key.continuation += 1,
            }
        }
    }

    /// Owes what a dead planner meant to owe under `key`: adopts its receipt where that still waits untouched, else owes
    /// the work under a continuation, which no doorbell of the dead planner's names.
    ///
    /// # Errors
    /// As for [`Ledger::owe_listing`].
    pub async fn adopt_listing(
        &self,
        key: &FetchKey,
        body: &FetchBody,
        deadline: Deadline,
    ) -> Result<(Receipt, Owed), Error> {
        let receipt = Receipt::owed(Stage::Fetch(key.clone()));
        match self.fetch_body(&receipt, deadline).await? {
            Some(there) if there.is_same_work(body) => Ok((receipt, Owed::Already)),
            _ => {
                let next = FetchKey { continuation: key.continuation + 1, ..key.clone() };
                self.owe_listing(&next, body, deadline).await
            }
        }
    }

    /// Takes an owed receipt until `until`, by the service's clock.
    ///
    /// # Errors
    /// Where nobody knows whether it was taken, and where the bucket is not there: nothing may be sent then.
    pub async fn take(&self, owed: &Receipt, until: Timestamp, deadline: Deadline) -> Result<Taken, Error> {
        let held = owed.held_until(until);
        match self.bucket.rename(&owed.to_string(), &held.to_string(), true, deadline).await {
            Ok(_) => Ok(Taken::Held(held)),
            Err(error) if error.is_object_not_found() || error.is_precondition_failed() => Ok(Taken::Gone),
            Err(error) => Err(Error::bucket("take", &owed.to_string())(error)),
        }
    }

    /// Gives a held receipt back as it was: what stood in the way was not of its making.
    ///
    /// # Errors
    /// Where it cannot be renamed; it stays held, and the sweep gives it back when its time is over.
    pub async fn give_back(&self, held: &Receipt, deadline: Deadline) -> Result<(), Error> {
        self.owe_again(held, held.given_back(), deadline).await.map(drop)
    }

    /// Gives back what a vanished holder held, counting the attempt.
    ///
    /// # Errors
    /// Where it cannot be renamed.
    pub async fn release(&self, held: &Receipt, deadline: Deadline) -> Result<Receipt, Error> {
        self.owe_again(held, held.abandoned(), deadline).await
    }

    /// Renames `held` to `owed`, or to its next attempt whose name is free: what waits under a taken name may be other
    /// work, and nothing is removed for it.
    async fn owe_again(&self, held: &Receipt, mut owed: Receipt, deadline: Deadline) -> Result<Receipt, Error> {
        loop {
            match self.bucket.rename(&held.to_string(), &owed.to_string(), true, deadline).await {
                Ok(_) => return Ok(owed),
                // Our own rename whose answer was lost, or somebody else was faster: it is not held any more.
                Err(error) if refusal(&error).is_object_not_found() => return Ok(owed),
                Err(error) if refusal(&error).is_precondition_failed() => owed = owed.abandoned(),
                Err(error) => return Err(Error::bucket("give back", &held.to_string())(error)),
            }
        }
    }

    /// Listing work is done: its receipt becomes the account of what it found, which [`Ledger::seen`] shows.
    ///
    /// # Errors
    /// Where that cannot be written; the work will be done once more.
    pub async fn finish_listing(&self, held: &Receipt, account: &Account, deadline: Deadline) -> Result<(), Error> {
        let Stage::Fetch(key) = &held.stage else { return self.remove(held, deadline).await };
        self.keep_as_seen(held, &Seen::Fetched(key.clone(), account.clone()).to_string(), deadline).await.map(drop)
    }

    /// The events of `range` (all that the receipt names, where it is `None`) are taken or dead: the receipt is kept
    /// under `seen/`, where later looks find which events those are. What else it named must be owed already.
    ///
    /// # Errors
    /// Where that cannot be written; the work will be done once more.
    pub async fn finish_batch(
        &self,
        held: &Receipt,
        range: Option<EventRange>,
        tally: Tally,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let Stage::Ship(destination, key) = &held.stage else { return self.remove(held, deadline).await };
        let key = ShipKey { range: range.or(key.range), ..key.clone() };
        self.keep_as_seen(held, &Seen::Shipped(destination.clone(), key, tally).to_string(), deadline).await.map(drop)
    }

    /// Owes each of `ranges` of a held batch. Where a receipt of that name waits already, it is the same work.
    ///
    /// # Errors
    /// Where one cannot be written; `held` must stay then.
    pub async fn owe_ranges(
        &self,
        held: &Receipt,
        ranges: &[EventRange],
        body: &ShipBody,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let Stage::Ship(destination, key) = &held.stage else { return Ok(()) };
        for range in ranges {
            let key = ShipKey { range: Some(*range), ..key.clone() };
            self.owe(&Stage::Ship(destination.clone(), key), body, deadline).await?;
        }
        Ok(())
    }

    /// Removes a held receipt all of whose work is owed under other names.
    ///
    /// # Errors
    /// Where it cannot be removed; its work is done once more.
    pub async fn replace(&self, held: &Receipt, deadline: Deadline) -> Result<(), Error> {
        self.remove(held, deadline).await
    }

    /// What a fetch receipt holds; `None` where it is not there under that name.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn fetch_body(&self, receipt: &Receipt, deadline: Deadline) -> Result<Option<FetchBody>, Error> {
        self.read(&receipt.to_string(), deadline).await
    }

    /// What a ship receipt holds; `None` where it is not there under that name.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn ship_body(&self, receipt: &Receipt, deadline: Deadline) -> Result<Option<ShipBody>, Error> {
        self.read(&receipt.to_string(), deadline).await
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, name: &str, deadline: Deadline) -> Result<Option<T>, Error> {
        match self.bucket.get(name, RECEIPT_MAX_BYTES, deadline).await {
            Ok(object) => serde_json::from_slice(&object.body)
                .map(Some)
                .map_err(|source| Error::Corrupt { name: name.to_owned(), source }),
            Err(error) if error.is_object_not_found() => Ok(None),
            Err(error) => Err(Error::bucket("read", name)(error)),
        }
    }

    /// Whether it lies under that name now; false where it is not known.
    pub(crate) async fn keep_as_seen(&self, held: &Receipt, seen: &str, deadline: Deadline) -> Result<bool, Error> {
        match self.bucket.rename(&held.to_string(), seen, true, deadline).await {
            Ok(_) => Ok(true),
            // Our own rename whose answer was lost, or the sweep was faster: either way it is not held any more.
            Err(error) if refusal(&error).is_object_not_found() => Ok(false),
            // The same work was done before, by a holder whose end nobody saw.
            Err(error) if refusal(&error).is_precondition_failed() => self.remove(held, deadline).await.map(|()| true),
            Err(error) => Err(Error::bucket("rename", &held.to_string())(error)),
        }
    }

    async fn remove(&self, held: &Receipt, deadline: Deadline) -> Result<(), Error> {
        let name = held.to_string();
        match self.bucket.delete(&name, None, deadline).await {
            Ok(()) => Ok(()),
            Err(error) if refusal(&error).is_object_not_found() => Ok(()),
            Err(error) => Err(Error::bucket("delete", &name)(error)),
        }
    }
}
