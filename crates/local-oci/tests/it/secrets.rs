use crate::client::{Client, encoded, settings};

#[tokio::test(start_paused = true)]
async fn a_bundle_is_found_by_stage_number_and_name() {
    let client = Client::new(settings());
    let secrets = client.cloud.secrets();
    let id = secrets.create("hec-token", "first");
    assert_eq!(secrets.add_version(&id, "second", false), Some(2));
    assert_eq!(secrets.add_version(&id, "third", true), Some(3));
    let check = async |query: &str, number: i64, content: &str, stages: &[&str]| {
        let got = client.get(&format!("/20190301/secretbundles/{id}{query}")).await;
        let bundle = got.json();
        assert_eq!(bundle["versionNumber"], number, "{query}: {bundle}");
        assert_eq!(bundle["secretBundleContent"]["contentType"], "BASE64");
        assert_eq!(bundle["secretBundleContent"]["content"], content, "{query}");
        assert_eq!(bundle["stages"], serde_json::json!(stages), "{query}");
        assert!(!got.header("etag").is_empty());
    };
    // base64 of "first", "second" and "third".
    let (first, second, third) = ("Zmlyc3Q=", "c2Vjb25k", "dGhpcmQ=");
    check("", 2, second, &["CURRENT"]).await;
    check("?stage=CURRENT", 2, second, &["CURRENT"]).await;
    check("?stage=PREVIOUS", 1, first, &["PREVIOUS"]).await;
    check("?stage=PENDING", 3, third, &["PENDING", "LATEST"]).await;
    check("?stage=LATEST", 3, third, &["PENDING", "LATEST"]).await;
    check("?versionNumber=1", 1, first, &["PREVIOUS"]).await;
    assert!(secrets.promote(&id));
    check("", 3, third, &["CURRENT", "LATEST"]).await;
    check("?stage=DEPRECATED", 1, first, &["DEPRECATED"]).await;

    let by_name = format!(
        "/20190301/secretbundles/actions/getByName?secretName=hec-token&vaultId={}",
        client.cloud.secrets().vault()
    );
    assert_eq!(client.send("POST", &by_name, &[], "").await.json()["secretId"], id.as_str());
    for wrong in [by_name.replace("hec-token", "other"), by_name.replace("ocid1.vault", "ocid1.other")] {
        assert_eq!(client.send("POST", &wrong, &[], "").await.error().0, 404, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_404_and_two_selectors_are_400() {
    let client = Client::new(settings());
    let id = client.cloud.secrets().create("s", "x");
    for (path, status) in [
        ("ocid1.vaultsecret.oc1.iad.nobody".to_owned(), 404),
        (format!("{id}?versionNumber=2"), 404),
        (format!("{id}?stage=PENDING"), 404),
        (format!("{id}?secretVersionName=v"), 404),
        (format!("{id}?stage=SOON"), 400),
        (format!("{id}?versionNumber=one"), 400),
        (format!("{id}?stage=CURRENT&versionNumber=1"), 400),
    ] {
        assert_eq!(client.get(&format!("/20190301/secretbundles/{path}")).await.status, status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn versions_come_in_pages_newest_first_and_without_contents() {
    let client = Client::new(settings());
    let id = client.cloud.secrets().create("s", "1");
    for number in 2..=23 {
        client.cloud.secrets().add_version(&id, number.to_string(), false);
    }
    let (mut numbers, mut page) = (Vec::new(), String::new());
    loop {
        let got = client.get(&format!("/20190301/secretbundles/{id}/versions{page}")).await;
        for version in got.json().as_array().expect("an array") {
            numbers.push(version["versionNumber"].as_i64().expect("a number"));
            assert!(version.get("secretBundleContent").is_none());
        }
        client.cloud.secrets().add_version(&id, "late", false);
        let Some(next) = got.headers.get("opc-next-page") else { break };
        page = format!("?page={}", encoded(next));
    }
    assert_eq!(numbers, (1..=23).rev().collect::<Vec<_>>());
}
