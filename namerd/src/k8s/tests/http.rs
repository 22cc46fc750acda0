//! The same over a real socket: plain HTTP without TLS, as to a `kubectl proxy`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Reads one request's head and gives its path.
async fn path_of(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("a request"));
    }
    let head = String::from_utf8(head).expect("text");
    head.split(' ').nth(1).expect("a path").to_owned()
}

/// Answers as an API server with one slice, one Service and no node.
async fn serve(mut socket: TcpStream) {
    loop {
        let path = path_of(&mut socket).await;
        if path.contains("watch=true") {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            socket.write_all(head.as_bytes()).await.expect("writes");
            if path.contains("endpointslices") {
                let object = slice("a", 12, &["10.0.0.2"]);
                let line = format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n");
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                socket.write_all(chunk.as_bytes()).await.expect("writes");
            }
            // Open until the other side goes.
            let _closed = socket.read_u8().await;
            return;
        }
        let items = match path.contains("endpointslices") {
            true => slice("a", 5, &["10.0.0.1"]),
            false => String::new(),
        };
        let body = format!(r#"{{"metadata":{{"resourceVersion":"10"}},"items":[{items}]}}"#);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(answer.as_bytes()).await.expect("writes");
    }
}

#[tokio::test]
async fn k8s_2_1_host_and_port_mean_plain_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("is bound").port();
    let server = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(serve(socket));
        }
    });
    let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
    let source = K8sSource {
        startup_jitter: Duration::ZERO,
        ..K8sSource::new(Address::Plain {
            host: "127.0.0.1".to_owned(),
            port,
        })
    };
    let kubernetes = Kubernetes::start(source, &tracker, &token).expect("starts");
    let services = &kubernetes.services;
    services.ready().wait_for(|ready| *ready).await;
    let cell = services
        .port("default", PortRef::parse("http"), "world", None)
        .whole();
    let moved = |r: &Replicas| {
        matches!(r, Replicas::Bound(set) if set.len() == 1
            && set.endpoints()[0].addr.to_string() == "10.0.0.2:80")
    };
    cell.wait_for(moved).await;
    assert_eq!(services.newest(Kind::Slices).value(), 12);
    token.cancel();
    tracker.close();
    tracker.wait().await;
    server.abort();
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_told_at_start() {
    let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
    let url = Address::Url {
        url: "no url".to_owned(),
        token_file: None,
        ca_file: None,
    };
    let error = Kubernetes::start(K8sSource::new(url), &tracker, &token).expect_err("no url");
    assert!(error.to_string().contains("no url"), "{error}");
}
