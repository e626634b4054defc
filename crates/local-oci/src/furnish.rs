//! Furnishes a tenancy with what the pipeline needs, and deploys the pipeline's functions in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use local_oci::{Backend, FunctionSpec, LocalOci, RuleAction, RuleSpec};
use serde_json::json;

/// The ledger's bucket.
pub(crate) const BUCKET: &str = "siem-state";
/// The bucket that log files land in; it emits object events.
pub(crate) const LOGS: &str = "logs";
/// The token of our own collector, which takes nothing from beyond the loopback interface.
pub(crate) const HEC_TOKEN: &str = "00000000-0000-4000-8000-000000000000";
/// The token of our own Logz.io listener, likewise.
pub(crate) const LOGZIO_TOKEN: &str = "AnEmulatedShippingTokenForLocalOci";
/// The route of the gateway that rings the planner.
pub(crate) const ROUTE: &str = "/regions/listregions";
/// The header in which the gateway's caller tells the secret.
pub(crate) const TICK_HEADER: &str = "x-siem-tick";
/// That secret. The gateway is on loopback, too.
pub(crate) const TICK: &str = "a-tick-of-local-oci";

const WORK_STREAM: &str = "work";
const EVENT_STREAM: &str = "events";
const PARTITIONS: u32 = 2;
const AUDIT_TOPIC: &str = "fetch";
const SPLUNK_TOPIC: &str = "ship";
const OBJECT_TOPIC: &str = "decode";

pub(crate) const PLANNER: &str = "list-regions-compartments";
pub(crate) const FETCHER: &str = "fetch-audit-events";
pub(crate) const SHIPPER: &str = "ship-to-siem";
pub(crate) const DECODER: &str = "decode-bucket-gzip";
/// Each function with its timeout in seconds, as its func.yaml has it.
const FUNCTIONS: [(&str, u32); 4] = [(PLANNER, 60), (FETCHER, 300), (SHIPPER, 300), (DECODER, 300)];

/// Services whose endpoint the functions must be told; a stream's is a key of its own.
const SERVICES: [&str; 6] = ["identity", "audit", "notification", "object_storage", "secrets", "monitoring"];

/// What was made: OCIDs by name.
#[derive(Debug)]
pub(crate) struct Furniture {
    pub(crate) streams: BTreeMap<&'static str, String>,
    pub(crate) topics: BTreeMap<&'static str, String>,
    /// The secret that holds the collector's token.
    pub(crate) hec_token: String,
    /// The secret that holds the token of the Logz.io listener.
    pub(crate) logzio_token: String,
    /// The secret that the gateway's callers must know.
    pub(crate) gateway_secret: String,
}

/// Makes a bucket for the ledger and one for log files, two streams, three topics and three secrets.
pub(crate) fn furnish(cloud: &LocalOci, hec_token: &str) -> Furniture {
    let home = cloud.tenancy().home_region();
    cloud.storage().create_bucket(BUCKET);
    cloud.storage().create_bucket(LOGS);
    cloud.storage().set_object_events(LOGS, true);
    Furniture {
        streams: [WORK_STREAM, EVENT_STREAM].map(|name| (name, cloud.streams().create(name, PARTITIONS, home))).into(),
        topics: [AUDIT_TOPIC, SPLUNK_TOPIC, OBJECT_TOPIC].map(|name| (name, cloud.topics().create(name))).into(),
        hec_token: cloud.secrets().create("hec-token", hec_token),
        gateway_secret: cloud.secrets().create("gateway-secret", TICK),
        logzio_token: cloud.secrets().create("logzio-token", LOGZIO_TOKEN),
    }
}

/// How the functions are deployed.
#[derive(Debug)]
pub(crate) struct Deployment<'a> {
    /// The folder of their binaries.
    pub(crate) binaries: &'a Path,
    /// Where this cloud answers.
    pub(crate) endpoint: &'a str,
    /// Where the collector answers.
    pub(crate) splunk_url: &'a str,
    /// Where the Logz.io listener answers, which gets the records of log files.
    pub(crate) logzio_url: &'a str,
    /// The first minute to export.
    pub(crate) start: Timestamp,
    /// Whether every event is to arrive as it was listed, so that it can be held against the trail: nothing is withheld
    /// of it, and our own reads come one by one.
    pub(crate) as_listed: bool,
}

impl Furniture {
    /// Deploys the functions as processes, subscribes them to their topics, routes the gateway to the planner and has a rule
    /// call the decoder for each log file. Gives their OCIDs by name.
    ///
    /// # Errors
    /// A binary that is not there.
    pub(crate) fn deploy(
        &self,
        cloud: &LocalOci,
        deployment: &Deployment<'_>,
    ) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut ids = BTreeMap::new();
        for (name, timeout_secs) in FUNCTIONS {
            let backend = Backend::Process { binary: binary(deployment.binaries, name)?, extra_env: Vec::new() };
            let config = self.config(name, cloud, deployment);
            let spec = FunctionSpec { config, timeout_secs, ..FunctionSpec::new(name, backend) };
            ids.insert(name, cloud.functions().create(spec)?);
        }
        cloud.topics().subscribe(&self.topics[AUDIT_TOPIC], &ids[FETCHER]);
        cloud.topics().subscribe(&self.topics[SPLUNK_TOPIC], &ids[SHIPPER]);
        cloud.topics().subscribe(&self.topics[OBJECT_TOPIC], &ids[DECODER]);
        cloud.gateway().route(ROUTE, &ids[PLANNER]);
        let rule = RuleSpec::new("log-files", &log_file_condition());
        cloud.events().create_rule(rule.with(RuleAction::Faas(ids[DECODER].clone())))?;
        Ok(ids)
    }

    fn config(&self, name: &str, cloud: &LocalOci, deployment: &Deployment<'_>) -> BTreeMap<String, String> {
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let regional = format!("{}/region/{{region}}", deployment.endpoint);
        let mut config: BTreeMap<String, String> = SERVICES
            .map(|service| (format!("oci_endpoint_{service}"), regional.clone()))
            .into_iter()
            .chain([
                own("streaming_endpoint", deployment.endpoint),
                own("state_namespace", cloud.tenancy().namespace()),
                own("state_bucket", BUCKET),
                own("stream_ocid", &self.streams[WORK_STREAM]),
            ])
            .collect();
        config.extend(match name {
            PLANNER => vec![
                own("audit_topic", &self.topics[AUDIT_TOPIC]),
                own("splunk_topic", &self.topics[SPLUNK_TOPIC]),
                own("object_topic", &self.topics[OBJECT_TOPIC]),
                own("gateway_secret", &self.gateway_secret),
                own("start", &deployment.start.to_string()),
            ],
            FETCHER => {
                [own("event_stream_ocid", &self.streams[EVENT_STREAM]), own("splunk_topic", &self.topics[SPLUNK_TOPIC])]
                    .into_iter()
                    .chain(
                        [own("redact", "off"), own("own_reads", "keep")].into_iter().filter(|_| deployment.as_listed),
                    )
                    .collect()
            }
            DECODER => vec![
                own("logzio_url", deployment.logzio_url),
                own("logzio_token", &self.logzio_token),
                own("input_bucket", LOGS),
                own("object_topic", &self.topics[OBJECT_TOPIC]),
            ],
            _ => vec![own("splunk_url", deployment.splunk_url), own("splunk_hec_token", &self.hec_token)],
        });
        config
    }
}

/// Matches each object that is put into the bucket of log files.
fn log_file_condition() -> String {
    let types = ["createobject", "updateobject"].map(|kind| format!("com.oraclecloud.objectstorage.{kind}"));
    json!({ "eventType": types, "data": { "additionalDetails": { "bucketName": LOGS } } }).to_string()
}

fn binary(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(folder)?.join(name);
    let found = path.metadata().is_ok_and(|metadata| metadata.is_file());
    anyhow::ensure!(found, "{} is not there: build the functions first, with scripts/build", path.display());
    path.canonicalize().with_context(|| path.display().to_string())
}

/// The start of the minute: windows know no seconds.
pub(crate) fn whole_minute(at: Timestamp) -> Timestamp {
    whole(at, 60)
}

/// The start of the hour.
pub(crate) fn whole_hour(at: Timestamp) -> Timestamp {
    whole(at, 3600)
}

fn whole(at: Timestamp, seconds: i64) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(seconds)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use local_oci::{Clock, Settings};

    use super::*;

    fn deployment(binaries: &Path) -> Deployment<'_> {
        let start = "2026-01-05T00:00:00Z".parse().expect("a time");
        let [endpoint, splunk_url, logzio_url] = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"];
        Deployment { binaries, endpoint, splunk_url, logzio_url, start, as_listed: true }
    }

    #[test]
    fn every_function_is_deployed_with_a_configuration_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, _) in FUNCTIONS {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        let cloud = LocalOci::new(Settings::new(Clock::real()));
        let furniture = furnish(&cloud, "hush");
        let functions = furniture.deploy(&cloud, &deployment(folder.path())).expect("deployed");
        assert_eq!(functions.keys().copied().collect::<Vec<_>>(), [DECODER, FETCHER, PLANNER, SHIPPER]);
        for (name, key, value) in [
            (PLANNER, "start", "2026-01-05T00:00:00Z"),
            (PLANNER, "oci_endpoint_audit", "http://127.0.0.1:1/region/{region}"),
            (FETCHER, "streaming_endpoint", "http://127.0.0.1:1"),
            (FETCHER, "redact", "off"),
            (SHIPPER, "splunk_url", "http://127.0.0.1:2"),
            (DECODER, "logzio_url", "http://127.0.0.1:3"),
            (DECODER, "input_bucket", "logs"),
            (PLANNER, "object_topic", &furniture.topics[OBJECT_TOPIC]),
            (DECODER, "object_topic", &furniture.topics[OBJECT_TOPIC]),
        ] {
            let config = furniture.config(name, &cloud, &deployment(folder.path()));
            assert_eq!(config.get(key).map(String::as_str), Some(value), "{name} {key}");
            assert!(
                !config.values().any(|value| value == "hush" || value == TICK || value == LOGZIO_TOKEN),
                "secrets lie in the vault"
            );
        }
    }

    #[test]
    fn a_missing_binary_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let cloud = LocalOci::new(Settings::new(Clock::real()));
        let error = furnish(&cloud, "hush").deploy(&cloud, &deployment(folder.path())).expect_err("no binary");
        assert!(error.to_string().contains("/list-regions-compartments is not there"), "{error}");
    }

    #[test]
    fn times_are_cut_to_whole_minutes_and_hours() {
        let at: Timestamp = "2026-01-05T10:59:59.9Z".parse().expect("a time");
        assert_eq!(whole_minute(at).to_string(), "2026-01-05T10:59:00Z");
        assert_eq!(whole_hour(at).to_string(), "2026-01-05T10:00:00Z");
    }
}
