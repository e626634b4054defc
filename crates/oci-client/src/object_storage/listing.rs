//! Listing a bucket, page by page.

use http::header;
use jiff::Timestamp;
use serde::Deserialize;

use super::Bucket;
use crate::{
    Deadline, Error,
    call::{Content, Repeat},
    clock::parse_http_date,
};

/// 1 000 names of 1 024 bytes with their fields stay below.
const BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// The most that the service lists in one answer.
const LIMIT_MAX: u32 = 1000;

/// Which objects to list: names in `[start, end)` that begin with `prefix`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListObjects {
    /// The first bytes of the name.
    pub prefix: Option<String>,
    /// The first name, included.
    pub start: Option<String>,
    /// The last name, excluded.
    pub end: Option<String>,
    /// How many a page; at most 1 000, which is also the default.
    pub limit: Option<u32>,
    /// Also asks for etag, size and times; names alone otherwise.
    pub with_times: bool,
}

/// What a listing gave, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// The objects.
    pub objects: Vec<ObjectSummary>,
    /// The `start` of what is still to be listed; none at the end.
    pub next_start_with: Option<String>,
    /// The service's time as it answered, the first page where there are several; none where it did not say.
    #[serde(skip)]
    pub date: Option<Timestamp>,
}

/// An object of a listing; all but the name only where times were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSummary {
    /// Its name.
    pub name: String,
    /// Its version.
    pub etag: Option<String>,
    /// When this name was first written.
    pub time_created: Option<Timestamp>,
    /// When it was last written.
    pub time_modified: Option<Timestamp>,
    /// Its length in bytes.
    pub size: Option<u64>,
}

impl Bucket {
    /// Lists one page. May be repeated.
    ///
    /// # Errors
    /// As the service answered, or [`Error::Decode`], also where the next page would not lie behind this one.
    ///
    /// Source: Object Storage API reference, ListObjects.
    pub async fn list(&self, list: &ListObjects, deadline: Deadline) -> Result<Listing, Error> {
        self.page(list, list.start.as_deref(), deadline).await
    }

    /// Lists page after page until the end, or until there are at least `max` objects; what is left is then told by
    /// [`Listing::next_start_with`]. May be repeated.
    ///
    /// # Errors
    /// As [`Bucket::list`].
    pub async fn list_all(&self, list: &ListObjects, max: usize, deadline: Deadline) -> Result<Listing, Error> {
        let mut whole = self.list(list, deadline).await?;
        while let Some(start) = whole.next_start_with.take_if(|_| whole.objects.len() < max) {
            let page = self.page(list, Some(&start), deadline).await?;
            whole.objects.extend(page.objects);
            whole.next_start_with = page.next_start_with;
        }
        Ok(whole)
    }

    async fn page(&self, list: &ListObjects, start: Option<&str>, deadline: Deadline) -> Result<Listing, Error> {
        let limit = list.limit.unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX).to_string();
        let target = self
            .target()?
            .part("o")
            .query_if("prefix", list.prefix.as_deref())
            .query_if("start", start)
            .query_if("end", list.end.as_deref())
            .query("limit", &limit)
            .query_if("fields", list.with_times.then_some("name,etag,size,timeCreated,timeModified"));
        let call = self.call("ListObjects", http::Method::GET, target, Content::None, Repeat::Always);
        let answer = self.client.call(&call, BODY_MAX_BYTES, deadline).await?;
        let mut listing: Listing = answer.json()?;
        listing.date = answer.header(&header::DATE).ok().and_then(parse_http_date);
        listing.next_start_with = listing.next_start_with.filter(|next| !next.is_empty());
        if let (Some(start), Some(next)) = (start, listing.next_start_with.as_deref())
            && next <= start
        {
            return Err(answer.unexpected("nextStartWith, which goes back"));
        }
        Ok(listing)
    }
}
