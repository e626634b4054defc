//! Over a real connection: what reqwest and hyper make of a signed request.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http_transport::{HttpTransport, TlsRoots};
use oci_client::{Client, Endpoints, ListObjects, Precondition, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::double::{api_key, in_secs};

/// Takes one connection, answers its first request, and gives back the request's head.
async fn answer_one(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\netag: e\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn what_was_signed_is_what_is_sent_and_nothing_is_added_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let endpoints = Endpoints::new("iad".parse().unwrap())
        .override_service(Service::ObjectStorage, &format!("http://{authority}/region/{{region}}"))
        .unwrap();
    let transport = Arc::new(HttpTransport::new(&TlsRoots::default()).unwrap());
    let bucket = Client::new(transport, api_key(), endpoints).bucket("ns", "b");
    let name = "a b/é|'{}~0.";
    let path = "/region/us-ashburn-1/n/ns/b/b/o/a%20b%2F%C3%A9%7C%27%7B%7D~0.";

    let put = bucket.put(name, Bytes::new(), Precondition::IfNoneMatch, in_secs(10));
    let (put, head) = tokio::join!(put, answer_one(&listener));
    assert_eq!(put.unwrap().etag, "e");
    let mut lines = head.trim_end().split("\r\n");
    assert_eq!(lines.next(), Some(format!("PUT {path} HTTP/1.1").as_str()));
    let mut headers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.entry(name.to_ascii_lowercase()).or_default().push(value);
    }
    assert!(headers.values().all(|values| values.len() == 1), "{headers:?}");
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "date",
            "host",
            "if-none-match",
            "opc-client-request-id",
            "user-agent"
        ]
    );
    assert_eq!((headers["host"][0], headers["content-length"][0]), (authority.as_str(), "0"));

    let names = ListObjects::default();
    let (_, head) = tokio::join!(bucket.list(&names, in_secs(10)), answer_one(&listener));
    assert!(head.starts_with("GET /region/us-ashburn-1/n/ns/b/b/o?limit=1000 HTTP/1.1\r\n"), "{head}");
}
