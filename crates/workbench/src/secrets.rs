//! Secrets: fetched from the vault when first needed, and again when they stop working.

use std::{sync::Mutex, time::Duration};

use fn_hyper::config::Secret;
use oci_client::Client;
use oci_names::Ocid;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::Deadline;

/// A value that stopped working is read again, but not more often than this: strangers cannot make us ask the vault.
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// A secret of the configuration and its value once it is known.
#[derive(Debug)]
pub struct SecretCell {
    source: Secret,
    known: Mutex<Option<(SecretString, Instant)>>,
}

/// A secret's value cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CannotLoad {
    /// The configuration names no vault secret.
    #[error("the configured OCID is not one")]
    Name(#[from] oci_names::InvalidName),
    /// The vault does not give it.
    #[error("the vault does not give the secret")]
    Vault(#[from] oci_client::Error),
}

impl SecretCell {
    /// Nothing is fetched yet.
    pub fn new(source: Secret) -> Self {
        Self { source, known: Mutex::new(None) }
    }

    /// The value: as configured, or as the vault gave it when it was last asked.
    ///
    /// # Errors
    /// Where the vault has to be asked and does not give it.
    pub async fn value(&self, client: &Client, deadline: Deadline) -> Result<SecretString, CannotLoad> {
        let secret: Ocid = match &self.source {
            Secret::Plain(value) => return Ok(value.clone()),
            Secret::Vault(secret) => secret.parse()?,
        };
        if let Some(value) = self.known() {
            return Ok(value);
        }
        let value = client.secrets().get_secret_text(&secret, deadline).await?;
        *self.lock() = Some((value.clone(), Instant::now()));
        Ok(value)
    }

    /// Whether the secret may have been rotated since it was read: true once, and the value is then asked for anew. False
    /// where it cannot change, or was read just now.
    pub fn may_have_changed(&self) -> bool {
        let Secret::Vault(_) = self.source else { return false };
        let mut known = self.lock();
        match known.as_ref() {
            Some((_, read)) if read.elapsed() >= REREAD_AFTER => known.take().is_some(),
            _ => false,
        }
    }

    fn known(&self) -> Option<SecretString> {
        self.lock().as_ref().map(|(value, _)| value.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(SecretString, Instant)>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
