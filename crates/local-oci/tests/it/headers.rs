//! What every answer has, and how calls are refused before any service sees them.

use jiff::SignedDuration;
use local_oci::{Clock, Fault, Settings};

use crate::client::{Client, noon, settings};

#[tokio::test(start_paused = true)]
async fn every_answer_has_a_date_and_a_completed_request_id() {
    let client = Client::new(settings());
    for (path, status) in [("/n", 200), ("/nowhere", 404), ("/20190901/auditEvents", 400)] {
        let got = client.get(path).await;
        assert_eq!(got.status, status, "{path}");
        assert_eq!(got.header("date"), "Mon, 05 Jan 2026 12:00:30 GMT");
        assert_eq!(got.header("opc-request-id").len(), 65, "{}", got.header("opc-request-id"));
        assert_eq!(got.header("content-length"), got.body.len().to_string());
    }
    let own = "0123456789ABCDEF0123456789ABCDEF";
    let got = client.send("GET", "/n", &[("opc-request-id", own)], "").await;
    assert!(got.header("opc-request-id").starts_with(&format!("{own}/")));
}

#[tokio::test(start_paused = true)]
async fn a_fault_shifts_the_date_of_the_calls_that_it_matches() {
    let client = Client::new(settings());
    client.cloud.faults().inject(Fault::on("GetNamespace").times(1).wrong_date(SignedDuration::from_hours(1)));
    client.cloud.faults().inject(Fault::on("GetNamespace").skip(1).times(1).wrong_date(SignedDuration::from_hours(-1)));
    for (path, time) in [("/nowhere", 12), ("/n", 13), ("/n", 11), ("/n", 12)] {
        assert_eq!(client.get(path).await.header("date"), format!("Mon, 05 Jan 2026 {time}:00:30 GMT"));
    }
    assert_eq!(client.cloud.faults().counts()[&("GetNamespace".to_owned(), "WrongDate")], 2);
}

#[tokio::test(start_paused = true)]
async fn unknown_paths_are_404_and_other_methods_405() {
    let client = Client::new(settings());
    assert_eq!(client.get("/20180418/nothing").await.error(), (404, "NotFound".to_owned()));
    let got = client.send("DELETE", "/20190901/auditEvents", &[], "").await;
    assert_eq!(got.error(), (405, "MethodNotAllowed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_unsigned_call_and_a_stale_date_are_401() {
    let client = Client::new(settings());
    let unsigned = http::Request::get("/n").body(bytes::Bytes::new()).expect("a request");
    assert_eq!(client.answer(unsigned).await.error(), (401, "NotAuthenticated".to_owned()));
    let stale = [("date", "Mon, 05 Jan 2026 12:06:30 GMT")];
    let got = client.send("GET", "/n", &stale, "").await;
    assert_eq!(got.error(), (401, "NotAuthenticated".to_owned()));
    assert!(got.json()["message"].as_str().is_some_and(|message| message.contains("five minutes")));
    assert_eq!(client.cloud.counters().of("NotAuthenticated"), 2);
    assert_eq!(client.cloud.counters().of("GetNamespace"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_post_needs_its_body_digest_and_a_changed_body_is_refused() {
    let client = Client::new(settings());
    let path = "/20180401/metrics";
    let unread = (400, "CannotParseRequest".to_owned());
    assert_eq!(client.send("POST", path, &[], "{}").await.error(), unread, "past the signature");
    assert_eq!(client.send("POST", path, &[], "").await.error(), unread, "an empty body is signed as well");
    let mut request = client.request("POST", path, &[], "{}".into());
    *request.body_mut() = "[]".into();
    assert_eq!(client.answer(request).await.error(), (401, "NotAuthenticated".to_owned()));
    // Signed as the short list, which is for two operations only.
    let mut request = client.request("GET", path, &[], "".into());
    *request.method_mut() = http::Method::POST;
    assert_eq!(client.answer(request).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_skewed_service_clock_refuses_until_the_client_learns_it_from_the_401() {
    let settings = Settings { clock_skew: SignedDuration::from_hours(1), ..settings() };
    let client = Client::new(settings);
    let got = client.get("/n").await;
    assert_eq!((got.status, got.header("date")), (401, "Mon, 05 Jan 2026 13:00:30 GMT"));
    let date = got.header("date").to_owned();
    assert_eq!(client.send("GET", "/n", &[("date", &date)], "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_date_header_can_lie() {
    let settings = Settings { date_header_offset: SignedDuration::from_hours(-2), ..settings() };
    let got = Client::new(settings).get("/n").await;
    assert_eq!((got.status, got.header("date")), (200, "Mon, 05 Jan 2026 10:00:30 GMT"));
}

#[tokio::test]
async fn while_the_clock_leaps_signatures_are_held_to_it_and_a_401_tells_its_time() {
    let client = Client::new(Settings::new(Clock::leaping(noon())));
    client.cloud.clock().sleep(SignedDuration::from_hours(100)).await;
    let machine = client.send("GET", "/n", &[("date", "Tue, 24 Nov 2026 12:00:00 GMT")], "").await;
    assert_eq!(machine.status, 401);
    let date = machine.header("date").to_owned();
    assert!(date.starts_with("Fri, 09 Jan 2026 16:0"), "{date}");
    assert_eq!(client.send("GET", "/n", &[("date", &date)], "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn unsigned_calls_pass_where_checks_are_off() {
    let settings = Settings { check_signatures: false, ..settings() };
    let client = Client::new(settings);
    let unsigned = http::Request::get("/n").body(bytes::Bytes::new()).expect("a request");
    assert_eq!(client.answer(unsigned).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn faults_strike_before_the_signature_and_after_the_effect() {
    let client = Client::new(settings());
    client.cloud.storage().create_bucket("b");
    let path = format!("/n/{}/b/b/o/x", client.cloud.storage().namespace());
    client.cloud.faults().inject(Fault::on("PutObject").times(1).throttle(None));
    assert_eq!(client.send("PUT", &path, &[], "1").await.error(), (429, "TooManyRequests".to_owned()));
    assert_eq!(client.cloud.storage().get("b", "x"), None);
    client.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    let request = client.request("PUT", &path, &[], "1".into());
    assert!(client.cloud.handle(request).await.is_err());
    assert_eq!(client.cloud.storage().get("b", "x").as_deref(), Some(&b"1"[..]));
    client.cloud.faults().inject(Fault::on("GetObject").times(1).truncate_body(0));
    let got = client.get(&path).await;
    assert_eq!((got.header("content-length"), got.body.len()), ("1", 0));
}

#[tokio::test(start_paused = true)]
async fn an_absolute_uri_stands_in_for_the_host_header() {
    let client = Client::new(settings());
    let mut request = client.request("GET", "/n", &[], "".into());
    request.headers_mut().remove("host");
    *request.uri_mut() = "http://127.0.0.1:8642/n".parse().expect("a URI");
    assert_eq!(client.answer(request).await.status, 200);
}
