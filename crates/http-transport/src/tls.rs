//! Whom we trust: the public roots that are compiled in, and what the configuration adds.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Which certificate authorities a connection may end at, besides the public ones. A certificate is always checked; there is no switch against it.
#[derive(Debug, Clone, Default)]
pub struct TlsRoots {
    extra: Vec<CertificateDer<'static>>,
}

/// The text given as private certificate authorities is not PEM, or holds no certificate.
#[derive(Debug, thiserror::Error)]
#[error("no certificate in the PEM text: expected -----BEGIN CERTIFICATE-----")]
pub struct InvalidRoots;

impl TlsRoots {
    /// Trusts the certificates in `pem` besides the public roots.
    ///
    /// # Errors
    /// [`InvalidRoots`] where `pem` holds no certificate, or one that cannot be an authority.
    pub fn with_private_ca(mut self, pem: &[u8]) -> Result<Self, InvalidRoots> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| InvalidRoots)?;
            store.add(certificate.clone()).map_err(|_| InvalidRoots)?;
            self.extra.push(certificate);
        }
        if store.is_empty() { Err(InvalidRoots) } else { Ok(self) }
    }
}

/// The one place that chooses TLS: rustls on ring, TLS 1.2 and 1.3, the roots as given.
///
/// # Errors
/// Where rustls refuses its own defaults, which would be a fault of the build.
pub(crate) fn client_config(roots: &TlsRoots) -> Result<ClientConfig, rustls::Error> {
    let mut store: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let (_, refused) = store.add_parsable_certificates(roots.extra.iter().cloned());
    debug_assert_eq!(refused, 0, "with_private_ca has tried each one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth())
}
