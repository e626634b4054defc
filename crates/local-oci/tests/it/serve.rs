//! The program: one line when ready, and an end when told.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn serve_names_what_it_made_in_one_line_and_ends_on_sigterm() {
    let data = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_local-oci"))
        .args([
            "serve",
            "--port",
            "0",
            "--seed",
            "7",
            "--regions",
            "3",
            "--compartments",
            "4",
            "--events",
            "100",
            "--data",
        ])
        .arg(data.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let line =
        tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.expect("in time").expect("a line");
    let ready: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    for (name, prefix) in [
        ("endpoint", "http://127.0.0.1:"),
        ("tenancy", "ocid1.tenancy.oc1..aaaaaaaa"),
        ("region", "us-ashburn-1"),
        ("profile", "DEFAULT"),
        ("secret", "ocid1.vaultsecret.oc1.iad."),
        ("bucket", "siem-state"),
        ("logzio", "http://127.0.0.1:"),
        ("logzio_token", "ocid1.vaultsecret.oc1.iad."),
    ] {
        assert!(ready[name].as_str().is_some_and(|value| value.starts_with(prefix)), "{name}: {ready}");
    }
    assert_eq!(ready["regions"].as_array().map(Vec::len), Some(3));
    for (group, count, kind) in [("streams", 2, "ocid1.stream."), ("topics", 3, "ocid1.onstopic.")] {
        let made = ready[group].as_object().expect("an object");
        assert!(
            made.len() == count && made.values().all(|id| id.as_str().is_some_and(|id| id.starts_with(kind))),
            "{ready}"
        );
    }
    assert!(Path::new(ready["config_file"].as_str().expect("a path")).is_absolute());
    let config = std::fs::read_to_string(ready["config_file"].as_str().expect("a path")).expect("the config file");
    assert!(config.contains(ready["tenancy"].as_str().expect("an id")));

    let address = ready["endpoint"].as_str().and_then(|endpoint| endpoint.strip_prefix("http://")).expect("an address");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET /n HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    let logzio = ready["logzio"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address");
    let mut stream = tokio::net::TcpStream::connect(logzio).await.expect("a connection");
    let post = "POST /?token=other HTTP/1.1\r\nhost: l\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(post.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    let pid = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill").success());
    let ended = tokio::time::timeout(Duration::from_secs(5), child.wait()).await.expect("in time").expect("a status");
    assert!(ended.success(), "{ended}");
}
