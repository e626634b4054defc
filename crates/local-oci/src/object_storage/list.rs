//! ListObjects: names in byte order, cut by prefix, bounds, delimiter and limit.

use std::ops::Bound;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Bucket, Object};
use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::generate::time;

const MAX_LIMIT: usize = 1000;
const FIELDS: [&str; 8] =
    ["name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier", "archivalState"];

/// One page of a bucket's names; `nextStartWith` is the first name that is not on it.
pub(super) fn list_objects(bucket: &Bucket, call: &Call) -> Result<Answer, Refused> {
    let prefix = call.query("prefix").unwrap_or_default();
    let limit = match call.query("limit") {
        None => MAX_LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Refused::invalid_parameter("limit must lie between 1 and 1000"))?,
    };
    let delimiter = match call.query("delimiter") {
        None | Some("") => None,
        Some("/") => Some('/'),
        Some(_) => return Err(Refused::invalid_parameter("the only delimiter is /")),
    };
    let fields: Vec<&str> = call.query("fields").unwrap_or("name").split(',').map(str::trim).collect();
    if let Some(unknown) = fields.iter().find(|field| !FIELDS.contains(field)) {
        return Err(Refused::invalid_parameter(format!("no field {unknown}")));
    }
    let (mut objects, mut prefixes): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    let mut next = None;
    for (name, object) in bucket.objects.range::<str, _>((lower_bound(call, prefix), Bound::Unbounded)) {
        let Some(rest) = name.strip_prefix(prefix) else { break };
        if call.query("end").is_some_and(|end| name.as_str() >= end) {
            break;
        }
        let folder =
            delimiter.and_then(|delimiter| rest.split_once(delimiter)).map(|(folder, _)| format!("{prefix}{folder}/"));
        if folder.is_some() && folder.as_ref() == prefixes.last() {
            continue;
        }
        if objects.len() + prefixes.len() == limit {
            next = Some(name);
            break;
        }
        match folder {
            Some(folder) => prefixes.push(folder),
            None => objects.push(summary(name, object, &fields)),
        }
    }
    let mut page = json!({ "objects": objects });
    if delimiter.is_some() {
        page["prefixes"] = json!(prefixes);
    }
    if let Some(next) = next {
        page["nextStartWith"] = json!(next);
    }
    Ok(Answer::ok(&page))
}

/// The largest of `prefix`, `start` (inclusive) and `startAfter` (exclusive).
fn lower_bound<'a>(call: &'a Call, prefix: &'a str) -> Bound<&'a str> {
    let from = prefix.max(call.query("start").unwrap_or_default());
    match call.query("startAfter") {
        Some(after) if after >= from => Bound::Excluded(after),
        _ => Bound::Included(from),
    }
}

fn summary(name: &str, object: &Object, fields: &[&str]) -> Value {
    let mut summary = Map::from_iter([("name".to_owned(), json!(name))]);
    for field in fields {
        let value = match *field {
            "size" => json!(object.bytes.len()),
            "etag" => json!(object.etag),
            "md5" => json!(STANDARD.encode(object.md5)),
            "timeCreated" => json!(time(object.time_created)),
            "timeModified" => json!(time(object.time_modified)),
            "storageTier" => json!("Standard"),
            "archivalState" => Value::Null,
            _ => continue,
        };
        summary.insert((*field).to_owned(), value);
    }
    Value::Object(summary)
}
