//! The log files of a bucket, page by page.

use jiff::Timestamp;
use oci_client::{ListObjects, ObjectSummary};
use workbench::Deadline;

use crate::{App, error::Failure, file::File};

/// Where files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) namespace: String,
    pub(crate) bucket: String,
    /// What their names begin with.
    pub(crate) prefix: String,
}

/// Some files of a folder.
pub(crate) struct Page {
    pub(crate) files: Vec<Entry>,
    /// Where the next page begins; none behind the last.
    pub(crate) next: Option<String>,
}

/// A file of a listing.
pub(crate) struct Entry {
    pub(crate) file: File,
    /// When it was last written.
    pub(crate) arrived_at: Timestamp,
}

impl Folder {
    /// One page of its files. Objects without a byte hold no record; folders are such.
    pub(crate) async fn page(&self, app: &App, from: Option<String>, deadline: Deadline) -> Result<Page, Failure> {
        let Self { namespace, bucket, prefix } = self;
        let range = ListObjects {
            prefix: Some(prefix.clone()).filter(|prefix| !prefix.is_empty()),
            start: from,
            with_times: true,
            ..ListObjects::default()
        };
        let listing = app.config.connection.client.bucket(namespace, bucket).list(&range, deadline).await;
        let listing = listing.map_err(|source| Failure::Bucket { bucket: bucket.clone(), source: Box::new(source) })?;
        let entry = |object: ObjectSummary| {
            let arrived_at = object.time_modified.max(object.time_created)?;
            let is_file = app.config.is_input(&object.name) && object.size != Some(0);
            let (namespace, bucket) = (namespace.clone(), bucket.clone());
            let file = File { namespace, bucket, object: object.name, etag: object.etag? };
            is_file.then_some(Entry { file, arrived_at })
        };
        Ok(Page { files: listing.objects.into_iter().filter_map(entry).collect(), next: listing.next_start_with })
    }
}
