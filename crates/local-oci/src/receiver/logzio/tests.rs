use std::io::Write;
use std::time::Duration;

use super::*;
use crate::receiver::fingerprint;

const TOKEN: &str = "aToken";

fn settings() -> LogzioSettings {
    LogzioSettings { keep_raw: true, ..LogzioSettings::new(TOKEN) }
}

fn request(target: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(target).body(body.into()).expect("a request")
}

/// Posts to a listener of these settings as its documentation wants it.
async fn post(receiver: &LogzioReceiver, body: impl Into<Bytes>) -> (u16, String) {
    let response = receiver.handle(request(&format!("/?token={TOKEN}&type=oci-audit"), body)).await.expect("an answer");
    (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
}

fn counts(malformed: usize, successful: usize, oversized: usize, empty: usize) -> (u16, String) {
    let body = format!(
        r#"{{"malformedLines":{malformed},"successfulLines":{successful},"oversizedLines":{oversized},"emptyLogLines":{empty}}}"#
    );
    (400, body)
}

fn ok() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn good_lines_are_taken_byte_for_byte() {
    let receiver = LogzioReceiver::new(settings());
    let lines = [
        r#"{"eventId":"a", "n":1e999}"#,
        r#"{"datetime":1,"logContent":{"id":"b"},"regionId":"r"}"#,
        r#"{"k":1,"k":2}"#,
        r#"{"id":"d","s":"}{"}"#,
    ];
    assert_eq!(post(&receiver, lines.join("\n") + "\n").await, ok());
    assert_eq!(post(&receiver, lines[0]).await, ok(), "the last line feed may be missing");
    let found: Vec<_> = receiver.iter().collect();
    let ids: Vec<_> = found.iter().map(|line| line.id.as_deref()).collect();
    assert_eq!(ids, [Some("a"), Some("b"), None, Some("d"), Some("a")]);
    for (line, found) in lines.iter().zip(&found) {
        assert_eq!((found.fingerprint, found.post), (fingerprint(line.as_bytes()), 0));
    }
    assert_eq!((receiver.count(), receiver.unparseable()), (5, 1));
    assert_eq!(receiver.raw(1).as_deref(), Some(lines[1].as_bytes()));
    let posts: Vec<_> = receiver.received("a").into_iter().map(|line| (line.post, line.log_type)).collect();
    assert_eq!(posts, [(0, "oci-audit".to_owned()), (1, "oci-audit".to_owned())]);
    assert_eq!(receiver.answers(), [(200, 2)].into());
    assert!(receiver.handle(request("/?token=aToken", "{}")).await.is_ok());
    assert_eq!(receiver.iter().last().map(|line| line.log_type).as_deref(), Some("http-bulk"));
}

#[tokio::test]
async fn a_400_counts_the_bad_lines_and_the_good_ones_are_taken() {
    let long = format!(r#"{{"id":"l","s":"{}"}}"#, "x".repeat(500_000));
    let fits = format!(r#"{{"id":"f","s":"{}"}}"#, "x".repeat(500_000 - r#"{"id":"f","s":""}"#.len()));
    let all = format!("{{\"id\":\"a\"}}\n{{\n\n{long}\n \t\n[1]\n{{}} x\n{{\"id\":\"b\"}}\n");
    for (body, answer, taken) in [
        (all, counts(3, 2, 1, 2), 2),
        (String::new(), counts(0, 0, 0, 1), 0),
        ("\n".to_owned(), counts(0, 0, 0, 1), 0),
        ("{}\n\n".to_owned(), counts(0, 1, 0, 1), 1),
        ("{}{}\n".to_owned(), counts(1, 0, 0, 0), 0),
        (long, counts(0, 0, 1, 0), 0),
        (fits, ok(), 1),
        ("{}\r\n".to_owned(), ok(), 1),
    ] {
        let receiver = LogzioReceiver::new(settings());
        assert_eq!(post(&receiver, body).await, answer);
        assert_eq!(receiver.count(), taken, "{answer:?}");
    }
    let receiver = LogzioReceiver::new(settings());
    assert_eq!(post(&receiver, &b"{\"s\":\"\xff\"}"[..]).await, counts(1, 0, 0, 0));
}

#[tokio::test]
async fn token_path_method_and_size_are_checked() {
    let receiver = LogzioReceiver::new(settings());
    for (target, status) in [
        ("/?type=x", 401),
        ("/?token=other", 401),
        ("/?token=", 401),
        ("/bulk?token=aToken", 404),
        ("/?type=x&token=aToken", 200),
        ("/?token=aToken", 200),
    ] {
        let response = receiver.handle(request(target, "{}\n")).await.expect("an answer");
        assert_eq!((response.status().as_u16(), response.body().len()), (status, 0), "{target}");
    }
    let get = Request::get("/?token=aToken").body(Bytes::new()).expect("a request");
    assert_eq!(receiver.handle(get).await.expect("an answer").status(), 405);
    let line = format!("{{\"s\":\"{}\"}}\n", "x".repeat(99_991));
    assert_eq!(line.len(), 100_000);
    let fits = line.repeat(104) + &" ".repeat(10_485_760 - 10_400_000);
    assert_eq!(post(&receiver, fits.clone()).await, counts(0, 104, 0, 1));
    assert_eq!(post(&receiver, fits + " ").await, (413, String::new()));
    assert!(!format!("{receiver:?}").contains(TOKEN));
}

#[tokio::test]
async fn gzip_is_taken_only_where_the_setting_says_so() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(b"{\"id\":\"a\"}\n").expect("packed");
    let packed = packer.finish().expect("packed");
    for (takes_gzip, status, taken) in [(true, 200, 1), (false, 400, 0)] {
        let receiver = LogzioReceiver::new(LogzioSettings { takes_gzip, ..settings() });
        let mut request = request("/?token=aToken", packed.clone());
        request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(receiver.handle(request).await.expect("an answer").status(), status);
        assert_eq!(receiver.received("a").len(), taken);
    }
}

#[tokio::test(start_paused = true)]
async fn faults_strike_as_often_as_they_are_told_and_take_what_they_say() {
    let busy = |retry_after_secs| LogzioFault::Busy { status: 429, retry_after_secs };
    let first = LogzioFault::FirstThenBusy { taken: 2, status: 503, retry_after_secs: Some(7) };
    for (fault, answer, taken) in [
        (busy(None), Some((429, None)), 0),
        (busy(Some(30)), Some((429, Some("30"))), 0),
        (LogzioFault::CutBefore, None, 0),
        (LogzioFault::CutAfterReading { kept: false }, None, 0),
        (LogzioFault::CutAfterReading { kept: true }, None, 3),
        (LogzioFault::Half, None, 1),
        (LogzioFault::HalfMalformed, Some((400, None)), 1),
        (first, Some((503, Some("7"))), 2),
        (LogzioFault::Slow(Duration::from_secs(5)), Some((200, None)), 3),
    ] {
        let receiver = LogzioReceiver::new(settings());
        let name = fault.name();
        receiver.inject(fault, Some(1));
        let body = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n";
        let response = receiver.handle(request("/?token=aToken", body)).await.ok();
        let retry_after = |response: &Response<Bytes>| {
            response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned())
        };
        let found = response.as_ref().map(|response| (response.status().as_u16(), retry_after(response)));
        assert_eq!(found, answer.map(|(status, after)| (status, after.map(str::to_owned))), "{name}");
        assert_eq!((receiver.count(), receiver.counts()), (taken, [(name, 1)].into()), "{name}");
        if name == "HalfMalformed" {
            let body = response.expect("an answer").into_body();
            assert_eq!(String::from_utf8_lossy(&body), counts(2, 1, 0, 0).1);
        }
        assert_eq!(post(&receiver, body).await, ok(), "it is spent");
        assert_eq!(receiver.traffic(), (2, 2 * body.len() as u64));
    }
    for (kept, taken) in [(false, 0), (true, 1)] {
        let receiver = LogzioReceiver::new(settings());
        receiver.inject_when(LogzioFault::Silent { kept }, None, |request| !request.body().is_empty());
        let silent = tokio::time::timeout(Duration::from_secs(600), post(&receiver, "{}\n")).await;
        assert!(silent.is_err() && receiver.count() == taken);
        receiver.clear_faults();
        assert_eq!(post(&receiver, "{}\n").await, ok());
    }
}

#[tokio::test]
async fn it_listens_on_a_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let receiver = LogzioReceiver::new(settings());
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let body = "{\"id\":\"a\"}\n";
        let head = format!("POST /?token={TOKEN}&type=x HTTP/1.1\r\nhost: l\r\nconnection: close\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let answer = tokio::select! {
        () = receiver.serve(listener) => panic!("it serves on"),
        answer = asked => answer,
    };
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(receiver.received("a").len(), 1);
}
