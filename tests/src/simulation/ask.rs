//! What a request asks for, as far as the simulation cares.

use bytes::Bytes;
use http_transport::Request;
use percent_encoding::percent_decode_str;

/// A request, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// GetObject.
    Get(String),
    /// PutObject.
    Put(String),
    /// DeleteObject.
    Delete(String),
    /// RenameObject: from, to.
    Rename(String, String),
    /// ListObjects: its query.
    List(String),
    /// PutMessages.
    PutMessages,
    /// PublishMessage: its body.
    Publish(Bytes),
    /// A post to a collector: its URL.
    Post(String),
    /// Anything else.
    Other,
}

impl Ask {
    /// Sorts a request; what does not go to `oci` goes to a collector.
    pub fn of(request: &Request, oci: &str) -> Self {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let url = format!("http://{host}");
        if url != oci {
            return Self::Post(url);
        }
        let path = request.uri().path();
        if let Some((_, rest)) = path.split_once("/o/").filter(|(before, _)| before.contains("/n/")) {
            let name = percent_decode_str(rest).decode_utf8_lossy().into_owned();
            return match request.method().as_str() {
                "PUT" => Self::Put(name),
                "DELETE" => Self::Delete(name),
                _ => Self::Get(name),
            };
        }
        if path.ends_with("/actions/renameObject") {
            let rename: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let text = |name: &str| rename[name].as_str().unwrap_or_default().to_owned();
            return Self::Rename(text("sourceName"), text("newName"));
        }
        if path.ends_with("/o") {
            let query = percent_decode_str(request.uri().query().unwrap_or_default());
            return Self::List(query.decode_utf8_lossy().into_owned());
        }
        let is_post = request.method() == http::Method::POST;
        match path.ends_with("/messages") && is_post {
            true if path.contains("/topics/") => Self::Publish(request.body().clone()),
            true => Self::PutMessages,
            false => Self::Other,
        }
    }

    /// Whether it speaks to the object store.
    pub fn is_of_the_bucket(&self) -> bool {
        match self {
            Self::Get(_) | Self::Put(_) | Self::Delete(_) | Self::Rename(..) | Self::List(_) => true,
            Self::PutMessages | Self::Publish(_) | Self::Post(_) | Self::Other => false,
        }
    }
}
