//! What a call asks for.

use jiff::Timestamp;
use pipeline::{Doorbell, InvalidDoorbell};
use serde::Deserialize;
use serde_json::Value;

use crate::file::File;

/// What a call asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Ask {
    /// An object has come into a bucket.
    Event { file: File, arrived_at: Timestamp },
    /// The sweep rings.
    Doorbell(Doorbell),
    /// A person names an object.
    Object { namespace: Option<String>, bucket: String, object: String, again: bool },
    /// A person names all objects whose names begin alike.
    Prefix { namespace: Option<String>, bucket: String, prefix: String, from: Option<String>, again: bool },
}

/// A call that asks for nothing that is done here. Repeats nothing of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotUnderstood {
    #[error(
        "expected an event of Object Storage, a doorbell, {{\"redrive\":…}}, or {{\"bucket\":…}} with object or prefix (not JSON at line {line} column {column})"
    )]
    NotJson { line: usize, column: usize },
    #[error(
        "expected an event of Object Storage, a doorbell, {{\"redrive\":…}}, or {{\"bucket\":…}} with object or prefix"
    )]
    Shape,
    #[error("an event of another type: this function takes createobject and updateobject; look at the rule")]
    EventType,
    #[error("the event lacks {0}")]
    Lacks(&'static str),
    #[error("{{\"bucket\":…}} wants object or prefix, and knows namespace, again and from besides ({0})")]
    Direct(String),
    #[error(transparent)]
    Doorbell(#[from] InvalidDoorbell),
    #[error("another namespace than input_namespace: look at the rule")]
    OtherNamespace,
    #[error("a bucket that input_bucket does not name: look at the rule, or add it")]
    OtherBucket,
    #[error("a prefix beside input_prefix: no log file is there")]
    BesidePrefix,
    #[error("there is no such object, or the function may not read it")]
    NoSuchObject,
}

const CREATED: &str = "com.oraclecloud.objectstorage.createobject";
const UPDATED: &str = "com.oraclecloud.objectstorage.updateobject";

/// Reads a call's body.
pub(crate) fn parse(body: &[u8]) -> Result<Ask, NotUnderstood> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| NotUnderstood::NotJson { line: error.line(), column: error.column() })?;
    if value.get("eventType").is_some() {
        return event(&value);
    }
    if value.get("pointers").is_some() {
        return Ok(Ask::Doorbell(Doorbell::parse(body)?));
    }
    if value.get("bucket").is_some() {
        return direct(value);
    }
    Err(NotUnderstood::Shape)
}

/// An event of Object Storage, as a rule hands it over.
///
/// Source: Oracle, "Events", the envelope, and "Services that Produce Events", Object Storage.
fn event(value: &Value) -> Result<Ask, NotUnderstood> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = text("/eventType").ok_or(NotUnderstood::Lacks("eventType"))?;
    if ![CREATED, UPDATED].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return Err(NotUnderstood::EventType);
    }
    let field = |pointer, name| text(pointer).map(str::to_owned).ok_or(NotUnderstood::Lacks(name));
    let file = File {
        namespace: field("/data/additionalDetails/namespace", "data.additionalDetails.namespace")?,
        bucket: field("/data/additionalDetails/bucketName", "data.additionalDetails.bucketName")?,
        object: field("/data/resourceName", "data.resourceName")?,
        etag: field("/data/additionalDetails/eTag", "data.additionalDetails.eTag")?,
    };
    let arrived_at = text("/eventTime").and_then(|time| time.parse().ok()).ok_or(NotUnderstood::Lacks("eventTime"))?;
    Ok(Ask::Event { file, arrived_at })
}

fn direct(value: Value) -> Result<Ask, NotUnderstood> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        namespace: Option<String>,
        bucket: String,
        object: Option<String>,
        prefix: Option<String>,
        from: Option<String>,
        #[serde(default)]
        again: bool,
    }
    // serde's own text would repeat a value.
    let fields: Fields = serde_json::from_value(value)
        .map_err(|_| NotUnderstood::Direct("a field is unknown or of the wrong kind".to_owned()))?;
    let Fields { namespace, bucket, object, prefix, from, again } = fields;
    match (object, prefix) {
        (Some(object), None) if from.is_none() => Ok(Ask::Object { namespace, bucket, object, again }),
        (None, Some(prefix)) => Ok(Ask::Prefix { namespace, bucket, prefix, from, again }),
        _ => Err(NotUnderstood::Direct("expected one of object and prefix; from goes with prefix".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event of the reference page, "Whole event".
    const EVENT: &str = r#"{"eventType":"com.oraclecloud.objectstorage.createobject","cloudEventsVersion":"0.1","eventTypeVersion":"2.0",
        "source":"ObjectStorage","eventTime":"2026-03-24T02:18:40Z","contentType":"application/json","eventID":"e",
        "extensions":{"compartmentId":"ocid1.compartment.oc1..x"},
        "data":{"compartmentId":"ocid1.compartment.oc1..x","compartmentName":"siem","resourceName":"audit/a b%2F+ü.log.gz",
        "resourceId":"/n/ns/b/logs/o/audit","availabilityDomain":"AD1",
        "additionalDetails":{"eTag":"e-1","namespace":"ns","archivalState":"Available","bucketName":"logs","bucketId":"b"}}}"#;

    #[test]
    fn an_event_names_bucket_object_and_version() {
        let file = File {
            namespace: "ns".into(),
            bucket: "logs".into(),
            object: "audit/a b%2F+ü.log.gz".into(),
            etag: "e-1".into(),
        };
        let arrived_at = "2026-03-24T02:18:40Z".parse().unwrap();
        for kind in ["createobject", "updateobject", "CREATEOBJECT"] {
            let ask = parse(EVENT.replace("createobject", kind).as_bytes());
            assert_eq!(ask, Ok(Ask::Event { file: file.clone(), arrived_at }), "{kind}");
        }
    }

    #[test]
    fn l_14_a_body_that_is_not_understood_is_a_failure_that_repeats_nothing() {
        for (body, expected) in [
            (String::new(), "not JSON"),
            ("hush".into(), "not JSON at line 1 column 1"),
            ("[]".into(), "expected an event"),
            ("{}".into(), "expected an event"),
            (EVENT.replace("createobject", "deleteobject"), "another type"),
            (EVENT.replace("objectstorage", "hush"), "another type"),
            (EVENT.replace("bucketName", "hush"), "lacks data.additionalDetails.bucketName"),
            (EVENT.replace(r#""eTag":"e-1""#, r#""eTag":"""#), "lacks data.additionalDetails.eTag"),
            (EVENT.replace("2026-03-24T02:18:40Z", "hush"), "lacks eventTime"),
            (r#"{"v":1,"pointers":["hush"]}"#.into(), "not a doorbell"),
            (r#"{"bucket":"b"}"#.into(), "one of object and prefix"),
            (r#"{"bucket":"b","object":"o","prefix":"p"}"#.into(), "one of object and prefix"),
            (r#"{"bucket":"b","object":"o","hush":1}"#.into(), "unknown"),
            (r#"{"bucket":["hush"],"object":"o"}"#.into(), "wrong kind"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{body} -> {error}");
        }
    }

    #[test]
    fn a_person_names_an_object_or_a_prefix() {
        for (body, expected) in [
            (
                r#"{"namespace":"ns","bucket":"b","object":"o"}"#,
                Ask::Object { namespace: Some("ns".into()), bucket: "b".into(), object: "o".into(), again: false },
            ),
            (
                r#"{"bucket":"b","prefix":"","from":"x","again":true}"#,
                Ask::Prefix {
                    namespace: None,
                    bucket: "b".into(),
                    prefix: String::new(),
                    from: Some("x".into()),
                    again: true,
                },
            ),
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(expected), "{body}");
        }
    }
}
