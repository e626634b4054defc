//! What fetch withholds and whose reads it takes for its own, as configured.

use std::time::Duration;

use bytes::Bytes;
use fetch_audit_events::Redaction;
use fn_hyper::config::Secret;
use local_oci::Fault;
use tokio::time::Instant;
use workbench::SecretCell;

use crate::house::{House, house, quiet};

async fn withheld(house: &House, redaction: &Redaction) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    let redactor = redaction.redactor(&house.fetch.config.connection.client, deadline).await;
    let redacted = redactor.redact(&Bytes::from_static(br#"{"Cookie":"what do ya want for nothing?"}"#));
    assert_eq!(redacted.count, 1);
    String::from_utf8(redacted.bytes.to_vec()).unwrap()
}

const MARKED: &str = r#"{"Cookie":"[redacted]"}"#;

fn with_key(key: String) -> Redaction {
    Redaction::new(&[], &[], Some(SecretCell::new(Secret::Vault(key))))
}

#[tokio::test(start_paused = true)]
async fn while_the_vault_does_not_give_the_key_the_marker_stands_for_what_is_withheld() {
    let house = quiet();
    let redaction = with_key(house.cloud.secrets().create("redaction", "a key of sixteen"));
    let down = house.cloud.faults().inject(Fault::on("GetSecretBundle").answer(404, "NotAuthorizedOrNotFound"));
    assert_eq!(withheld(&house, &redaction).await, MARKED);
    house.cloud.faults().remove(down);
    // By Python's hmac.
    let tagged = r#"{"Cookie":"hmac-sha256:b1a92ca515fd7478d0968e5803b808bdfa6a6f4856812bbbffa88ab6174bf84b"}"#;
    assert_eq!(withheld(&house, &redaction).await, tagged);
    // Asked once: the vault may be gone from now on.
    house.cloud.faults().inject(Fault::on("GetSecretBundle").answer(404, "NotAuthorizedOrNotFound"));
    assert_eq!(withheld(&house, &redaction).await, tagged);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_does_not_answer_takes_seconds_of_a_call_and_not_all_of_it() {
    let house = quiet();
    let redaction = with_key(house.cloud.secrets().create("redaction", "a key of sixteen"));
    house.cloud.faults().inject(Fault::on("GetSecretBundle").answer(503, "ServiceUnavailable"));
    let before = Instant::now();
    assert_eq!(withheld(&house, &redaction).await, MARKED);
    assert!(before.elapsed() <= Duration::from_secs(6), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_could_be_guessed_is_not_used() {
    let house = quiet();
    let redaction = with_key(house.cloud.secrets().create("redaction", "short"));
    assert_eq!(withheld(&house, &redaction).await, MARKED);
}

#[tokio::test(start_paused = true)]
async fn our_own_reads_are_those_of_the_token_unless_the_platform_or_the_operator_says_otherwise() {
    let principal = |keys: &[(&str, &str)]| {
        let keys: Vec<_> = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let house = house(|plan| plan.keys.extend(keys));
        let client = &house.fetch.config.connection.client;
        let of_token = client.principal_id().unwrap().as_str().to_owned();
        let own = house.fetch.config.own_reads.as_ref().map(|own| own.principal().to_owned());
        (own, of_token)
    };
    let (own, of_token) = principal(&[("own_reads", "summary")]);
    assert!(of_token.starts_with("ocid1.fnfunc."), "{of_token}");
    assert_eq!(own, Some(of_token));
    let platform = ("FN_FN_ID", "ocid1.fnfunc.oc1.iad.f");
    let summary = ("own_reads", "summary");
    assert_eq!(principal(&[platform, summary]).0.as_deref(), Some(platform.1));
    assert_eq!(
        principal(&[platform, summary, ("own_principal", "ocid1.user.oc1..u")]).0.as_deref(),
        Some("ocid1.user.oc1..u")
    );
    assert_eq!(principal(&[platform, ("own_reads", "keep")]).0, None);
}
