//! The transport of production on real sockets: connections that die while they rest in the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http_transport::{HttpTransport, TlsRoots, Transport};
use local_oci::{Clock, LocalOci, Settings};
use oci_client::{Client, Endpoints, Principal, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

/// When a connection that has answered once is closed, without a word in the answer about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// While it rests in the client's pool.
    Idle,
    /// Once the next request has been read from it: no answer.
    AfterReading,
}

/// Serves one request a connection; how many were read, and how many connections there were.
async fn server(dies: Dies) -> (String, Arc<AtomicU32>, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (read, connections) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (reads, accepted) = (Arc::clone(&read), Arc::clone(&connections));
    #[expect(clippy::disallowed_methods, reason = "a server of the test, ended with its runtime")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::SeqCst);
            if !request(&mut stream).await {
                continue;
            }
            reads.fetch_add(1, Ordering::SeqCst);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\netag: \"1\"\r\n\r\nhi";
            let date = "HTTP/1.1 200 OK\r\ndate: Mon, 05 Jan 2026 00:00:00 GMT";
            stream.write_all(answer.replacen("HTTP/1.1 200 OK", date, 1).as_bytes()).await.unwrap();
            if dies == Dies::AfterReading && request(&mut stream).await {
                reads.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (url, read, connections)
}

/// Reads a request without a body to its end.
async fn request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
            _ => return false,
        }
    }
    true
}

#[tokio::test]
async fn a_connection_that_died_in_the_pool_costs_the_next_request_nothing() {
    let (url, read, connections) = server(Dies::Idle).await;
    let transport = HttpTransport::new(&TlsRoots::default()).unwrap();
    for n in 1..=10 {
        let request = http::Request::get(&url).body(bytes::Bytes::new()).unwrap();
        let answer = transport.send(request).await.unwrap_or_else(|error| panic!("request {n}: {error}"));
        assert_eq!(answer.into_body().collect(64).await.unwrap(), "hi");
        // The server's farewell is on its way.
        sleep(Duration::from_millis(20)).await;
    }
    // Each was seen once, on a connection of its own.
    assert_eq!((read.load(Ordering::SeqCst), connections.load(Ordering::SeqCst)), (10, 10));
}

#[tokio::test]
async fn a_read_whose_connection_died_before_its_answer_is_sent_again() {
    let (url, read, connections) = server(Dies::AfterReading).await;
    let cloud = LocalOci::new(Settings::new(Clock::real()));
    let folder = tempfile::tempdir().unwrap();
    let file = cloud.credentials().write_config(folder.path()).unwrap();
    let principal = Principal::from_config_file(&file.path, &file.profile, folder.path()).unwrap();
    let endpoints =
        Endpoints::new(file.region.parse().unwrap()).override_service(Service::ObjectStorage, &url).unwrap();
    let transport = Arc::new(HttpTransport::new(&TlsRoots::default()).unwrap());
    let bucket = Client::new(transport, principal, endpoints).bucket("ns", "state");
    let deadline = Instant::now() + Duration::from_secs(20);
    for n in 1..=4 {
        let object = bucket.get("positions.json", 64, deadline).await.unwrap_or_else(|error| panic!("{n}: {error:?}"));
        assert_eq!(object.body, "hi");
    }
    // The first of each connection was answered, the second was read and dropped; a repeat takes a new connection.
    let (read, connections) = (read.load(Ordering::SeqCst), connections.load(Ordering::SeqCst));
    assert_eq!((read, connections), (7, 4));
}
