//! The settings of the bulk listener, and what they become.

use std::time::Duration;

use http::Uri;
use secrecy::SecretString;
use url::Url;

use crate::{
    InvalidConfig,
    settings::{check_limits, check_url, token_text},
};

/// How to reach one Logz.io listener. [`LogzioConfig::new`] fills in the defaults.
#[derive(Clone)]
pub struct LogzioConfig {
    /// Scheme, host and port of the region's listener: `https://listener.logz.io:8071`. `http` reaches loopback hosts only.
    pub url: Url,
    /// How Logz.io reads the records, without blanks. Default `http-bulk`.
    pub log_type: String,
    /// The largest body in bytes, before compression. Default 2 000 000, at most 10 485 760, the listener's own limit: what
    /// a partly refused body holds becomes a matter for somebody's hand, so bodies are kept small. A line that is larger
    /// than this travels in a body of its own.
    pub batch_max_bytes: usize,
    /// The longest line in bytes, minified and without its line feed; a longer one is refused here. Default 500 000, the
    /// listener's own limit.
    pub line_max_bytes: usize,
    /// gzip from 1 (quick) to 9 (small), none to send bodies as they are. Default none: it is not documented that the
    /// listener takes it.
    pub gzip_level: Option<u32>,
    /// Names the sender to the server.
    pub user_agent: String,
    /// How long one request may take, the answer's last byte included. Default 30 s; the deadline may end it sooner.
    pub request_timeout: Duration,
}

impl LogzioConfig {
    /// The largest body that the listener takes, before compression.
    pub const BODY_MAX_BYTES: usize = 10 * 1024 * 1024;

    /// The default of `batch_max_bytes`.
    pub const BATCH_MAX_BYTES: usize = 2_000_000;

    /// The default of `request_timeout`.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

    /// The default of `log_type`.
    pub const LOG_TYPE: &str = "http-bulk";

    /// The defaults for everything but the address.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            log_type: Self::LOG_TYPE.to_owned(),
            batch_max_bytes: Self::BATCH_MAX_BYTES,
            line_max_bytes: 500_000,
            gzip_level: None,
            user_agent: concat!("siem-sinks/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: Self::REQUEST_TIMEOUT,
        }
    }

    pub(super) fn check_limits(&self) -> Result<(), InvalidConfig> {
        let limits = [("batch_max_bytes", self.batch_max_bytes), ("line_max_bytes", self.line_max_bytes)];
        check_limits(&limits, self.request_timeout, self.gzip_level)?;
        // A line's line feed counts, too.
        for ((setting, limit), max) in limits.into_iter().zip([Self::BODY_MAX_BYTES, Self::BODY_MAX_BYTES - 1]) {
            if limit > max {
                return Err(InvalidConfig::AboveLimit { setting, max });
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for LogzioConfig {
    /// Of the URL the host alone: before it is checked it may hold anything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogzioConfig")
            .field("host", &self.url.host_str())
            .field("log_type", &self.log_type)
            .finish_non_exhaustive()
    }
}

/// Where bodies go, but for the token.
pub(super) struct Address {
    url: Url,
    log_type: String,
}

impl Address {
    pub(super) fn new(url: &Url, log_type: &str) -> Result<Self, InvalidConfig> {
        check_url(url)?;
        if log_type.is_empty() || !log_type.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidConfig::LogType);
        }
        Ok(Self { url: url.clone(), log_type: log_type.to_owned() })
    }

    /// Host and port, as they may be named in errors.
    pub(super) fn host(&self) -> Result<String, InvalidConfig> {
        let uri: Uri = self.url.as_str().parse().map_err(|_| InvalidConfig::Url)?;
        Ok(uri.authority().ok_or(InvalidConfig::Url)?.to_string())
    }

    /// The whole address, which is a secret.
    pub(super) fn with_token(&self, token: &SecretString) -> Result<Uri, InvalidConfig> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("token", token_text(token)?).append_pair("type", &self.log_type);
        url.as_str().parse().map_err(|_| InvalidConfig::Url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str, token: &str, log_type: &str) -> Result<String, InvalidConfig> {
        Address::new(&url.parse().unwrap(), log_type)?.with_token(&token.to_owned().into()).map(|uri| uri.to_string())
    }

    #[test]
    fn token_and_type_stand_in_the_query_percent_encoded() {
        for (url, token, log_type, expected) in [
            ("https://a.example:8071", "t", "http-bulk", "https://a.example:8071/?token=t&type=http-bulk"),
            ("https://a.example/x", "a&b=c%#+/", "a&b", "https://a.example/x?token=a%26b%3Dc%25%23%2B%2F&type=a%26b"),
            ("http://127.0.0.1:1/", "t", "x", "http://127.0.0.1:1/?token=t&type=x"),
        ] {
            assert_eq!(uri(url, token, log_type).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_does_not_fit_into_the_address_is_refused() {
        for (url, token, log_type, expected) in [
            ("http://a.example", "t", "x", InvalidConfig::Url),
            ("https://a.example/?token=hush", "t", "x", InvalidConfig::Url),
            ("https://a.example", "two words", "x", InvalidConfig::Token),
            ("https://a.example", "t", "two words", InvalidConfig::LogType),
            ("https://a.example", "t", "", InvalidConfig::LogType),
        ] {
            assert_eq!(uri(url, token, log_type), Err(expected));
        }
    }

    #[test]
    fn the_host_is_named_with_its_port_and_nothing_else() {
        let address = Address::new(&"https://a.example:8071/hush".parse().unwrap(), "x").unwrap();
        assert_eq!(address.host().unwrap(), "a.example:8071");
    }

    #[test]
    fn limits_that_would_send_nothing_or_that_the_listener_refuses_are_refused() {
        let config = || LogzioConfig::new("https://a.example".parse().unwrap());
        let above = |setting, max| InvalidConfig::AboveLimit { setting, max };
        for (config, expected) in [
            (config(), Ok(())),
            (LogzioConfig { batch_max_bytes: 10_485_760, line_max_bytes: 10_485_759, ..config() }, Ok(())),
            (LogzioConfig { batch_max_bytes: 10_485_761, ..config() }, Err(above("batch_max_bytes", 10_485_760))),
            (LogzioConfig { line_max_bytes: 10_485_760, ..config() }, Err(above("line_max_bytes", 10_485_759))),
            (LogzioConfig { line_max_bytes: 0, ..config() }, Err(InvalidConfig::Zero { setting: "line_max_bytes" })),
            (LogzioConfig { gzip_level: Some(10), ..config() }, Err(InvalidConfig::GzipLevel)),
        ] {
            assert_eq!(config.check_limits(), expected);
        }
    }
}
