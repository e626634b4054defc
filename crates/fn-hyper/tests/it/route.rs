//! Contract, sections 2 and 3: calls through an HTTP route.

use crate::harness::{Answer, Function, deadline_in};

fn get(function: &Function, url: &str, headers: &[(&str, &str)]) -> Answer {
    let deadline = deadline_in(30);
    let mut all = vec![
        ("Fn-Deadline", deadline.as_str()),
        ("Fn-Intent", "httprequest"),
        ("Fn-Http-Method", "GET"),
        ("Fn-Http-Request-Url", url),
    ];
    all.extend(headers);
    function.connect().call_with(&all, "")
}

#[test]
fn a_handler_sees_method_path_query_and_the_original_headers() {
    let function = Function::ready(&[]);
    for url in ["/seen?a=b%20c", "http://localhost:8080/seen?a=b%20c"] {
        let answer = get(&function, url, &[("Fn-Http-H-X-Many", "1"), ("fn-http-h-x-many", "2"), ("X-Own", "3")]);
        assert_eq!(answer.body, r#"GET /seen Some("a=b%20c") {"x-many": "1", "x-many": "2"}"#, "{url}");
        assert_eq!((answer.status, answer.header("fn-http-status")), (200, vec!["200"]));
    }
}

#[test]
fn a_status_and_headers_come_back_prefixed() {
    let answer = get(&Function::ready(&[]), "/missing", &[]);
    assert_eq!((answer.status, answer.header("fn-http-status")), (200, vec!["404"]));
    assert_eq!((answer.header("fn-http-h-x-why"), answer.header("x-why")), (vec!["gone"], vec![]));
    assert_eq!((answer.header("content-type"), answer.body.as_str()), (vec!["text/x-why"], "no such thing"));
}

#[test]
fn a_failure_and_a_timeout_are_the_sockets() {
    let function = Function::ready(&[]);
    for (url, status) in [("/fail", 502), ("/timeout", 504)] {
        let answer = get(&function, url, &[]);
        assert_eq!((answer.status, answer.header("fn-http-status")), (status, vec![]), "{url}");
    }
}
