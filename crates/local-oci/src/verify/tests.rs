//! The golden vectors of the official SDK (`fixtures/cases.json`, from the reference page "OCI wire facts", 1.12), each
//! accepted as it is and refused once anything about it changes.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Caller, PrincipalKind, Principals, Refusal, http_date, parse_date};
use crate::call::Call;
use crate::credentials::{fingerprint, fixture_keys, public_key};
use crate::router::{Operation, route};

const CASES: &str = include_str!("../../tests/fixtures/cases.json");
const KEY: &str = include_str!("../../tests/fixtures/test-key.pem");
/// The instance principal's token request leaves `host` out; the emulator has no such operation and refuses it.
const WITHOUT_HOST: &str = "x509-federation-request";

struct Golden {
    principals: Principals,
    now: Timestamp,
    cases: Vec<Value>,
}

impl Golden {
    fn read() -> Self {
        let file: Value = serde_json::from_str(CASES).expect("JSON");
        let text = |name: &str| file[name].as_str().expect("a string").to_owned();
        let key = public_key(KEY).expect("the test key");
        assert_eq!(fingerprint(&key), text("fingerprint"));
        let principals = Principals::new(fixture_keys().0, Arc::default());
        principals.add_api_key(&text("tenancy"), &text("user"), "test", &text("fingerprint"), key.clone());
        // The vectors' token is signed by nobody, so its key id is known by name, with its key.
        let caller = Caller { kind: PrincipalKind::Resource, ..Caller::anonymous() };
        let known = format!("ST${}", text("session_token"));
        let federation = format!("{}/fed-x509/", text("tenancy"));
        let cases = file["cases"].as_array().expect("cases").clone();
        let mut keys = principals.known.lock().expect("no panic before");
        for key_id in cases.iter().filter_map(|case| case["key_id"].as_str()) {
            if key_id == known || key_id.starts_with(&federation) {
                keys.insert(key_id.to_owned(), (key.clone(), caller.clone()));
            }
        }
        drop(keys);
        let now = parse_date(&text("date_header")).expect("a date");
        Self { principals, now, cases }
    }

    fn verify(&self, call: &Call) -> Result<Caller, Refusal> {
        self.verify_at(call, self.now)
    }

    fn verify_at(&self, call: &Call, now: Timestamp) -> Result<Caller, Refusal> {
        let short_list = route(call).is_ok_and(|operation| operation.may_be_signed_without_body());
        self.principals.verify(call, short_list, now, now)
    }

    /// Every case but the one without `host`.
    fn calls(&self) -> impl Iterator<Item = (String, Call)> {
        let with_host = self.cases.iter().filter(|case| case["name"] != WITHOUT_HOST);
        with_host.map(|case| (case["name"].as_str().expect("a name").to_owned(), call(case)))
    }
}

fn call(case: &Value) -> Call {
    let text = |name: &str| case[name].as_str().expect("a string");
    let mut request = http::Request::builder().method(text("method")).uri(text("request_target"));
    for (name, value) in case["headers"].as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("a value"));
    }
    let body = STANDARD.decode(text("body_base64")).expect("base64");
    let request = request.header(AUTHORIZATION, text("authorization")).body(Bytes::from(body)).expect("a request");
    Call::read(request, "us-ashburn-1").expect("a call")
}

fn set(call: &mut Call, name: &str, value: &str) {
    let name = HeaderName::try_from(name).expect("a name");
    call.headers.insert(name, HeaderValue::from_str(value).expect("a value"));
}

#[test]
fn the_official_sdks_requests_are_accepted() {
    let golden = Golden::read();
    assert_eq!(golden.cases.len(), 20);
    let mut accepted = 0;
    for (name, call) in golden.calls() {
        let caller = golden.verify(&call).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let is_session = name.starts_with("resource-principal");
        assert_eq!(caller.kind, if is_session { PrincipalKind::Resource } else { PrincipalKind::User }, "{name}");
        accepted += 1;
    }
    assert_eq!(accepted, 19);
    let federation = golden.cases.iter().find(|case| case["name"] == WITHOUT_HOST).expect("the case");
    assert_eq!(golden.verify(&call(federation)), Err(Refusal::NotSigned("host")));
}

#[test]
fn every_signed_header_counts() {
    let golden = Golden::read();
    for (name, call) in golden.calls() {
        let signed: Vec<String> = super::Authorization::of(&call).expect("readable").headers;
        for header in signed.iter().filter(|header| *header != "(request-target)") {
            let mut missing = call.clone();
            missing.headers.remove(header.as_str());
            let refusal = golden.verify(&missing).expect_err("a missing header");
            let by_date = header == "date" && refusal == Refusal::Date;
            assert!(by_date || refusal == Refusal::NoHeader(header.clone()), "{name} without {header}: {refusal}");

            let mut repeated = call.clone();
            let value = repeated.headers[header.as_str()].clone();
            repeated.headers.append(HeaderName::try_from(header.as_str()).expect("a name"), value);
            assert_eq!(golden.verify(&repeated), Err(Refusal::NoHeader(header.clone())), "{name} with {header} twice");

            let mut changed = call.clone();
            let value = match header.as_str() {
                "date" => http_date(golden.now + SignedDuration::from_secs(1)),
                _ => format!("{}0", call.header(header).expect("text")),
            };
            set(&mut changed, header, &value);
            assert_eq!(golden.verify(&changed), Err(Refusal::Signature), "{name} with another {header}");
        }
    }
}

#[test]
fn method_target_and_body_count() {
    let golden = Golden::read();
    for (name, call) in golden.calls() {
        let mut other = call.clone();
        other.method = if call.method == http::Method::GET { http::Method::DELETE } else { http::Method::GET };
        assert_eq!(golden.verify(&other), Err(Refusal::Signature), "{name}: method");
        for target in [format!("{}&a=1", call.target), call.target.to_uppercase()] {
            let other = Call { target, ..call.clone() };
            assert_eq!(golden.verify(&other), Err(Refusal::Signature), "{name}: target");
        }
        let mut body = call.body.to_vec();
        match body.first_mut() {
            Some(first) => *first ^= 1,
            None => body.push(b'x'),
        }
        let other = Call { body: body.into(), ..call.clone() };
        // A body that is not signed may change, as long as its length is the promised one.
        let expected = match (call.headers.contains_key("x-content-sha256"), call.body.is_empty()) {
            (_, true) if call.headers.contains_key("content-length") => Some(Refusal::Body("content-length")),
            (true, _) => Some(Refusal::Body("x-content-sha256")),
            (false, _) => None,
        };
        assert_eq!(golden.verify(&other).err(), expected, "{name}: body");
    }
}

#[test]
fn dates_are_good_for_five_minutes_both_ways() {
    let golden = Golden::read();
    let (_, call) = golden.calls().next().expect("a case");
    for (seconds, holds) in [(0, true), (299, true), (-299, true), (360, false), (-360, false), (86_400, false)] {
        let now = golden.now + SignedDuration::from_secs(seconds);
        let verified = golden.verify_at(&call, now);
        assert_eq!(verified.err(), (!holds).then_some(Refusal::Date), "{seconds}");
    }
    // x-date wins over date, and then it is x-date that must be signed.
    let mut both = call.clone();
    set(&mut both, "x-date", &http_date(golden.now));
    assert_eq!(golden.verify(&both), Err(Refusal::NotSigned("x-date")));
    for unreadable in ["", "yesterday", "2026-01-05T21:31:40Z", "Mon, 05 Jan 2026 21:31:40 +0000"] {
        let mut call = call.clone();
        set(&mut call, "date", unreadable);
        assert_eq!(golden.verify(&call), Err(Refusal::Date), "{unreadable}");
    }
}

#[test]
fn the_authorization_header_is_read_in_any_order_and_nothing_else_passes() {
    let golden = Golden::read();
    let (_, call) = golden.calls().next().expect("a case");
    let text = call.header("authorization").expect("text").to_owned();
    let (scheme, parameters) = text.split_once(' ').expect("a scheme");
    let mut parts: Vec<&str> = parameters.split("\",").map(|part| part.trim_end_matches('"')).collect();
    assert_eq!(parts.len(), 5);
    let join = |parts: &[&str], between: &str| {
        let quoted: Vec<String> = parts.iter().map(|part| format!("{part}\"")).collect();
        format!("{scheme} {}", quoted.join(between))
    };
    let check = |authorization: &str, expected: Option<Refusal>| {
        let mut call = call.clone();
        set(&mut call, "authorization", authorization);
        assert_eq!(golden.verify(&call).err(), expected, "{authorization}");
    };
    for _ in 0..parts.len() {
        parts.rotate_left(1);
        check(&join(&parts, ","), None);
        check(&join(&parts, ", "), None);
    }
    let without = |name: &str| {
        let kept: Vec<&str> = parts.iter().copied().filter(|part| !part.starts_with(name)).collect();
        join(&kept, ",")
    };
    check(&without("version"), None);
    check(&without("keyId"), Some(Refusal::Authorization("no keyId")));
    check(&without("headers"), Some(Refusal::Authorization("no headers")));
    check(&without("signature"), Some(Refusal::Authorization("no signature")));
    check(&without("algorithm"), Some(Refusal::Authorization("no algorithm")));
    check(&text.replace("version=\"1\"", "version=\"2\""), Some(Refusal::Authorization("another version")));
    check(&text.replace("rsa-sha256", "hmac-sha256"), Some(Refusal::Authorization("another algorithm")));
    check(&text.replace("/1d:75:", "/1d:76:"), Some(Refusal::UnknownKey));
    check(&format!("{text},version=\"1\""), Some(Refusal::Authorization("a parameter twice")));
    check("Bearer abc", Some(Refusal::Authorization("another scheme")));
    check("", Some(Refusal::Authorization("no scheme")));
    // A list that leaves the target out would sign nothing much.
    check(&text.replace("date (request-target) host", "date host"), Some(Refusal::NotSigned("(request-target)")));
    check(&text.replace("date (request-target) host", "(request-target) host"), Some(Refusal::NotSigned("date")));
    let mut unsigned = call.clone();
    unsigned.headers.remove(AUTHORIZATION);
    assert_eq!(golden.verify(&unsigned), Err(Refusal::Authorization("not one header")));
}

#[test]
fn the_short_list_is_for_put_object_and_put_messages_alone() {
    let golden = Golden::read();
    let mut short = Vec::new();
    for (name, call) in golden.calls() {
        if call.method == http::Method::GET || call.headers.contains_key("x-content-sha256") {
            continue;
        }
        let signed_as_anything_else = golden.principals.verify(&call, false, golden.now, golden.now);
        if signed_as_anything_else == Err(Refusal::NotSigned("content-length")) {
            short.push(name);
            assert!(matches!(route(&call), Ok(Operation::PutObject { .. } | Operation::PutMessages { .. })));
        }
    }
    assert_eq!(short, ["objectstorage-put-object", "streaming-put-messages"]);
}
