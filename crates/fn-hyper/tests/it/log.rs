//! Contract, section 8: lines, call ids and OCI's frame.

use crate::harness::{Function, deadline_in};

const FRAME: [(&str, &str); 2] = [("FN_LOGFRAME_NAME", "frame"), ("FN_LOGFRAME_HDR", "Opc-Request-Id")];

fn call(function: &Function, headers: &[(&str, &str)]) {
    let deadline = deadline_in(30);
    let mut all = vec![("Fn-Deadline", deadline.as_str())];
    all.extend(headers);
    assert_eq!(function.connect().call_with(&all, "hello").status, 200);
}

#[test]
fn the_frame_is_on_both_streams_once_a_call_before_the_handlers_first_line() {
    let function = Function::ready(&FRAME);
    call(&function, &[("Opc-Request-Id", "A/B")]);
    call(&function, &[("Opc-Request-Id", "C/D")]);
    call(&function, &[]);
    call(&function, &[("Opc-Request-Id", "")]);

    assert_eq!(function.stdout(), "\nframe=A/B\n\nframe=C/D\n");
    let stderr = function.stderr();
    let order: Vec<_> = stderr.lines().filter(|line| line.starts_with("frame=") || line.contains("began")).collect();
    assert_eq!(
        order.iter().map(|line| line.starts_with("frame=")).collect::<Vec<_>>(),
        [true, false, true, false, false, false]
    );
    assert!(stderr.contains("\nframe=A/B\n") && stderr.contains("\nframe=C/D\n"), "{stderr}");
}

#[test]
fn there_is_no_frame_without_both_variables() {
    for environment in [&[][..], &FRAME[..1], &FRAME[1..]] {
        let function = Function::ready(environment);
        call(&function, &[("Opc-Request-Id", "A/B")]);
        assert_eq!(function.stdout(), "");
        assert!(!function.stderr().contains("A/B"), "{}", function.stderr());
    }
}

#[test]
fn each_line_of_a_call_has_its_id_and_its_end_is_one_line() {
    let function = Function::ready(&[]);
    call(&function, &[("Authorization", "hush")]);
    let lines = function.log(&[""]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains(r#""function":"echo""#) && line.contains(r#""call_id":"01JD""#)));
    assert!(lines[0].contains("the handler began"), "{lines:?}");
    for text in [r#""level":"info""#, r#""status":200"#, r#""elapsed_ms":"#, r#""message":"call answered""#] {
        assert!(lines[1].contains(text), "{text} in {lines:?}");
    }
    assert!(!function.stderr().contains("hush"));
}

#[test]
fn the_reason_of_a_failure_is_in_the_calls_line() {
    let function = Function::ready(&[]);
    assert_eq!(function.call("fail").status, 502);
    assert_eq!(function.log(&[r#""status":502"#, r#""reason":"asked to fail""#, "call answered"]).len(), 1);
}

#[test]
fn the_level_and_the_platforms_name_are_taken_from_the_environment() {
    let function = Function::ready(&[("log_level", "error"), ("FN_FN_NAME", "other")]);
    assert_eq!(function.call("hello").status, 200);
    assert_eq!(function.stderr(), "");
    assert_eq!(function.call("panic").status, 502);
    let lines = function.log(&[r#""function":"other""#, r#""call_id":"01JD""#]);
    assert_eq!(lines.len(), 1, "{}", function.stderr());
}
