//! Batches on a stream: put whole, found again by place and key.

use std::time::Duration;

use bytes::Bytes;
use oci_client::{Client, CursorType, Endpoint, Message};
use oci_names::Ocid;
use pipeline::Location;

use crate::{Deadline, Ids};

/// How often a batch is begun anew under a new id before the stream counts as down.
const PUTS_MAX: u32 = 4;

/// How often a batch of which entries were refused inside a 200 is sent again.
const RESENDS_MAX: u32 = 6;

/// The service takes at most this many messages in one answer.
const GET_LIMIT: u64 = 10_000;

/// A batch did not get on the stream whole. What did is foreign to every reader.
#[derive(Debug, thiserror::Error)]
pub enum CannotPut {
    /// The service refused it, or could not be reached.
    #[error("could not put the batch on the stream")]
    Client(#[from] oci_client::Error),
    /// Some entries were refused again and again.
    #[error("the stream refused {failed} of {count} messages again and again ({code})")]
    Entries {
        /// Refused to the last.
        failed: usize,
        /// All.
        count: usize,
        /// The service's code for the first of them.
        code: String,
    },
    /// Messages of one key came to lie on several partitions, which the service rules out.
    #[error("messages of one key lie on several partitions")]
    Scattered,
}

/// How many empty pages in a row end a reading: some 20 seconds. One says nothing about the end.
const EMPTY_PAGES_MAX: u32 = 15;

/// How often in a row a cursor that is refused is set anew: it may have expired, which the service tells in no other way
/// than that the messages have.
const CURSORS_MAX: u32 = 3;

/// A batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CannotRead {
    /// The service could not be reached, or failed.
    #[error("could not read the batch from the stream")]
    Client(#[source] oci_client::Error),
    /// The service answered, but the batch is not there (any more): expired, trimmed, or another stream under that name.
    #[error("the batch is not on the stream any more: {found} of {expected} messages found")]
    Gone {
        /// Messages of the batch that were found.
        found: u32,
        /// Messages that it has.
        expected: u32,
    },
    /// The stream gave empty page after empty page before the batch's end.
    #[error("the stream gives nothing more at offset {next}, before the batch's end")]
    Stalled {
        /// The offset that should come next.
        next: u64,
    },
}

/// Puts `values` on the stream as one batch, under a fresh id that begins with `prefix`.
///
/// A put whose outcome is unknown is repeated whole under a new id, so that its orphans are foreign to every reader. So is one
/// of which some entries failed inside a 200: sent again alone, they would lie behind the others, and a record's place in the
/// batch is what its receipt goes by.
///
/// # Errors
/// Where the batch is not on the stream whole by `deadline`.
pub async fn put_batch(
    client: &Client,
    endpoint: &Endpoint,
    stream: &Ocid,
    (ids, prefix): (&Ids, &str),
    values: &[Bytes],
    deadline: Deadline,
) -> Result<Location, CannotPut> {
    let mut puts = 0;
    loop {
        puts += 1;
        let batch = format!("{prefix}.{}", ids.next());
        match put_once(client, endpoint, stream, &batch, values, deadline).await {
            Err(CannotPut::Client(error)) if error.is_outcome_unknown() && puts < PUTS_MAX => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "nobody knows whether the stream took the batch; putting it again under a new id"
                );
            }
            Err(CannotPut::Scattered) if puts < PUTS_MAX => {
                tracing::warn!("the batch came to lie on several partitions; putting it again under a new id");
            }
            Err(CannotPut::Entries { failed, count, code })
                if failed < count && puts < RESENDS_MAX && tokio::time::Instant::now() < deadline =>
            {
                tracing::warn!(
                    failed,
                    count,
                    code,
                    "the stream refused part of the batch; putting it again under a new id"
                );
                tokio::time::sleep(Duration::from_millis(100 << puts)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn put_once(
    client: &Client,
    endpoint: &Endpoint,
    stream: &Ocid,
    batch: &str,
    values: &[Bytes],
    deadline: Deadline,
) -> Result<Location, CannotPut> {
    let key = Bytes::copy_from_slice(batch.as_bytes());
    let mut left: Vec<Message> =
        values.iter().map(|value| Message { key: key.clone(), value: value.clone() }).collect();
    let mut location: Option<Location> = None;
    let mut resends = 0;
    loop {
        let entries = client.streaming(endpoint).put_messages(stream, &left, deadline).await?;
        let mut failed = Vec::new();
        let mut code = String::new();
        for (message, entry) in left.into_iter().zip(entries) {
            match entry {
                Ok(written) => {
                    let place = location.get_or_insert_with(|| Location {
                        batch: batch.to_owned(),
                        stream: stream.clone(),
                        partition: written.partition.clone(),
                        offset: written.offset,
                        last_offset: written.offset,
                        num_records: 0,
                    });
                    if place.partition != written.partition {
                        return Err(CannotPut::Scattered);
                    }
                    place.offset = place.offset.min(written.offset);
                    place.last_offset = place.last_offset.max(written.offset);
                    place.num_records += 1;
                }
                Err(rejected) => {
                    code = rejected.error;
                    failed.push(message);
                }
            }
        }
        match location {
            Some(location) if failed.is_empty() => return Ok(location),
            // A batch has at least one message, so something failed.
            None if resends < RESENDS_MAX && tokio::time::Instant::now() < deadline => {}
            _ => return Err(CannotPut::Entries { failed: failed.len(), count: values.len(), code }),
        }
        tracing::warn!(failed = failed.len(), code, "the stream refused the batch; sending it again");
        tokio::time::sleep(Duration::from_millis(100 << resends)).await;
        resends += 1;
        left = failed;
    }
}

/// A batch that a cursor points at, not read yet.
#[derive(Debug)]
pub struct Opened<'a> {
    client: &'a Client,
    endpoint: &'a Endpoint,
    location: &'a Location,
    cursor: String,
}

/// Sets a cursor on the batch's first message.
///
/// Cheap beside reading, and it tells the service's time: who races for the batch reads it only once it has it.
///
/// # Errors
/// `Gone` where the service knows the place no more; `Client` otherwise.
pub async fn open_batch<'a>(
    client: &'a Client,
    endpoint: &'a Endpoint,
    location: &'a Location,
    deadline: Deadline,
) -> Result<Opened<'a>, CannotRead> {
    let at = CursorType::AtOffset(location.offset);
    match client.streaming(endpoint).create_cursor(&location.stream, &location.partition, at, deadline).await {
        Ok(cursor) => Ok(Opened { client, endpoint, location, cursor }),
        Err(error) => Err(sort(error, 0, location)),
    }
}

/// The next of other partitions' or writers' messages may not be there yet: then the cursor goes behind the last one read.
fn onwards(location: &Location, next: u64) -> CursorType {
    match next.checked_sub(1).filter(|_| next > location.offset) {
        Some(last) => CursorType::AfterOffset(last),
        None => CursorType::AtOffset(location.offset),
    }
}

impl Opened<'_> {
    /// The values of the batch's messages, in order. Messages of others between them are passed over and counted.
    ///
    /// # Errors
    /// `Gone` where not all of them are there; `Client` where the service could not say.
    pub async fn read(mut self, deadline: Deadline) -> Result<Vec<Bytes>, CannotRead> {
        let location = self.location;
        let mut values = Vec::new();
        let mut foreign = 0_u64;
        let mut next = location.offset;
        let mut pause = Duration::from_millis(50);
        let mut empty_pages = 0;
        let mut cursors = 0;
        loop {
            let wanted = (location.last_offset - next).saturating_add(1).min(GET_LIMIT);
            // At most GET_LIMIT, so it fits.
            let limit = u32::try_from(wanted).unwrap_or(u32::MAX);
            let found = u32::try_from(values.len()).unwrap_or(u32::MAX);
            let streaming = self.client.streaming(self.endpoint);
            let page = match streaming.get_messages(&location.stream, &self.cursor, limit, deadline).await {
                Ok(page) => page,
                Err(error) => {
                    let error = sort(error, found, location);
                    if cursors == CURSORS_MAX || !matches!(error, CannotRead::Gone { .. }) {
                        return Err(error);
                    }
                    cursors += 1;
                    let at = onwards(location, next);
                    let set = streaming.create_cursor(&location.stream, &location.partition, at, deadline).await;
                    self.cursor = set.map_err(|error| sort(error, found, location))?;
                    continue;
                }
            };
            cursors = 0;
            let empty = page.messages.is_empty();
            for message in page.messages {
                if message.offset > location.last_offset {
                    next = location.last_offset.saturating_add(1);
                    break;
                }
                next = message.offset.saturating_add(1);
                if message.key.as_deref() == Some(location.batch.as_bytes()) {
                    values.push(message.value);
                } else {
                    foreign += 1;
                }
            }
            if next > location.last_offset {
                break;
            }
            self.cursor = page.next_cursor;
            empty_pages = if empty { empty_pages + 1 } else { 0 };
            if empty_pages > EMPTY_PAGES_MAX {
                return Err(CannotRead::Stalled { next });
            }
            if empty {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
        if foreign > 0 {
            tracing::debug!(foreign, "passed over messages of others");
        }
        let found = u32::try_from(values.len()).unwrap_or(u32::MAX);
        // More than expected are copies: a part that was put again after all. Fewer are a loss on the stream.
        if found >= location.num_records {
            Ok(values)
        } else {
            Err(CannotRead::Gone { found, expected: location.num_records })
        }
    }
}

/// 400 is the service's word that the place is not there. A 404 may also mean that a policy is missing.
fn sort(error: oci_client::Error, found: u32, location: &Location) -> CannotRead {
    match error.status().map(|status| status.as_u16()) {
        Some(400) => CannotRead::Gone { found, expected: location.num_records },
        _ => CannotRead::Client(error),
    }
}
