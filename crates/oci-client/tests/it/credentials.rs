//! A 401, and what must never be seen.

use std::{fs, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use oci_client::{Client, Error, Principal};
use secrecy::ExposeSecret;

use crate::double::{Double, Play, SIGNING, answer, in_secs, ocid, refusal};

fn token(name: &str) -> String {
    let claims = format!(r#"{{"exp":4102444800,"res_tenant":"ocid1.tenancy.oc1..t","name":"{name}"}}"#);
    format!("hush.{}.{name}", URL_SAFE_NO_PAD.encode(claims))
}

fn resource(folder: &Path) -> Principal {
    fs::copy(format!("{SIGNING}/test-key.pem"), folder.join("private.pem")).unwrap();
    let path = |name| Some(folder.join(name).display().to_string());
    Principal::resource(&|name| match name {
        "OCI_RESOURCE_PRINCIPAL_VERSION" => Some("2.2".to_owned()),
        "OCI_RESOURCE_PRINCIPAL_RPST" => path("rpst"),
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM" => path("private.pem"),
        "OCI_RESOURCE_PRINCIPAL_REGION" => Some("iad".to_owned()),
        _ => None,
    })
    .unwrap()
}

fn unauthenticated(date: Timestamp) -> Play {
    refusal(401, "NotAuthenticated").with("date", http_date(date))
}

fn http_date(at: Timestamp) -> String {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

async fn ask(client: &Client) -> Result<usize, Error> {
    let tenancy = client.tenancy().unwrap();
    let regions = client.identity().list_region_subscriptions(&tenancy, in_secs(60)).await;
    regions.map(|regions| regions.len())
}

#[tokio::test(start_paused = true)]
async fn a_401_is_answered_with_the_token_that_has_come_since() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rpst"), token("old")).unwrap();
    let double = Double::new([unauthenticated(now()), answer(200, "[]")]);
    let client = double.client_of(resource(folder.path()));
    fs::write(folder.path().join("rpst"), token("new")).unwrap();
    ask(&client).await.unwrap();
    let sent = double.sent();
    assert!(sent[0].header("authorization").contains(&format!(r#"keyId="ST${}""#, token("old"))));
    assert!(sent[1].header("authorization").contains(&format!(r#"keyId="ST${}""#, token("new"))));
    assert_eq!(double.times_ms()[1], 0, "without a pause");
}

#[tokio::test(start_paused = true)]
async fn a_401_with_nothing_to_mend_is_final() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rpst"), token("same")).unwrap();
    for principal in [resource(folder.path()), crate::double::api_key()] {
        let double = Double::new([unauthenticated(now())]);
        let error = ask(&double.client_of(principal)).await.unwrap_err();
        assert_eq!(error.code(), Some("NotAuthenticated"));
        assert_eq!(double.sent().len(), 1);
    }
}

fn date_of(double: &Arc<Double>, index: usize) -> Timestamp {
    let sent = double.sent();
    rfc2822::DateTimeParser::new().parse_timestamp(sent[index].header("date")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_learned_from_the_401_and_kept() {
    let service = now() + SignedDuration::from_hours(3);
    let listed = || answer(200, "[]").with("date", http_date(service));
    let double = Double::new([unauthenticated(service), listed(), listed()]);
    let client = double.client();
    ask(&client).await.unwrap();
    ask(&client).await.unwrap();
    for index in [1, 2] {
        let off_by = date_of(&double, index).duration_since(service).abs();
        assert!(off_by < SignedDuration::from_secs(30), "request {index} is off by {off_by}");
    }
    let off_by = client.service_time().unwrap().duration_since(service).abs();
    assert!(off_by < SignedDuration::from_secs(30), "the service's time is off by {off_by}");
}

/// Calls that are on their way together are refused together; the first that hears of it mends the clock for all.
#[tokio::test(start_paused = true)]
async fn a_wrong_clock_that_another_call_has_mended_meanwhile_is_tried_again_once() {
    let service = now() + SignedDuration::from_hours(3);
    let late = |play: Play, secs| play.after(std::time::Duration::from_secs(secs));
    let listed = || answer(200, "[]").with("date", http_date(service));
    let refused = || unauthenticated(service);
    let double = Double::new([
        late(refused(), 1),
        late(refused(), 2),
        late(refused(), 3),
        listed(),
        listed(),
        late(refused(), 1),
    ]);
    let client = double.client();
    let (one, two, three) = tokio::join!(ask(&client), ask(&client), ask(&client));
    assert_eq!([one.is_ok(), two.is_ok(), three.is_ok()], [true, true, false], "the third is refused again, for good");
    assert_eq!(double.sent().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_date_of_a_401_mends_signatures_and_is_nobody_s_time() {
    let service = now() - SignedDuration::from_mins(4);
    let double = Double::new([
        answer(200, "[]").with("date", http_date(service)),
        unauthenticated(now() + SignedDuration::from_hours(3)),
        answer(200, "[]"),
    ]);
    let client = double.client();
    ask(&client).await.unwrap();
    ask(&client).await.unwrap();
    let off_by = client.service_time().unwrap().duration_since(service).abs();
    assert!(off_by < SignedDuration::from_secs(30), "the service's time is off by {off_by}");
    assert!(date_of(&double, 2).duration_since(now()) > SignedDuration::from_hours(2));
}

#[tokio::test(start_paused = true)]
async fn a_date_that_is_far_from_a_signature_that_was_taken_is_nobody_s_time() {
    let far = [6 * 60, -6 * 60, 9_000, -9_000].map(SignedDuration::from_secs);
    let answers = far.iter().map(|off| answer(200, "[]").with("date", http_date(now() + *off)));
    let near = now() + SignedDuration::from_mins(4);
    let double = Double::new(answers.chain([answer(200, "[]").with("date", http_date(near))]));
    let client = double.client();
    for _ in far {
        ask(&client).await.unwrap();
        assert_eq!(client.service_time(), None);
    }
    ask(&client).await.unwrap();
    let off_by = client.service_time().unwrap().duration_since(near).abs();
    assert!(off_by < SignedDuration::from_secs(30), "the service's time is off by {off_by}");
}

#[tokio::test(start_paused = true)]
async fn an_offset_that_does_not_help_is_forgotten() {
    let service = now() + SignedDuration::from_hours(3);
    let double = Double::new([unauthenticated(service), unauthenticated(service), answer(200, "[]")]);
    let client = double.client();
    assert_eq!(ask(&client).await.unwrap_err().code(), Some("NotAuthenticated"));
    ask(&client).await.unwrap();
    let off_by = date_of(&double, 2).duration_since(now()).abs();
    assert!(off_by < SignedDuration::from_secs(30), "signed off by {off_by}");
}

#[tokio::test(start_paused = true)]
async fn a_new_token_and_a_wrong_clock_are_both_mended_in_one_call() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rpst"), token("old")).unwrap();
    let service = now() - SignedDuration::from_hours(3);
    let double = Double::new([unauthenticated(service), unauthenticated(service), answer(200, "[]")]);
    let client = double.client_of(resource(folder.path()));
    fs::write(folder.path().join("rpst"), token("new")).unwrap();
    ask(&client).await.unwrap();
    assert!(date_of(&double, 2).duration_since(service).abs() < SignedDuration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn no_error_and_no_type_shows_a_token_a_key_or_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rpst"), token("hush")).unwrap();
    let echo =
        format!(r#"{{"code":"Oops","message":"you sent authorization: Signature keyId=\"ST${}\""}}"#, token("hush"));
    let bundle = |content: &str| {
        answer(200, format!(r#"{{"secretBundleContent":{{"contentType":"BASE64","content":{content}}}}}"#))
    };
    let plays: Vec<Play> = vec![
        answer(400, echo.clone()),
        answer(400, echo.replace('"', " ")),
        bundle(r#"["hush"]"#),
        bundle(r#""hush?""#),
        answer(200, r#"{"secretBundleContent":"hush"}"#),
        Play::NoAnswer,
    ];
    let secret = ocid("ocid1.vaultsecret.oc1.iad.a");
    for (index, play) in plays.into_iter().enumerate() {
        let double = Double::new([play]);
        let client = double
            .client_of(resource(folder.path()))
            .with_retry(oci_client::RetryPolicy { attempts: 1, ..oci_client::RetryPolicy::default() });
        let error = client.secrets().get_secret_text(&secret, in_secs(60)).await.unwrap_err();
        let mut text = format!("{error:?} {error} {client:?} {:?}", double.sent()[0].request.headers());
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(each) = cause {
            text.push_str(&each.to_string());
            cause = each.source();
        }
        assert!(!text.contains("hush") && !text.contains("BEGIN"), "play {index}: {text}");
    }
}

#[tokio::test]
async fn a_secret_is_decoded_once_and_its_line_feed_taken_off() {
    // "hec-token\n", and a secret that is itself base64.
    let double = Double::new(["aGVjLXRva2VuCg==", "YUdWag=="].map(|content| {
        answer(200, format!(r#"{{"secretId":"x","versionNumber":3,"secretBundleContent":{{"contentType":"BASE64","content":"{content}"}}}}"#))
    }));
    let client = double.client();
    let secret = ocid("ocid1.vaultsecret.oc1.iad.a");
    let text = client.secrets().get_secret_text(&secret, in_secs(60)).await.unwrap();
    assert_eq!(text.expose_secret(), "hec-token");
    let bytes = client.secrets().get_secret_bundle(&secret, in_secs(60)).await.unwrap();
    assert_eq!(bytes.expose_secret(), b"aGVj");
    assert_eq!(
        double.sent()[0].uri(),
        "https://secrets.vaults.us-ashburn-1.oci.oraclecloud.com/20190301/secretbundles/ocid1.vaultsecret.oc1.iad.a"
    );
}
