//! The search: files whose event never came, those that the bucket will lose before they are delivered, and delivered ones
//! that are still where they were.

use jiff::{SignedDuration, Timestamp};
use ledger::{ObjectWork, Owed, Swapped, Taken};
use oci_client::{ListObjects, ObjectSummary};
use pipeline::{Pointer, Receipt};
use tokio::time::Instant;
use workbench::{Deadline, hold_until};

use crate::{
    After, App, after,
    file::{Body, File},
    keep,
    receipt::{give_back, owe},
    source::CannotRead,
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

/// Looks through all buckets.
///
/// # Errors
/// Where a bucket or the ledger cannot be read, or a receipt not be written; what was found before is owed.
pub(crate) async fn search(
    app: &App,
    until: Instant,
    deadline: Deadline,
    found: &mut Found,
) -> Result<(), SearchError> {
    let destination = app.config.target.name();
    let work = app.config.ledger.objects(destination, deadline).await?;
    let now = app.config.connection.client.service_time().ok_or(SearchError::NoTime)?;
    for bucket in &app.config.buckets {
        search_bucket(app, bucket, &work, now, (until, deadline), found).await?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error("the bucket {bucket} cannot be listed: does the function's policy let it read objects there?")]
    Bucket {
        bucket: String,
        #[source]
        source: Box<oci_client::Error>,
    },
    #[error("the service gave no time")]
    NoTime,
}

async fn search_bucket(
    app: &App,
    bucket: &str,
    work: &ObjectWork,
    now: Timestamp,
    (until, deadline): (Instant, Deadline),
    found: &mut Found,
) -> Result<(), SearchError> {
    let (ledger, destination) = (&app.config.ledger, app.config.target.name());
    let noted = ledger.search_from(destination, bucket, deadline).await?.filter(|from| !from.is_empty());
    let mut from = noted.clone();
    for _ in 0..PAGES {
        let page = page(app, &app.config.namespace, bucket, &app.config.prefix, from, deadline).await?;
        from = page.next;
        for entry in page.files {
            look_at(app, &entry, work, now, (until, deadline), found).await?;
        }
        if from.is_none() || Instant::now() >= until {
            break;
        }
    }
    if from != noted {
        ledger.search_on(destination, bucket, from.as_deref(), deadline).await?;
    }
    Ok(())
}

/// Some files of a bucket.
pub(crate) struct Page {
    pub(crate) files: Vec<Entry>,
    /// Where the next page begins; none behind the last.
    pub(crate) next: Option<String>,
}

/// A file of a listing.
pub(crate) struct Entry {
    pub(crate) file: File,
    /// When it was last written.
    pub(crate) since: Timestamp,
}

/// One page of the files under `prefix`. Objects without a byte hold no record; folders are such.
pub(crate) async fn page(
    app: &App,
    namespace: &str,
    bucket: &str,
    prefix: &str,
    from: Option<String>,
    deadline: Deadline,
) -> Result<Page, SearchError> {
    let range = ListObjects {
        prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
        start: from,
        with_times: true,
        ..ListObjects::default()
    };
    let listing = app
        .config
        .connection
        .client
        .bucket(namespace, bucket)
        .list(&range, deadline)
        .await
        .map_err(|source| SearchError::Bucket { bucket: bucket.to_owned(), source: Box::new(source) })?;
    let entry = |object: ObjectSummary| {
        let since = object.time_modified.max(object.time_created)?;
        let is_file = app.config.is_input(&object.name) && object.size != Some(0);
        let (namespace, bucket) = (namespace.to_owned(), bucket.to_owned());
        let file = File { namespace, bucket, object: object.name, etag: object.etag? };
        is_file.then_some(Entry { file, since })
    };
    Ok(Page { files: listing.objects.into_iter().filter_map(entry).collect(), next: listing.next_start_with })
}

async fn look_at(
    app: &App,
    Entry { file, since }: &Entry,
    work: &ObjectWork,
    now: Timestamp,
    (until, deadline): (Instant, Deadline),
    found: &mut Found,
) -> Result<(), SearchError> {
    let key = file.key();
    let age = now.duration_since(*since);
    if let Some(receipt) = work.owed.get(&key) {
        if age >= app.config.keep_after && Instant::now() < until {
            found.kept += u32::from(keep_owed(app, receipt, (until, deadline)).await);
        }
    } else if let Some(tally) = work.seen.get(&key) {
        // Delivered, and the call ended before it could say so to the bucket. What is set aside in part stays.
        if app.config.after != After::Keep && tally.dead == 0 && age >= PATIENCE {
            after::settle(app, file, deadline).await;
        }
    } else if !work.knows(&key) && age >= PATIENCE && age <= app.config.search_within {
        let (receipt, owed) = owe(app, file.clone(), *since, false, deadline).await?;
        if owed == Owed::Written {
            tracing::warn!(object = file.object, "no event came for this file: it is owed now");
            found.noticed += 1;
        }
        found.pointers.push(Pointer { receipt, location: None });
    }
    Ok(())
}

/// Copies the bytes of a file that has waited for long. Whether all of them are copied now.
async fn keep_owed(app: &App, owed: &Receipt, (until, deadline): (Instant, Deadline)) -> bool {
    match keep_taken(app, owed, (until, deadline)).await {
        Ok(is_kept) => is_kept,
        Err(error) => {
            tracing::error!(
                receipt = %owed,
                error = error.as_ref() as &dyn std::error::Error,
                "a file that is not delivered cannot be copied: its bucket may lose it"
            );
            false
        }
    }
}

async fn keep_taken(
    app: &App,
    owed: &Receipt,
    (until, deadline): (Instant, Deadline),
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let ledger = &app.config.ledger;
    let is_kept = |body: &Body| body.kept.as_ref().is_some_and(|kept| kept.is_whole);
    match ledger.object_body::<Body>(owed, deadline).await? {
        Some(body) if !is_kept(&body.value) => {}
        _ => return Ok(false),
    }
    let now = app.config.connection.client.service_time().ok_or(SearchError::NoTime)?;
    let Taken::Held(held) = ledger.take(owed, hold_until(now, deadline), deadline).await? else { return Ok(false) };
    let kept = match ledger.object_body::<Body>(&held, deadline).await {
        Ok(Some(mut body)) => {
            let kept = keep::keep(app, &mut body.value, until, deadline).await;
            match ledger.note_progress(&held, &body.value, &body.etag, deadline).await {
                Ok(Swapped::Written(_)) => kept.map_err(KeepError::from),
                Ok(Swapped::Lost) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        Ok(None) => return Ok(false),
        Err(error) => Err(error.into()),
    };
    give_back(app, &held, deadline).await;
    Ok(kept?)
}

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Read(#[from] CannotRead),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
}
