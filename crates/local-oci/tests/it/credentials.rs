use jiff::SignedDuration;
use local_oci::LocalOci;

use crate::client::{Client, settings};

const FUNCTION: &str = "ocid1.fnfunc.oc1.iad.amaaaaaafunction";

/// A client with what lies in the files that the variables name.
fn session(cloud: &LocalOci, variables: &[(String, String)]) -> Client {
    let variable = |name: &str| &variables.iter().find(|(key, _)| key == name).expect("the variable").1;
    let read = |name| std::fs::read_to_string(variable(name)).expect("a file");
    assert_eq!(variable("OCI_RESOURCE_PRINCIPAL_VERSION"), "2.2");
    assert_eq!(variable("OCI_RESOURCE_PRINCIPAL_REGION"), "us-ashburn-1");
    let token = read("OCI_RESOURCE_PRINCIPAL_RPST");
    Client::with_key(cloud, format!("ST${token}"), &read("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"))
}

#[tokio::test(start_paused = true)]
async fn a_function_calls_with_its_token_until_it_runs_out() {
    let cloud = LocalOci::new(settings());
    let dir = tempfile::tempdir().expect("a folder");
    cloud.credentials().set_token_lifetime(SignedDuration::from_mins(20));
    let variables = cloud.credentials().resource_principal_env(FUNCTION, dir.path()).expect("files");
    let client = session(&cloud, &variables);
    assert_eq!(client.get("/n").await.status, 200);
    cloud.clock().sleep(SignedDuration::from_mins(19)).await;
    assert_eq!(client.get("/n").await.status, 200);
    cloud.clock().sleep(SignedDuration::from_mins(1)).await;
    let got = client.get("/n").await;
    assert_eq!(got.error(), (401, "NotAuthenticated".to_owned()));
    assert!(got.json()["message"].as_str().is_some_and(|message| message.contains("expired")));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_needs_the_rotated_key() {
    let cloud = LocalOci::new(settings());
    let dir = tempfile::tempdir().expect("a folder");
    let variables = cloud.credentials().resource_principal_env(FUNCTION, dir.path()).expect("files");
    let old_key = std::fs::read_to_string(dir.path().join("private.pem")).expect("a key");
    cloud.credentials().rotate(FUNCTION, dir.path()).expect("files");
    assert_eq!(session(&cloud, &variables).get("/n").await.status, 200);
    let token = std::fs::read_to_string(dir.path().join("rpst")).expect("a token");
    let torn = Client::with_key(&cloud, format!("ST${token}"), &old_key);
    let got = torn.get("/n").await;
    assert!(got.json()["message"].as_str().is_some_and(|message| message.contains("signature")), "{:?}", got.body);
}

#[tokio::test(start_paused = true)]
async fn all_tokens_can_be_expired_until_the_files_are_written_anew() {
    let cloud = LocalOci::new(settings());
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let variables = cloud.credentials().resource_principal_env(FUNCTION, dir.path()).expect("files");
    let others = cloud.credentials().resource_principal_env(FUNCTION, other.path()).expect("files");
    let old = session(&cloud, &variables);
    cloud.credentials().expire_all();
    for client in [&old, &session(&cloud, &variables), &session(&cloud, &others)] {
        let got = client.get("/n").await;
        assert_eq!(got.error(), (401, "NotAuthenticated".to_owned()));
        assert!(got.json()["message"].as_str().is_some_and(|message| message.contains("expired")));
    }
    cloud.credentials().rotate(FUNCTION, dir.path()).expect("files");
    assert_eq!(session(&cloud, &variables).get("/n").await.status, 200);
    assert_eq!(session(&cloud, &others).get("/n").await.status, 401, "not written anew");
    assert_eq!(old.get("/n").await.status, 401);
    assert_eq!(Client::of(&cloud).get("/n").await.status, 200, "an API key is no token");
    assert_eq!(cloud.counters().of("NotAuthenticated"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_ours_is_refused() {
    let cloud = LocalOci::new(settings());
    let (token, key) = cloud.credentials().session(FUNCTION, SignedDuration::from_mins(5)).expect("a token");
    assert_eq!(Client::with_key(&cloud, format!("ST${token}"), key).get("/n").await.status, 200);
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (first, claims) = head.split_once('.').expect("three parts");
    for broken in [
        format!("{first}.{claims}x.{signature}"),
        format!("{head}.{}", signature.to_lowercase()),
        format!("{head}."),
        String::new(),
    ] {
        let got = Client::with_key(&cloud, format!("ST${broken}"), key).get("/n").await;
        assert_eq!(got.error(), (401, "NotAuthenticated".to_owned()), "{broken}");
    }
}

#[test]
fn the_config_file_has_what_an_sdk_needs() {
    let cloud = LocalOci::new(settings());
    let dir = tempfile::tempdir().expect("a folder");
    let config = cloud.credentials().write_config(dir.path()).expect("a file");
    let text = std::fs::read_to_string(&config.path).expect("the file");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
    };
    assert!(text.starts_with("[DEFAULT]\n"));
    assert_eq!((config.profile.as_str(), config.region.as_str()), ("DEFAULT", "us-ashburn-1"));
    assert_eq!(value("tenancy"), cloud.tenancy().id());
    assert_eq!(value("user"), cloud.tenancy().user());
    assert_eq!(value("fingerprint").len(), 47);
    let key = std::fs::read_to_string(value("key_file")).expect("the key");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
}
