//! Faults of sending (R-28 to R-33).

use std::sync::Arc;

use http_transport::{HttpTransport, TlsRoots};
use local_oci::{
    Clock,
    receiver::{HecReceiver, HecSettings, HecToken},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{
    house::{BUCKET, TOKEN, at, house, ids_at, quiet},
    wire::SPLUNK,
};

/// A collector behind TLS with a certificate for `name`, issued by an authority of its own; the authority as PEM.
async fn tls_collector(name: &str) -> (HecReceiver, String, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, &authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let receiver = HecReceiver::new(HecSettings::new(HecToken::new(TOKEN)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = receiver.clone();
    #[expect(clippy::disallowed_methods, reason = "a server of the test, ended with its runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serving.serve_connection(stream).await;
            }
        }
    });
    (receiver, format!("https://localhost:{port}"), certificate.pem())
}

#[tokio::test]
async fn r_28_a_certificate_that_cannot_be_trusted_gets_no_token() {
    // (the name in the certificate, whether its authority is configured, whether events arrive)
    for (name, trusted, arrives) in
        [("localhost", false, false), ("splunk.example.com", true, false), ("localhost", true, true)]
    {
        let (receiver, url, pem) = tls_collector(name).await;
        let roots =
            if trusted { TlsRoots::default().with_private_ca(pem.as_bytes()).unwrap() } else { TlsRoots::default() };
        let mut house = house(|plan| {
            plan.keys.insert("splunk_url".into(), url);
            // Real sockets need the real clock, so the first window is over at the start.
            plan.settings.clock = Clock::starting_at(at("00:05:00"));
        });
        house.ship.config.target = house.ship.config.target.over(Arc::new(HttpTransport::new(&roots).unwrap()));
        house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
        assert!(house.ring().await.is_success());
        let replies = house.settle_anyhow().await;
        assert_eq!(replies.iter().all(fn_hyper::Reply::is_success), arrives, "{name} {trusted}");
        assert_eq!((receiver.traffic().0 > 0, receiver.count()), (arrives, usize::from(arrives)), "{name} {trusted}");
    }
}

#[tokio::test]
async fn r_28_a_private_authority_is_trusted_by_its_key_as_text_or_out_of_the_vault() {
    let (receiver, url, pem) = tls_collector("localhost").await;
    let mut house = house(|plan| {
        // Real sockets need the real clock, so the first window is over at the start.
        plan.settings.clock = Clock::starting_at(at("00:05:00"));
    });
    let secret = house.cloud.secrets().create("splunk-ca", &pem);
    let mut ids = Vec::new();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    assert!(house.ring().await.is_success());
    for doorbell in house.unheard(&house.audit_topic) {
        assert!(house.fetch(doorbell).await.is_success());
    }
    let doorbells = house.unheard(&house.splunk_topic);
    // Without the key the collector is a stranger; with it, whichever way it is written, it is known.
    for (n, (ca, known)) in
        [("", false), (pem.as_str(), true), (&pem.replace('\n', "\\n"), true), (&secret, true)].into_iter().enumerate()
    {
        house.ship = house.real_ship_with(&[("splunk_url", &url), ("splunk_ca_pem", ca)]);
        if n < 2 {
            for doorbell in doorbells.clone() {
                assert_eq!(house.ship(doorbell).await.is_success(), known, "{n}");
            }
        } else {
            // The same batch anew, as if it had not been shipped.
            let seen = house.objects("seen/").pop().unwrap();
            let owed: serde_json::Value = serde_json::from_slice(&doorbells[0]).unwrap();
            let owed = owed["pointers"][0]["receipt"].as_str().unwrap().to_owned();
            let body = house.cloud.storage().get(BUCKET, &seen).unwrap();
            house.cloud.storage().put(BUCKET, &owed, body);
            house.cloud.storage().delete(BUCKET, &seen);
            assert!(house.ship(doorbells[0].clone()).await.is_success(), "{n}");
        }
        ids.extend(known.then(|| "a-1".to_owned()));
        assert_eq!(ids_at(&receiver), ids, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_29_the_token_lies_in_the_vault_and_nowhere_else() {
    let mut house = house(|plan| {
        // No key holds it.
        plan.keys.insert("splunk_hec_token".into(), "ocid1.vaultsecret.oc1.iad.none".into());
    });
    let secret = house.cloud.secrets().create("hec-token", TOKEN);
    house.ship = house.ship_with(&[("splunk_hec_token", &secret)]);
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.wait_until("00:05:00").await;
    assert!(house.ring().await.is_success());
    let replies = house.settle_anyhow().await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    assert!(replies.iter().all(fn_hyper::Reply::is_success));
    let streams = [&house.work_stream, &house.event_stream].map(|stream| house.cloud.streams().messages(stream));
    let objects = house.objects("").into_iter().map(|name| house.cloud.storage().get(BUCKET, &name).unwrap());
    let written = (streams.into_iter().flatten().map(|message| message.value))
        .chain(house.cloud.topics().published().into_iter().map(|message| message.body))
        .chain(replies.iter().map(|reply| reply.body().clone()))
        .chain(objects);
    for text in written {
        assert!(!String::from_utf8_lossy(&text).contains(TOKEN));
    }
}

#[tokio::test(start_paused = true)]
async fn r_29_a_token_that_is_rotated_while_the_function_runs_is_read_anew() {
    let mut house = quiet();
    let secret = house.cloud.secrets().create("hec-token", TOKEN);
    house.ship = house.ship_with(&[("splunk_hec_token", &secret)]);
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-1");
    house.event("us-ashburn-1", &house.root(), "00:07:00", "a-2");
    house.event("us-ashburn-1", &house.root(), "00:12:00", "a-3");
    house.run_until("00:05:00").await;
    assert_eq!(house.arrived_ids(), ["a-1"]);
    let asked = house.cloud.counters().of("GetSecretBundle");
    // The collector takes a new token alone, and the vault does not know it yet: nothing is delivered, nothing is lost.
    let rotated = "22222222-2222-4333-8444-555555555555";
    let collector = house.collector(SPLUNK, HecSettings::new(HecToken::new(rotated)));
    house.wait_until("00:10:00").await;
    assert!(house.ring().await.is_success());
    assert!(!house.settle_anyhow().await.iter().all(fn_hyper::Reply::is_success), "a refusal is no success");
    assert_eq!((collector.count(), house.objects("owed/ship/").len()), (0, 1));
    assert_eq!(house.objects("dead/"), [""; 0], "an event is never refused for the token's sake");
    // The vault knows it: the next call, a probe of the destination that is down, is refused, reads it and delivers, all in
    // one. What came meanwhile follows with the next run.
    house.cloud.secrets().add_version(&secret, rotated, false);
    house.run_until("00:15:00").await;
    assert_eq!(ids_at(&collector), ["a-2"]);
    house.run_until("00:20:00").await;
    assert_eq!(ids_at(&collector), ["a-2", "a-3"]);
    assert!(house.cloud.counters().of("GetSecretBundle") <= asked + 3);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_30_the_time_is_the_events_own_with_its_milliseconds() {
    let house = quiet();
    house.event_of(
        "us-ashburn-1",
        &house.root(),
        at("00:02:00"),
        r#"{"eventId":"a-1","eventTime":"2026-01-05T00:01:07.123Z"}"#,
    );
    house.run_until("00:10:00").await;
    let arrival = house.splunk.iter().next().unwrap();
    assert_eq!(arrival.time_micros, Some(at("00:01:07").as_microsecond() + 123_000));
}

#[tokio::test(start_paused = true)]
async fn r_31_the_event_arrives_as_it_was_listed() {
    let house = quiet();
    let hostile = concat!(
        r#"{"eventId":"a-1","eventTime":"2026-01-05T00:01:07.123Z","aFieldNewerThanAnySdk":{"n":1.50,"e":1e-7,"#,
        r#""big":100000000000000000000000,"escaped":"\u00e9\/}{","Accept":1,"accept":2},"#,
        "\"raw\":\"é\u{2028}\",\n  \"pretty\" : [ 1,\t2 ]}"
    );
    let event = house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), hostile);
    house.run_until("00:10:00").await;
    assert_eq!(house.arrived(), [event]);
}

#[tokio::test(start_paused = true)]
async fn r_32_a_large_event_makes_no_empty_post() {
    let house = quiet();
    let json = format!(r#"{{"eventId":"a-1","eventTime":"2026-01-05T00:01:07Z","x":"{}"}}"#, "y".repeat(1_200_000));
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &json);
    house.event("us-ashburn-1", &house.root(), "00:02:30", "a-2");
    house.run_until("00:10:00").await;
    assert_eq!(house.arrived_ids(), ["a-1", "a-2"]);
    assert!(!house.splunk.answers().contains_key(&5), "{:?}", house.splunk.answers());
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn r_33_the_index_is_named_in_one_place() {
    let house = house(|plan| {
        plan.keys.insert("splunk_index_name".into(), "audit".into());
        plan.keys.insert("splunk_source_name".into(), "oci-hec-event-collector".into());
        plan.keys.insert("source_host_name".into(), "oci-audit-logs".into());
    });
    house.event("us-phoenix-1", &house.root(), "00:02:00", "a-1");
    house.run_until("00:10:00").await;
    let arrival = house.splunk.iter().next().unwrap();
    assert_eq!(arrival.index, "audit");
    assert_eq!(arrival.source.as_deref(), Some("oci-hec-event-collector"));
    assert_eq!(arrival.host.as_deref(), Some("oci-audit-logs"));
    assert_eq!(arrival.sourcetype.as_deref(), Some("oci:audit"));
}

#[tokio::test(start_paused = true)]
async fn the_source_names_the_region_that_an_event_was_fetched_in() {
    let house = quiet();
    house.event("us-phoenix-1", &house.root(), "00:02:00", "a-1");
    house.run_until("00:10:00").await;
    assert_eq!(house.splunk.iter().next().unwrap().source.as_deref(), Some("oci:audit:us-phoenix-1"));
}
