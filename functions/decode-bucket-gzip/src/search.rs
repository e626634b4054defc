//! The search: files whose event never came, those that the bucket will lose before they are delivered, and delivered ones
//! that are still where they were.

use jiff::{SignedDuration, Timestamp};
use ledger::{ObjectWork, Owed, Swapped, Taken};
use pipeline::{Pointer, Receipt};
use workbench::{CallTime, give_back, hold_until, service_time};

use crate::{
    After, App, after,
    error::Failure,
    file::Body,
    keep,
    listing::{Entry, Folder},
    receipt::owe,
};

/// An event has had its time by then.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Pages of 1,000 names that one search looks through in each bucket; the next one goes on behind them.
const PAGES: usize = 10;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files that wait now.
    pub(crate) pointers: Vec<Pointer>,
    /// Files whose event never came.
    pub(crate) noticed: u32,
    /// Files whose bytes were copied before the bucket loses them.
    pub(crate) kept: u32,
}

/// Looks through all buckets. Where a bucket or the ledger cannot be read, or a receipt not be written, what was found before
/// is owed, and the failure stands beside it.
pub(crate) async fn search(app: &App, time: CallTime) -> (Found, Result<(), Failure>) {
    let mut found = Found::default();
    let outcome = search_all(app, time, &mut found).await;
    (found, outcome)
}

async fn search_all(app: &App, time: CallTime, found: &mut Found) -> Result<(), Failure> {
    let work = app.config.ledger.objects(app.config.target.name(), time.deadline).await?;
    let now = service_time(&app.config.connection.client)?;
    let mut search = Search { app, work, now, time, found };
    for bucket in &app.config.buckets {
        search.bucket(bucket).await?;
    }
    Ok(())
}

struct Search<'a> {
    app: &'a App,
    /// What the ledger knows.
    work: ObjectWork,
    now: Timestamp,
    time: CallTime,
    found: &'a mut Found,
}

impl Search<'_> {
    async fn bucket(&mut self, bucket: &str) -> Result<(), Failure> {
        let (app, deadline) = (self.app, self.time.deadline);
        let (ledger, destination) = (&app.config.ledger, app.config.target.name());
        let folder = Folder {
            namespace: app.config.namespace.clone(),
            bucket: bucket.to_owned(),
            prefix: app.config.prefix.clone(),
        };
        let noted = ledger.search_from(destination, bucket, deadline).await?.filter(|from| !from.is_empty());
        let mut from = noted.clone();
        for _ in 0..PAGES {
            let page = folder.page(app, from, deadline).await?;
            from = page.next;
            for entry in page.files {
                self.look_at(entry).await?;
            }
            if from.is_none() || self.time.is_over() {
                break;
            }
        }
        if from != noted {
            ledger.search_on(destination, bucket, from.as_deref(), deadline).await?;
        }
        Ok(())
    }

    async fn look_at(&mut self, Entry { file, arrived_at }: Entry) -> Result<(), Failure> {
        let (app, deadline) = (self.app, self.time.deadline);
        let key = file.key();
        let age = self.now.duration_since(arrived_at);
        if let Some(receipt) = self.work.owed.get(&key) {
            if age >= app.config.keep_after && !self.time.is_over() {
                self.found.kept += u32::from(keep_owed(app, receipt, self.time).await);
            }
        } else if let Some(tally) = self.work.seen.get(&key) {
            // Delivered, and the call ended before it could say so to the bucket. What is set aside in part stays.
            if app.config.after != After::Keep && tally.dead == 0 && age >= PATIENCE {
                after::put_away(app, &file, deadline).await;
            }
        } else if !self.work.knows(&key) && age >= PATIENCE && age <= app.config.search_within {
            let object = file.object.clone();
            let (receipt, owed) = owe(app, file, arrived_at, false, deadline).await?;
            if owed == Owed::Written {
                tracing::warn!(object, "no event came for this file: it is owed now");
                self.found.noticed += 1;
            }
            self.found.pointers.push(Pointer { receipt, location: None });
        }
        Ok(())
    }
}

/// Copies the bytes of a file that has waited for long. Whether all of them are copied now.
async fn keep_owed(app: &App, owed: &Receipt, time: CallTime) -> bool {
    match keep_taken(app, owed, time).await {
        Ok(is_kept) => is_kept,
        Err(error) => {
            tracing::error!(
                receipt = %owed,
                error = &error as &dyn std::error::Error,
                "a file that is not delivered cannot be copied: its bucket may lose it"
            );
            false
        }
    }
}

async fn keep_taken(app: &App, owed: &Receipt, time: CallTime) -> Result<bool, Failure> {
    let (ledger, deadline) = (&app.config.ledger, time.deadline);
    let is_kept = |body: &Body| body.kept.as_ref().is_some_and(|kept| kept.is_whole);
    match ledger.object_body::<Body>(owed, deadline).await? {
        Some(body) if !is_kept(&body.value) => {}
        _ => return Ok(false),
    }
    let now = service_time(&app.config.connection.client)?;
    let Taken::Held(held) = ledger.take(owed, hold_until(now, deadline), deadline).await? else { return Ok(false) };
    let kept = match ledger.object_body::<Body>(&held, deadline).await {
        Ok(Some(mut body)) => {
            let kept = keep::keep(app, &mut body.value, time).await;
            match ledger.note_progress(&held, &body.value, &body.etag, deadline).await {
                Ok(Swapped::Written(_)) => kept.map_err(Failure::from),
                Ok(Swapped::Lost) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        Ok(None) => return Ok(false),
        Err(error) => Err(error.into()),
    };
    give_back(ledger, &held, deadline).await;
    kept
}
