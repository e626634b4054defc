//! The destination: set up when first needed, since token and authorities may lie in the vault.

use std::sync::Arc;

use fn_hyper::config::Secret;
use http_transport::{HttpTransport, TlsRoots, Transport};
use oci_client::Client;
use pipeline::Destination;
use secrecy::{ExposeSecret, SecretString};
use siem_sinks::{Delivery, InvalidConfig, LogzioBulk, Outcome, Record, Sink, SinkFailure, SplunkHec};
use tokio::sync::OnceCell;
use workbench::{Deadline, SecretCell};

use crate::{logzio::LogzioSettings, splunk::SplunkSettings};

/// What is known of a destination without asking anybody.
#[derive(Debug, Clone)]
pub(crate) enum Settings {
    Splunk(SplunkSettings),
    Logzio(LogzioSettings),
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
    connected: OnceCell<Connected>,
}

/// A destination that is set up.
enum Connected {
    Splunk(SplunkHec),
    Logzio(LogzioBulk),
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
        Self { name, settings, token, authorities, transport: None, connected: OnceCell::new() }
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
        let connected = self.connected.get_or_try_init(|| self.set_up(client, deadline)).await?;
        if let Settings::Splunk(splunk) = &self.settings {
            splunk.warn_of_long(records);
        }
        let mut delivery = connected.deliver(records, deadline).await;
        let refused = matches!(delivery.failure, Some(SinkFailure::Configuration { .. }));
        if !refused || !self.token.may_have_changed() {
            return Ok(delivery);
        }
        let settled =
            |outcome: &&Outcome| matches!(outcome, Outcome::Taken | Outcome::Refused(_) | Outcome::TooLarge(_));
        let done = delivery.outcomes.iter().take_while(settled).count();
        match self.renew(connected, client, deadline).await {
            Ok(()) => {
                let rest = connected.deliver(records.get(done..).unwrap_or_default(), deadline).await;
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

    async fn renew(&self, connected: &Connected, client: &Client, deadline: Deadline) -> Result<(), CannotSetUp> {
        Ok(connected.renew_token(&self.token.value(client, deadline).await?)?)
    }

    async fn set_up(&self, client: &Client, deadline: Deadline) -> Result<Connected, CannotSetUp> {
        let token = self.token.value(client, deadline).await?;
        let transport: Arc<dyn Transport> = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(HttpTransport::new(&self.roots(client, deadline).await?)?),
        };
        // A simulation is to be the same each time.
        let seed = self.transport.as_ref().map(|_| 0);
        Ok(match &self.settings {
            Settings::Splunk(splunk) => Connected::Splunk(SplunkHec::new(splunk.config(token, seed), transport)?),
            Settings::Logzio(logzio) => Connected::Logzio(LogzioBulk::new(logzio.config(token, seed), transport)?),
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

impl Connected {
    async fn deliver(&self, records: &[Record], deadline: Deadline) -> Delivery {
        match self {
            Self::Splunk(sink) => sink.deliver(records, deadline).await,
            Self::Logzio(sink) => sink.deliver(records, deadline).await,
        }
    }

    fn renew_token(&self, token: &SecretString) -> Result<(), InvalidConfig> {
        match self {
            Self::Splunk(sink) => sink.renew_token(token),
            Self::Logzio(sink) => sink.renew_token(token),
        }
    }
}
