//! The settings of the HTTP Event Collector, and what they become.

use std::time::Duration;

use http::{HeaderValue, Uri};
use secrecy::SecretString;
use url::Url;

use crate::{
    HecEnvelope, InvalidConfig,
    settings::{check_limits, check_url, token_text},
};

const EVENT_PATH: &str = "/services/collector/event";

/// How to reach one HTTP Event Collector. [`HecConfig::new`] fills in the defaults.
#[derive(Clone)]
pub struct HecConfig {
    /// Scheme, host, port and perhaps a proxy's path prefix: `https://http-inputs-acme.splunkcloud.com`, or with the port
    /// `https://splunk.example.com:8088`. The collector's own path is added if it is not there. `http` reaches loopback
    /// hosts only.
    pub url: Url,
    /// What is said of each event.
    pub envelope: HecEnvelope,
    /// The largest body in bytes, before compression. Default 900 000, for Splunk Cloud advises less than 1 MB. An event
    /// that is larger than this travels in a body of its own.
    pub batch_max_bytes: usize,
    /// The largest event in bytes; a larger one is refused here. Default 5 242 880, the server's own `maxEventSize`.
    pub event_max_bytes: usize,
    /// gzip from 1 (quick) to 9 (small), none to send bodies as they are. Default 1: CPU is what this costs, and audit
    /// events shrink to a quarter at once.
    pub gzip_level: Option<u32>,
    /// Names the sender to the server.
    pub user_agent: String,
    /// How long one request may take, the answer's last byte included. Default 30 s; the deadline may end it sooner.
    pub request_timeout: Duration,
}

impl HecConfig {
    /// The default of `batch_max_bytes`.
    pub const BATCH_MAX_BYTES: usize = 900_000;

    /// The default of `request_timeout`.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

    /// The defaults for everything but the address.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            envelope: HecEnvelope::default(),
            batch_max_bytes: Self::BATCH_MAX_BYTES,
            event_max_bytes: 5_242_880,
            gzip_level: Some(1),
            user_agent: concat!("siem-sinks/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: Self::REQUEST_TIMEOUT,
        }
    }

    pub(super) fn check_limits(&self) -> Result<(), InvalidConfig> {
        let limits = [("batch_max_bytes", self.batch_max_bytes), ("event_max_bytes", self.event_max_bytes)];
        check_limits(&limits, self.request_timeout, self.gzip_level)
    }
}

impl std::fmt::Debug for HecConfig {
    /// Of the URL the host alone: before it is checked it may hold anything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HecConfig")
            .field("host", &self.url.host_str())
            .field("envelope", &self.envelope)
            .finish_non_exhaustive()
    }
}

/// Where events go, and the host as it may be named in errors.
pub(super) fn endpoint(url: &Url) -> Result<(Uri, String), InvalidConfig> {
    check_url(url)?;
    let path = url.path().trim_end_matches('/');
    let prefix = path.strip_suffix(EVENT_PATH).or_else(|| path.strip_suffix("/services/collector")).unwrap_or(path);
    let mut url = url.clone();
    url.set_path(&format!("{prefix}{EVENT_PATH}"));
    let uri: Uri = url.as_str().parse().map_err(|_| InvalidConfig::Url)?;
    let host = uri.authority().ok_or(InvalidConfig::Url)?.to_string();
    Ok((uri, host))
}

/// The value of the `Authorization` header, which `Debug` does not show.
pub(super) fn authorization(token: &SecretString) -> Result<HeaderValue, InvalidConfig> {
    let mut value =
        HeaderValue::try_from(format!("Splunk {}", token_text(token)?)).map_err(|_| InvalidConfig::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collector_s_path_is_added_once() {
        for (url, expected) in [
            ("https://a.example", "https://a.example/services/collector/event"),
            ("https://a.example:8088/", "https://a.example:8088/services/collector/event"),
            ("https://a.example/hec/", "https://a.example/hec/services/collector/event"),
            ("https://a.example/services/collector", "https://a.example/services/collector/event"),
            ("https://a.example/services/collector/event/", "https://a.example/services/collector/event"),
            ("http://localhost:8088", "http://localhost:8088/services/collector/event"),
            ("http://127.0.0.2:1", "http://127.0.0.2:1/services/collector/event"),
            ("http://[::1]:1", "http://[::1]:1/services/collector/event"),
        ] {
            let (uri, _) = endpoint(&url.parse().unwrap()).unwrap();
            assert_eq!(uri.to_string(), expected, "{url}");
        }
    }

    #[test]
    fn the_host_is_named_with_its_port_and_nothing_else() {
        let (_, host) = endpoint(&"https://a.example:8088/hush".parse().unwrap()).unwrap();
        assert_eq!(host, "a.example:8088");
    }

    #[test]
    fn a_token_fits_into_a_header_and_is_never_shown() {
        let value = authorization(&"hush".to_owned().into()).unwrap();
        assert_eq!(value.as_bytes(), b"Splunk hush");
        assert!(!format!("{value:?}").contains("hush"));
        assert_eq!(authorization(&"two words".to_owned().into()).unwrap_err(), InvalidConfig::Token);
        let config = HecConfig::new("https://a.example/?token=hush".parse().unwrap());
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    }

    #[test]
    fn limits_that_would_send_nothing_are_refused() {
        let config = || HecConfig::new("https://a.example".parse().unwrap());
        assert_eq!(config().check_limits(), Ok(()));
        for (config, expected) in [
            (HecConfig { batch_max_bytes: 0, ..config() }, InvalidConfig::Zero { setting: "batch_max_bytes" }),
            (HecConfig { event_max_bytes: 0, ..config() }, InvalidConfig::Zero { setting: "event_max_bytes" }),
            (HecConfig { gzip_level: Some(0), ..config() }, InvalidConfig::GzipLevel),
        ] {
            assert_eq!(config.check_limits(), Err(expected));
        }
    }
}
