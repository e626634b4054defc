//! The port: the same answers over a socket, and what a cut looks like there.

use std::time::Duration;

use local_oci::{Clock, Fault, LocalOci, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;

/// Sends the request's bytes to a server of the client's cloud, and reads until the other side ends.
async fn over_the_wire(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let request = client.request(method, path, headers, body.into());
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
    }
    text.push_str(&format!("\r\n{body}"));
    let talk = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the server must end the connection");
        String::from_utf8(answer).expect("text")
    };
    tokio::select! {
        () = client.cloud.serve(listener) => unreachable!("the server ends when it is dropped"),
        answer = talk => answer,
    }
}

fn client() -> Client {
    let cloud = LocalOci::new(Settings::new(Clock::real()));
    cloud.storage().create_bucket("b");
    cloud.storage().put("b", "x", "0123456789");
    Client::of(&cloud)
}

fn object(client: &Client) -> String {
    format!("/n/{}/b/b/o/x", client.cloud.storage().namespace())
}

#[tokio::test]
async fn the_port_answers_like_the_handler() {
    let client = client();
    let answer = over_the_wire(&client, "GET", &object(&client), &[], "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n0123456789"), "{answer}");
    assert!(answer.contains("content-length: 10\r\n") && answer.contains("opc-request-id: "), "{answer}");
    assert_eq!(answer.matches("date: ").count(), 1, "{answer}");
    let answer = over_the_wire(&client, "PUT", &object(&client), &[], "new").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(client.cloud.storage().get("b", "x").as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_head_request_tells_the_length_and_sends_no_body() {
    let client = client();
    let answer = over_the_wire(&client, "HEAD", &object(&client), &[], "").await;
    assert!(answer.contains("content-length: 10\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = over_the_wire(&client, "HEAD", &format!("{}y", object(&client)), &[], "").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_cut_ends_the_connection_without_an_answer() {
    let client = client();
    client.cloud.faults().inject(Fault::on("GetObject").times(1).cut_before());
    assert_eq!(over_the_wire(&client, "GET", &object(&client), &[], "").await, "");
    client.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    assert_eq!(over_the_wire(&client, "PUT", &object(&client), &[], "new").await, "");
    assert_eq!(client.cloud.storage().get("b", "x").as_deref(), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_truncated_body_promises_its_whole_length() {
    let client = client();
    client.cloud.faults().inject(Fault::on("GetObject").times(1).truncate_body(4));
    let answer = over_the_wire(&client, "GET", &object(&client), &[], "").await;
    assert!(answer.contains("content-length: 10\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n0123"), "{answer}");
}
