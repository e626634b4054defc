//! The private key that signs: PEM in, signatures out. The one file that knows the cryptography.

use std::fmt;

use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};

use crate::PrincipalError;

/// An RSA key of 2048 to 4096 bits.
pub(crate) struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// RSASSA-PKCS1-v1_5 over SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PrincipalError> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| PrincipalError::CannotSign)?;
        Ok(signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Reads the first private key in `pem`, PKCS#8 or PKCS#1; what follows its END marker is ignored, for the Console adds
/// a label there. `whence` is a path or the name of a variable, for the error's text.
pub(crate) fn from_pem(pem: &[u8], whence: &str) -> Result<SigningKey, PrincipalError> {
    if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err(PrincipalError::EncryptedKey { whence: whence.to_owned() });
    }
    let invalid = || PrincipalError::InvalidKey { whence: whence.to_owned() };
    let pair = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| invalid())? {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(invalid()),
    };
    pair.map(SigningKey).map_err(|_| invalid())
}

/// Stands in both forms of an encrypted PEM: in the marker of the one, in a header of the other.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

#[cfg(test)]
mod tests {
    use super::*;

    const PKCS8: &str = include_str!("../tests/fixtures/signing/test-key.pem");
    const PKCS1: &str = include_str!("../tests/fixtures/signing/test-key-pkcs1.pem");
    const ENCRYPTED: &str = include_str!("../tests/fixtures/signing/test-key-encrypted.pem");

    #[test]
    fn both_forms_are_read_and_a_label_after_the_end_marker_does_no_harm() {
        let expected = from_pem(PKCS8.as_bytes(), "k").unwrap().sign(b"x").unwrap();
        for pem in [PKCS1.to_owned(), format!("{PKCS8}OCI_API_KEY\n"), format!("{}OCI_API_KEY", PKCS1.trim_end())] {
            assert_eq!(from_pem(pem.as_bytes(), "k").unwrap().sign(b"x").unwrap(), expected);
        }
    }

    #[test]
    fn an_encrypted_key_is_refused_with_the_command_that_decrypts_it() {
        let old_form =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        for pem in [ENCRYPTED, old_form] {
            let text = from_pem(pem.as_bytes(), "/keys/a.pem").unwrap_err().to_string();
            assert!(text.contains("/keys/a.pem") && text.contains("openssl rsa -in"), "{text}");
        }
    }

    #[test]
    fn what_is_no_rsa_key_is_refused_without_being_repeated() {
        for pem in ["", "hush", "-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n"] {
            let error = from_pem(pem.as_bytes(), "OCI_X").unwrap_err();
            assert!(matches!(error, PrincipalError::InvalidKey { .. }), "{error:?}");
            assert!(!format!("{error:?} {error}").contains("hush"));
        }
    }
}
