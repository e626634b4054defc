//! OCIDs and region identifiers as types, so that a topic cannot be passed where a region is meant.
//!
//! Knows the grammar of the two names and nothing of services: the table of regions, realms and endpoints lies in
//! `oci-client`.
//!
//! ```
//! use oci_names::{Ocid, Region};
//!
//! let stream: Ocid = "ocid1.stream.oc1.iad.amaaaaaa".parse()?;
//! assert_eq!((stream.resource_type(), stream.region()), ("stream", Some("iad")));
//! assert_eq!("US-Phoenix-1".parse::<Region>()?.as_str(), "us-phoenix-1");
//! # Ok::<(), oci_names::InvalidName>(())
//! ```

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A text is not the name it was taken for. The text itself is not repeated: it may be a secret in the wrong key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not an OCID.
    #[error("not an OCID: expected ocid1.<type>.<realm>.[region].<unique id>")]
    Ocid,
    /// Not a region identifier.
    #[error("not a region identifier: expected letters, digits and hyphens, such as us-ashburn-1")]
    Region,
}

/// An Oracle Cloud identifier: `ocid1.<type>.<realm>.[region][.future use].<unique id>`.
///
/// Source: Oracle's page on resource identifiers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ocid(Arc<str>);

impl Ocid {
    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Field 2: `compartment`, `stream`, `onstopic` …
    pub fn resource_type(&self) -> &str {
        self.field(1).unwrap_or_default()
    }

    /// Field 3: `oc1`, `oc2` …
    pub fn realm(&self) -> &str {
        self.field(2).unwrap_or_default()
    }

    /// Field 4: the region's short code or identifier; tenancies and compartments have none.
    pub fn region(&self) -> Option<&str> {
        self.field(3).filter(|region| !region.is_empty())
    }

    fn field(&self, index: usize) -> Option<&str> {
        self.0.split('.').nth(index)
    }
}

impl FromStr for Ocid {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let mut fields = text.split('.');
        let shape = fields.next() == Some("ocid1")
            && fields.next().is_some_and(|kind| !kind.is_empty())
            && fields.next().is_some_and(|realm| !realm.is_empty())
            && fields.next().is_some()
            && fields.next_back().is_some_and(|unique| !unique.is_empty());
        // The service's own limit on an OCID's length is 255.
        if shape && text.len() <= 255 && text.chars().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::Ocid)
        }
    }
}

/// A region identifier such as `us-ashburn-1`, in lower case. Short codes (`iad`) are mapped by `oci-client`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if (1..=64).contains(&text.len()) && text.chars().all(legal) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidName::Region)
        }
    }
}

macro_rules! name_conversions {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name_conversions!(Ocid);
name_conversions!(Region);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ocid_has_five_fields_and_may_leave_the_region_out() {
        for (text, valid) in [
            ("ocid1.tenancy.oc1..aaaa", true),
            ("ocid1.stream.oc1.iad.aaaa", true),
            ("ocid1.stream.oc1.eu-frankfurt-1.aaaa", true),
            ("ocid1.onstopic.oc1.iad.future.aaaa", true),
            ("ocid1.stream.oc1.iad.", false),
            ("ocid1.stream.oc1.aaaa", false),
            ("ocid1.stream..iad.aaaa", false),
            ("ocid2.stream.oc1.iad.aaaa", false),
            ("https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com", false),
            ("ocid1.stream.oc1.iad.aa aa", false),
            ("ocid1.stream.oc1.iad.aa/aa", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Ocid>().is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_region_is_put_in_lower_case_and_checked() {
        assert_eq!("EU-Frankfurt-1".parse::<Region>().unwrap().as_str(), "eu-frankfurt-1");
        for text in ["", "us ashburn", "us/ashburn", "us-ashburn-1.oraclecloud.com"] {
            assert_eq!(text.parse::<Region>(), Err(InvalidName::Region), "{text}");
        }
    }
}
