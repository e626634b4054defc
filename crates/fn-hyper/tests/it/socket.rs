//! Contract, section 1: the socket, and what is fatal.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::Function;

#[test]
fn the_link_is_relative_and_the_socket_open_to_all() {
    let function = Function::ready(&[]);
    assert_eq!(fs::read_link(function.path()).unwrap(), Path::new("phonylsnr.sock"));
    let bound = fs::symlink_metadata(function.folder().join("phonylsnr.sock")).unwrap();
    assert!(bound.file_type().is_socket());
    assert_eq!(bound.permissions().mode() & 0o777, 0o666);
}

#[test]
fn left_overs_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("lsnr.sock")).unwrap();
    fs::write(folder.path().join("phonylsnr.sock"), "left over").unwrap();
    let mut function = Function::start_in(folder, &[]);
    let link = function.path();
    function.until("the link is replaced", || {
        fs::read_link(&link).is_ok_and(|target| target == Path::new("phonylsnr.sock"))
    });
    assert_eq!(function.call("hello").body, "hello");
}

#[test]
fn nothing_appears_before_the_start_is_done_and_then_a_call_is_taken_at_once() {
    let mut function = Function::start(&[("start_millis", "400")]);
    let begin = Instant::now();
    function.until_ready();
    // The link came last: no step is left to wait for.
    UnixStream::connect(function.path()).unwrap();
    assert!(begin.elapsed() > Duration::from_millis(300), "ready after {:?}", begin.elapsed());
    assert_eq!(function.call("hello").body, "hello");
}

#[test]
fn the_path_is_taken_from_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("iofs/01JD");
    fs::create_dir_all(&deep).unwrap();
    let listener = format!("unix:{}", deep.join("other.sock").display());
    let mut function = Function::start_in(folder, &[("FN_LISTENER", &listener), ("FN_FORMAT", "")]);
    function.until("the socket appears", || fs::symlink_metadata(deep.join("other.sock")).is_ok());
    assert_eq!(fs::read_link(deep.join("other.sock")).unwrap(), Path::new("phonyother.sock"));
    assert!(!function.path().exists());
}

#[test]
fn a_wrong_environment_is_fatal_with_a_message_and_without_a_socket() {
    let long = format!("unix:/{}", "a".repeat(107));
    for (key, value, says) in [
        ("FN_FORMAT", "json", "FN_FORMAT: expected `http-stream`"),
        ("FN_LISTENER", "", "FN_LISTENER: missing"),
        ("FN_LISTENER", "/tmp/lsnr.sock", "FN_LISTENER: expected `unix:<path>`"),
        ("FN_LISTENER", &long, "FN_LISTENER: the path has 108 bytes"),
        ("FN_LISTENER", "unix:/no/such/folder/lsnr.sock", "cannot make the socket at /no/such/folder/lsnr.sock"),
    ] {
        let mut function = Function::start(&[(key, value)]);
        let ended = function.until_ended();
        assert!(ended.code().is_some_and(|code| code != 0), "{key}={value}: {ended}");
        assert!(function.stderr().contains(says), "{key}={value}: {}", function.stderr());
        let left: Vec<_> = fs::read_dir(function.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "stdout" || name == "stderr"), "{left:?}");
    }
}

#[test]
fn sigterm_ends_the_process_with_success_in_a_start_in_a_call_and_between_calls() {
    let mut starting = Function::start(&[("start_millis", "15000")]);
    // Its handler is set before the start begins; there is no other sign of that from outside.
    std::thread::sleep(Duration::from_millis(500));
    let idle = Function::ready(&[]);
    assert_eq!(idle.call("hello").status, 200);
    let mut calling = Function::ready(&[]);
    let mut connection = calling.connect();
    connection.write(&crate::harness::head("POST /call", &[], "Content-Length: 7"));
    connection.write(b"forever");
    let stderr = calling.folder().join("stderr");
    calling.until("the handler begins", || fs::read_to_string(&stderr).unwrap().contains("the handler began"));
    assert!(starting.lives());
    for mut function in [starting, idle, calling] {
        let begin = Instant::now();
        function.terminate();
        assert_eq!(function.until_ended().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
