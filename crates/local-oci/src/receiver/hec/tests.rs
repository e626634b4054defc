use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use super::*;
use crate::receiver::fingerprint;

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const CHANNEL: &str = "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba";

fn settings() -> HecSettings {
    let mut settings = HecSettings::new(HecToken::new(TOKEN));
    settings.keep_raw = true;
    settings
}

fn request(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}

async fn post(receiver: &HecReceiver, body: &'static str) -> (u16, Value) {
    let authorization = format!("Splunk {TOKEN}");
    let request = request("/services/collector/event", &[("authorization", &authorization)], body);
    read(receiver.handle(request).await.expect("an answer"))
}

fn read(response: Response<Bytes>) -> (u16, Value) {
    (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("gzip");
    encoder.finish().expect("gzip")
}

#[tokio::test]
async fn what_is_taken_is_remembered_with_the_exact_bytes_of_the_event() {
    let receiver = HecReceiver::new(settings());
    let body = concat!(
        r#"{"time":1767647857.533,"host":"acme","source":"oci:audit","sourcetype":"oci:audit","index":"oci","#,
        r#""event":{"eventId":"a", "b" :1.0},"fields":{"event_id":"a","tags":["x","y"]}}"#,
        "\n",
        r#"{"event":{"eventID":"b"}}{"event":"CEF:0|x","fields":{"event_id":"c"},"time":"1767647857"} {"event":[1]}"#
    );
    assert_eq!(post(&receiver, body).await, (200, json!({"text": "Success", "code": 0})));
    assert_eq!((receiver.count(), receiver.unparseable()), (4, 1));
    let first = receiver.received("a").pop().expect("arrived");
    assert_eq!(first.fingerprint, fingerprint(br#"{"eventId":"a", "b" :1.0}"#));
    assert_eq!(first.time_micros, Some(1_767_647_857_533_000));
    assert_eq!((first.index.as_str(), first.host.as_deref()), ("oci", Some("acme")));
    assert_eq!(receiver.raw(0).as_deref(), Some(&br#"{"eventId":"a", "b" :1.0}"#[..]));
    assert_eq!(receiver.received("b").len(), 1);
    assert_eq!(receiver.received("c").pop().and_then(|c| c.time_micros), Some(1_767_647_857_000_000));
    assert_eq!(receiver.received("d"), []);

    post(&receiver, r#"{"event":{"eventId":"a"}}"#).await;
    let posts: Vec<u32> = receiver.received("a").iter().map(|arrival| arrival.post).collect();
    assert_eq!(posts, [0, 1], "a copy is seen, and in which post it came");
    assert_eq!(receiver.iter().count(), 5);
}

#[tokio::test]
async fn the_objects_before_the_bad_one_are_kept_and_none_after() {
    let good = r#"{"event":{"id":"g"}}"#;
    for (bad, code, number) in [
        (r#"{"event":"#, 6, 2),
        (r#"[{"event":1}]"#, 6, 2),
        (r#""text""#, 6, 2),
        (r#"{"event":"x","index":7}"#, 6, 2),
        (r#"{"event":"x","time":"soon"}"#, 6, 2),
        (r#"{"time":1}"#, 12, 2),
        (r#"{"event":null}"#, 13, 2),
        (r#"{"event":""}"#, 13, 2),
        (r#"{"event":"x","fields":{"a":{"b":"c"}}}"#, 15, 2),
        (r#"{"event":"x","fields":{"a":1}}"#, 15, 2),
        (r#"{"event":"x","fields":"a"}"#, 15, 2),
        (r#"{"event":"x","time":1.79e9}"#, 15, 2),
        (r#"{"event":"x","index":"secret"}"#, 7, 3),
    ] {
        let mut settings = settings();
        settings.tokens[0].indexes = vec!["oci".to_owned()];
        let receiver = HecReceiver::new(settings);
        let body: &'static str = format!("{good}{good}{bad}{good}").leak();
        let (status, answer) = post(&receiver, body).await;
        assert_eq!(
            (status, &answer["code"], &answer["invalid-event-number"]),
            (400, &json!(code), &json!(number)),
            "{bad}"
        );
        assert_eq!(receiver.received("g").len(), 2, "{bad}");
    }
}

#[tokio::test]
async fn arrays_are_taken_only_where_the_server_tolerates_them() {
    let body = r#"[{"event":{"id":"a"}},{"event":{"id":"b"}}]"#;
    let strict = HecReceiver::new(settings());
    assert_eq!(post(&strict, body).await.0, 400);
    let lax = HecReceiver::new(HecSettings { tolerates_arrays: true, ..settings() });
    assert_eq!(post(&lax, body).await.0, 200);
    assert_eq!((strict.count(), lax.count()), (0, 2));
}

#[tokio::test]
async fn tokens_and_requests_are_held_to_the_table() {
    let mut settings = settings();
    settings.tokens.push(HecToken { enabled: false, ..HecToken::new("off") });
    settings.tokens.push(HecToken { ack: true, ..HecToken::new("ack") });
    let receiver = HecReceiver::new(settings);
    let splunk = format!("Splunk {TOKEN}");
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{TOKEN}")));
    let event = r#"{"event":{"id":"a"}}"#;
    let path = "/services/collector/event";
    let channel = ("x-splunk-request-channel", CHANNEL);
    type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [u8], u16, u16);
    let zipped = gzip(event.as_bytes());
    let table: Vec<Row<'_>> = vec![
        (path, vec![], event.as_bytes(), 401, 2),
        (path, vec![("authorization", "Bearer x")], event.as_bytes(), 401, 3),
        (path, vec![("authorization", "Splunk")], event.as_bytes(), 401, 3),
        (path, vec![("authorization", "Splunk unknown")], event.as_bytes(), 403, 4),
        (path, vec![("authorization", "Splunk off")], event.as_bytes(), 403, 1),
        ("/services/collector/event?token=x", vec![], event.as_bytes(), 400, 16),
        (path, vec![("authorization", &splunk)], b"", 400, 5),
        (path, vec![("authorization", &splunk)], b" \n", 400, 5),
        (path, vec![("authorization", &splunk), ("content-encoding", "deflate")], event.as_bytes(), 415, 415),
        (path, vec![("authorization", &splunk), ("content-encoding", "gzip")], b"no gzip", 400, 6),
        (path, vec![("authorization", &splunk), ("content-encoding", "gzip")], &zipped, 200, 0),
        (path, vec![("authorization", &basic)], event.as_bytes(), 200, 0),
        ("/services/collector", vec![("authorization", &splunk)], event.as_bytes(), 200, 0),
        ("/services/collector/event/1.0", vec![("authorization", &splunk)], event.as_bytes(), 200, 0),
        (path, vec![("authorization", "Splunk ack")], event.as_bytes(), 400, 10),
        (path, vec![("authorization", "Splunk ack"), ("x-splunk-request-channel", "7")], event.as_bytes(), 400, 11),
        (path, vec![("authorization", "Splunk ack"), channel], event.as_bytes(), 200, 0),
        ("/services/collector/raw", vec![("authorization", &splunk)], b"a\nb", 400, 10),
        ("/services/collector/raw", vec![("authorization", &splunk), channel], b"a\nb", 200, 0),
        ("/services/collector/ack", vec![("authorization", &splunk), channel], b"{\"acks\":[0]}", 400, 14),
        ("/elsewhere", vec![("authorization", &splunk)], event.as_bytes(), 404, 404),
        ("/services/collector/health", vec![], b"", 405, 405),
    ];
    for (path, headers, body, status, code) in table {
        let request = request(path, &headers, body.to_vec());
        let (was, answer) = read(receiver.handle(request).await.expect("an answer"));
        assert_eq!((was, &answer["code"]), (status, &json!(code)), "{path} {headers:?}");
    }
    let health = Request::get("/services/collector/health").body(Bytes::new()).expect("a request");
    assert_eq!(read(receiver.handle(health).await.expect("an answer")).1["code"], 17);
    assert_eq!(receiver.count(), 7);
}

#[tokio::test]
async fn a_body_that_is_too_long_has_two_answers() {
    let body: &'static str = format!(r#"{{"event":"{}"}}"#, "x".repeat(2000)).leak();
    let small = HecSettings { max_content_length: 1000, ..settings() };
    let server = HecReceiver::new(small.clone());
    assert_eq!(post(&server, body).await.0, 413);
    let cloud = HecReceiver::new(HecSettings { oversize: Oversize::Code6, ..small });
    let (status, answer) = post(&cloud, body).await;
    assert_eq!((status, &answer["code"], &answer["invalid-event-number"]), (400, &json!(6), &json!(0)));
    // The length that counts is the one after decompression.
    let headers = [("authorization", format!("Splunk {TOKEN}")), ("content-encoding", "gzip".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let zipped = request("/services/collector/event", &headers, gzip(body.as_bytes()));
    assert!(zipped.body().len() < 1000);
    assert_eq!(read(server.handle(zipped).await.expect("an answer")).0, 413);
    assert_eq!((server.count(), cloud.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_come_true_once_late_never_or_on_every_other_node() {
    let ask = async |receiver: &HecReceiver| {
        let headers = [("authorization", "Splunk ack"), ("x-splunk-request-channel", CHANNEL)];
        let request = request("/services/collector/ack", &headers, r#"{"acks":[0]}"#);
        read(receiver.handle(request).await.expect("an answer")).1["acks"]["0"] == json!(true)
    };
    for (mode, answers) in [
        (AckMode::After(Duration::from_secs(3)), [false, false, true, false]),
        (AckMode::Never, [false; 4]),
        (AckMode::OtherNode, [false, true, false, false]),
    ] {
        let mut settings = HecSettings::new(HecToken { ack: true, ..HecToken::new("ack") });
        settings.acks = mode;
        let receiver = HecReceiver::new(settings);
        let headers = [("authorization", "Splunk ack"), ("x-splunk-request-channel", CHANNEL)];
        let event = request("/services/collector/event", &headers, r#"{"event":1}"#);
        let (_, answer) = read(receiver.handle(event).await.expect("an answer"));
        assert_eq!(answer["ackId"], 0);
        let mut seen = Vec::new();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            seen.push(ask(&receiver).await);
        }
        assert_eq!(seen, answers, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_leave_the_sender_knowing_or_not_knowing() {
    let event = r#"{"event":{"id":"a"}}"#;
    let authorization = format!("Splunk {TOKEN}");
    let receiver = HecReceiver::new(settings());
    let send = async || {
        let request = request("/services/collector/event", &[("authorization", &authorization)], event);
        tokio::time::timeout(Duration::from_secs(60), receiver.handle(request)).await
    };
    receiver.inject(HecFault::Busy { code: 26, retry_after_secs: Some(3) }, Some(1));
    let busy = send().await.expect("in time").expect("an answer");
    assert_eq!((busy.status().as_u16(), &busy.headers()["retry-after"]), (429, &HeaderValue::from_static("3")));
    receiver.inject(HecFault::Busy { code: 9, retry_after_secs: None }, Some(1));
    assert_eq!(send().await.expect("in time").expect("an answer").status(), 503);
    receiver.inject(HecFault::BalancerPage { status: 503 }, Some(1));
    let page = send().await.expect("in time").expect("an answer");
    assert_eq!(page.headers()["content-type"], "text/html");
    receiver.inject(HecFault::CutBefore, Some(1));
    assert!(send().await.expect("in time").is_err());
    receiver.inject(HecFault::CutAfterReading { kept: false }, Some(1));
    assert!(send().await.expect("in time").is_err());
    assert_eq!(receiver.count(), 0, "nothing was taken so far");

    receiver.inject(HecFault::CutAfterReading { kept: true }, Some(1));
    assert!(send().await.expect("in time").is_err());
    assert_eq!(receiver.count(), 1);
    receiver.inject(HecFault::Silent { kept: true }, Some(1));
    assert!(send().await.is_err(), "nobody answers");
    assert_eq!(receiver.count(), 2);
    receiver.inject(HecFault::SlowDown { code: 24 }, Some(1));
    let slowed = send().await.expect("in time").expect("an answer");
    assert_eq!(read(slowed), (200, json!({"text": "HEC queue is approaching its capacity limit", "code": 24})));
    receiver.inject_when(HecFault::CutBefore, None, |request| request.body().len() > 1000);
    receiver.inject(HecFault::Slow(Duration::from_secs(5)), Some(1));
    let before = tokio::time::Instant::now();
    assert_eq!(send().await.expect("in time").expect("an answer").status(), 200);
    assert!(before.elapsed() >= Duration::from_secs(5));
    assert_eq!((receiver.count(), receiver.traffic().0), (4, 9));
}

#[tokio::test(start_paused = true)]
async fn part_of_a_post_is_taken_and_the_sender_is_not_told() {
    let five = (0..5).map(|id| format!(r#"{{"event":{{"id":"{id}"}}}}"#)).collect::<String>();
    let authorization = format!("Splunk {TOKEN}");
    let busy = |taken| HecFault::FirstThenBusy { taken, code: 9, retry_after_secs: Some(2) };
    for (fault, status, taken) in [
        (HecFault::Half, None, 2),
        (busy(0), Some(503), 0),
        (busy(3), Some(503), 3),
        (busy(99), Some(503), 5),
        (HecFault::FirstThenBusy { taken: 1, code: 27, retry_after_secs: None }, Some(429), 1),
    ] {
        let receiver = HecReceiver::new(settings());
        receiver.inject(fault.clone(), Some(1));
        let send = async || {
            let headers = [("authorization", authorization.as_str())];
            receiver.handle(request("/services/collector/event", &headers, five.clone())).await
        };
        let response = send().await;
        assert_eq!(response.as_ref().ok().map(|response| response.status().as_u16()), status, "{fault:?}");
        let ids: Vec<usize> = (0..5).filter(|id| receiver.received(&id.to_string()).len() == 1).collect();
        assert_eq!(ids, (0..taken).collect::<Vec<_>>(), "{fault:?}");
        assert_eq!(receiver.counts(), [(fault.name(), 1)].into());
        assert_eq!(send().await.expect("an answer").status(), 200);
        assert_eq!(receiver.count(), taken + 5);
    }
    let receiver = HecReceiver::new(settings());
    receiver.inject(busy(1), Some(1));
    let headers = [("authorization", "Splunk other")];
    let refused = receiver.handle(request("/services/collector/event", &headers, five)).await.expect("an answer");
    assert_eq!((refused.status().as_u16(), receiver.count()), (403, 0), "a wrong token is no half success");
}

#[tokio::test]
async fn it_serves_plain_http_and_breaks_connections() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let receiver = HecReceiver::new(settings());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let send = async || {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let body = r#"{"event":{"id":"a"}}"#;
        let head = format!("POST /services/collector/event HTTP/1.1\r\nhost: x\r\nauthorization: Splunk {TOKEN}\r\n");
        let rest = format!("connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all((head + &rest).as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| String::from_utf8_lossy(&answer).into_owned())
    };
    let journey = async {
        assert!(send().await.expect("an answer").starts_with("HTTP/1.1 200 OK\r\n"));
        receiver.inject(HecFault::CutAfterReading { kept: true }, Some(1));
        assert_eq!(send().await.unwrap_or_default(), "");
        assert_eq!(receiver.count(), 2);
    };
    tokio::select! {
        () = receiver.serve(listener) => panic!("serving never ends"),
        done = tokio::time::timeout(Duration::from_secs(20), journey) => done.expect("in time"),
    }
}
