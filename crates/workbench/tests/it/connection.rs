//! Who a function is and where Oracle Cloud is, from its keys.

use std::collections::BTreeMap;

use fn_hyper::config::Reader;
use local_oci::{Clock, LocalOci, Settings};
use oci_client::Service;
use tempfile::TempDir;
use workbench::{Connection, common_keys, connection_keys, destinations};

type Table = BTreeMap<String, String>;

/// The variables of a function container, and the folder that they point into.
fn container() -> (Table, TempDir) {
    let cloud = LocalOci::new(Settings::new(Clock::real()));
    let tokens = tempfile::tempdir().unwrap();
    let function = cloud.tenancy().new_ocid("fnfunc", "us-ashburn-1");
    let env = cloud.credentials().resource_principal_env(&function, tokens.path()).unwrap();
    (env.into_iter().collect(), tokens)
}

/// The connection of that table, or its problems.
fn read(table: &Table) -> Result<Connection, Vec<String>> {
    let lookup = |key: &str| table.get(key).cloned();
    let mut keys = Reader::new(&lookup);
    let connection = connection_keys(&mut keys, &lookup);
    keys.finish(|| connection)
        .map_err(|problems| problems.iter().map(|problem| format!("{}: {}", problem.key(), problem.text())).collect())
}

fn with(table: &Table, changes: &[(&str, &str)]) -> Table {
    let mut table = table.clone();
    table.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    table
}

fn audit_of(connection: &Connection, region: &str) -> String {
    let endpoints = connection.client.endpoints();
    endpoints.endpoint(Service::Audit, &region.parse().unwrap()).unwrap().to_string()
}

#[test]
fn a_container_s_own_variables_make_a_connection_to_the_official_endpoints() {
    let (table, _tokens) = container();
    let connection = read(&table).map_err(|problems| problems.join("\n")).unwrap();
    assert_eq!(connection.client.region().as_str(), "us-ashburn-1");
    assert_eq!(audit_of(&connection, "us-phoenix-1"), "https://audit.us-phoenix-1.oraclecloud.com");
}

#[test]
fn an_override_sends_one_service_elsewhere_and_the_region_is_filled_in() {
    let (table, _tokens) = container();
    let keys = [
        ("oci_endpoint_identity", Service::Identity),
        ("oci_endpoint_audit", Service::Audit),
        ("oci_endpoint_notification", Service::Notifications),
        ("oci_endpoint_object_storage", Service::ObjectStorage),
        ("oci_endpoint_secrets", Service::Secrets),
        ("oci_endpoint_monitoring", Service::Monitoring),
    ];
    for (key, service) in keys {
        let connection = read(&with(&table, &[(key, "http://127.0.0.1:8642/region/{region}")])).ok().unwrap();
        let endpoints = connection.client.endpoints();
        for (_, other) in keys {
            let there = endpoints.endpoint(other, &"us-phoenix-1".parse().unwrap()).unwrap().to_string();
            assert_eq!(there == "http://127.0.0.1:8642/region/us-phoenix-1", other == service, "{key}: {there}");
        }
    }
}

#[test]
fn a_bad_override_is_a_problem_of_its_key_that_does_not_repeat_the_value() {
    let (table, _tokens) = container();
    let table = with(
        &table,
        &[
            ("oci_endpoint_audit", "ocid1.stream.oc1.iad.hush"),
            ("oci_endpoint_secrets", "http://hush.example.com/{region}"),
            ("oci_endpoint_identity", "https://identity.example.com"),
        ],
    );
    let problems = read(&table).err().unwrap();
    let keys: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(keys, ["oci_endpoint_audit", "oci_endpoint_secrets"]);
    assert!(problems.iter().all(|problem| !problem.contains("hush")), "{problems:?}");
}

#[test]
fn a_region_that_the_table_does_not_know_is_learned_from_the_platform() {
    let (table, _tokens) = container();
    let metadata = concat!(
        r#"{"realmKey":"oc99","realmDomainComponent":"oraclecloud99.example","#,
        r#""regionKey":"XYZ","regionIdentifier":"us-xyz-1"}"#
    );
    let connection = read(&with(&table, &[("OCI_REGION_METADATA", metadata)])).ok().unwrap();
    assert_eq!(audit_of(&connection, "us-xyz-1"), "https://audit.us-xyz-1.oraclecloud99.example");
    assert_eq!(audit_of(&connection, "us-ashburn-1"), "https://audit.us-ashburn-1.oraclecloud.com");
    // What the platform garbles or leaves empty is passed over: the known regions still work.
    for metadata in ["", "  ", "not json", "{}", "[1]"] {
        let connection = read(&with(&table, &[("OCI_REGION_METADATA", metadata)])).ok().unwrap();
        assert_eq!(audit_of(&connection, "us-ashburn-1"), "https://audit.us-ashburn-1.oraclecloud.com", "{metadata}");
    }
}

#[test]
fn a_missing_variable_of_the_principal_is_told_with_a_hint() {
    let (table, _tokens) = container();
    for missing in table.keys() {
        let mut table = table.clone();
        table.remove(missing);
        let problems = read(&table).err().unwrap_or_else(|| panic!("{missing} is not needed"));
        assert_eq!(problems.len(), 1, "{missing}: {problems:?}");
        assert!(problems[0].contains("oci_config_file"), "{missing}: {problems:?}");
        assert!(problems[0].contains(missing.as_str()), "{missing}: {problems:?}");
    }
    let problems = read(&Table::new()).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_configuration_file_stands_in_for_the_principal_and_must_name_a_region() {
    let cloud = LocalOci::new(Settings::new(Clock::real()));
    let folder = tempfile::tempdir().unwrap();
    let file = cloud.credentials().write_config(folder.path()).unwrap();
    let path = file.path.display().to_string();
    let table = with(&Table::new(), &[("oci_config_file", &path)]);
    let connection = read(&table).map_err(|problems| problems.join("\n")).unwrap();
    assert_eq!(connection.client.region().as_str(), file.region);
    assert_eq!(connection.client.tenancy().unwrap().as_str(), cloud.tenancy().id());

    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("region")).collect();
    std::fs::write(&path, without.join("\n")).unwrap();
    assert_eq!(read(&table).err().unwrap(), ["oci_config_file: the profile names no region"]);

    for (key, value) in [("oci_config_profile", "OTHER"), ("oci_config_file", "/nowhere/hush")] {
        let problems = read(&with(&table, &[(key, value)])).err().unwrap();
        assert!(problems.len() == 1 && problems[0].starts_with("oci_config_file: "), "{problems:?}");
    }
}

#[test]
fn the_bucket_s_names_must_fit_into_a_path_and_the_endpoint_must_be_one() {
    for (namespace, bucket, endpoint, bad) in [
        ("ns", "siem-state", "https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com", &[][..]),
        ("n/s", "siem-state", "https://example.com", &["state_namespace"]),
        ("ns", "a/../b", "https://example.com", &["state_bucket"]),
        ("ns", "", "https://example.com", &["state_bucket"]),
        ("", "siem state", "ocid1.stream.oc1.iad.a", &["state_namespace", "state_bucket", "streaming_endpoint"]),
    ] {
        let (table, _tokens) = container();
        let table =
            with(&table, &[("state_namespace", namespace), ("state_bucket", bucket), ("streaming_endpoint", endpoint)]);
        let lookup = |key: &str| table.get(key).filter(|value| !value.is_empty()).cloned();
        let mut keys = Reader::new(&lookup);
        let common = common_keys(&mut keys, &lookup);
        let problems = keys.finish(|| common).err();
        let found: Vec<String> =
            problems.iter().flat_map(|all| all.iter()).map(|problem| problem.key().to_owned()).collect();
        assert_eq!(found, bad, "{namespace:?} {bucket:?}");
    }
}

#[test]
fn destinations_are_names_separated_by_commas() {
    for (value, expected) in [
        ("", Some(&["splunk"][..])),
        ("splunk", Some(&["splunk"])),
        ("splunk,second", Some(&["splunk", "second"])),
        (" splunk , second ", Some(&["splunk", "second"])),
        ("splunk,splunk", Some(&["splunk"])),
        ("Splunk", None),
        ("splunk,,second", None),
        ("a/b", None),
    ] {
        let lookup = |key: &str| (key == "destination" && !value.is_empty()).then(|| value.to_owned());
        let mut keys = Reader::new(&lookup);
        let all = destinations(&mut keys);
        let names = keys.finish(|| all).ok().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names, expected, "{value:?}");
    }
}
