//! Secrets: read from the vault when first needed, and again when they stop working, but not at strangers' pace.

use std::time::Duration;

use fn_hyper::config::Secret;
use local_oci::Fault;
use secrecy::ExposeSecret;
use workbench::{CannotLoad, SecretCell};

use crate::bench::{Bench, bench, deadline};

async fn value(bench: &Bench, cell: &SecretCell) -> String {
    cell.value(&bench.client, deadline()).await.unwrap().expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_once_and_again_only_after_it_may_have_changed() {
    let bench = bench().await;
    let secret = bench.cloud.secrets().create("token", "first");
    let cell = SecretCell::new(Secret::Vault(secret.clone()));
    assert!(!cell.may_have_changed(), "nothing was read yet");
    assert_eq!((value(&bench, &cell).await, value(&bench, &cell).await), ("first".into(), "first".into()));
    assert_eq!(bench.calls("GetSecretBundle"), 1);
    bench.cloud.secrets().add_version(&secret, "second", false);
    assert!(!cell.may_have_changed(), "it was read just now");
    assert_eq!(value(&bench, &cell).await, "first");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(value(&bench, &cell).await, "first", "nobody said that it stopped working");
    assert!(cell.may_have_changed());
    assert!(!cell.may_have_changed(), "true once");
    assert_eq!(value(&bench, &cell).await, "second");
    assert_eq!(bench.calls("GetSecretBundle"), 2);
}

#[tokio::test(start_paused = true)]
async fn guesses_ask_the_vault_at_most_once_a_minute() {
    let bench = bench().await;
    let cell = SecretCell::new(Secret::Vault(bench.cloud.secrets().create("gateway", "open sesame")));
    value(&bench, &cell).await;
    for _ in 0..240 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if cell.may_have_changed() {
            value(&bench, &cell).await;
        }
    }
    let asked = bench.calls("GetSecretBundle");
    assert!((2..=5).contains(&asked), "{asked} times in four minutes");
}

#[tokio::test(start_paused = true)]
async fn a_plain_value_asks_no_vault_and_never_changes() {
    let bench = bench().await;
    let cell = SecretCell::new(Secret::Plain("hush".to_owned().into()));
    assert_eq!(value(&bench, &cell).await, "hush");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!cell.may_have_changed());
    assert_eq!(bench.calls("GetSecretBundle"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_does_not_give_it_is_an_error_and_is_asked_anew() {
    let bench = bench().await;
    let cell = SecretCell::new(Secret::Vault(bench.cloud.secrets().create("token", "hush")));
    let down = bench.cloud.faults().inject(Fault::on("GetSecretBundle").answer(404, "NotAuthorizedOrNotFound"));
    let error = cell.value(&bench.client, deadline()).await.unwrap_err();
    assert!(matches!(error, CannotLoad::Vault(_)), "{error:?}");
    bench.cloud.faults().remove(down);
    assert_eq!(value(&bench, &cell).await, "hush");
    let garbled = SecretCell::new(Secret::Vault("ocid1.vaultsecret".to_owned()));
    assert!(matches!(garbled.value(&bench.client, deadline()).await, Err(CannotLoad::Name(_))));
}

#[tokio::test(start_paused = true)]
async fn debug_shows_no_secret_known_or_configured() {
    let bench = bench().await;
    let read = SecretCell::new(Secret::Vault(bench.cloud.secrets().create("token", "hush")));
    value(&bench, &read).await;
    let plain = SecretCell::new(Secret::Plain("hush".to_owned().into()));
    let shown = format!("{read:?} {plain:?}");
    assert!(!shown.contains("hush"), "{shown}");
}
