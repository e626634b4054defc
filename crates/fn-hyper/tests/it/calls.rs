//! Contract, sections 3 to 5: statuses, kept connections, deadlines.

use std::time::{Duration, Instant};

use crate::harness::{Function, deadline_in};

#[test]
fn a_kept_connection_serves_two_hundred_calls_and_another_after_a_pause() {
    let mut function = Function::ready(&[]);
    let mut connection = function.connect();
    for number in 0..200 {
        let answer = connection.call(&number.to_string());
        assert_eq!((answer.status, answer.body), (200, number.to_string()));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(connection.call("later").body, "later");
    assert!(function.lives());
}

#[test]
fn each_outcome_has_one_of_three_statuses_and_the_process_lives_through_all() {
    let mut function = Function::ready(&[]);
    let mut connection = function.connect();
    for (body, status) in [
        ("value", 200),
        ("accept", 200),
        ("fail", 502),
        ("bad-json", 502),
        ("refuse", 502),
        ("panic", 502),
        ("flood", 502),
        ("timeout", 504),
        ("value", 200),
    ] {
        let answer = connection.call(body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.header("fn-fdk-version")[0].starts_with("fn-hyper/"), "{answer:?}");
        assert!(answer.header("fn-fdk-runtime")[0].starts_with("rust/"), "{answer:?}");
        assert_eq!(answer.header("fn-http-status").len() + answer.header("x-why").len(), 0, "{answer:?}");
    }
    assert!(function.lives());
}

#[test]
fn a_handler_that_never_ends_is_answered_504_before_the_deadline_and_the_next_call_works() {
    let mut function = Function::ready(&[]);
    let mut connection = function.connect();
    for body in ["forever", "forever", "hello"] {
        let deadline = deadline_in(3);
        let begin = Instant::now();
        let answer = connection.call_with(&[("Fn-Deadline", &deadline)], body);
        assert!(jiff::Timestamp::now() < deadline.parse().unwrap(), "late: {answer:?}");
        match body {
            "forever" => {
                assert_eq!(answer.status, 504);
                assert!(begin.elapsed() > Duration::from_millis(500), "too early: {:?}", begin.elapsed());
            }
            _ => assert_eq!((answer.status, answer.body.as_str()), (200, "hello")),
        }
    }
    assert!(function.lives());
}

#[test]
fn a_call_whose_time_is_up_is_not_begun() {
    let function = Function::ready(&[]);
    let answer = function.connect().call_with(&[("Fn-Deadline", "2026-11-20T13:19:36Z")], "hello");
    assert_eq!(answer.status, 504);
    assert!(function.log(&["the handler began"]).is_empty());
}

#[test]
fn a_call_without_a_readable_deadline_is_served_with_a_warning() {
    let function = Function::ready(&[]);
    for headers in [&[][..], &[("Fn-Deadline", "soon")]] {
        assert_eq!(function.connect().call_with(headers, "hello").status, 200);
    }
    assert_eq!(function.log(&["\"level\":\"warn\"", "no deadline"]).len(), 2, "{}", function.stderr());
}

#[test]
fn a_panic_is_one_error_line_with_its_call_id_and_the_process_lives() {
    let mut function = Function::ready(&[]);
    assert_eq!(function.call("panic").status, 502);
    let lines = function.log(&["asked to panic"]);
    let [line] = lines.as_slice() else { panic!("{}", function.stderr()) };
    assert!(line.contains("\"level\":\"error\"") && line.contains("\"call_id\":\"01JD\""), "{line}");
    assert_eq!(function.call("hello").status, 200);
    assert!(function.lives());
}

#[test]
fn a_panic_while_the_deadline_drops_the_handler_is_caught_too() {
    let mut function = Function::ready(&[]);
    let answer = function.connect().call_with(&[("Fn-Deadline", &deadline_in(2))], "panic-when-dropped");
    assert!([502, 504].contains(&answer.status), "{answer:?}");
    assert_eq!(function.log(&["asked to panic when dropped"]).len(), 1);
    assert_eq!(function.call("hello").status, 200);
    assert!(function.lives());
}

#[test]
fn a_platform_that_hangs_up_in_mid_call_does_not_harm_the_next() {
    let mut function = Function::ready(&[]);
    let mut broken = function.connect();
    broken.write(&crate::harness::head("POST /call", &[], "Content-Length: 7"));
    broken.write(b"forever");
    drop(broken);
    assert_eq!(function.call("hello").body, "hello");
    assert!(function.lives());
}

#[test]
fn other_paths_are_404_and_other_methods_405() {
    let function = Function::ready(&[]);
    for (request_line, status) in
        [("POST /", 404), ("POST /call/", 404), ("GET /other", 404), ("GET /call", 405), ("PUT /call", 405)]
    {
        assert_eq!(function.connect().request(request_line, &[]).status, status, "{request_line}");
    }
    assert!(function.log(&["the handler began"]).is_empty());
}

#[test]
fn more_headers_than_hyper_takes_by_itself_are_taken() {
    let function = Function::ready(&[]);
    let names: Vec<_> = (0..300).map(|number| format!("Fn-Http-H-X-{number}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "a")).collect();
    assert_eq!(function.connect().call_with(&headers, "hello").status, 200);
}
