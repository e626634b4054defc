//! Keeping the bytes of a file that cannot be delivered as it is, or not in time.

use bytes::{Bytes, BytesMut};
use ledger::KEPT_PART_MAX_BYTES;
use workbench::{CallTime, Deadline};

use crate::{
    App,
    file::{Body, Kept},
    source::{FileUnreadable, Source},
};

/// Copies what is still needed of a file, from where reading would go on, part by part, as far as there is
/// time. `kept` in the body tells how far it came; whether that is the end of the file.
pub(crate) async fn keep(app: &App, body: &mut Body, time: CallTime) -> Result<bool, FileUnreadable> {
    let mut kept =
        body.kept.take().unwrap_or(Kept { from: body.point.offset, until: body.point.offset, is_whole: false });
    let done = copy(app, body, &mut kept, time).await;
    let is_whole = kept.is_whole;
    body.kept = Some(kept);
    done.map(|()| is_whole)
}

async fn copy(app: &App, body: &Body, kept: &mut Kept, time: CallTime) -> Result<(), FileUnreadable> {
    let (ledger, destination, key) = (&app.config.ledger, app.config.target.name(), body.file.key());
    let mut source = Source::at(app, body, kept.until);
    let mut read = BytesMut::new();
    while !kept.is_whole && !time.is_over() {
        let part = next_part(&mut source, &mut read, time.deadline).await?;
        let length = part.len();
        if length > 0 {
            ledger.keep_part(destination, &key, kept.until, part, time.deadline).await?;
        }
        kept.until += length as u64;
        kept.is_whole = length < KEPT_PART_MAX_BYTES;
    }
    Ok(())
}

/// The next part; one that is not full is the last. What was `read` behind it stays there.
async fn next_part(source: &mut Source<'_>, read: &mut BytesMut, deadline: Deadline) -> Result<Bytes, FileUnreadable> {
    while read.len() < KEPT_PART_MAX_BYTES {
        match source.next(deadline).await? {
            Some(bytes) => read.extend_from_slice(&bytes),
            None => break,
        }
    }
    Ok(read.split_to(read.len().min(KEPT_PART_MAX_BYTES)).freeze())
}
