//! Where a service is reached: host templates, and overrides of them.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use oci_names::Region;
use url::{Host, Url};

use crate::region::Regions;

/// An endpoint or a description of regions cannot be used. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not a URL of scheme, host and perhaps port and path.
    #[error("not an endpoint: expected https://<host>[:port][/path], without user, query or fragment")]
    Shape,
    /// Plain HTTP to another machine.
    #[error("plain http is for loopback hosts only")]
    NotLoopback,
    /// The region metadata is not of the documented shape.
    #[error(
        "not region metadata: expected one JSON object with realmKey, realmDomainComponent, regionKey and regionIdentifier"
    )]
    Metadata,
}

/// Scheme, host, port and perhaps a path that goes before the service's own; `https`, or `http` on loopback.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    scheme: &'static str,
    /// Host and port, as in the `host` header; the scheme's own port is left out.
    authority: String,
    /// Empty, or begins with a slash and does not end with one.
    prefix: String,
}

impl Endpoint {
    /// Host and port, as they are sent in the `host` header.
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// What stands before the request target: `https://host:port`.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.0.scheme, self.0.authority)
    }

    /// The path up to and with the service's base path; an override that already ends with it is not doubled, as in
    /// the official Python SDK.
    pub(crate) fn base(&self, base_path: &str) -> String {
        let prefix = self.0.prefix.strip_suffix(base_path).unwrap_or(&self.0.prefix);
        format!("{prefix}{base_path}")
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = Url::parse(text.trim()).map_err(|_| InvalidEndpoint::Shape)?;
        let bare =
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        let scheme = match url.scheme() {
            "https" => "https",
            "http" => "http",
            _ => return Err(InvalidEndpoint::Shape),
        };
        let host = url.host().filter(|_| bare).ok_or(InvalidEndpoint::Shape)?;
        let loopback = match &host {
            Host::Domain(name) => *name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if scheme == "http" && !loopback {
            return Err(InvalidEndpoint::NotLoopback);
        }
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Parts { scheme, authority, prefix })))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme, self.0.authority, self.0.prefix)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A service with an endpoint a region. Streams are not here: each one names its own messages endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Identity and Access Management.
    Identity,
    /// Audit.
    Audit,
    /// Notifications.
    Notifications,
    /// Object Storage.
    ObjectStorage,
    /// Secrets, the reading side.
    Secrets,
    /// Monitoring, the side that takes metrics: it has a host of its own.
    Monitoring,
}

impl Service {
    /// Some services have `.oci.` in their host and some have not.
    ///
    /// Source: endpoint tables of the official SDKs; Monitoring API reference, PostMetricData, for its host.
    const fn host_template(self) -> &'static str {
        match self {
            Self::Identity => "https://identity.{region}.oci.{domain}",
            Self::Audit => "https://audit.{region}.{domain}",
            Self::Notifications => "https://notification.{region}.{domain}",
            Self::ObjectStorage => "https://objectstorage.{region}.{domain}",
            Self::Secrets => "https://secrets.vaults.{region}.oci.{domain}",
            Self::Monitoring => "https://telemetry-ingestion.{region}.{domain}",
        }
    }
}

/// Where every service of every region is reached, seen from a home region.
#[derive(Debug, Clone)]
pub struct Endpoints {
    region: Region,
    regions: Regions,
    overrides: BTreeMap<Service, String>,
}

impl Endpoints {
    /// The official endpoints; `region`, an identifier or a short code, is where calls go that name no other.
    pub fn new(region: Region) -> Self {
        let regions = Regions::default();
        Self { region: regions.resolve(&region), regions, overrides: BTreeMap::new() }
    }

    /// Learns a region from the text of `OCI_REGION_METADATA`, one JSON object.
    ///
    /// # Errors
    /// [`InvalidEndpoint::Metadata`] where the text is not of that shape.
    pub fn with_region_metadata(mut self, json: &str) -> Result<Self, InvalidEndpoint> {
        self.regions.tell(json)?;
        self.region = self.regions.resolve(&self.region);
        Ok(self)
    }

    /// Sends calls to `service` to `template`, such as `http://127.0.0.1:8642/region/{region}`; `{region}` becomes the
    /// region's identifier.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] where the template, so filled, is no endpoint.
    pub fn override_service(mut self, service: Service, template: &str) -> Result<Self, InvalidEndpoint> {
        fill(template, &self.region).parse::<Endpoint>()?;
        self.overrides.insert(service, template.to_owned());
        Ok(self)
    }

    /// The home region, as an identifier.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The region that a short code or an identifier names, such as field 4 of an OCID.
    pub fn resolve(&self, region: &Region) -> Region {
        self.regions.resolve(region)
    }

    /// Where `service` is reached in `region`.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] where an override makes no endpoint of this region.
    pub fn endpoint(&self, service: Service, region: &Region) -> Result<Endpoint, InvalidEndpoint> {
        let region = self.regions.resolve(region);
        let template = self.overrides.get(&service).map_or_else(|| service.host_template(), String::as_str);
        fill(template, &region).replace("{domain}", self.regions.domain(&region)).parse()
    }
}

fn fill(template: &str, region: &Region) -> String {
    template.replace("{region}", region.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> Region {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_are_those_of_the_official_table() {
        for (service, home, expected) in [
            (Service::Identity, "iad", "https://identity.us-ashburn-1.oci.oraclecloud.com"),
            (Service::Audit, "eu-frankfurt-1", "https://audit.eu-frankfurt-1.oraclecloud.com"),
            (Service::Notifications, "us-luke-1", "https://notification.us-luke-1.oraclegovcloud.com"),
            (Service::ObjectStorage, "uk-gov-london-1", "https://objectstorage.uk-gov-london-1.oraclegovcloud.uk"),
            (Service::Monitoring, "us-phoenix-1", "https://telemetry-ingestion.us-phoenix-1.oraclecloud.com"),
            (Service::Secrets, "eu-madrid-2", "https://secrets.vaults.eu-madrid-2.oci.oraclecloud.eu"),
        ] {
            let endpoints = Endpoints::new(region(home));
            let endpoint = endpoints.endpoint(service, endpoints.region()).unwrap();
            assert_eq!(endpoint.to_string(), expected);
        }
    }

    #[test]
    fn an_override_takes_the_region_and_leaves_the_other_services_alone() {
        let endpoints = Endpoints::new(region("iad"))
            .override_service(Service::Audit, "http://127.0.0.1:8642/region/{region}/")
            .unwrap();
        let audit = endpoints.endpoint(Service::Audit, &region("phx")).unwrap();
        assert_eq!(audit.to_string(), "http://127.0.0.1:8642/region/us-phoenix-1");
        assert_eq!(audit.authority(), "127.0.0.1:8642");
        assert_eq!(audit.base("/20190901"), "/region/us-phoenix-1/20190901");
        let identity = endpoints.endpoint(Service::Identity, endpoints.region()).unwrap();
        assert_eq!(identity.to_string(), "https://identity.us-ashburn-1.oci.oraclecloud.com");
    }

    #[test]
    fn a_base_path_that_the_override_brings_along_is_not_doubled() {
        for (text, expected) in [
            ("https://a.example.com", "/20180418"),
            ("https://a.example.com/", "/20180418"),
            ("https://a.example.com/20180418", "/20180418"),
            ("https://a.example.com/x/20180418/", "/x/20180418"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().base("/20180418"), expected, "{text}");
        }
    }

    #[test]
    fn r_35_an_endpoint_is_a_url_and_plain_http_stays_on_this_machine() {
        for (text, expected) in [
            (
                "https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com",
                Ok("https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com"),
            ),
            ("https://Example.com:443/", Ok("https://example.com")),
            ("http://127.0.0.1:8642", Ok("http://127.0.0.1:8642")),
            ("http://127.9.9.9", Ok("http://127.9.9.9")),
            ("http://[::1]:80/a", Ok("http://[::1]/a")),
            ("http://localhost:1", Ok("http://localhost:1")),
            ("http://10.0.0.1", Err(InvalidEndpoint::NotLoopback)),
            ("http://localhost.example.com", Err(InvalidEndpoint::NotLoopback)),
            ("ocid1.stream.oc1.iad.aaaa", Err(InvalidEndpoint::Shape)),
            ("cell-1.streaming.us-ashburn-1.oci.oraclecloud.com", Err(InvalidEndpoint::Shape)),
            ("https://user@example.com", Err(InvalidEndpoint::Shape)),
            ("https://example.com?a=b", Err(InvalidEndpoint::Shape)),
            ("ftp://example.com", Err(InvalidEndpoint::Shape)),
            ("", Err(InvalidEndpoint::Shape)),
        ] {
            let got = text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
            assert_eq!(got, expected.map(str::to_owned), "{text}");
        }
    }
}
