//! One request as a service sees it: decoded for routing, raw for the signature.

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::answer::Refused;

/// A request, read whole.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query exactly as on the request line, the region prefix included: what was signed.
    pub target: String,
    /// The region that the path prefix chose, or the home region.
    pub region: String,
    /// The path's segments after the region prefix, percent-decoded; `%2F` inside a segment is a slash of its value.
    pub path: Vec<String>,
    /// The query's pairs in order, decoded (`+` is a space).
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// Reads the head of `request`; `None` where path or query are not UTF-8 under their encoding.
    pub fn read(request: http::Request<Bytes>, home_region: &str) -> Option<Self> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let mut path = Vec::new();
        for segment in head.uri.path().trim_start_matches('/').split('/') {
            path.push(percent_decode_str(segment).decode_utf8().ok()?.into_owned());
        }
        let mut region = home_region.to_owned();
        if path.len() >= 2 && path.first().is_some_and(|first| first == "region") {
            region = path.remove(1);
            path.remove(0);
        }
        let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        Some(Self { method: head.method, target, region, path, query, headers: head.headers, body })
    }

    /// What the cloud does on its own account, for faults to match: `target` and `body` are what they see.
    pub(crate) fn internal(target: &str, region: &str, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            target: target.to_owned(),
            region: region.to_owned(),
            path: Vec::new(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body,
        }
    }

    /// The first query parameter of that name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first query parameter of that name, or the 400 for its absence.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refused> {
        self.query(name).filter(|value| !value.is_empty()).ok_or_else(|| Refused::missing_parameter(name))
    }

    /// A header's value, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
