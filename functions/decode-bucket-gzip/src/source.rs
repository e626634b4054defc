//! A file's bytes as they arrive: from its bucket, or from what is kept of it.

use bytes::Bytes;
use oci_client::ObjectReader;
use pipeline::ObjectKey;
use workbench::Deadline;

use crate::{
    App,
    file::{Body, Kept},
};

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileUnreadable {
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
    key: ObjectKey,
    kept: Option<Kept>,
    from: From,
}

enum From {
    Bucket(Box<ObjectReader>),
    /// What is kept of it.
    Kept {
        /// The next byte of the file.
        offset: u64,
        /// Why the bucket does not have it.
        why: FileUnreadable,
    },
}

impl<'a> Source<'a> {
    /// At `offset` of the file that a receipt names.
    pub(crate) fn at(app: &'a App, body: &Body, offset: u64) -> Self {
        let file = &body.file;
        let bucket = app.config.connection.client.bucket(&file.namespace, &file.bucket);
        let from = From::Bucket(Box::new(bucket.read(&file.object, &file.etag, offset)));
        Self { app, key: file.key(), kept: body.kept.clone().filter(|kept| kept.is_whole), from }
    }

    /// The next bytes, at least one; none behind the end.
    pub(crate) async fn next(&mut self, deadline: Deadline) -> Result<Option<Bytes>, FileUnreadable> {
        if let From::Bucket(reader) = &mut self.from {
            match reader.chunk(deadline).await.map_err(classify) {
                Err(why @ (FileUnreadable::Overwritten | FileUnreadable::Gone)) if self.kept.is_some() => {
                    self.from = From::Kept { offset: reader.offset(), why };
                }
                read => return read,
            }
        }
        self.kept(deadline).await
    }

    /// The next bytes of what is kept.
    async fn kept(&mut self, deadline: Deadline) -> Result<Option<Bytes>, FileUnreadable> {
        let (From::Kept { offset, why }, Some(kept)) = (&mut self.from, &self.kept) else {
            return Err(FileUnreadable::Gone);
        };
        if *offset == kept.until {
            return Ok(None);
        }
        let mut absent = || std::mem::replace(why, FileUnreadable::Gone);
        let (part, within) = kept.part(*offset).ok_or_else(&mut absent)?;
        let config = &self.app.config;
        let bytes = config.ledger.kept_part(config.target.name(), &self.key, part, deadline).await?;
        let bytes = bytes.filter(|bytes| within < bytes.len()).ok_or_else(absent)?.slice(within..);
        *offset += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

fn classify(error: oci_client::Error) -> FileUnreadable {
    if error.is_object_not_found() {
        FileUnreadable::Gone
    } else if error.is_precondition_failed() {
        FileUnreadable::Overwritten
    } else {
        FileUnreadable::Client(error)
    }
}
