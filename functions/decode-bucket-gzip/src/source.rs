//! A file's bytes, range by range: from its bucket, or from what is kept of it.

use bytes::Bytes;
use oci_client::Bucket;
use percent_encoding::percent_decode_str;
use workbench::Deadline;

use crate::{
    App,
    file::{Body, File, Kept},
};

/// Bytes of one range: some six times as many records, and a fraction of the memory that a function has.
pub(crate) const RANGE_BYTES: usize = 1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotRead {
    /// Its name stands for another version now.
    #[error("was overwritten before it was read to its end; the new version has an event of its own")]
    Overwritten,
    /// There is no such object any more.
    #[error("is gone before it was read to its end: was it deleted by hand, or by a life-cycle rule?")]
    Gone,
    /// The service, or the way to it, failed.
    #[error("a log file cannot be read")]
    Client(#[from] oci_client::Error),
    /// What is kept of it cannot be read.
    #[error("what is kept of a log file cannot be read")]
    Ledger(#[from] ledger::Error),
}

/// Reads one file from some place on.
pub(crate) struct Source<'a> {
    app: &'a App,
    bucket: Bucket,
    file: File,
    kept: Option<Kept>,
    /// The next byte to read.
    offset: u64,
    is_over: bool,
}

impl<'a> Source<'a> {
    /// At `offset` of the file that a receipt names.
    pub(crate) fn at(app: &'a App, body: &Body, offset: u64) -> Self {
        let file = body.file.clone();
        let bucket = app.config.connection.client.bucket(&file.namespace, &file.bucket);
        Self { app, bucket, file, kept: body.kept.clone().filter(|kept| kept.is_whole), offset, is_over: false }
    }

    /// The next bytes, some `length` of them; none behind the end.
    pub(crate) async fn next(&mut self, length: usize, deadline: Deadline) -> Result<Option<Bytes>, CannotRead> {
        if self.is_over {
            return Ok(None);
        }
        let object = self.range(length, deadline).await;
        let bytes = match object {
            Err(error @ (CannotRead::Overwritten | CannotRead::Gone)) => self.kept(deadline).await?.ok_or(error)?,
            bytes => bytes?,
        };
        self.offset += bytes.len() as u64;
        self.is_over |= bytes.is_empty();
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    async fn range(&mut self, length: usize, deadline: Deadline) -> Result<Bytes, CannotRead> {
        let File { object, etag, .. } = &self.file;
        let range = self.bucket.get_range(object, etag, self.offset, length, deadline).await.map_err(classify)?;
        self.is_over = range.is_last;
        Ok(range.body)
    }

    /// The bytes from `offset` on, as they are kept; `None` where they are not.
    async fn kept(&self, deadline: Deadline) -> Result<Option<Bytes>, CannotRead> {
        let Some(kept) = &self.kept else { return Ok(None) };
        if self.offset == kept.until {
            return Ok(Some(Bytes::new()));
        }
        let Some((part, within)) = kept.part(self.offset) else { return Ok(None) };
        let config = &self.app.config;
        let bytes = config.ledger.kept_part(config.target.name(), &self.file.key(), part, deadline).await?;
        Ok(bytes.filter(|bytes| within < bytes.len()).map(|bytes| bytes.slice(within..)))
    }
}

fn classify(error: oci_client::Error) -> CannotRead {
    if error.is_object_not_found() {
        CannotRead::Gone
    } else if error.is_precondition_failed() {
        CannotRead::Overwritten
    } else {
        CannotRead::Client(error)
    }
}

/// A name with its escapes resolved, where it has any.
pub(crate) fn decoded(object: &str) -> Option<String> {
    let decoded = percent_decode_str(object).decode_utf8().ok()?;
    (decoded != object).then(|| decoded.into_owned())
}
