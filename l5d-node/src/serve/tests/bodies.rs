//! Bodies: streaming in both directions, trailers, early responses, truncation (node-proxy 9.3).

use super::*;

#[tokio::test]
async fn chunked_requests_stream_with_their_trailers() {
    let app = Backend::answering(|r| {
        let body = &r.body;
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nX-Sum: 2\r\nContent-Length: 9\r\n\r\n", body.len())
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: CHUNKED\r\n\r\n3;ext=\"1\"\r\nabc\r\n").await;
    client
        .send("0002\r\nde\r\n000\r\nX-Sum: 1\r\nHost: evil\r\nl5d-dtab: /a=>/b\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!(
        (response.body.as_str(), response.trailers.as_str()),
        ("abcde", "X-Sum: 2\r\n\r\n")
    );
    let seen = app.last();
    assert_eq!(
        (seen.body.as_str(), seen.trailers.as_str()),
        ("abcde", "X-Sum: 1\r\n\r\n")
    );
    assert_eq!(seen.get("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn long_bodies_of_known_length_stream() {
    let app = Backend::answering(|r| ok(&r.body)).await;
    let proxy = proxy_to(&app);
    let body = "0123456789".repeat(100_000);
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let head = format!(
            "PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(&(head + &body)).await;
        let response = client.response().await;
        assert!(response.body == body);
        assert_eq!(app.last().get("content-length"), Some("1000000"));
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_slow_reader_stops_the_server() {
    // More than all buffers on the way hold together.
    const TOTAL: usize = 64 << 20;
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let app = Backend::scripted(move |mut peer| {
        let count = count.clone();
        async move {
            peer.request().await;
            peer.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\n\r\n"
            ))
            .await;
            let block = vec![b'x'; 64 << 10];
            for _ in 0..TOTAL / block.len() {
                peer.stream.write_all(&block).await.unwrap();
                count.fetch_add(block.len() as u64, Ordering::Relaxed);
            }
        }
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    client.head().await.unwrap();
    let mut before = u64::MAX;
    while before != written.load(Ordering::Relaxed) {
        before = written.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(before < TOTAL as u64, "the server was never stopped");
    let mut left = TOTAL - client.buf.len();
    let mut block = vec![0; 1 << 20];
    while left > 0 {
        left -= client.stream.read(&mut block).await.unwrap();
    }
}

#[tokio::test]
async fn an_early_response_passes_and_the_upload_goes_on() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let app = Backend::scripted(move |mut peer| {
        let tell = tell.clone();
        async move {
            while peer.head().await.is_some() {
                peer.send(&ok("early")).await;
                let body = peer.until("0\r\n\r\n").await.unwrap();
                tell.send(body).await.unwrap();
            }
        }
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        assert_eq!(client.response().await.body, "early");
        client.send("4\r\nlate\r\n0\r\n\r\n").await;
        assert_eq!(told.recv().await.unwrap(), "4\r\nlate\r\n0\r\n\r\n");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_early_refusal_is_not_lost_when_the_server_closes() {
    let app = Backend::scripted(|mut peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
            .await;
        // Ends with the upload unread: a reset.
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!((response.status(), response.body.as_str()), (413, "big"));
    assert_eq!(response.get("connection"), Some("close"));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn truncated_responses_are_seen_to_be_truncated() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let app = Backend::scripted(move |mut peer| async move {
            peer.request().await;
            peer.send(answer).await;
        })
        .await;
        let proxy = proxy_to(&app);
        let mut client = proxy.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"));
        let rest = client.rest().await;
        assert!(
            rest == "half" || rest == "4\r\nhalf\r\n" || rest.is_empty(),
            "{rest:?}"
        );
    }
}

#[tokio::test]
async fn a_response_cut_by_a_reset_is_not_ended() {
    for version in ["1.1", "1.0"] {
        let (go, gate) = tokio::sync::watch::channel(false);
        let app = Backend::scripted(move |mut peer| {
            let mut gate = gate.clone();
            async move {
                peer.request().await;
                let long = "x".repeat(100_000);
                peer.send(&format!("HTTP/1.1 200 OK\r\n\r\nhalf{long}"))
                    .await;
                gate.wait_for(|open| *open).await.unwrap();
                socket2::SockRef::from(&peer.stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
        })
        .await;
        let proxy = proxy_to(&app);
        let mut client = proxy.connect().await;
        client
            .send(&format!("GET / HTTP/{version}\r\nHost: web\r\n\r\n"))
            .await;
        let head = client.head().await.unwrap();
        assert!(client.until("half").await.is_some(), "{head}");
        go.send(true).unwrap();
        // The end must be seen to be none: no last chunk, or a reset.
        let mut rest = Vec::new();
        let end = client.stream.read_to_end(&mut rest).await;
        match version {
            "1.1" => assert!(!rest.ends_with(b"0\r\n\r\n")),
            _ => assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_reaches_nobody_whole() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let app = Backend::scripted(move |mut peer| {
        let tell = tell.clone();
        async move {
            peer.head().await;
            let rest = peer.rest().await;
            tell.send(rest).await.unwrap();
        }
    })
    .await;
    let proxy = proxy_to(&app);
    for head in [
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "Content-Length: 100000\r\n\r\nhalf",
    ] {
        let mut client = proxy.connect().await;
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: web\r\n{head}"))
            .await;
        drop(client);
        let rest = told.recv().await.unwrap();
        assert!(!rest.contains("0\r\n\r\n") && rest.len() < 20, "{rest}");
    }
}
