//! The mark by which OCI assigns our lines to one invocation.

use std::io::Write;

use http::{HeaderMap, HeaderName};

use crate::config::Lookup;

/// Which request header to print, and under which name, before each call.
///
/// Source: Fn container contract, section 8. The platform sets both variables or none.
#[derive(Debug)]
pub(crate) struct LogFrame {
    name: String,
    header: HeaderName,
}

impl LogFrame {
    /// Reads `FN_LOGFRAME_NAME` and `FN_LOGFRAME_HDR`.
    pub(crate) fn from_environment(lookup: &Lookup) -> Option<Self> {
        let name = lookup("FN_LOGFRAME_NAME").filter(|name| !name.is_empty())?;
        let header = HeaderName::try_from(lookup("FN_LOGFRAME_HDR")?).ok()?;
        Some(Self { name, header })
    }

    /// Prints the frame to both streams, if the request has the header with a value.
    pub(crate) fn print(&self, headers: &HeaderMap) {
        let Some(frame) = self.text(headers) else { return };
        for stream in [&mut std::io::stdout().lock() as &mut dyn Write, &mut std::io::stderr().lock()] {
            // A closed stream must not cost the call.
            stream.write_all(frame.as_bytes()).and_then(|()| stream.flush()).ok();
        }
    }

    fn text(&self, headers: &HeaderMap) -> Option<String> {
        let value = headers.get(&self.header)?.to_str().ok().filter(|value| !value.is_empty())?;
        Some(format!("\n{}={value}\n", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: Option<&'static str>, header: Option<&'static str>, value: &'static str) -> Option<String> {
        let lookup = move |key: &str| match key {
            "FN_LOGFRAME_NAME" => name.map(str::to_owned),
            "FN_LOGFRAME_HDR" => header.map(str::to_owned),
            _ => None,
        };
        let headers = HeaderMap::from_iter([(HeaderName::from_static("opc-request-id"), value.parse().unwrap())]);
        LogFrame::from_environment(&lookup)?.text(&headers)
    }

    #[test]
    fn a_frame_needs_both_variables_and_the_header() {
        assert_eq!(check(Some("frame"), Some("Opc-Request-Id"), "A/B").unwrap(), "\nframe=A/B\n");
        assert_eq!(check(Some("frame"), Some("Opc-Request-Id"), ""), None);
        assert_eq!(check(Some("frame"), Some("Other"), "A/B"), None);
        assert_eq!(check(Some("frame"), Some("not a header"), "A/B"), None);
        assert_eq!(check(Some("frame"), None, "A/B"), None);
        assert_eq!(check(Some(""), Some("Opc-Request-Id"), "A/B"), None);
        assert_eq!(check(None, Some("Opc-Request-Id"), "A/B"), None);
    }
}
