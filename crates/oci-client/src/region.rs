//! The table of regions: short code, identifier, and the domain of the realm.

use oci_names::Region;
use serde::Deserialize;

use crate::InvalidEndpoint;

/// The domain of regions that nobody has told us about; the official SDKs do the same.
const DEFAULT_DOMAIN: &str = "oraclecloud.com";

/// The regions this build knows, and those that the platform has told us of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Regions {
    told: Vec<Metadata>,
}

/// One region as `OCI_REGION_METADATA` describes it; all four keys are required.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[expect(dead_code, reason = "required by the schema, though nothing here reads it")]
    realm_key: String,
    realm_domain_component: String,
    region_key: String,
    region_identifier: String,
}

impl Regions {
    /// Adds the region that `json` describes, in the form of `OCI_REGION_METADATA`.
    pub(crate) fn tell(&mut self, json: &str) -> Result<(), InvalidEndpoint> {
        let mut metadata: Metadata = serde_json::from_str(json).map_err(|_| InvalidEndpoint::Metadata)?;
        for field in [&mut metadata.realm_domain_component, &mut metadata.region_key, &mut metadata.region_identifier] {
            field.make_ascii_lowercase();
            if field.is_empty() {
                return Err(InvalidEndpoint::Metadata);
            }
        }
        self.told.push(metadata);
        Ok(())
    }

    /// The region that a short code or an identifier names; what is unknown stays as it is.
    pub(crate) fn resolve(&self, region: &Region) -> Region {
        let text = region.as_str();
        let told = self.told.iter().find(|told| told.region_key == text).map(|told| told.region_identifier.as_str());
        let known = || TABLE.iter().find(|(code, _, _)| *code == text).map(|(_, id, _)| *id);
        told.or_else(known).and_then(|id| id.parse().ok()).unwrap_or_else(|| region.clone())
    }

    /// The domain under which the services of `region` lie.
    ///
    /// An unknown region is taken for one of the commercial realm; that fails at the first call and not before, as
    /// with the official SDKs.
    pub(crate) fn domain(&self, region: &Region) -> &str {
        let text = region.as_str();
        let told = self.told.iter().find(|told| told.region_identifier == text);
        match told {
            Some(told) => &told.realm_domain_component,
            None => TABLE.iter().find(|(_, id, _)| *id == text).map_or(DEFAULT_DOMAIN, |(_, _, domain)| domain),
        }
    }
}

/// Short code, identifier, domain. Source: official OCI Python SDK 2.189.0, 85 regions in 20 realms.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    // oc1
    ("lej", "af-casablanca-1", "oraclecloud.com"),
    ("jnb", "af-johannesburg-1", "oraclecloud.com"),
    ("hsg", "ap-batam-1", "oraclecloud.com"),
    ("yny", "ap-chuncheon-1", "oraclecloud.com"),
    ("onm", "ap-delhi-1", "oraclecloud.com"),
    ("hyd", "ap-hyderabad-1", "oraclecloud.com"),
    ("jbp", "ap-kulai-2", "oraclecloud.com"),
    ("mel", "ap-melbourne-1", "oraclecloud.com"),
    ("bom", "ap-mumbai-1", "oraclecloud.com"),
    ("kix", "ap-osaka-1", "oraclecloud.com"),
    ("icn", "ap-seoul-1", "oraclecloud.com"),
    ("sin", "ap-singapore-1", "oraclecloud.com"),
    ("xsp", "ap-singapore-2", "oraclecloud.com"),
    ("syd", "ap-sydney-1", "oraclecloud.com"),
    ("nrt", "ap-tokyo-1", "oraclecloud.com"),
    ("yul", "ca-montreal-1", "oraclecloud.com"),
    ("yyz", "ca-toronto-1", "oraclecloud.com"),
    ("ams", "eu-amsterdam-1", "oraclecloud.com"),
    ("fra", "eu-frankfurt-1", "oraclecloud.com"),
    ("mad", "eu-madrid-1", "oraclecloud.com"),
    ("orf", "eu-madrid-3", "oraclecloud.com"),
    ("mrs", "eu-marseille-1", "oraclecloud.com"),
    ("lin", "eu-milan-1", "oraclecloud.com"),
    ("cdg", "eu-paris-1", "oraclecloud.com"),
    ("arn", "eu-stockholm-1", "oraclecloud.com"),
    ("nrq", "eu-turin-1", "oraclecloud.com"),
    ("zrh", "eu-zurich-1", "oraclecloud.com"),
    ("mtz", "il-jerusalem-1", "oraclecloud.com"),
    ("auh", "me-abudhabi-1", "oraclecloud.com"),
    ("dxb", "me-dubai-1", "oraclecloud.com"),
    ("jed", "me-jeddah-1", "oraclecloud.com"),
    ("ruh", "me-riyadh-1", "oraclecloud.com"),
    ("mty", "mx-monterrey-1", "oraclecloud.com"),
    ("qro", "mx-queretaro-1", "oraclecloud.com"),
    ("bog", "sa-bogota-1", "oraclecloud.com"),
    ("scl", "sa-santiago-1", "oraclecloud.com"),
    ("gru", "sa-saopaulo-1", "oraclecloud.com"),
    ("vap", "sa-valparaiso-1", "oraclecloud.com"),
    ("vcp", "sa-vinhedo-1", "oraclecloud.com"),
    ("cwl", "uk-cardiff-1", "oraclecloud.com"),
    ("lhr", "uk-london-1", "oraclecloud.com"),
    ("iad", "us-ashburn-1", "oraclecloud.com"),
    ("ord", "us-chicago-1", "oraclecloud.com"),
    ("phx", "us-phoenix-1", "oraclecloud.com"),
    ("aga", "us-saltlake-2", "oraclecloud.com"),
    ("sjc", "us-sanjose-1", "oraclecloud.com"),
    // oc2
    ("lfi", "us-langley-1", "oraclegovcloud.com"),
    ("luf", "us-luke-1", "oraclegovcloud.com"),
    // oc3
    ("ric", "us-gov-ashburn-1", "oraclegovcloud.com"),
    ("pia", "us-gov-chicago-1", "oraclegovcloud.com"),
    ("tus", "us-gov-phoenix-1", "oraclegovcloud.com"),
    // oc4
    ("brs", "uk-gov-cardiff-1", "oraclegovcloud.uk"),
    ("ltn", "uk-gov-london-1", "oraclegovcloud.uk"),
    // oc8
    ("nja", "ap-chiyoda-1", "oraclecloud8.com"),
    ("ukb", "ap-ibaraki-1", "oraclecloud8.com"),
    // oc9
    ("mct", "me-dcc-muscat-1", "oraclecloud9.com"),
    ("ibr", "me-ibri-1", "oraclecloud9.com"),
    // oc10
    ("wga", "ap-dcc-canberra-1", "oraclecloud10.com"),
    // oc14
    ("ork", "eu-dcc-dublin-1", "oraclecloud14.com"),
    ("snn", "eu-dcc-dublin-2", "oraclecloud14.com"),
    ("bgy", "eu-dcc-milan-1", "oraclecloud14.com"),
    ("mxp", "eu-dcc-milan-2", "oraclecloud14.com"),
    ("dus", "eu-dcc-rating-1", "oraclecloud14.com"),
    ("dtm", "eu-dcc-rating-2", "oraclecloud14.com"),
    // oc15
    ("dac", "ap-dcc-gazipur-1", "oraclecloud15.com"),
    // oc19
    ("str", "eu-frankfurt-2", "oraclecloud.eu"),
    ("vll", "eu-madrid-2", "oraclecloud.eu"),
    // oc20
    ("beg", "eu-jovanovac-1", "oraclecloud20.com"),
    // oc21
    ("vve", "me-alrayyan-1", "oraclecloud21.com"),
    ("doh", "me-dcc-doha-1", "oraclecloud21.com"),
    // oc23
    ("ebb", "us-somerset-1", "oraclecloud23.com"),
    ("ebl", "us-thames-1", "oraclecloud23.com"),
    // oc24
    ("avf", "eu-crissier-1", "oraclecloud24.com"),
    ("avz", "eu-dcc-zurich-1", "oraclecloud24.com"),
    // oc26
    ("ahu", "me-abudhabi-3", "oraclecloud26.com"),
    ("rba", "me-alain-1", "oraclecloud26.com"),
    // oc29
    ("rkt", "me-abudhabi-2", "oraclecloud29.com"),
    ("shj", "me-abudhabi-4", "oraclecloud29.com"),
    // oc35
    ("bno", "ap-chuncheon-2", "oraclecloud35.com"),
    ("dtz", "ap-seoul-2", "oraclecloud35.com"),
    ("dln", "ap-suwon-1", "oraclecloud35.com"),
    // oc42
    ("yxj", "us-ashburn-2", "oraclecloud42.com"),
    ("pgc", "us-newark-1", "oraclecloud42.com"),
    // oc51
    ("jsk", "eu-budapest-1", "oraclecloud51.com"),
    // oc52
    ("hnw", "sa-riodejaneiro-1", "oraclecloud52.com"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn the_table_holds_every_region_once() {
        assert_eq!(TABLE.len(), 85);
        assert_eq!(TABLE.iter().map(|(code, _, _)| code).collect::<HashSet<_>>().len(), 85);
        assert_eq!(TABLE.iter().map(|(_, id, _)| id).collect::<HashSet<_>>().len(), 85);
        for (code, id, _) in TABLE {
            assert_eq!(Regions::default().resolve(&region(code)).as_str(), *id);
        }
    }

    #[test]
    fn short_codes_are_resolved_and_domains_follow_the_realm() {
        let regions = Regions::default();
        for (text, id, domain) in [
            ("iad", "us-ashburn-1", "oraclecloud.com"),
            ("PHX", "us-phoenix-1", "oraclecloud.com"),
            ("us-gov-phoenix-1", "us-gov-phoenix-1", "oraclegovcloud.com"),
            ("ltn", "uk-gov-london-1", "oraclegovcloud.uk"),
            ("vll", "eu-madrid-2", "oraclecloud.eu"),
            ("mars-north-1", "mars-north-1", "oraclecloud.com"),
        ] {
            let resolved = regions.resolve(&region(text));
            assert_eq!((resolved.as_str(), regions.domain(&resolved)), (id, domain), "{text}");
        }
    }

    #[test]
    fn a_region_that_the_platform_describes_is_known_from_then_on() {
        let mut regions = Regions::default();
        regions
            .tell(r#"{"realmKey":"OC99","realmDomainComponent":"OracleCloud99.com","regionKey":"MRS1","regionIdentifier":"Mars-North-1"}"#)
            .unwrap();
        let resolved = regions.resolve(&region("mrs1"));
        assert_eq!((resolved.as_str(), regions.domain(&resolved)), ("mars-north-1", "oraclecloud99.com"));
        for text in ["", "{}", r#"{"realmKey":"oc1","realmDomainComponent":"","regionKey":"a","regionIdentifier":"b"}"#]
        {
            assert_eq!(regions.tell(text), Err(InvalidEndpoint::Metadata), "{text}");
        }
    }
}
