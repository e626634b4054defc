//! Contract, section 1.7: a start that failed still answers, and says why in the log.

use crate::harness::{Function, deadline_in};

/// Every call fails with a line, and a route learns nothing.
fn check(function: &mut Function) {
    let mut connection = function.connect();
    for _ in 0..2 {
        assert_eq!(connection.call("hello").status, 502);
    }
    assert_eq!(function.log(&["\"level\":\"error\"", "\"call_id\":\"01JD\"", "not handled"]).len(), 2);

    let deadline = deadline_in(30);
    let answer = connection.call_with(
        &[
            ("Fn-Deadline", deadline.as_str()),
            ("Fn-Intent", "httprequest"),
            ("Fn-Http-Method", "GET"),
            ("Fn-Http-Request-Url", "/"),
        ],
        "",
    );
    assert_eq!((answer.status, answer.header("fn-http-status")), (200, vec!["401"]));
    assert_eq!(answer.body, "");
    assert!(function.lives());
}

#[test]
fn all_problems_are_logged_at_once_without_values_and_each_call_fails() {
    let faults = [("start_millis", "hush-1"), ("start_panics", "hush-2"), ("log_level", "hush-3")];
    let mut function = Function::ready(&faults);
    for (key, _) in faults {
        let key = format!("\"key\":\"{key}\"");
        assert_eq!(function.log(&["\"level\":\"error\"", "faulty configuration", &key]).len(), 1, "{key}");
    }
    check(&mut function);
    assert!(!function.stderr().contains("hush"), "{}", function.stderr());
}

#[test]
fn a_level_that_does_not_exist_is_a_problem_by_itself() {
    check(&mut Function::ready(&[("log_level", "loud")]));
}

#[test]
fn a_start_that_panics_is_a_failed_start() {
    let mut function = Function::ready(&[("start_panics", "on")]);
    assert_eq!(function.log(&["\"level\":\"error\"", "asked to panic in the start"]).len(), 1);
    check(&mut function);
}
