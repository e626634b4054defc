//! What is withheld of events: the redactor, with its key once the vault has given it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use oci_client::Client;
use pipeline::Redactor;
use secrecy::ExposeSecret;
use tokio::time::Instant;
use workbench::{Deadline, SecretCell};

/// How much of a call the vault may take: no event waits for a key.
const VAULT_WITHIN: Duration = Duration::from_secs(5);

/// With a shorter key, values could be guessed from their tags.
const KEY_MIN_BYTES: usize = 16;

/// The configured redaction. Credentials are withheld in any case; the key decides only what stands in their place.
pub struct Redaction {
    names: Vec<String>,
    values: Vec<String>,
    key: Option<SecretCell>,
    /// Puts the marker in place of values.
    plain: Arc<Redactor>,
    /// Puts tags in their place.
    keyed: OnceLock<Arc<Redactor>>,
}

impl Redaction {
    /// Withholds, besides what is always withheld, the members `names` and strings that hold one of `values`.
    pub fn new(names: &[String], values: &[String], key: Option<SecretCell>) -> Self {
        let plain = Arc::new(Redactor::new(names, values, None));
        Self { names: names.to_vec(), values: values.to_vec(), key, plain, keyed: OnceLock::new() }
    }

    /// The redactor for this call. The vault is asked once in a container's life, so a key that was exchanged there comes
    /// into use with the next container.
    ///
    /// Never fails: while the vault does not give the key, or one that is too short, the marker stands for what is withheld.
    pub async fn redactor(&self, client: &Client, deadline: Deadline) -> Arc<Redactor> {
        let Some(key) = &self.key else { return Arc::clone(&self.plain) };
        if let Some(keyed) = self.keyed.get() {
            return Arc::clone(keyed);
        }
        match key.value(client, deadline.min(Instant::now() + VAULT_WITHIN)).await {
            Ok(key) if key.expose_secret().len() >= KEY_MIN_BYTES => {
                let new = || Arc::new(Redactor::new(&self.names, &self.values, Some(key.expose_secret().as_bytes())));
                Arc::clone(self.keyed.get_or_init(new))
            }
            Ok(_) => {
                tracing::warn!(
                    at_least = KEY_MIN_BYTES,
                    "redact_hmac_key is too short; withheld values are replaced by the marker"
                );
                Arc::clone(&self.plain)
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "redact_hmac_key cannot be read; withheld values are replaced by the marker"
                );
                Arc::clone(&self.plain)
            }
        }
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redaction").field("has_key", &self.key.is_some()).finish_non_exhaustive()
    }
}
