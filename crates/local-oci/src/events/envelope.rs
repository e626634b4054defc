//! The envelope of an object event, field by field as the service spells it.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::EventSettings;
use crate::generate::time;
use crate::object_storage::{Change, ChangeKind};
use crate::streaming::named_ocid;
use crate::tenancy::REGIONS;

/// What the official SDK encodes in a path segment: all but the unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How an event spells an object's name (unverified).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// As it is.
    Literal,
    /// As in the path of a request, slashes too.
    PercentEncoded,
}

impl Spelling {
    fn of(self, name: &str) -> String {
        match self {
            Self::Literal => name.to_owned(),
            Self::PercentEncoded => utf8_percent_encode(name, SEGMENT).to_string(),
        }
    }
}

/// An event; the order of its fields is the samples'.
///
/// Source: the reference's section on the Events service, with a live sample.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    event_type: &'static str,
    cloud_events_version: &'static str,
    event_type_version: &'static str,
    source: &'static str,
    event_time: String,
    content_type: &'static str,
    data: Data<'a>,
    #[serde(rename = "eventID")]
    event_id: String,
    extensions: Extensions<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    compartment_id: &'a str,
    compartment_name: &'a str,
    resource_name: String,
    resource_id: String,
    availability_domain: String,
    additional_details: Details<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    bucket_name: &'a str,
    archival_state: &'static str,
    namespace: &'a str,
    bucket_id: String,
    e_tag: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extensions<'a> {
    compartment_id: &'a str,
}

impl<'a> Envelope<'a> {
    /// The event of `change`, whose compartment has this OCID and this name.
    pub(super) fn of(
        change: &'a Change,
        namespace: &'a str,
        (compartment_id, compartment_name): (&'a str, &'a str),
        event_id: String,
        settings: &EventSettings,
    ) -> Self {
        let region_key = REGIONS.iter().find(|(name, _)| *name == change.region).map_or("IAD", |(_, key)| *key);
        let resource_id = format!("/n/{namespace}/b/{}/o/{}", change.bucket, settings.resource_id.of(&change.object));
        Self {
            event_type: match change.kind {
                ChangeKind::Created => "com.oraclecloud.objectstorage.createobject",
                ChangeKind::Overwritten => "com.oraclecloud.objectstorage.updateobject",
                ChangeKind::Deleted => "com.oraclecloud.objectstorage.deleteobject",
            },
            cloud_events_version: "0.1",
            event_type_version: "2.0",
            source: "ObjectStorage",
            event_time: time(change.at),
            content_type: "application/json",
            data: Data {
                compartment_id,
                compartment_name,
                resource_name: settings.resource_name.of(&change.object),
                resource_id,
                availability_domain: format!("{region_key}-AD-1"),
                additional_details: Details {
                    bucket_name: &change.bucket,
                    archival_state: "Available",
                    namespace,
                    bucket_id: named_ocid("bucket", &change.region, &change.bucket),
                    e_tag: &change.etag,
                },
            },
            event_id,
            extensions: Extensions { compartment_id },
        }
    }

    pub(super) fn event_id(&self) -> &str {
        &self.event_id
    }

    pub(super) fn event_type(&self) -> &str {
        self.event_type
    }

    pub(super) fn resource_id(&self) -> &str {
        &self.data.resource_id
    }

    /// As actions get it, and as conditions look at it.
    pub(super) fn json(&self) -> (Bytes, serde_json::Value) {
        // Strings and nothing else: neither can fail.
        let value = serde_json::to_value(self).unwrap_or_default();
        (serde_json::to_vec(self).unwrap_or_default().into(), value)
    }
}
