//! A user's API key.

use std::{fmt, sync::Arc};

use oci_names::{Ocid, Region};
use secrecy::SecretString;

use super::{Credentials, PrincipalError, config_file::Profile};
use crate::{key, region::Regions};

/// Key id `<tenancy>/<user>/<fingerprint>`; never runs out.
pub struct ApiKey {
    tenancy: Ocid,
    user: Ocid,
    region: Option<Region>,
    credentials: Arc<Credentials>,
}

impl ApiKey {
    pub(crate) fn from_profile(profile: &Profile) -> Result<Self, PrincipalError> {
        const OCID: &str = "an OCID";
        let tenancy: Ocid = profile.parse("tenancy", OCID)?.ok_or_else(|| profile.missing("tenancy"))?;
        let user: Ocid = profile.parse("user", OCID)?.ok_or_else(|| profile.missing("user"))?;
        let fingerprint = profile.get("fingerprint").ok_or_else(|| profile.missing("fingerprint"))?;
        if !is_fingerprint(fingerprint) {
            let expected = "16 pairs of hexadecimal digits joined with colons";
            return Err(PrincipalError::Invalid { name: profile.label("fingerprint"), expected });
        }
        let path = profile.path("key_file")?;
        let whence = path.display().to_string();
        let pem = std::fs::read(&path).map_err(|source| PrincipalError::Unreadable { what: whence.clone(), source })?;
        let key = key::from_pem(&pem, &whence)?;
        let key_id = SecretString::from(format!("{tenancy}/{user}/{}", fingerprint.to_ascii_lowercase()));
        let region = region(profile)?;
        Ok(Self { tenancy, user, region, credentials: Arc::new(Credentials { key, key_id }) })
    }

    pub(crate) fn tenancy(&self) -> &Ocid {
        &self.tenancy
    }

    pub(crate) fn user(&self) -> &Ocid {
        &self.user
    }

    pub(crate) fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        self.credentials.clone()
    }
}

/// The region of a profile, short codes mapped.
pub(crate) fn region(profile: &Profile) -> Result<Option<Region>, PrincipalError> {
    let region = profile.parse("region", "a region identifier")?;
    Ok(region.map(|region| Regions::default().resolve(&region)))
}

/// MD5 of the public key, as the Console shows it.
fn is_fingerprint(text: &str) -> bool {
    text.split(':').count() == 16
        && text.split(':').all(|pair| pair.len() == 2 && pair.chars().all(|c| c.is_ascii_hexdigit()))
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("tenancy", &self.tenancy).field("region", &self.region).finish_non_exhaustive()
    }
}
