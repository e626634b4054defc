//! The destination: set up when first needed, since token and authorities may lie in the vault.

use std::{sync::Arc, time::Duration};

use fn_hyper::config::Secret;
use http_transport::{HttpTransport, TlsRoots, Transport};
use oci_client::Client;
use secrecy::ExposeSecret;
use siem_sinks::{Delivery, HecConfig, HecEnvelope, Outcome, Record, Sink, SinkFailure, SplunkHec};
use tokio::sync::OnceCell;
use url::Url;
use workbench::{Deadline, SecretCell};

use crate::config::CollectorUrl;

/// The collector's own default port.
const HEC_PORT: u16 = 8088;

/// What is known of the collector without asking anybody.
#[derive(Debug, Clone)]
pub(crate) struct SplunkSettings {
    pub(crate) url: Url,
    pub(crate) envelope: HecEnvelope,
    pub(crate) batch_max_bytes: usize,
    pub(crate) timeout: Duration,
}

/// A Splunk HTTP Event Collector, as configured.
pub struct SplunkDestination {
    settings: SplunkSettings,
    token: SecretCell,
    ca: Option<String>,
    transport: Option<Arc<dyn Transport>>,
    sink: OnceCell<SplunkHec>,
}

/// The collector cannot be set up. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotSetUp {
    /// A secret cannot be had.
    #[error("the token or the certificate authorities cannot be had from the vault")]
    Secret(#[from] workbench::CannotLoad),
    /// What is configured does not fit.
    #[error("splunk: {0}")]
    Config(#[from] siem_sinks::InvalidConfig),
    /// The authorities are not PEM.
    #[error("splunk_ca_pem: {0}")]
    Roots(#[from] http_transport::InvalidRoots),
    /// The HTTP client does not start.
    #[error(transparent)]
    Transport(#[from] http_transport::CannotBuild),
}

impl SplunkDestination {
    pub(crate) fn new(settings: SplunkSettings, token: SecretCell, ca: Option<String>) -> Self {
        Self { settings, token, ca, transport: None, sink: OnceCell::new() }
    }

    /// The same destination over another transport, for simulations.
    #[must_use]
    pub fn over(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Sends `records`, in order, and warns of those that a server with its defaults would cut. A token that is refused is read anew from the vault, once, if it may have changed.
    ///
    /// # Errors
    /// Where the collector cannot be set up.
    pub(crate) async fn deliver(
        &self,
        client: &Client,
        records: &[Record],
        deadline: Deadline,
    ) -> Result<Delivery, CannotSetUp> {
        let sink = self.sink.get_or_try_init(|| self.set_up(client, deadline)).await?;
        let long = longer_than_truncate(records);
        if long > 0 {
            // The collector takes them either way, and no answer tells what the server's props do to them.
            let sourcetype = self.settings.envelope.sourcetype.as_str();
            tracing::warn!(
                long,
                sourcetype,
                "events of more than 10,000 bytes: Splunk cuts them unless the props of the sourcetype say TRUNCATE = 0"
            );
        }
        let mut delivery = sink.deliver(records, deadline).await;
        let refused = matches!(delivery.failure, Some(SinkFailure::Configuration { .. }));
        if !refused || !self.token.may_have_changed() {
            return Ok(delivery);
        }
        let settled =
            |outcome: &&Outcome| matches!(outcome, Outcome::Taken | Outcome::Refused(_) | Outcome::TooLarge(_));
        let done = delivery.outcomes.iter().take_while(settled).count();
        match self.renew(sink, client, deadline).await {
            Ok(()) => {
                let rest = sink.deliver(records.get(done..).unwrap_or_default(), deadline).await;
                delivery.outcomes.truncate(done);
                delivery.outcomes.extend(rest.outcomes);
                delivery.slow_down |= rest.slow_down;
                delivery.failure = rest.failure;
            }
            // What was taken before the refusal stays taken.
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "the token cannot be read anew"),
        }
        Ok(delivery)
    }

    async fn renew(&self, sink: &SplunkHec, client: &Client, deadline: Deadline) -> Result<(), CannotSetUp> {
        Ok(sink.renew_token(&self.token.value(client, deadline).await?)?)
    }

    async fn set_up(&self, client: &Client, deadline: Deadline) -> Result<SplunkHec, CannotSetUp> {
        let token = self.token.value(client, deadline).await?;
        let transport: Arc<dyn Transport> = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(HttpTransport::new(&self.roots(client, deadline).await?)?),
        };
        let config = HecConfig {
            envelope: self.settings.envelope.clone(),
            batch_max_bytes: self.settings.batch_max_bytes,
            request_timeout: self.settings.timeout,
            // A simulation is to be the same each time.
            seed: self.transport.as_ref().map(|_| 0),
            ..HecConfig::new(self.settings.url.clone(), token)
        };
        Ok(SplunkHec::new(config, transport)?)
    }

    async fn roots(&self, client: &Client, deadline: Deadline) -> Result<TlsRoots, CannotSetUp> {
        let roots = TlsRoots::default();
        let Some(ca) = &self.ca else { return Ok(roots) };
        let pem = if ca.starts_with("ocid1.vaultsecret.") {
            let cell = SecretCell::new(Secret::Vault(ca.clone()));
            cell.value(client, deadline).await?.expose_secret().to_owned()
        } else {
            // A key of the configuration is one line in most tools.
            ca.replace("\\n", "\n")
        };
        Ok(roots.with_private_ca(pem.as_bytes())?)
    }
}

/// What Splunk keeps of an event of a sourcetype without a `TRUNCATE` of its own.
const TRUNCATE_BYTES: usize = 10_000;

fn longer_than_truncate(records: &[Record]) -> usize {
    records.iter().filter(|record| record.raw.len() > TRUNCATE_BYTES).count()
}

/// The collector's URL from its host or URL, and its port.
pub(crate) fn splunk_url(value: &str, port: Option<u16>) -> CollectorUrl {
    const EXPECTED: &str = "expected a host name, or https://<host>[:port] (http for a loopback host only)";
    let is_host = !value.contains("://");
    let text = if is_host { format!("https://{value}") } else { value.to_owned() };
    let mut url = Url::parse(&text).map_err(|_| EXPECTED)?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(EXPECTED),
    };
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !bare || !(url.scheme() == "https" || (url.scheme() == "http" && loopback)) {
        return Err(EXPECTED);
    }
    let port = port.or(is_host.then_some(HEC_PORT));
    if let (None, Some(port)) = (url.port(), port) {
        url.set_port(Some(port)).map_err(|()| EXPECTED)?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_49_events_that_splunk_would_cut_by_default_are_counted_and_the_props_that_prevent_it_are_shipped() {
        let records = [9_999, 10_000, 10_001, 200_000].map(|bytes| Record {
            raw: vec![b'x'; bytes].into(),
            region: None,
            is_valid: false,
        });
        assert_eq!(longer_than_truncate(&records), 2);
        let props = include_str!("../../../splunk/props.conf");
        let stanza = format!("[{}]", HecEnvelope::default().sourcetype);
        assert!(
            props.lines().any(|line| line == stanza) && props.lines().any(|line| line == "TRUNCATE = 0"),
            "{props}"
        );
    }

    #[test]
    fn the_collector_is_named_by_host_and_port_or_by_url() {
        for (value, port, expected) in [
            ("splunk.example.com", None, Ok("https://splunk.example.com:8088/")),
            ("splunk.example.com", Some(443), Ok("https://splunk.example.com/")),
            ("splunk.example.com:9088", Some(443), Ok("https://splunk.example.com:9088/")),
            ("https://http-inputs-acme.splunkcloud.com", None, Ok("https://http-inputs-acme.splunkcloud.com/")),
            ("https://splunk.example.com", Some(8088), Ok("https://splunk.example.com:8088/")),
            ("http://127.0.0.1:8088", None, Ok("http://127.0.0.1:8088/")),
            ("http://splunk.example.com", None, Err(())),
            ("https://user:hush@splunk.example.com", None, Err(())),
            ("https://splunk.example.com/?token=hush", None, Err(())),
            ("", None, Err(())),
            ("ftp://splunk.example.com", None, Err(())),
        ] {
            let got = splunk_url(value, port).map(|url| url.to_string());
            assert_eq!(got.as_deref().map_err(|_| ()), expected, "{value} {port:?}");
        }
    }
}
