//! A token and the key that its public half is bound into: read together, and read anew together.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use oci_names::Ocid;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Deserializer};

use super::{Credentials, PrincipalError};
use crate::{key, signer::content_sha256};

/// Token and key are read anew when less than this remains, as in the official Go SDK.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(300);

/// The type of a function's OCID.
const FUNCTION: &str = "fnfunc";

/// Where a secret text lies: in a file that the platform writes anew, or in the variable itself.
pub(crate) enum Source {
    /// Read at each reload.
    File(PathBuf),
    /// Can never be renewed.
    Literal {
        /// For the text of errors.
        variable: &'static str,
        text: SecretString,
    },
}

impl Source {
    /// An absolute path means a file, as in the official SDKs.
    pub(crate) fn of_variable(variable: &'static str, value: String) -> Self {
        if Path::new(&value).is_absolute() {
            Self::File(value.into())
        } else {
            Self::Literal { variable, text: value.into() }
        }
    }

    fn whence(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Literal { variable, .. } => (*variable).to_owned(),
        }
    }

    fn read(&self) -> Result<SecretSlice<u8>, PrincipalError> {
        match self {
            Self::File(path) => std::fs::read(path)
                .map(SecretSlice::from)
                .map_err(|source| PrincipalError::Unreadable { what: self.whence(), source }),
            Self::Literal { text, .. } => Ok(text.expose_secret().as_bytes().to_vec().into()),
        }
    }
}

/// What the token says of itself; everything else in it is ignored, for its claims vary.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    /// Seconds since the epoch.
    exp: Option<i64>,
    res_tenant: Option<Ocid>,
    #[serde(default)]
    res_compartment: Option<Ocid>,
    tenant: Option<Ocid>,
    /// The resource that the token was issued to. Its name and its form are as observed, not documented.
    #[serde(default, deserialize_with = "ocid_or_nothing")]
    res_id: Option<Ocid>,
    /// The subject: a user, or the resource.
    #[serde(default, deserialize_with = "ocid_or_nothing")]
    sub: Option<Ocid>,
}

/// A claim that is not what it was taken for must not spoil the token.
fn ocid_or_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Ocid>, D::Error> {
    let claim = serde_json::Value::deserialize(from)?;
    Ok(claim.as_str().and_then(|text| text.parse().ok()))
}

/// The credentials of a token principal, with the way to renew them.
pub(crate) struct TokenCredentials {
    token: Source,
    key: Source,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    credentials: Arc<Credentials>,
    claims: Claims,
    /// Tells whether another key has come under the same token.
    key_sha256: String,
}

impl TokenCredentials {
    pub(crate) fn new(token: Source, key: Source) -> Result<Self, PrincipalError> {
        let current = Mutex::new(read(&token, &key)?);
        Ok(Self { token, key, current })
    }

    /// The tenancy that the token names.
    pub(crate) fn tenancy(&self) -> Option<Ocid> {
        let claims = self.current().claims;
        claims.res_tenant.or(claims.tenant)
    }

    /// The compartment of the resource that the token names.
    pub(crate) fn compartment(&self) -> Option<Ocid> {
        self.current().claims.res_compartment
    }

    /// The function that the token says it was issued to.
    pub(crate) fn resource(&self) -> Option<Ocid> {
        let claims = self.current().claims;
        claims.res_id.or(claims.sub.filter(|subject| subject.resource_type() == FUNCTION))
    }

    /// The user that the token says it was issued to.
    pub(crate) fn user(&self) -> Option<Ocid> {
        self.current().claims.sub
    }

    /// What to sign with at `now`, read anew where less than five minutes remain.
    ///
    /// Where that fails, the old ones still serve as long as they last, and the service says when they do not.
    pub(crate) fn credentials(&self, now: Timestamp) -> Arc<Credentials> {
        let current = self.current();
        let expires = current.claims.exp.and_then(|exp| Timestamp::from_second(exp).ok());
        match expires {
            Some(at) if at.duration_since(now) < RENEW_BEFORE && self.reload() => self.current().credentials,
            _ => current.credentials,
        }
    }

    /// Reads both anew; true where they are other ones now.
    pub(crate) fn reload(&self) -> bool {
        let fresh = match read(&self.token, &self.key) {
            Ok(fresh) => fresh,
            Err(error) => {
                // The platform may be writing the two files at this moment.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the principal's token and key cannot be read"
                );
                return false;
            }
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // The files are written one after the other: a token may get its key only now.
        let renewed = fresh.credentials.key_id.expose_secret() != current.credentials.key_id.expose_secret()
            || fresh.key_sha256 != current.key_sha256;
        if renewed {
            *current = fresh;
        }
        renewed
    }

    fn current(&self) -> Current {
        // A panic cannot leave it half written.
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for TokenCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCredentials")
            .field("token", &self.token.whence())
            .field("key", &self.key.whence())
            .finish_non_exhaustive()
    }
}

fn read(token: &Source, key: &Source) -> Result<Current, PrincipalError> {
    let invalid = || PrincipalError::InvalidToken { whence: token.whence() };
    let bytes = token.read()?;
    // A trailing line feed would break the header.
    let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| invalid())?.trim();
    let claims = claims(text).ok_or_else(invalid)?;
    let pem = key.read()?;
    let key_sha256 = content_sha256(pem.expose_secret());
    let key = key::from_pem(pem.expose_secret(), &key.whence())?;
    let credentials = Arc::new(Credentials { key, key_id: format!("ST${text}").into() });
    Ok(Current { credentials, claims, key_sha256 })
}

/// The second part of the three; Oracle's signature is not ours to check.
fn claims(token: &str) -> Option<Claims> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts.as_slice() else { return None };
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&json).ok().filter(|_| token.chars().all(legal))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../../tests/fixtures/signing/test-key.pem");
    const NOW: i64 = 1_767_648_000;

    fn token(payload: &str) -> String {
        format!("eyJh.{}.aHVzaA", URL_SAFE_NO_PAD.encode(payload))
    }

    fn expiring(seconds: i64) -> String {
        token(&format!(
            r#"{{"exp":{},"res_tenant":"ocid1.tenancy.oc1..a","res_compartment":"ocid1.compartment.oc1..b","jwk":"?"}}"#,
            NOW + seconds
        ))
    }

    /// Token and key in files, as the platform leaves them.
    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new(token: &str) -> Self {
            let files = Self { folder: tempfile::tempdir().unwrap() };
            files.write("rpst", token);
            files.write("private.pem", PEM);
            files
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn credentials(&self) -> Result<TokenCredentials, PrincipalError> {
            let file = |name| Source::File(self.folder.path().join(name));
            TokenCredentials::new(file("rpst"), file("private.pem"))
        }
    }

    fn key_id(credentials: &TokenCredentials) -> String {
        credentials.credentials(Timestamp::from_second(NOW).unwrap()).key_id.expose_secret().to_owned()
    }

    #[test]
    fn the_token_is_trimmed_and_its_claims_are_read() {
        let token = expiring(3600);
        let credentials = Files::new(&format!("{token}\n")).credentials().unwrap();
        assert_eq!(key_id(&credentials), format!("ST${token}"));
        assert_eq!(credentials.tenancy().unwrap().as_str(), "ocid1.tenancy.oc1..a");
        assert_eq!(credentials.compartment().unwrap().as_str(), "ocid1.compartment.oc1..b");
    }

    #[test]
    fn the_function_is_named_by_its_id_or_as_the_subject_and_odd_claims_do_no_harm() {
        let f = "ocid1.fnfunc.oc1.iad.f";
        for (claims, resource, user) in [
            (r#"{"res_id":"ocid1.fnfunc.oc1.iad.f","sub":"ocid1.user.oc1..u"}"#, Some(f), Some("ocid1.user.oc1..u")),
            (r#"{"sub":"ocid1.fnfunc.oc1.iad.f"}"#, Some(f), Some(f)),
            (r#"{"res_id":["?"],"sub":"ocid1.fnfunc.oc1.iad.f"}"#, Some(f), Some(f)),
            (r#"{"res_id":"hush","sub":"ocid1.user.oc1..u"}"#, None, Some("ocid1.user.oc1..u")),
            (r#"{"res_id":null,"sub":7}"#, None, None),
            ("{}", None, None),
        ] {
            let credentials = Files::new(&token(claims)).credentials().unwrap();
            let named = (credentials.resource(), credentials.user());
            assert_eq!(
                (named.0.as_ref().map(Ocid::as_str), named.1.as_ref().map(Ocid::as_str)),
                (resource, user),
                "{claims}"
            );
        }
    }

    #[test]
    fn a_token_is_read_anew_when_less_than_five_minutes_remain_and_not_before() {
        for (remaining, renewed) in [(301, false), (299, true), (-1, true)] {
            let files = Files::new(&expiring(remaining));
            let credentials = files.credentials().unwrap();
            let fresh = expiring(3600);
            files.write("rpst", &fresh);
            assert_eq!(key_id(&credentials) == format!("ST${fresh}"), renewed, "{remaining} s remain");
        }
    }

    #[test]
    fn while_the_files_cannot_be_read_the_old_credentials_serve_on() {
        let old = expiring(100);
        let files = Files::new(&old);
        let credentials = files.credentials().unwrap();
        files.write("private.pem", "half a k");
        files.write("rpst", &expiring(3600));
        assert!(!credentials.reload());
        assert_eq!(key_id(&credentials), format!("ST${old}"));
    }

    #[test]
    fn a_reload_says_whether_anything_has_changed() {
        let files = Files::new(&expiring(3600));
        let credentials = files.credentials().unwrap();
        assert!(!credentials.reload());
        files.write("rpst", &expiring(7200));
        assert!(credentials.reload());
        files.write("private.pem", include_str!("../../tests/fixtures/signing/test-key-pkcs1.pem"));
        assert!(credentials.reload());
        assert!(!credentials.reload());
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        for text in ["", "hush", "a.b", "a.hush.c", &format!("{}\u{e9}", expiring(1)), "a.e30.c.d"] {
            let error = Files::new(text).credentials().err().unwrap();
            assert!(matches!(error, PrincipalError::InvalidToken { .. }), "{text}: {error:?}");
            assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");
        }
    }
}
