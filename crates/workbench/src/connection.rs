//! From configuration to a client and a ledger.

use std::{collections::BTreeSet, path::Path, str::FromStr, sync::Arc};

use fn_hyper::config::{Reader, text};
use http_transport::{HttpTransport, TlsRoots, Transport};
use ledger::Ledger;
use oci_client::{Client, Endpoint, Endpoints, Principal, Service};
use oci_names::Ocid;
use pipeline::Destination;

/// The keys that send a service's calls elsewhere; `{region}` in a value is replaced.
const ENDPOINT_KEYS: [(&str, Service); 6] = [
    ("oci_endpoint_identity", Service::Identity),
    ("oci_endpoint_audit", Service::Audit),
    ("oci_endpoint_notification", Service::Notifications),
    ("oci_endpoint_object_storage", Service::ObjectStorage),
    ("oci_endpoint_secrets", Service::Secrets),
    ("oci_endpoint_monitoring", Service::Monitoring),
];

/// How a function reaches Oracle Cloud.
#[derive(Clone)]
pub struct Connection {
    /// The client, as the function's principal.
    pub client: Client,
}

impl Connection {
    /// A connection over any transport, for tests and simulations.
    pub fn over(transport: Arc<dyn Transport>, principal: Principal, endpoints: Endpoints) -> Self {
        Self { client: Client::new(transport, principal, endpoints) }
    }
}

/// Reads who we are and where Oracle Cloud is.
///
/// Keys: `oci_endpoint_<service>` overrides an endpoint (default: the official one of the region).
/// Without a resource principal in the environment, as when a function's code runs outside the platform,
/// `oci_config_file` names an OCI configuration file and `oci_config_profile` (default `DEFAULT`) a profile in it.
pub fn connection_keys(keys: &mut Reader<'_>, lookup: &dyn Fn(&str) -> Option<String>) -> Option<Connection> {
    let config_file = keys.maybe("oci_config_file", text);
    let profile = keys.optional("oci_config_profile", "DEFAULT".to_owned(), text)?;
    let overrides = ENDPOINT_KEYS.map(|(key, service)| (key, service, keys.maybe(key, text)));
    let principal = match config_file {
        Some(path) => {
            let home = lookup("HOME").unwrap_or_else(|| "/".to_owned());
            Principal::from_config_file(Path::new(&path), &profile, Path::new(&home))
                .map_err(|error| keys.problem("oci_config_file", error.to_string()))
        }
        None => Principal::resource(lookup).map_err(|error| {
            let hint = "a function gets its resource principal from the platform; elsewhere set oci_config_file";
            keys.problem("OCI_RESOURCE_PRINCIPAL_VERSION", format!("{error} ({hint})"));
        }),
    };
    let Ok(principal) = principal else { return None };
    let Some(region) = principal.region().cloned() else {
        keys.problem("oci_config_file", "the profile names no region");
        return None;
    };
    let mut endpoints = Endpoints::new(region);
    if let Some(metadata) = lookup("OCI_REGION_METADATA").filter(|metadata| !metadata.trim().is_empty()) {
        // Where the platform's own text cannot be read, the built-in table serves all known regions.
        match endpoints.clone().with_region_metadata(&metadata) {
            Ok(told) => endpoints = told,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "OCI_REGION_METADATA is passed over")
            }
        }
    }
    for (key, service, template) in overrides {
        if let Some(template) = template {
            match endpoints.clone().override_service(service, &template) {
                Ok(overridden) => endpoints = overridden,
                Err(error) => keys.problem(key, error.to_string()),
            }
        }
    }
    match HttpTransport::new(&TlsRoots::default()) {
        Ok(transport) => Some(Connection::over(Arc::new(transport), principal, endpoints)),
        Err(error) => {
            keys.problem("oci_config_file", error.to_string());
            None
        }
    }
}

/// What every function of the pipeline is configured with.
pub struct Common {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
    /// Where the streams' messages are put and got.
    pub streaming_endpoint: Endpoint,
}

/// Oracle Cloud and the ledger, for a function that works on no stream.
pub struct WithLedger {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
}

/// Reads the keys of [`connection_keys`], and `state_namespace` and `state_bucket`, where the ledger lies.
pub fn ledger_keys(keys: &mut Reader<'_>, lookup: &dyn Fn(&str) -> Option<String>) -> Option<WithLedger> {
    let connection = connection_keys(keys, lookup);
    let namespace = keys.required("state_namespace", path_part);
    let bucket = keys.required("state_bucket", path_part);
    let connection = connection?;
    let ledger = Ledger::new(connection.client.bucket(&namespace?, &bucket?));
    Some(WithLedger { connection, ledger })
}

/// Reads the keys of [`ledger_keys`], and `streaming_endpoint`, which each stream names as its messages endpoint.
pub fn common_keys(keys: &mut Reader<'_>, lookup: &dyn Fn(&str) -> Option<String>) -> Option<Common> {
    let base = ledger_keys(keys, lookup);
    let streaming_endpoint = keys.required("streaming_endpoint", Endpoint::from_str);
    let WithLedger { connection, ledger } = base?;
    Some(Common { connection, ledger, streaming_endpoint: streaming_endpoint? })
}

/// A namespace or bucket name: one segment of a path.
fn path_part(value: &str) -> Result<String, &'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.len() <= 256 && value.chars().all(legal) {
        Ok(value.to_owned())
    } else {
        Err("expected a name of letters, digits, hyphens, underscores and full stops")
    }
}

/// Parses the OCID of a resource of that type, as a problem's text wants it.
pub fn ocid_of(kind: &'static str) -> impl Fn(&str) -> Result<Ocid, String> {
    move |value| match value.parse::<Ocid>() {
        Ok(ocid) if ocid.resource_type() == kind => Ok(ocid),
        _ => Err(format!("expected the OCID of a {kind}: ocid1.{kind}.<realm>.<region>.<unique id>")),
    }
}

/// Reads `destination`: names separated by commas, default `splunk`.
pub fn destinations(keys: &mut Reader<'_>) -> Option<Vec<Destination>> {
    let names = keys.optional("destination", "splunk".to_owned(), text)?;
    let all: Result<Vec<Destination>, _> = names.split(',').map(|name| name.trim().parse()).collect();
    match all {
        Ok(mut all) => {
            let mut seen = BTreeSet::new();
            all.retain(|name| seen.insert(name.clone()));
            Some(all)
        }
        Err(_) => {
            keys.problem(
                "destination",
                "expected names of lower-case letters, digits and hyphens, separated by commas",
            );
            None
        }
    }
}
