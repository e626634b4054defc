//! Keeping the bytes of a file that cannot be delivered as it is, or not in time.

use bytes::{Bytes, BytesMut};
use ledger::KEPT_PART_MAX_BYTES;
use workbench::Deadline;

use crate::{
    App,
    file::{Body, Kept},
    source::{CannotRead, RANGE_BYTES, Source},
};

/// Copies what is still needed of a file, from where reading would go on, part by part, as far as there is time until
/// `until`. `kept` in the body tells how far it came; whether that is the end of the file.
pub(crate) async fn keep(app: &App, body: &mut Body, until: Deadline, deadline: Deadline) -> Result<bool, CannotRead> {
    let mut kept =
        body.kept.take().unwrap_or(Kept { from: body.point.offset, until: body.point.offset, is_whole: false });
    let done = copy(app, body, &mut kept, until, deadline).await;
    let is_whole = kept.is_whole;
    body.kept = Some(kept);
    done.map(|()| is_whole)
}

async fn copy(app: &App, body: &Body, kept: &mut Kept, until: Deadline, deadline: Deadline) -> Result<(), CannotRead> {
    let (ledger, destination, key) = (&app.config.ledger, app.config.target.name(), body.file.key());
    let mut source = Source::at(app, body, kept.until);
    while !kept.is_whole && tokio::time::Instant::now() < until {
        let Some(part) = part(&mut source, deadline).await? else {
            kept.is_whole = true;
            break;
        };
        let length = part.len();
        ledger.keep_part(destination, &key, kept.until, part, deadline).await?;
        kept.until += length as u64;
        kept.is_whole = length < KEPT_PART_MAX_BYTES;
    }
    Ok(())
}

/// The next whole part; a shorter one is the last.
async fn part(source: &mut Source<'_>, deadline: Deadline) -> Result<Option<Bytes>, CannotRead> {
    let mut part = BytesMut::with_capacity(KEPT_PART_MAX_BYTES);
    while part.len() < KEPT_PART_MAX_BYTES {
        let room = KEPT_PART_MAX_BYTES - part.len();
        match source.next(RANGE_BYTES.min(room), deadline).await? {
            Some(range) => part.extend_from_slice(&range),
            None => break,
        }
    }
    Ok(Some(part.freeze()).filter(|part| !part.is_empty()))
}
