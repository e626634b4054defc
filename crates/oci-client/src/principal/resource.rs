//! Resource principal 2.2: token and key that the Functions platform provides and renews.
//!
//! Source: official SDKs, `OCI_RESOURCE_PRINCIPAL_*`.

use std::sync::Arc;

use jiff::Timestamp;
use oci_names::{Ocid, Region};

use super::{
    Credentials, PrincipalError,
    token::{Source, TokenCredentials},
};
use crate::region::Regions;

const VERSION: &str = "OCI_RESOURCE_PRINCIPAL_VERSION";
const RPST: &str = "OCI_RESOURCE_PRINCIPAL_RPST";
const PRIVATE_PEM: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM";
const REGION: &str = "OCI_RESOURCE_PRINCIPAL_REGION";

/// Key id `ST$<token>`.
#[derive(Debug)]
pub struct Resource {
    region: Region,
    credentials: TokenCredentials,
}

impl Resource {
    pub(crate) fn from_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, PrincipalError> {
        let required = |name: &'static str| {
            let value = lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            value.ok_or_else(|| PrincipalError::Missing { name: name.to_owned() })
        };
        if required(VERSION)? != "2.2" {
            let expected = "2.2, the version of OCI Functions";
            return Err(PrincipalError::Invalid { name: VERSION.to_owned(), expected });
        }
        let token = Source::of_variable(RPST, required(RPST)?);
        let key = Source::of_variable(PRIVATE_PEM, required(PRIVATE_PEM)?);
        let invalid = |_| PrincipalError::Invalid { name: REGION.to_owned(), expected: "a region identifier" };
        let region: Region = required(REGION)?.parse().map_err(invalid)?;
        let region = Regions::default().resolve(&region);
        Ok(Self { region, credentials: TokenCredentials::new(token, key)? })
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn tenancy(&self) -> Option<Ocid> {
        self.credentials.tenancy()
    }

    pub(crate) fn id(&self) -> Option<Ocid> {
        self.credentials.resource()
    }

    pub(crate) fn compartment(&self) -> Option<Ocid> {
        self.credentials.compartment()
    }

    pub(crate) fn credentials(&self, now: Timestamp) -> Arc<Credentials> {
        self.credentials.credentials(now)
    }

    pub(crate) fn reload(&self) -> bool {
        self.credentials.reload()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../../tests/fixtures/signing/test-key.pem");
    const TOKEN: &str = "e30.eyJyZXNfdGVuYW50Ijoib2NpZDEudGVuYW5jeS5vYzEuLmEifQ.aHVzaA";

    fn read(change: (&str, &str)) -> Result<Resource, PrincipalError> {
        Resource::from_variables(&|name| {
            let value = match name {
                _ if name == change.0 => change.1,
                VERSION => "2.2",
                RPST => TOKEN,
                PRIVATE_PEM => PEM,
                REGION => "phx",
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn variables_may_hold_the_values_themselves() {
        let resource = read(("", "")).unwrap();
        assert_eq!(resource.region().as_str(), "us-phoenix-1");
        assert_eq!(resource.tenancy().unwrap().as_str(), "ocid1.tenancy.oc1..a");
    }

    #[test]
    fn variables_may_hold_paths_each_on_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private.pem");
        std::fs::write(&path, PEM).unwrap();
        assert!(read((PRIVATE_PEM, path.to_str().unwrap())).is_ok());
        let error = read((RPST, folder.path().join("rpst").to_str().unwrap())).unwrap_err();
        assert!(matches!(error, PrincipalError::Unreadable { .. }), "{error:?}");
    }

    #[test]
    fn the_variable_that_is_missing_or_wrong_is_named() {
        for (change, expected) in [
            ((VERSION, ""), "OCI_RESOURCE_PRINCIPAL_VERSION is not set"),
            ((RPST, " "), "OCI_RESOURCE_PRINCIPAL_RPST is not set"),
            ((PRIVATE_PEM, ""), "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM is not set"),
            ((REGION, ""), "OCI_RESOURCE_PRINCIPAL_REGION is not set"),
            ((VERSION, "1.1"), "OCI_RESOURCE_PRINCIPAL_VERSION is not 2.2, the version of OCI Functions"),
            ((REGION, "a b"), "OCI_RESOURCE_PRINCIPAL_REGION is not a region identifier"),
        ] {
            assert_eq!(read(change).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn debug_shows_neither_key_nor_token() {
        let text = format!("{:?}", read(("", "")).unwrap());
        assert!(!text.contains("aHVzaA") && !text.contains("PRIVATE KEY-"), "{text}");
        assert!(text.contains("OCI_RESOURCE_PRINCIPAL_RPST"), "{text}");
    }
}
