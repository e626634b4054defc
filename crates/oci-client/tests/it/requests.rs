//! Requests as they leave: address, headers, and the list of what is signed.

use bytes::Bytes;
use oci_client::{CursorType, Endpoint, Endpoints, Error, Message, PUBLISH_MAX_BYTES, Precondition, Service};

use crate::double::{Double, Sent, answer, api_key, in_secs, ocid};

const SHORT: &str = r#"headers="date (request-target) host""#;
const LONG: &str = r#"headers="date (request-target) host content-length content-type x-content-sha256""#;

fn check(sent: &Sent, method: &str, uri: &str, list: &str) {
    assert_eq!((sent.request.method().as_str(), sent.uri().as_str()), (method, uri));
    assert!(sent.header("authorization").contains(list), "{}", sent.header("authorization"));
    assert_eq!(sent.header("host"), sent.request.uri().authority().unwrap().as_str());
    assert_eq!(sent.header("accept"), "application/json");
    assert!(sent.header("user-agent").starts_with("oci-client/"));
    let length = sent.header("content-length");
    assert!(length.is_empty() || length == sent.request.body().len().to_string(), "{length}");
    assert_eq!(!sent.header("x-content-sha256").is_empty(), list == LONG);
}

#[tokio::test]
async fn streams_are_written_with_the_short_list_and_cursors_with_the_long_one() {
    let entry = r#"{"entries":[{"partition":"0","offset":1}]}"#;
    let cursors = (0..5).map(|_| answer(200, r#"{"value":"c"}"#));
    let double = Double::new([answer(200, entry)].into_iter().chain(cursors));
    let client = double.client();
    let endpoint: Endpoint = "http://127.0.0.1:8642/region/us-ashburn-1".parse().unwrap();
    let stream = ocid("ocid1.stream.oc1.iad.a");
    let streaming = client.streaming(&endpoint);
    let message = Message { key: Bytes::from_static(b"k1"), value: Bytes::from_static(b"{}") };
    streaming.put_messages(&stream, &[message], in_secs(60)).await.unwrap();
    let base = "http://127.0.0.1:8642/region/us-ashburn-1/20180418/streams/ocid1.stream.oc1.iad.a";
    let time = "2026-01-05T21:20:00Z".parse().unwrap();
    let types = [
        (CursorType::AtOffset(42), r#"{"partition":"0","type":"AT_OFFSET","offset":42}"#),
        (CursorType::AfterOffset(42), r#"{"partition":"0","type":"AFTER_OFFSET","offset":42}"#),
        (CursorType::TrimHorizon, r#"{"partition":"0","type":"TRIM_HORIZON"}"#),
        (CursorType::Latest, r#"{"partition":"0","type":"LATEST"}"#),
        (CursorType::AtTime(time), r#"{"partition":"0","type":"AT_TIME","time":"2026-01-05T21:20:00Z"}"#),
    ];
    for (cursor_type, _) in types {
        assert_eq!(streaming.create_cursor(&stream, "0", cursor_type, in_secs(60)).await.unwrap(), "c");
    }
    let sent = double.sent();
    check(&sent[0], "POST", &format!("{base}/messages"), SHORT);
    assert_eq!(sent[0].request.body(), r#"{"messages":[{"key":"azE=","value":"e30="}]}"#);
    for (sent, (_, body)) in sent[1..].iter().zip(types) {
        check(sent, "POST", &format!("{base}/cursors"), LONG);
        assert_eq!(sent.request.body(), body);
        assert_eq!(sent.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_topic_is_rung_in_its_own_region_and_within_64_kib() {
    let double = Double::new([answer(202, "{}"), answer(202, ""), answer(202, "{}")]);
    let client = double.client();
    let publish = async |topic: &str, body: &str| {
        client.notifications().publish_message(&ocid(topic), "Ring", body, in_secs(60)).await
    };
    publish("ocid1.onstopic.oc1.phx.a", r#"{"a":"é"}"#).await.unwrap();
    publish("ocid1.onstopic.oc1.eu-frankfurt-1.a", "b").await.unwrap();
    publish("ocid1.onstopic.oc1..a", &"x".repeat(PUBLISH_MAX_BYTES - 30)).await.unwrap();
    for body in ["x".repeat(PUBLISH_MAX_BYTES), "\"".repeat(PUBLISH_MAX_BYTES / 2)] {
        let error = publish("ocid1.onstopic.oc1..a", &body).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    let sent = double.sent();
    for (sent, (region, topic)) in sent.iter().zip([
        ("us-phoenix-1", "ocid1.onstopic.oc1.phx.a"),
        ("eu-frankfurt-1", "ocid1.onstopic.oc1.eu-frankfurt-1.a"),
        ("us-ashburn-1", "ocid1.onstopic.oc1..a"),
    ]) {
        let uri = format!("https://notification.{region}.oraclecloud.com/20181201/topics/{topic}/messages");
        check(sent, "POST", &uri, LONG);
    }
    assert_eq!(sent[0].request.body(), r#"{"title":"Ring","body":"{\"a\":\"é\"}"}"#);
}

#[tokio::test]
async fn objects_are_addressed_with_encoded_slashes_and_put_with_the_short_list() {
    let date = "Mon, 05 Jan 2026 21:31:40 GMT";
    let double = Double::new([
        answer(200, "").with("etag", "e"),
        answer(200, "x").with("etag", "e").with("date", date).with("content-length", "1"),
        answer(200, "").with("etag", "e").with("content-length", "7").with("last-modified", date),
        answer(200, "").with("etag", "e"),
        answer(204, ""),
    ]);
    let bucket = double.client().bucket("ns", "state bucket");
    let name = "owed/ship/é~0";
    bucket.put(name, Bytes::new(), Precondition::IfMatch("e0".to_owned()), in_secs(60)).await.unwrap();
    bucket.get(name, 1024, in_secs(60)).await.unwrap();
    let head = bucket.head(name, in_secs(60)).await.unwrap();
    assert_eq!((head.size, head.last_modified.unwrap().to_string().as_str()), (Some(7), "2026-01-05T21:31:40Z"));
    bucket.rename(name, "held/ship/é~0", false, in_secs(60)).await.unwrap();
    bucket.delete(name, Some("e"), in_secs(60)).await.unwrap();
    let base = "https://objectstorage.us-ashburn-1.oraclecloud.com/n/ns/b/state%20bucket";
    let object = format!("{base}/o/owed%2Fship%2F%C3%A9~0");
    let sent = double.sent();
    for (sent, (method, uri, list)) in sent.iter().zip([
        ("PUT", object.as_str(), SHORT),
        ("GET", &object, SHORT),
        ("HEAD", &object, SHORT),
        ("POST", &format!("{base}/actions/renameObject"), LONG),
        ("DELETE", &object, SHORT),
    ]) {
        check(sent, method, uri, list);
        assert_eq!(sent.header("opc-client-request-id").len(), 32);
    }
    assert_eq!((sent[0].header("content-length"), sent[0].header("if-match")), ("0", "e0"));
    assert_eq!(sent[3].request.body(), r#"{"sourceName":"owed/ship/é~0","newName":"held/ship/é~0"}"#);
}

#[tokio::test]
async fn an_override_s_path_and_port_are_part_of_what_is_signed_and_sent() {
    let double = Double::new([answer(200, "[]")]);
    let endpoints = Endpoints::new("iad".parse().unwrap())
        .override_service(Service::Identity, "http://localhost:8642/region/{region}")
        .unwrap();
    let client = oci_client::Client::new(double.clone(), api_key(), endpoints);
    client.identity().list_region_subscriptions(&ocid("ocid1.tenancy.oc1..t"), in_secs(60)).await.unwrap();
    let uri = "http://localhost:8642/region/us-ashburn-1/20160918/tenancies/ocid1.tenancy.oc1..t/regionSubscriptions";
    check(&double.sent()[0], "GET", uri, SHORT);
}

#[tokio::test]
async fn a_tenancy_is_read() {
    let double = Double::new([answer(
        200,
        r#"{"id":"ocid1.tenancy.oc1..t","name":"acme","homeRegionKey":"IAD","description":null}"#,
    )]);
    let client = double.client();
    let tenancy = client.identity().get_tenancy(&client.tenancy().unwrap(), in_secs(60)).await.unwrap();
    assert_eq!((tenancy.name.as_str(), tenancy.home_region_key.as_str()), ("acme", "IAD"));
}

/// A handler's future must be free to move between threads in the emulator and in tests.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    let double = Double::new([]);
    let client = double.client();
    let bucket = client.bucket("ns", "b");
    let tenancy = ocid("ocid1.tenancy.oc1..t");
    let at = "2026-01-05T21:20:00Z".parse().unwrap();
    is_send(bucket.rename("a", "b", true, tokio::time::Instant::now()));
    is_send(client.audit().list_events(&"phx".parse().unwrap(), &tenancy, at, at, None, tokio::time::Instant::now()));
}
