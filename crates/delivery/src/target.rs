//! The destination: set up when first needed, since token and authorities may lie in the vault.

use std::sync::Arc;

use fn_hyper::config::Secret;
use http_transport::{HttpTransport, TlsRoots, Transport};
use oci_client::Client;
use pipeline::Destination;
use secrecy::ExposeSecret;
use siem_sinks::{Delivery, HecConfig, InvalidConfig, LogzioBulk, LogzioConfig, Record, Sink, SinkFailure, SplunkHec};
use tokio::sync::OnceCell;
use workbench::{Deadline, SecretCell};

use crate::splunk::warn_of_long;

/// What is known of a destination without asking anybody.
#[derive(Debug, Clone)]
pub(crate) enum Settings {
    Splunk(HecConfig),
    Logzio(LogzioConfig),
}

/// Certificate authorities to trust besides the public ones.
#[derive(Debug, Clone)]
pub(crate) struct Authorities {
    /// The key that they stand in.
    pub(crate) key: &'static str,
    /// PEM text, or the OCID of a secret that holds it.
    pub(crate) pem: String,
}

/// The one destination that a function sends to, as configured.
pub struct Target {
    name: Destination,
    settings: Settings,
    token: SecretCell,
    authorities: Option<Authorities>,
    transport: Option<Arc<dyn Transport>>,
    sink: OnceCell<Box<dyn Sink>>,
}

/// The destination cannot be set up. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum CannotSetUp {
    /// A secret cannot be had.
    #[error("the token or the certificate authorities cannot be had from the vault")]
    Secret(#[from] workbench::CannotLoad),
    /// What is configured does not fit.
    #[error("the destination's settings do not fit")]
    Config(#[from] InvalidConfig),
    /// The authorities are not PEM.
    #[error("{key} cannot be read")]
    Roots {
        /// The key that they stand in.
        key: &'static str,
        /// What is wrong with them.
        source: http_transport::InvalidRoots,
    },
    /// The HTTP client does not start.
    #[error(transparent)]
    Transport(#[from] http_transport::CannotBuild),
}

impl Target {
    pub(crate) fn new(
        name: Destination,
        settings: Settings,
        token: SecretCell,
        authorities: Option<Authorities>,
    ) -> Self {
        Self { name, settings, token, authorities, transport: None, sink: OnceCell::new() }
    }

    /// The destination's name.
    pub fn name(&self) -> &Destination {
        &self.name
    }

    /// The same destination over another transport, for simulations.
    #[must_use]
    pub fn over(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Sends `records`, in order. A token that is refused is read anew from the vault, once, if it may have changed.
    ///
    /// # Errors
    /// Where the destination cannot be set up.
    pub async fn deliver(
        &self,
        client: &Client,
        records: &[Record],
        deadline: Deadline,
    ) -> Result<Delivery, CannotSetUp> {
        let sink = self.sink.get_or_try_init(|| self.set_up(client, deadline)).await?;
        if let Settings::Splunk(splunk) = &self.settings {
            warn_of_long(records, &splunk.envelope.sourcetype);
        }
        let mut delivery = sink.deliver(records, deadline).await;
        let refused = matches!(delivery.failure, Some(SinkFailure::Configuration { .. }));
        if !refused || !self.token.may_have_changed() {
            return Ok(delivery);
        }
        let done = delivery.outcomes.iter().take_while(|outcome| outcome.is_settled()).count();
        match self.renew(sink.as_ref(), client, deadline).await {
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

    async fn renew(&self, sink: &dyn Sink, client: &Client, deadline: Deadline) -> Result<(), CannotSetUp> {
        Ok(sink.renew_token(&self.token.value(client, deadline).await?)?)
    }

    async fn set_up(&self, client: &Client, deadline: Deadline) -> Result<Box<dyn Sink>, CannotSetUp> {
        let token = self.token.value(client, deadline).await?;
        let transport: Arc<dyn Transport> = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(HttpTransport::new(&self.roots(client, deadline).await?)?),
        };
        // A simulation is to be the same each time.
        let seed = self.transport.as_ref().map(|_| 0);
        Ok(match &self.settings {
            Settings::Splunk(config) => Box::new(SplunkHec::new(config.clone(), &token, seed, transport)?),
            Settings::Logzio(config) => Box::new(LogzioBulk::new(config.clone(), &token, seed, transport)?),
        })
    }

    async fn roots(&self, client: &Client, deadline: Deadline) -> Result<TlsRoots, CannotSetUp> {
        let roots = TlsRoots::default();
        let Some(Authorities { key, pem }) = &self.authorities else { return Ok(roots) };
        let pem = if pem.starts_with("ocid1.vaultsecret.") {
            let cell = SecretCell::new(Secret::Vault(pem.clone()));
            cell.value(client, deadline).await?.expose_secret().to_owned()
        } else {
            // A key of the configuration is one line in most tools.
            pem.replace("\\n", "\n")
        };
        roots.with_private_ca(pem.as_bytes()).map_err(|source| CannotSetUp::Roots { key, source })
    }
}
