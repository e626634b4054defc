//! The key tables of the README are what the functions read: same keys, same defaults, same order.

use fn_hyper::config::{Key, Presence, Problems};

/// What each function reads beside the keys of all functions.
fn keys_of(function: &str) -> Vec<Key> {
    let nothing = |_: &str| None;
    let keys = |problems: Option<Problems>| problems.expect("keys are required").keys().to_vec();
    match function {
        "list-regions-compartments" => keys(list_regions_compartments::read(&nothing).err()),
        "fetch-audit-events" => keys(fetch_audit_events::read(&nothing).err()),
        "decode-bucket-gzip" => keys(decode_bucket_gzip::read(&nothing).err()),
        "ship-to-siem" => keys(ship_to_siem::read(&nothing).err()),
        _ => panic!("{function} has no table here"),
    }
}

/// `| key | default | …`, from the table under the heading that names the function.
fn table(readme: &str, heading: &str) -> Vec<(String, String)> {
    let after = readme.split(&format!("### `{heading}`\n")).nth(1).unwrap_or_else(|| panic!("no heading `{heading}`"));
    after
        .lines()
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[1].trim_matches('`').to_owned())
        })
        .collect()
}

fn wanted(keys: &[Key]) -> Vec<(String, String)> {
    keys.iter()
        .map(|key| {
            let default = match &key.presence {
                Presence::Required => "required".to_owned(),
                Presence::Default(default) => default.clone(),
                Presence::Optional => "–".to_owned(),
            };
            (key.name.to_owned(), default)
        })
        .collect()
}

#[test]
fn the_readme_has_every_key_with_its_default_and_no_other() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let mut common = wanted(&fn_hyper::config::common_keys());
    let audit = ["list-regions-compartments", "fetch-audit-events", "ship-to-siem"];
    let all: Vec<Vec<(String, String)>> = audit.iter().map(|function| wanted(&keys_of(function))).collect();
    let decode = wanted(&keys_of("decode-bucket-gzip"));
    // What all three of the audit pipeline read stands in one table, of which decode needs no more than it reads.
    common.extend(all[0].iter().filter(|key| all.iter().all(|keys| keys.contains(key))).cloned());
    assert_eq!(table(&readme, "all functions"), common);
    let without = |keys: &[(String, String)], others: &[(String, String)]| -> Vec<(String, String)> {
        keys.iter().filter(|key| !others.contains(key)).cloned().collect()
    };
    // What a destination needs stands in one table, whoever sends to it.
    let own = without(&all[2], &common);
    let sending: Vec<_> = own.iter().filter(|key| decode.contains(key)).cloned().collect();
    assert_eq!(table(&readme, "ship-to-siem` and `decode-bucket-gzip"), sending);
    common.extend(sending);
    for (function, keys) in audit.iter().zip(&all) {
        assert_eq!(table(&readme, function), without(keys, &common), "{function}");
    }
    assert_eq!(table(&readme, "decode-bucket-gzip"), without(&decode, &common));
}

#[test]
fn every_function_has_its_folder_in_func_yaml() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../func-yaml"));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["decode-bucket-gzip", "fetch-audit-events", "list-regions-compartments", "ship-to-siem"]);
}
