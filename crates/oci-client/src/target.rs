//! The request target: path and query, encoded once, signed and sent as they are.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Endpoint;

/// Everything but `A-Z a-z 0-9 - _ . ~`, slash and colon included, as the official SDKs encode.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path and a query under construction.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
    text: String,
    has_query: bool,
}

impl Target {
    /// `base_path` is the service's version, such as `/20190901`; empty for Object Storage.
    pub(crate) fn new(endpoint: &Endpoint, base_path: &str) -> Self {
        Self { endpoint: endpoint.clone(), text: endpoint.base(base_path), has_query: false }
    }

    /// Adds `/name`, a fixed part of the path.
    pub(crate) fn part(mut self, name: &'static str) -> Self {
        self.text.push('/');
        self.text.push_str(name);
        self
    }

    /// Adds `/value`, encoded with its slashes.
    pub(crate) fn value(mut self, value: &str) -> Self {
        self.text.push('/');
        self.encode(value);
        self
    }

    /// Adds `name=value` to the query.
    pub(crate) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.encode(value);
        self
    }

    /// Adds `name=value` to the query where there is a value.
    pub(crate) fn query_if(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Path and query.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The endpoint that the target lies under.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The whole as a URI, if nothing on the way to the wire would write it in another way: what is signed is what is
    /// sent, and a transport that goes through `url` normalises dot segments and more.
    pub(crate) fn uri(&self) -> Option<http::Uri> {
        let whole = format!("{}{}", self.endpoint.origin(), self.text);
        let uri: http::Uri = whole.parse().ok()?;
        let same = uri.path_and_query().is_some_and(|target| target.as_str() == self.text)
            && uri.authority().is_some_and(|authority| authority.as_str() == self.endpoint.authority())
            && url::Url::parse(&whole).is_ok_and(|url| url.as_str() == whole);
        same.then_some(uri)
    }

    fn encode(&mut self, value: &str) {
        let written = write!(self.text, "{}", utf8_percent_encode(value, RESERVED));
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new(&"http://127.0.0.1:8642/region/x".parse().unwrap(), "/20190901")
    }

    #[test]
    fn everything_outside_the_unreserved_set_is_encoded_slash_and_colon_included() {
        let target = target()
            .part("auditEvents")
            .value("a/b c|d'é~_-.")
            .query("startTime", "2026-01-05T21:20:00Z")
            .query_if("absent", None)
            .query_if("page", Some("A+/="));
        assert_eq!(
            target.as_str(),
            "/region/x/20190901/auditEvents/a%2Fb%20c%7Cd%27%C3%A9~_-.\
             ?startTime=2026-01-05T21%3A20%3A00Z&page=A%2B%2F%3D"
        );
        assert_eq!(target.uri().unwrap().to_string(), format!("http://127.0.0.1:8642{}", target.as_str()));
    }

    #[test]
    fn a_target_that_would_be_rewritten_on_the_way_is_no_uri() {
        assert!(target().value("..").uri().is_none());
        assert!(target().value(".").uri().is_none());
        assert!(target().value("...").uri().is_some());
    }
}
