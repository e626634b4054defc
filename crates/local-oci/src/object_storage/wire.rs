//! The Object Storage API as it is on the wire; listing is next door.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Bucket, Cause, Making, Object, ObjectStorage, list};
use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::cloud::Cloud;
use crate::generate::time;
use crate::router::Operation;
use crate::verify::{Caller, http_date};

const NAME_MAX_BYTES: usize = 1024;
/// Headers of a put that a get gives back, besides `opc-meta-…`.
const KEPT_HEADERS: [&str; 5] =
    ["content-type", "content-encoding", "content-language", "content-disposition", "cache-control"];

/// Serves the operations on buckets and objects.
///
/// Source: Object Storage API reference; the codes of failed preconditions were measured, see the reference.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, _caller: &Caller) -> Answer {
    let storage = &cloud.storage;
    let answer = match operation {
        Operation::GetBucket { namespace, bucket } => storage.get_bucket(namespace, bucket, call),
        Operation::ListObjects { namespace, bucket } => {
            storage.with(namespace, bucket, call, |_, bucket| list::list_objects(bucket, call))
        }
        Operation::GetObject { namespace, bucket, object } => storage.read(namespace, bucket, object, call, false),
        Operation::HeadObject { namespace, bucket, object } => storage.read(namespace, bucket, object, call, true),
        Operation::PutObject { namespace, bucket, object } => storage.put_object(namespace, bucket, object, call),
        Operation::DeleteObject { namespace, bucket, object } => storage.delete_object(namespace, bucket, object, call),
        Operation::RenameObject { namespace, bucket } => storage.rename_object(namespace, bucket, call).await,
        // A JSON string, quotes and all.
        _ => Ok(Answer::ok(&storage.namespace)),
    };
    answer.unwrap_or_else(Answer::from)
}

/// The body of RenameObject.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rename {
    source_name: String,
    new_name: String,
    #[serde(rename = "srcObjIfMatchETag")]
    source_if_match: Option<String>,
    #[serde(rename = "newObjIfMatchETag")]
    new_if_match: Option<String>,
    #[serde(rename = "newObjIfNoneMatchETag")]
    new_if_none_match: Option<String>,
}

impl ObjectStorage {
    /// Runs `act` on the bucket, or says what is not there.
    fn with<T>(
        &self,
        namespace: &str,
        bucket: &str,
        call: &Call,
        act: impl FnOnce(&mut Making, &mut Bucket) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        if namespace != self.namespace {
            return Err(not_found("NamespaceNotFound", &format!("no namespace {namespace}")));
        }
        let answer = self.on(bucket, |making, found| (found.region == call.region).then(|| act(making, found)));
        answer.flatten().unwrap_or_else(|| {
            let message = format!("either the bucket {bucket} does not exist in {} or access is denied", call.region);
            Err(not_found("BucketNotFound", &message))
        })
    }

    fn get_bucket(&self, namespace: &str, name: &str, call: &Call) -> Result<Answer, Refused> {
        self.with(namespace, name, call, |_, bucket| {
            Ok(Answer::ok(&json!({
                "namespace": namespace,
                "name": name,
                "timeCreated": time(bucket.time_created),
                "storageTier": "Standard",
                "publicAccessType": "NoPublicAccess",
                "objectEventsEnabled": bucket.emits_events,
                "versioning": "Disabled",
            })))
        })
    }

    fn read(&self, namespace: &str, bucket: &str, name: &str, call: &Call, is_head: bool) -> Result<Answer, Refused> {
        self.with(namespace, bucket, call, |_, bucket| {
            let object = bucket.objects.get(name).ok_or_else(|| no_object(name))?;
            if_match(call.header("if-match"), Some(object))?;
            if call.header("if-none-match").is_some_and(|etag| unquoted(etag) == object.etag) {
                return Ok(Answer::empty(StatusCode::NOT_MODIFIED).with("etag", &object.etag));
            }
            let len = object.bytes.len();
            let mut answer = match call.header("range") {
                None => Answer { body: object.bytes.clone(), ..Answer::empty(StatusCode::OK) }
                    .with("content-md5", &STANDARD.encode(object.md5))
                    .with("opc-content-md5", &STANDARD.encode(object.md5)),
                Some(range) => {
                    let (from, to) = single_range(range, len).ok_or_else(|| {
                        Refused::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "one range within the object")
                    })?;
                    Answer { body: object.bytes.slice(from..to), ..Answer::empty(StatusCode::PARTIAL_CONTENT) }
                        .with("content-range", &format!("bytes {from}-{}/{len}", to - 1))
                }
            };
            for (name, value) in &object.headers {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    answer.headers.insert(name, value);
                }
            }
            if is_head {
                let len = std::mem::take(&mut answer.body).len();
                answer = answer.with("content-length", &len.to_string());
            }
            Ok(answer
                .with("etag", &object.etag)
                .with("last-modified", &http_date(object.time_modified))
                .with("accept-ranges", "bytes")
                .with("storage-tier", "Standard"))
        })
    }

    fn put_object(&self, namespace: &str, bucket: &str, name: &str, call: &Call) -> Result<Answer, Refused> {
        if call.headers.contains_key("transfer-encoding") || !call.headers.contains_key("content-length") {
            let message = "content-length is required, chunks are not taken";
            return Err(Refused::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message));
        }
        check_name(name)?;
        let digest = crate::md5::md5(&call.body);
        let encoded = STANDARD.encode(digest);
        if call.header("content-md5").is_some_and(|given| given != encoded) {
            let message = "the body does not match content-md5";
            return Err(Refused::new(StatusCode::BAD_REQUEST, "UnmatchedContentMD5", message));
        }
        let mut headers = Vec::new();
        for (key, value) in &call.headers {
            if (KEPT_HEADERS.contains(&key.as_str()) || key.as_str().starts_with("opc-meta-"))
                && let Ok(value) = value.to_str()
            {
                headers.push((key.as_str().to_owned(), value.to_owned()));
            }
        }
        if !call.headers.contains_key("content-type") {
            headers.push(("content-type".to_owned(), "application/octet-stream".to_owned()));
        }
        let now = self.clock.now();
        self.with(namespace, bucket, call, |making, bucket| {
            let there = bucket.objects.get(name);
            if_match(call.header("if-match"), there)?;
            if_none_match(call.header("if-none-match"), there)?;
            let object = Object {
                bytes: call.body.clone(),
                md5: digest,
                etag: making.etag(),
                headers,
                time_created: now,
                time_modified: now,
            };
            let answer = Answer::empty(StatusCode::OK)
                .with("etag", &object.etag)
                .with("opc-content-md5", &encoded)
                .with("last-modified", &http_date(now));
            bucket.insert(name, object, Cause::Call, making);
            Ok(answer)
        })
    }

    fn delete_object(&self, namespace: &str, bucket: &str, name: &str, call: &Call) -> Result<Answer, Refused> {
        let now = self.clock.now();
        self.with(namespace, bucket, call, |making, bucket| {
            let object = bucket.objects.get(name).ok_or_else(|| no_object(name))?;
            if_match(call.header("if-match"), Some(object))?;
            bucket.remove(name, Cause::Call, now, making);
            Ok(Answer::empty(StatusCode::NO_CONTENT).with("last-modified", &http_date(now)))
        })
    }

    async fn rename_object(&self, namespace: &str, bucket: &str, call: &Call) -> Result<Answer, Refused> {
        let rename: Rename =
            serde_json::from_slice(&call.body).map_err(|error| Refused::invalid_parameter(error.to_string()))?;
        check_name(&rename.new_name)?;
        let gap = self.lock().rename_gap;
        let Some(gap) = gap else {
            return self.with(namespace, bucket, call, |making, bucket| {
                let source = rename.check(bucket)?;
                Ok(self.moved(&rename, source, making, bucket))
            });
        };
        let source = self.with(namespace, bucket, call, |_, bucket| rename.check(bucket))?;
        tokio::time::sleep(gap).await;
        self.with(namespace, bucket, call, |making, bucket| Ok(self.moved(&rename, source, making, bucket)))
    }

    fn moved(&self, rename: &Rename, source: Object, making: &mut Making, bucket: &mut Bucket) -> Answer {
        let now = self.clock.now();
        bucket.remove(&rename.source_name, Cause::Rename, now, making);
        // Whether a rename keeps the etag is not documented: a client has to go by the answer.
        let etag = making.etag();
        let object = Object { etag: etag.clone(), time_modified: now, ..source };
        bucket.insert(&rename.new_name, object, Cause::Rename, making);
        Answer::empty(StatusCode::OK).with("etag", &etag).with("last-modified", &http_date(now))
    }
}

impl Rename {
    /// A copy of the source, if all preconditions hold.
    fn check(&self, bucket: &Bucket) -> Result<Object, Refused> {
        let source = bucket.objects.get(&self.source_name).ok_or_else(|| no_object(&self.source_name))?;
        if_match(self.source_if_match.as_deref(), Some(source))?;
        let target = bucket.objects.get(&self.new_name);
        if_match(self.new_if_match.as_deref(), target)?;
        if_none_match(self.new_if_none_match.as_deref(), target)?;
        Ok(source.clone())
    }
}

/// `*` matches whatever is there; an empty etag matches nothing.
fn if_match(given: Option<&str>, there: Option<&Object>) -> Result<(), Refused> {
    let holds = given.is_none_or(|given| there.is_some_and(|object| given == "*" || unquoted(given) == object.etag));
    if holds { Ok(()) } else { Err(precondition("IfMatchFailed", "the entity tag does not match")) }
}

/// Only `*` is legal: nothing may be there.
fn if_none_match(given: Option<&str>, there: Option<&Object>) -> Result<(), Refused> {
    match (given, there) {
        (None, _) | (Some("*"), None) => Ok(()),
        (Some("*"), Some(_)) => Err(precondition("IfNoneMatchFailed", "the object exists")),
        (Some(_), _) => Err(Refused::invalid_parameter("if-none-match takes `*` and nothing else")),
    }
}

fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

/// The half-open byte range of `bytes=a-b`, `bytes=a-` or `bytes=-n`; several ranges are not taken.
fn single_range(range: &str, len: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from, to) {
        ("", last) => (len.saturating_sub(last.parse().ok()?), len),
        (from, "") => (from.parse().ok()?, len),
        (from, to) => (from.parse().ok()?, to.parse::<usize>().ok()?.saturating_add(1).min(len)),
    };
    (from < to).then_some((from, to))
}

fn check_name(name: &str) -> Result<(), Refused> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES || name.contains(['\0', '\r', '\n']) {
        let message = "an object name has 1 to 1024 bytes and no NUL, CR or LF";
        return Err(Refused::new(StatusCode::BAD_REQUEST, "InvalidObjectName", message));
    }
    Ok(())
}

fn precondition(code: &'static str, message: &str) -> Refused {
    Refused::new(StatusCode::PRECONDITION_FAILED, code, message)
}

fn no_object(name: &str) -> Refused {
    not_found("ObjectNotFound", &format!("the object {name} was not found"))
}

fn not_found(code: &'static str, message: &str) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, code, message)
}
