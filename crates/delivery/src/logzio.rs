//! Logz.io as a destination.

use std::time::Duration;

use secrecy::SecretString;
use siem_sinks::LogzioConfig;
use url::Url;

/// What is known of the listener without asking anybody.
#[derive(Debug, Clone)]
pub(crate) struct LogzioSettings {
    pub(crate) url: Url,
    pub(crate) log_type: String,
    pub(crate) batch_max_bytes: usize,
    pub(crate) timeout: Duration,
}

impl LogzioSettings {
    pub(crate) fn config(&self, token: SecretString, seed: Option<u64>) -> LogzioConfig {
        LogzioConfig {
            log_type: self.log_type.clone(),
            batch_max_bytes: self.batch_max_bytes,
            request_timeout: self.timeout,
            seed,
            ..LogzioConfig::new(self.url.clone(), token)
        }
    }
}
