//! Who signs: a user with an API key, a user with a session token, or the function itself.

mod api_key;
mod config_file;
mod resource;
mod session;
mod token;
mod unsigned;

use std::{fmt, io, path::Path, sync::Arc};

use jiff::Timestamp;
use oci_names::{Ocid, Region};
use secrecy::SecretString;

use crate::key::SigningKey;

pub use self::{api_key::ApiKey, resource::Resource, session::SessionToken, unsigned::Unsigned};

/// A principal that can sign requests. `Debug` shows neither key nor token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Principal {
    /// A user's API key, from `~/.oci/config`.
    ApiKey(Arc<ApiKey>),
    /// A user's session token, from `~/.oci/config`.
    SessionToken(Arc<SessionToken>),
    /// Resource principal 2.2: what the Functions platform gives a function.
    Resource(Arc<Resource>),
    /// Nobody: requests go out unsigned, which no service takes.
    Unsigned(Arc<Unsigned>),
}

impl Principal {
    /// Reads `profile` of a configuration file such as `~/.oci/config`; `home` is put for `~` in its paths.
    ///
    /// A profile inherits what it lacks from `DEFAULT`. One with a `security_token_file` makes a session token.
    ///
    /// # Errors
    /// Where a file cannot be read, a key is missing or not of its form, or the private key is encrypted.
    pub fn from_config_file(path: &Path, profile: &str, home: &Path) -> Result<Self, PrincipalError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PrincipalError::Unreadable { what: path.display().to_string(), source })?;
        Self::from_config_text(&text, profile, home)
    }

    /// As [`Principal::from_config_file`], from the file's text.
    ///
    /// # Errors
    /// As there.
    pub fn from_config_text(text: &str, profile: &str, home: &Path) -> Result<Self, PrincipalError> {
        let profile = config_file::Profile::read(text, profile, home)?;
        if profile.has_session_token() {
            Ok(Self::SessionToken(Arc::new(SessionToken::from_profile(&profile)?)))
        } else {
            Ok(Self::ApiKey(Arc::new(ApiKey::from_profile(&profile)?)))
        }
    }

    /// Reads the variables `OCI_RESOURCE_PRINCIPAL_*`, version 2.2, which hold values or absolute paths of files.
    ///
    /// # Errors
    /// Names the variable that is missing or cannot be used.
    pub fn resource(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, PrincipalError> {
        Ok(Self::Resource(Arc::new(Resource::from_variables(lookup)?)))
    }

    /// A principal of `tenancy` that signs nothing: for a simulation in which nobody checks, since signatures would be most
    /// of its work.
    pub fn unsigned(region: Region, tenancy: Ocid) -> Self {
        Self::Unsigned(Arc::new(Unsigned::new(region, tenancy)))
    }

    /// The region that the configuration names; short codes of the built-in table are already mapped.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::ApiKey(key) => key.region(),
            Self::SessionToken(session) => session.region(),
            Self::Resource(resource) => Some(resource.region()),
            Self::Unsigned(unsigned) => Some(unsigned.region()),
        }
    }

    /// The compartment that a function lies in, from its token's claims.
    pub fn compartment(&self) -> Option<Ocid> {
        match self {
            Self::Resource(resource) => resource.compartment(),
            Self::ApiKey(_) | Self::SessionToken(_) | Self::Unsigned(_) => None,
        }
    }

    /// The tenancy, from the configuration file or the token's claims.
    ///
    /// # Errors
    /// [`PrincipalError::NoTenancy`] where neither names it.
    pub fn tenancy(&self) -> Result<Ocid, PrincipalError> {
        match self {
            Self::ApiKey(key) => Some(key.tenancy().clone()),
            Self::SessionToken(session) => session.tenancy(),
            Self::Resource(resource) => resource.tenancy(),
            Self::Unsigned(unsigned) => Some(unsigned.tenancy().clone()),
        }
        .ok_or(PrincipalError::NoTenancy)
    }

    /// Who signs, as audit events name the caller in `principalId`: the user, or the function.
    ///
    /// None where the token does not say so. The claims that name a function (`res_id`, else `sub`) are observed, not
    /// documented; the token is not checked, for it is our own.
    pub fn id(&self) -> Option<Ocid> {
        match self {
            Self::ApiKey(key) => Some(key.user().clone()),
            Self::SessionToken(session) => session.id(),
            Self::Resource(resource) => resource.id(),
            Self::Unsigned(_) => None,
        }
    }

    /// What to sign with at `now`, read anew where it is about to run out; none for who signs nothing.
    pub(crate) fn credentials(&self, now: Timestamp) -> Option<Arc<Credentials>> {
        match self {
            Self::ApiKey(key) => Some(key.credentials()),
            Self::SessionToken(session) => Some(session.credentials(now)),
            Self::Resource(resource) => Some(resource.credentials(now)),
            Self::Unsigned(_) => None,
        }
    }

    /// Whether requests are signed, so that whoever takes them vouches for the time in the signature.
    pub(crate) fn signs(&self) -> bool {
        !matches!(self, Self::Unsigned(_))
    }

    /// Reads the credentials anew after the service has refused them; true where they are other ones now.
    pub(crate) fn reload(&self) -> bool {
        match self {
            Self::ApiKey(_) | Self::Unsigned(_) => false,
            Self::SessionToken(session) => session.reload(),
            Self::Resource(resource) => resource.reload(),
        }
    }
}

/// A key and the id by which the service finds its public half. They go together and are replaced together.
pub(crate) struct Credentials {
    pub(crate) key: SigningKey,
    /// Secret, for that of a token is the token.
    pub(crate) key_id: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// A principal cannot be set up or cannot sign. Names places, never their content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrincipalError {
    /// A variable or a key of the configuration file is not there.
    #[error("{name} is not set")]
    Missing {
        /// The variable, or profile and key.
        name: String,
    },
    /// A variable or a key of the configuration file is not of its form.
    #[error("{name} is not {expected}")]
    Invalid {
        /// The variable, or profile and key.
        name: String,
        /// The form.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {what}")]
    Unreadable {
        /// The path.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The private key is protected by a passphrase.
    #[error(
        "the private key in {whence} is encrypted, which is not supported: decrypt it with `openssl rsa -in key.pem -out plain.pem` and use the result"
    )]
    EncryptedKey {
        /// The path, or the variable.
        whence: String,
    },
    /// The private key is not one that can sign.
    #[error("{whence} holds no RSA private key of 2048 to 4096 bits in PEM form")]
    InvalidKey {
        /// The path, or the variable.
        whence: String,
    },
    /// The token is not one.
    #[error("{whence} holds no token of three parts with readable claims")]
    InvalidToken {
        /// The path, or the variable.
        whence: String,
    },
    /// Neither configuration nor token names the tenancy.
    #[error("neither the configuration nor the token names the tenancy")]
    NoTenancy,
    /// The key refused to sign, which no valid key does.
    #[error("the private key does not sign")]
    CannotSign,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/signing");
    const API_KEY: &str = "
[DEFAULT]
user=ocid1.user.oc1..u
tenancy=ocid1.tenancy.oc1..t
fingerprint=1d:75:6e:a7:bf:99:10:44:77:b8:41:0d:3b:4f:68:8d
key_file=~/test-key.pem
region=iad
";

    fn read(text: &str) -> Result<Principal, PrincipalError> {
        Principal::from_config_text(text, "DEFAULT", Path::new(SIGNING))
    }

    #[test]
    fn an_api_key_is_read_from_a_configuration_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, API_KEY).unwrap();
        let principal = Principal::from_config_file(&path, "DEFAULT", Path::new(SIGNING)).unwrap();
        assert!(matches!(principal, Principal::ApiKey(_)));
        assert_eq!(principal.region().unwrap().as_str(), "us-ashburn-1");
        assert_eq!(principal.tenancy().unwrap().as_str(), "ocid1.tenancy.oc1..t");
        assert_eq!(principal.id().unwrap().as_str(), "ocid1.user.oc1..u");
        let missing = Principal::from_config_file(&folder.path().join("none"), "DEFAULT", Path::new(SIGNING));
        assert!(matches!(missing, Err(PrincipalError::Unreadable { .. })));
    }

    #[test]
    fn a_profile_with_a_token_file_is_a_session_and_needs_no_user() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "e30.eyJ0ZW5hbnQiOiJvY2lkMS50ZW5hbmN5Lm9jMS4uYSJ9.aHVzaA\n").unwrap();
        let text = format!("[DEFAULT]\nkey_file=~/test-key.pem\nsecurity_token_file={}\n", token.display());
        let principal = read(&text).unwrap();
        assert!(matches!(principal, Principal::SessionToken(_)));
        assert_eq!(principal.region(), None);
        assert_eq!(principal.tenancy().unwrap().as_str(), "ocid1.tenancy.oc1..a");
        assert!(!format!("{principal:?}").contains("aHVzaA"), "{principal:?}");
    }

    #[test]
    fn what_is_wrong_with_a_profile_is_said_without_its_value() {
        for (from, to, expected) in [
            ("user=ocid1.user.oc1..u", "", "user in profile DEFAULT is not set"),
            ("ocid1.tenancy.oc1..t", "hush", "tenancy in profile DEFAULT is not an OCID"),
            (":8d", ":hush", "fingerprint in profile DEFAULT is not 16 pairs of hexadecimal digits joined with colons"),
            ("=iad", "=hu sh", "region in profile DEFAULT is not a region identifier"),
            ("test-key.pem", "none.pem", &format!("cannot read {SIGNING}/none.pem")),
            (
                "test-key.pem",
                "test-key-encrypted.pem",
                &format!(
                    "the private key in {SIGNING}/test-key-encrypted.pem is encrypted, which is not supported: \
                     decrypt it with `openssl rsa -in key.pem -out plain.pem` and use the result"
                ),
            ),
        ] {
            let error = read(&API_KEY.replace(from, to)).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
