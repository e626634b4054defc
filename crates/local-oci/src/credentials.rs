//! The credentials that clients are given: an OCI config file, resource principal tokens, and the fixture keys.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use ring::rsa::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::clock::Clock;
use crate::md5::md5;
use crate::verify::PublicKey;

const API_USER: &str = include_str!("../keys/api-user.pem");
const SESSIONS: [&str; 2] = [include_str!("../keys/session-a.pem"), include_str!("../keys/session-b.pem")];
const ISSUER: &str = include_str!("../keys/token-issuer.pem");

/// Hands out credentials for one tenancy.
#[derive(Debug)]
pub struct Credentials {
    clock: Clock,
    clock_skew: SignedDuration,
    tenancy: String,
    user: String,
    region: String,
    compartment: String,
    serials: Arc<Serials>,
    state: Mutex<State>,
}

/// The numbers that tokens bear, so that all that were given out can be expired at once.
#[derive(Debug, Default)]
pub(crate) struct Serials {
    next: AtomicU64,
    valid_from: AtomicU64,
}

impl Serials {
    /// Whether the token of that number was expired before its time.
    pub(crate) fn is_expired(&self, serial: u64) -> bool {
        serial < self.valid_from.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct State {
    lifetime: SignedDuration,
    /// How many tokens each directory was given.
    rotations: HashMap<PathBuf, usize>,
}

/// What an OCI config file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The profile to use.
    pub profile: String,
    /// The region that it names.
    pub region: String,
}

impl Credentials {
    pub(crate) fn new(
        clock: Clock,
        clock_skew: SignedDuration,
        tenancy: &str,
        user: &str,
        region: &str,
        compartment: &str,
    ) -> Self {
        let state = Mutex::new(State { lifetime: SignedDuration::from_hours(1), rotations: HashMap::new() });
        let own = str::to_owned;
        Self {
            clock,
            clock_skew,
            tenancy: own(tenancy),
            user: own(user),
            region: own(region),
            compartment: own(compartment),
            serials: Arc::default(),
            state,
        }
    }

    /// What tells which tokens still hold.
    pub(crate) fn serials(&self) -> Arc<Serials> {
        Arc::clone(&self.serials)
    }

    /// Writes `config` and `api-user.pem` into `dir`, for API key authentication.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_config(&self, dir: &Path) -> io::Result<ConfigFile> {
        std::fs::create_dir_all(dir)?;
        let dir = std::path::absolute(dir)?;
        let (key, path) = (dir.join("api-user.pem"), dir.join("config"));
        write_private(&key, API_USER)?;
        let text = format!(
            "[DEFAULT]\nuser={}\nfingerprint={}\ntenancy={}\nregion={}\nkey_file={}\n",
            self.user,
            self.fingerprint(),
            self.tenancy,
            self.region,
            key.display()
        );
        write_private(&path, &text)?;
        Ok(ConfigFile { path, profile: "DEFAULT".to_owned(), region: self.region.clone() })
    }

    /// The fingerprint of the user's API key.
    pub fn fingerprint(&self) -> String {
        public_key(API_USER).map(|key| fingerprint(&key)).unwrap_or_default()
    }

    /// The API key itself, PEM: `<tenancy>/<user>/<fingerprint>` is its key id.
    pub fn api_key_pem(&self) -> &'static str {
        API_USER
    }

    /// The OCID of the API key's user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// How long tokens written from now on live, by [`Clock::real_now`]. An hour, unless set.
    pub fn set_token_lifetime(&self, lifetime: SignedDuration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lifetime = lifetime;
    }

    /// Expires every token given out so far, whatever its lifetime: 401 until the files are written anew.
    ///
    /// [`Credentials::rotate`] writes them for a directory; the emulator does it for its containers at their next call
    /// once they are as old as `FunctionSettings::rotate_after`.
    pub fn expire_all(&self) {
        self.serials.valid_from.store(self.serials.next.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Writes `rpst` and `private.pem` into `dir` and gives the variables that a function container finds.
    ///
    /// # Errors
    /// What the file system says, or a fixture key that cannot be read.
    pub fn resource_principal_env(&self, function: &str, dir: &Path) -> io::Result<Vec<(String, String)>> {
        self.rotate(function, dir)?;
        let dir = std::path::absolute(dir)?;
        let path = |name: &str| dir.join(name).display().to_string();
        Ok([
            ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
            ("OCI_RESOURCE_PRINCIPAL_RPST", path("rpst")),
            ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", path("private.pem")),
            ("OCI_RESOURCE_PRINCIPAL_REGION", self.region.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into())
    }

    /// Writes a fresh token, bound to the other session key, over the files in `dir`. The old pair goes on working
    /// until its token runs out; a new token with the old key does not.
    ///
    /// # Errors
    /// What the file system says, or a fixture key that cannot be read.
    pub fn rotate(&self, function: &str, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        let (lifetime, turn) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let lifetime = state.lifetime;
            let turns = state.rotations.entry(dir.to_owned()).or_default();
            *turns += 1;
            (lifetime, *turns)
        };
        let session = SESSIONS[(turn + 1) % SESSIONS.len()];
        let token = self.token(function, session, lifetime)?;
        // The key first: a reader that takes both in this order sees an old token with a new key at worst, and retries.
        replace(&dir.join("private.pem"), session)?;
        replace(&dir.join("rpst"), &token)
    }

    /// A resource principal session token and the private key that it is bound to, both as text.
    ///
    /// # Errors
    /// A fixture key that cannot be read.
    pub fn session(&self, function: &str, lifetime: SignedDuration) -> io::Result<(String, &'static str)> {
        Ok((self.token(function, SESSIONS[0], lifetime)?, SESSIONS[0]))
    }

    fn token(&self, function: &str, session: &str, lifetime: SignedDuration) -> io::Result<String> {
        let now = self.clock.real_now().checked_add(self.clock_skew).map_err(io::Error::other)?.as_second();
        let key = public_key(session)?;
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "n": base64(&key.n), "e": base64(&key.e) });
        let serial = self.serials.next.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "jti": serial.to_string(), "sub": function, "iss": "authService.oracle.com", "aud": "oci", "ptype": "resource", "ttype": "res_sp",
            "res_type": "fnfunc", "res_id": function, "res_tenant": self.tenancy, "res_compartment": self.compartment,
            "tenant": self.tenancy, "iat": now, "exp": now.saturating_add(lifetime.as_secs()), "jwk": jwk.to_string(),
        });
        let header = json!({ "kid": "local-oci", "alg": "RS256" });
        let signed = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let issuer = key_pair(ISSUER)?;
        let mut signature = vec![0; issuer.public().modulus_len()];
        issuer
            .sign(
                &ring::signature::RSA_PKCS1_SHA256,
                &ring::rand::SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| io::Error::other("signing a token"))?;
        Ok(format!("{signed}.{}", base64(&signature)))
    }
}

/// The public halves of the key that signs session tokens and of the API key.
#[expect(clippy::expect_used, reason = "the fixture keys are compiled in, and every test reads them")]
pub(crate) fn fixture_keys() -> (PublicKey, PublicKey) {
    let key = |pem| public_key(pem).expect("a fixture key is an RSA key");
    (key(ISSUER), key(API_USER))
}

pub(crate) fn public_key(pem: &str) -> io::Result<PublicKey> {
    let public = key_pair(pem)?.public().clone();
    let components = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(&public);
    Ok(PublicKey { n: components.n, e: components.e })
}

fn key_pair(pem: &str) -> io::Result<KeyPair> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| io::Error::other("a PEM private key"))?;
    KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| io::Error::other("an RSA private key"))
}

/// MD5 of the DER SubjectPublicKeyInfo, in hex pairs joined with `:`.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    let integer = |bytes: &[u8]| {
        // A leading zero keeps a number with its top bit set from being negative.
        let zero: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        der(0x02, &[zero, bytes].concat())
    };
    let rsa = der(0x30, &[integer(&key.n), integer(&key.e)].concat());
    // rsaEncryption, 1.2.840.113549.1.1.1, with a NULL parameter.
    let algorithm = der(0x30, &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]);
    let info = der(0x30, &[algorithm, der(0x03, &[&[0], rsa.as_slice()].concat())].concat());
    md5(&info).map(|byte| format!("{byte:02x}")).join(":")
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).map_or(&length[7..], |first| &length[first..]);
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | significant.len() as u8);
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(content);
    out
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Writes beside and renames over, so that no reader sees half a file.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    write_private(&beside, text)?;
    std::fs::rename(beside, path)
}
