//! Logz.io as the destination: the same journey, to a listener that acts by the documented rules.

use std::sync::{Arc, Mutex};

use fn_hyper::Reply;
use http::StatusCode;
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use serde_json::Value;

use crate::house::{House, at, house};

/// The longest line that the listener takes.
const LINE_MAX_BYTES: usize = 500_000;

/// Takes lines from those who know the token.
#[derive(Default)]
struct Listener {
    token: Mutex<String>,
    lines: Mutex<Vec<String>>,
    requests: Mutex<Vec<http::Uri>>,
}

impl Listener {
    fn answer(&self, request: &Request) -> (u16, String) {
        self.requests.lock().unwrap().push(request.uri().clone());
        let wanted = format!("token={}&type=audit", self.token.lock().unwrap());
        if request.uri().query() != Some(wanted.as_str()) {
            return (401, String::new());
        }
        let body = std::str::from_utf8(request.body()).unwrap();
        let is_bad = |line: &&str| line.len() > LINE_MAX_BYTES || !line.starts_with('{');
        let bad = body.lines().filter(is_bad).count();
        let good: Vec<String> = body.lines().filter(|line| !is_bad(line)).map(str::to_owned).collect();
        let taken = good.len();
        self.lines.lock().unwrap().extend(good);
        if bad == 0 {
            return (200, String::new());
        }
        (400, format!(r#"{{"malformedLines":{bad},"successfulLines":{taken},"oversizedLines":0,"emptyLogLines":0}}"#))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.sort();
        lines
    }
}

impl Transport for Listener {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        let (status, text) = self.answer(&request);
        let mut response = Response::new(Body::from_bytes(text));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// A house whose only destination is the listener; the token lies in the vault, under the OCID that comes third.
fn with_listener() -> (House, Arc<Listener>, String) {
    let listener = Arc::new(Listener { token: Mutex::new("first".to_owned()), ..Listener::default() });
    let mut house = house(|plan| {
        for (key, value) in [
            ("destination", "logzio"),
            ("splunk_url", ""),
            ("logzio_url", "listener.example"),
            ("logzio_token", "first"),
            ("logzio_type", "audit"),
        ] {
            plan.keys.insert(key.into(), value.into());
        }
    });
    let secret = house.cloud.secrets().create("logzio-token", "first");
    house.ship = house.ship_with(&[("logzio_token", &secret)]);
    house.ship.config.target = house.ship.config.target.over(listener.clone());
    (house, listener, secret)
}

#[tokio::test(start_paused = true)]
async fn events_arrive_once_and_one_a_line() {
    let (house, listener, _) = with_listener();
    for (n, json) in ["{ \"eventId\" : \"a-0\",\n \"n\" : 1.50 }", r#"{"eventId":"a-1","s":"a  b"}"#].iter().enumerate()
    {
        house.event_of("us-ashburn-1", &house.root(), at(&format!("00:0{}:00", 1 + n)), json);
    }
    house.run_until("00:45:00").await;
    assert_eq!(listener.lines(), [r#"{"eventId":"a-0","n":1.50}"#, r#"{"eventId":"a-1","s":"a  b"}"#]);
    let uris = listener.requests.lock().unwrap();
    assert!(uris.iter().all(|uri| *uri == "https://listener.example:8071/?token=first&type=audit"), "{uris:?}");
    assert_eq!((house.splunk.traffic().0, house.objects("dead/")), (0, vec![]));
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn l_11_an_event_longer_than_a_line_is_a_dead_letter_and_its_summary_arrives() {
    let (house, listener, _) = with_listener();
    let long = format!(r#"{{"eventId":"a-1","eventTime":"2026-01-05T00:02:00Z","x":"{}"}}"#, "x".repeat(600_000));
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-0");
    house.event_of("us-ashburn-1", &house.root(), at("00:02:00"), &long);
    house.run_until("00:10:00").await;
    let dead = house.objects("dead/");
    assert!(dead.len() == 1 && dead[0].starts_with("dead/2026-01-05/logzio/"), "{dead:?}");
    let lines: Vec<Value> = listener.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["eventId"], &lines[1]["eventId"]), (2, &"a-0".into(), &"a-1".into()));
    assert_eq!((&lines[1]["truncated"], &lines[1]["pipeline"]["object"]), (&true.into(), &dead[0].as_str().into()));

    // The line is still too long for a redrive, and the letter stays.
    let reply = house.ship(r#"{"redrive":{"all":true}}"#).await;
    assert!(reply.is_success(), "{reply:?}");
    let summary: Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!((&summary["matched"], &summary["too_large"]), (&1.into(), &1.into()));
    assert_eq!(house.objects("dead/"), dead);
    assert_eq!(listener.lines().len(), 2);
    assert_eq!((house.objects("owed/"), house.objects("held/")), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn l_13_a_token_that_was_replaced_is_read_anew_and_nothing_becomes_a_letter() {
    let (house, listener, secret) = with_listener();
    house.event("us-ashburn-1", &house.root(), "00:02:00", "a-0");
    house.run_until("00:05:00").await;
    *listener.token.lock().unwrap() = "second".to_owned();
    house.event("us-ashburn-1", &house.root(), "00:07:00", "a-1");
    house.wait_until("00:10:00").await;
    assert!(house.ring().await.is_success());
    // The vault has the old one still: the call fails, and no word of it holds the token.
    let replies = house.settle_anyhow().await;
    assert!(!replies.iter().all(Reply::is_success));
    assert!(!format!("{replies:?}").contains("first"), "{replies:?}");
    house.cloud.secrets().add_version(&secret, "second", false);
    house.run_until("01:00:00").await;
    assert_eq!(listener.lines().len(), 2);
    assert_eq!(house.objects("dead/"), [""; 0]);
    house.assert_idle();
}
