//! Contract, section 2: bodies in chunks, empty, and above the cap.

use crate::harness::{Function, deadline_in, head};

const CAP: usize = 6 * 1024 * 1024;

#[test]
fn a_body_comes_in_chunks_or_with_a_length_or_not_at_all() {
    let function = Function::ready(&[]);
    let mut connection = function.connect();
    let large = "ab".repeat(100_000);
    assert_eq!(connection.call(&large).body, large);
    assert_eq!(connection.call("").body, "");
    assert_eq!(connection.request("POST /call", &[]).body, "");
    let mut with_length = head("POST /call", &[], "Content-Length: 5");
    with_length.extend(b"hello");
    assert_eq!(connection.send(&with_length).body, "hello");
}

#[test]
fn a_body_that_waits_to_be_asked_for_is_asked_for() {
    let function = Function::ready(&[]);
    let mut connection = function.connect();
    connection.write(&head("POST /call", &[("Expect", "100-continue")], "Content-Length: 5"));
    // hyper asks when the body is first read.
    let mut interim = [0; 25];
    connection.read_exact(&mut interim);
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write(b"hello");
    assert_eq!(connection.answer().body, "hello");
}

#[test]
fn nothing_is_compressed_though_the_agent_says_it_could_be() {
    let function = Function::ready(&[]);
    let body = "a".repeat(10_000);
    let answer = function.connect().call_with(&[("Accept-Encoding", "gzip")], &body);
    assert_eq!((answer.body, answer.headers.iter().any(|(name, _)| name == "content-encoding")), (body, false));
}

#[test]
fn a_body_above_the_cap_is_refused_and_the_connection_stays() {
    let mut function = Function::ready(&[]);
    let mut connection = function.connect();

    let answer = connection.call(&format!("length{}", " ".repeat(CAP - 6)));
    assert_eq!((answer.status, answer.body), (200, CAP.to_string()));

    let too_large = "x".repeat(CAP + 1);
    assert_eq!(connection.call(&too_large).status, 502);

    let deadline = deadline_in(30);
    let route = [
        ("Fn-Deadline", deadline.as_str()),
        ("Fn-Intent", "httprequest"),
        ("Fn-Http-Method", "POST"),
        ("Fn-Http-Request-Url", "/"),
    ];
    let answer = connection.call_with(&route, &too_large);
    assert_eq!((answer.status, answer.header("fn-http-status")), (200, vec!["413"]));

    assert_eq!(connection.call("hello").body, "hello");
    assert!(function.lives());
}
