//! Object Storage: the objects of one bucket, with preconditions.

mod listing;

mod reader;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde::Serialize;

pub use self::{
    listing::{ListObjects, Listing, ObjectSummary},
    reader::ObjectReader,
};
use crate::{
    Client, Deadline, Error, Service,
    call::{Call, Content, Repeat},
    clock::parse_http_date,
    target::Target,
};

/// Object Storage has no version in its paths.
const BASE_PATH: &str = "";

/// Answers without content.
const SMALL_BODY_MAX_BYTES: usize = 64 * 1024;

/// The longest name of an object, in bytes of UTF-8.
const NAME_MAX_BYTES: usize = 1024;

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("opc-client-request-id");

impl Client {
    /// The tenancy's Object Storage namespace. May be repeated.
    ///
    /// # Errors
    /// As the service answered, or [`Error::Decode`].
    ///
    /// Source: Object Storage API reference, GetNamespace.
    pub async fn get_namespace(&self, deadline: Deadline) -> Result<String, Error> {
        let target = Target::new(&self.endpoint(Service::ObjectStorage, None)?, BASE_PATH).part("n");
        let call = Call { id_header: CLIENT_REQUEST_ID, ..Call::read("GetNamespace", target) };
        self.call(&call, SMALL_BODY_MAX_BYTES, deadline).await?.json()
    }
}

/// One bucket. Cheap to clone.
///
/// Every call but a HEAD is repeated a few times on 404 `BucketNotFound`, which valid requests meet now and then.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    namespace: String,
    name: String,
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its version, for [`Precondition::IfMatch`].
    pub etag: String,
    /// Its content.
    pub body: Bytes,
    /// The service's time as it answered; none where it gave none that can be right.
    pub date: Option<Timestamp>,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its version.
    pub etag: String,
    /// Its length in bytes, where the service says so.
    pub size: Option<u64>,
    /// When it was last written, to the second, where the service says so.
    pub last_modified: Option<Timestamp>,
}

/// Under which condition an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// In any case.
    None,
    /// Only over this version.
    IfMatch(String),
    /// Only if there is none of this name.
    IfNoneMatch,
}

/// An object that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Its new version.
    pub etag: String,
}

/// An object that was renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// Its version under the new name; empty where the service does not say.
    pub etag: String,
}

impl Bucket {
    pub(crate) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The client that calls for it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads an object whole, at most `cap` bytes. May be repeated.
    ///
    /// # Errors
    /// [`Error::is_object_not_found`] where there is none; [`Error::TooLarge`] past `cap`; else as the service answered.
    ///
    /// Source: Object Storage API reference, GetObject.
    pub async fn get(&self, name: &str, cap: usize, deadline: Deadline) -> Result<Object, Error> {
        const OPERATION: &str = "GetObject";
        let call = self.call(OPERATION, Method::GET, self.object(OPERATION, name)?, Content::None, Repeat::Always);
        let answer = self.client.call(&call, cap, deadline).await?;
        let date = answer.header(&header::DATE).ok().and_then(parse_http_date);
        Ok(Object { etag: answer.etag()?, date, body: answer.body })
    }

    /// Reads the version `etag` of an object from the byte `offset` on, as it arrives. Nothing is asked for yet.
    ///
    /// Source: Object Storage API reference, GetObject, `range` and `if-match`.
    pub fn read(&self, name: &str, etag: &str, offset: u64) -> ObjectReader {
        ObjectReader::new(self.clone(), name, etag, offset)
    }

    /// Looks at an object without reading it. May be repeated.
    ///
    /// # Errors
    /// [`Error::is_not_found`] where there is no such object, no such bucket, or no permission: a HEAD does not say.
    ///
    /// Source: Object Storage API reference, HeadObject.
    pub async fn head(&self, name: &str, deadline: Deadline) -> Result<Head, Error> {
        const OPERATION: &str = "HeadObject";
        let call = self.call(OPERATION, Method::HEAD, self.object(OPERATION, name)?, Content::None, Repeat::Always);
        let answer = self.client.call(&call, SMALL_BODY_MAX_BYTES, deadline).await?;
        Ok(Head {
            etag: answer.etag()?,
            size: answer.header(&header::CONTENT_LENGTH).ok().and_then(|size| size.parse().ok()),
            last_modified: answer.header(&header::LAST_MODIFIED).ok().and_then(parse_http_date),
        })
    }

    /// Writes an object.
    ///
    /// Repeated even where the outcome is unknown. Under a precondition the repeat may then lose against the first
    /// attempt: that is [`Error::OutcomeUnknown`], not [`Error::is_precondition_failed`], and reading the object tells.
    ///
    /// # Errors
    /// [`Error::is_precondition_failed`] where the condition does not hold; else as the service answered.
    ///
    /// Source: Object Storage API reference, PutObject. Signed without a digest, as by the official SDKs.
    pub async fn put(
        &self,
        name: &str,
        body: Bytes,
        precondition: Precondition,
        deadline: Deadline,
    ) -> Result<Put, Error> {
        const OPERATION: &str = "PutObject";
        let repeat = if precondition == Precondition::None { Repeat::Always } else { Repeat::Guarded };
        let target = self.object(OPERATION, name)?;
        let mut call = self.call(OPERATION, Method::PUT, target, Content::UnsignedBytes(body), repeat);
        match precondition {
            Precondition::None => {}
            Precondition::IfMatch(etag) => call.headers.push(if_match(OPERATION, &etag)?),
            Precondition::IfNoneMatch => call.headers.push((header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
        }
        let answer = self.client.call(&call, SMALL_BODY_MAX_BYTES, deadline).await?;
        Ok(Put { etag: answer.etag()? })
    }

    /// Deletes an object, or only this version of it.
    ///
    /// May be repeated: where the repeat finds nothing after an attempt of unknown outcome, the object is gone, and
    /// that is what was asked for.
    ///
    /// # Errors
    /// [`Error::is_object_not_found`] where there was none to begin with; [`Error::is_precondition_failed`] where
    /// there is another version; else as the service answered.
    ///
    /// Source: Object Storage API reference, DeleteObject.
    pub async fn delete(&self, name: &str, if_match_etag: Option<&str>, deadline: Deadline) -> Result<(), Error> {
        const OPERATION: &str = "DeleteObject";
        let target = self.object(OPERATION, name)?;
        let mut call = self.call(OPERATION, Method::DELETE, target, Content::None, Repeat::Guarded);
        if let Some(etag) = if_match_etag {
            call.headers.push(if_match(OPERATION, etag)?);
        }
        match self.client.call(&call, SMALL_BODY_MAX_BYTES, deadline).await {
            Err(Error::OutcomeUnknown { last, .. }) if last.is_object_not_found() => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// Gives an object another name; with `if_none_match`, only if that name is free.
    ///
    /// Repeated even where the outcome is unknown. Where the repeat then finds no source, or the target taken, that is
    /// [`Error::OutcomeUnknown`] and never [`Error::is_object_not_found`]: the first attempt may have moved it.
    ///
    /// # Errors
    /// [`Error::is_object_not_found`] where there is no object `from`; [`Error::is_precondition_failed`] where `to`
    /// exists; else as the service answered.
    ///
    /// Source: Object Storage API reference, RenameObject.
    pub async fn rename(
        &self,
        from: &str,
        to: &str,
        if_none_match: bool,
        deadline: Deadline,
    ) -> Result<Renamed, Error> {
        self.rename_if(from, None, to, if_none_match, deadline).await
    }

    /// Gives this version of an object another name that is free.
    ///
    /// # Errors
    /// [`Error::is_object_not_found`] where there is no object `from`; [`Error::is_precondition_failed`] where it has
    /// another version, or where `to` exists; else as the service answered. May be repeated as [`Bucket::rename`].
    ///
    /// Source: Object Storage API reference, RenameObject.
    pub async fn rename_version(&self, from: &str, etag: &str, to: &str, deadline: Deadline) -> Result<Renamed, Error> {
        self.rename_if(from, Some(etag), to, true, deadline).await
    }

    async fn rename_if(
        &self,
        from: &str,
        etag: Option<&str>,
        to: &str,
        if_none_match: bool,
        deadline: Deadline,
    ) -> Result<Renamed, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Details<'a> {
            source_name: &'a str,
            new_name: &'a str,
            #[serde(rename = "srcObjIfMatchETag", skip_serializing_if = "Option::is_none")]
            src_obj_if_match: Option<&'a str>,
            #[serde(rename = "newObjIfNoneMatchETag", skip_serializing_if = "Option::is_none")]
            new_obj_if_none_match: Option<&'static str>,
        }
        const OPERATION: &str = "RenameObject";
        check_name(OPERATION, from)?;
        check_name(OPERATION, to)?;
        let target = self.target()?.part("actions").part("renameObject");
        let details = Details {
            source_name: from,
            new_name: to,
            src_obj_if_match: etag,
            new_obj_if_none_match: if_none_match.then_some("*"),
        };
        let call =
            Call { id_header: CLIENT_REQUEST_ID, ..Call::post_json(OPERATION, target, &details, Repeat::Guarded)? };
        let answer = self.client.call(&call, SMALL_BODY_MAX_BYTES, deadline).await?;
        Ok(Renamed { etag: answer.etag().unwrap_or_default() })
    }

    fn call(&self, operation: &'static str, method: Method, target: Target, content: Content, repeat: Repeat) -> Call {
        Call { id_header: CLIENT_REQUEST_ID, ..Call::new(operation, method, target, content, repeat) }
    }

    fn target(&self) -> Result<Target, Error> {
        let endpoint = self.client.endpoint(Service::ObjectStorage, None)?;
        Ok(Target::new(&endpoint, BASE_PATH).part("n").value(&self.namespace).part("b").value(&self.name))
    }

    fn object(&self, operation: &'static str, name: &str) -> Result<Target, Error> {
        check_name(operation, name)?;
        Ok(self.target()?.part("o").value(name))
    }
}

fn if_match(operation: &'static str, etag: &str) -> Result<(HeaderName, HeaderValue), Error> {
    // An empty one is answered with 412 and would look like a lost race.
    let value = HeaderValue::try_from(etag).ok().filter(|value| !value.is_empty());
    let value = value.ok_or(Error::Invalid { operation, what: "an etag that is empty or no header" })?;
    Ok((header::IF_MATCH, value))
}

/// Names with `.` or `..` between their slashes are refused: URLs are normalised on the way, and the signature with
/// them would not match, or the wrong object would be met.
fn check_name(operation: &'static str, name: &str) -> Result<(), Error> {
    let what = if name.is_empty() || name.len() > NAME_MAX_BYTES {
        "an object's name must have 1 to 1024 bytes"
    } else if name.contains(['\0', '\r', '\n']) {
        "an object's name must not hold a NUL or a line break"
    } else if name.split('/').any(|segment| matches!(segment, "." | "..")) {
        "an object's name with . or .. between its slashes cannot be requested"
    } else {
        return Ok(());
    };
    Err(Error::Invalid { operation, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_url_would_rewrite_are_refused() {
        let long = "a".repeat(1025);
        for (name, legal) in [
            ("state/lock", true),
            ("owed/ship/splunk/2026~0", true),
            ("a/.../b", true),
            (".hidden/..b", true),
            ("é", true),
            ("/", true),
            ("..", false),
            ("a/../b", false),
            ("./a", false),
            ("a/.", false),
            ("a\nb", false),
            ("", false),
            (long.as_str(), false),
        ] {
            assert_eq!(check_name("GetObject", name).is_ok(), legal, "{name}");
        }
    }

    #[test]
    fn an_empty_etag_is_refused_since_it_would_look_like_a_lost_race() {
        assert!(if_match("PutObject", "").is_err());
        assert!(if_match("PutObject", "a\nb").is_err());
        assert!(if_match("PutObject", "9a86a492-43fa").is_ok());
    }
}
