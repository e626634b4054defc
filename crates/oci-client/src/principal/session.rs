//! A user's session token, as `oci session authenticate` writes it.

use jiff::Timestamp;
use oci_names::{Ocid, Region};
use std::sync::Arc;

use super::{
    Credentials, PrincipalError, api_key,
    config_file::Profile,
    token::{Source, TokenCredentials},
};

/// Key id `ST$<token>`; runs out after an hour, and a refresh by the command line is picked up.
#[derive(Debug)]
pub struct SessionToken {
    tenancy: Option<Ocid>,
    region: Option<Region>,
    credentials: TokenCredentials,
}

impl SessionToken {
    pub(crate) fn from_profile(profile: &Profile) -> Result<Self, PrincipalError> {
        let token = Source::File(profile.path("security_token_file")?);
        let key = Source::File(profile.path("key_file")?);
        Ok(Self {
            tenancy: profile.parse("tenancy", "an OCID")?,
            region: api_key::region(profile)?,
            credentials: TokenCredentials::new(token, key)?,
        })
    }

    pub(crate) fn tenancy(&self) -> Option<Ocid> {
        self.tenancy.clone().or_else(|| self.credentials.tenancy())
    }

    pub(crate) fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    pub(crate) fn id(&self) -> Option<Ocid> {
        self.credentials.user()
    }

    pub(crate) fn credentials(&self, now: Timestamp) -> Arc<Credentials> {
        self.credentials.credentials(now)
    }

    pub(crate) fn reload(&self) -> bool {
        self.credentials.reload()
    }
}
