//! Versions, bodiless messages, interim responses, keep-alive: node-proxy 9.1, 9.3, 9.6, 9.9.

use super::*;

#[tokio::test]
async fn http_10_goes_on_as_http_10() {
    let app = Backend::answering(|_| "HTTP/1.0 200 OK\r\n\r\nuntil the end".into()).await;
    let proxy = proxy_to(&app);
    let response = proxy.ask("GET / HTTP/1.0\r\nHost: web\r\n\r\n").await;
    assert_eq!(app.last().line(), "GET / HTTP/1.0");
    assert_eq!(app.last().get("via"), Some("1.0 linkerd"));
    assert_eq!(response.line(), "HTTP/1.0 200 OK");
    assert_eq!(response.get("content-length"), Some("13"));
    assert_eq!(
        (response.body.as_str(), response.get("via")),
        ("until the end", Some("1.0 linkerd"))
    );
    // To a client of 1.1 it is chunked.
    let response = proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(response.line(), "HTTP/1.1 200 OK");
    assert_eq!(response.get("transfer-encoding"), Some("chunked"));
    assert_eq!(response.body, "until the end");
}

#[tokio::test]
async fn a_client_of_10_never_gets_chunks() {
    let long = "x".repeat(200_000);
    let body = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let app = Backend::answering(move |r| match r.line().contains("long") {
        true => format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        false => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n"
                .into()
        }
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client
        .send("GET / HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!(response.get("content-length"), Some("2"));
    assert_eq!(response.get("connection"), Some("keep-alive"));
    client
        .send("GET /long HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!(response.get("transfer-encoding"), None);
    assert_eq!(response.get("connection"), Some("close"));
    assert!(response.body == long, "{}", response.body.len());
}

#[tokio::test]
async fn messages_without_body() {
    let app = Backend::answering(|r| match r.line() {
        "HEAD / HTTP/1.1" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".into(),
        "GET /204 HTTP/1.1" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        "GET /304 HTTP/1.1" => {
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n".into()
        }
        _ => ok("last"),
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert!(
        client
            .head()
            .await
            .unwrap()
            .contains("Content-Length: 1000\r\n")
    );
    client.send("GET /204 HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert!(!client.head().await.unwrap().contains("ontent-"));
    client.send("GET /304 HTTP/1.1\r\nHost: web\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.contains("Content-Length: 7\r\n") && head.contains("ETag: \"x\"\r\n"));
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(client.response().await.body, "last");
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_status_without_reason_passes() {
    for line in [
        "HTTP/1.1 200\r\n",
        "HTTP/1.1 200 \r\n",
        "HTTP/1.1 299 A b  c\r\n",
    ] {
        let app = Backend::answering(move |_| format!("{line}Content-Length: 0\r\n\r\n")).await;
        let response = proxy_to(&app)
            .ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            .await;
        let expected = line.trim_end();
        assert_eq!(response.line().trim_end(), expected);
    }
}

#[tokio::test]
async fn interim_responses_go_to_clients_of_11() {
    let app = Backend::answering(|_| {
        format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n{}",
            ok("final")
        )
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(
        client.head().await.unwrap(),
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    );
    assert_eq!(client.response().await.body, "final");
    let response = proxy.ask("GET / HTTP/1.0\r\nHost: web\r\n\r\n").await;
    assert_eq!(response.body, "final");
}

#[tokio::test]
async fn continue_is_answered_here_when_the_body_is_buffered() {
    let app = Backend::answering(|r| ok(&r.body)).await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    assert_eq!(
        client.head().await.unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send("body").await;
    assert_eq!(client.response().await.body, "body");
    assert_eq!(app.last().get("expect"), None);
}

#[tokio::test]
async fn continue_comes_from_the_server_when_the_body_streams() {
    let app = Backend::scripted(|mut peer| async move {
        while let Some(head) = peer.head().await {
            assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
            if head.contains("/no") {
                peer.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
                    .await;
                assert_eq!(peer.rest().await, "", "a body nobody wanted");
                return;
            }
            peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            peer.until("0\r\n\r\n").await.unwrap();
            peer.send(&ok("thanks")).await;
        }
    })
    .await;
    let proxy = proxy_to(&app);
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    };
    let mut client = proxy.connect().await;
    client.send(&head("/yes")).await;
    assert_eq!(
        client.head().await.unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send("4\r\nbody\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.body, "thanks");
    // Trap 18.13: a final answer straight away; the body is not sent and the connection ends.
    client.send(&head("/no")).await;
    let response = client.response().await;
    assert_eq!(
        (response.status(), response.get("connection")),
        (417, Some("close"))
    );
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn connections_close_when_either_side_asks() {
    let app = Backend::answering(|r| match r.line().contains("close") {
        true => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi".into(),
        false => ok("hi"),
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    // The server's wish is between it and us.
    for _ in 0..2 {
        client
            .send("GET /close HTTP/1.1\r\nHost: web\r\n\r\n")
            .await;
        assert_eq!(client.response().await.get("connection"), None);
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 2);
    client
        .send("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.response().await.get("connection"), Some("close"));
    assert_eq!(client.rest().await, "");
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.0\r\nHost: web\r\n\r\n").await;
    assert_eq!(client.response().await.body, "hi");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_client_may_end_its_sending_side_and_wait() {
    let app = Backend::answering(|_| ok("here")).await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.response().await.body, "here");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_client_that_resets_cancels_its_request() {
    let (tell, mut told) = tokio::sync::mpsc::channel(2);
    let app = Backend::scripted(move |mut peer| {
        let tell = tell.clone();
        async move {
            peer.request().await;
            tell.send("asked").await.unwrap();
            // Ends when the proxy closes the connection.
            peer.rest().await;
            tell.send("cancelled").await.unwrap();
        }
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(told.recv().await, Some("asked"));
    socket2::SockRef::from(&client.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    assert_eq!(told.recv().await, Some("cancelled"));
}

#[tokio::test]
async fn fields_pass_byte_for_byte() {
    let app = Backend::answering(|_| {
        "HTTP/1.1 200 Fine Thing\r\nX-A:1\r\nx-a:  2 \r\nContent-Length: 0\r\nX-Ü: ü\r\n\r\n"
            .replace("X-Ü", "X-U")
    })
    .await;
    let proxy = proxy_to(&app);
    let fields = "ACCEPT:*/*\r\nX-Tab:\ta\tb\t\r\nX-Empty:\r\nx-dup: 1\r\nX-DUP:2\r\nX-Utf8: ü\r\n";
    let request = format!("PATCH /%7e//../x?y&z= HTTP/1.1\r\nHost: web\r\n{fields}\r\n");
    let response = proxy.ask(&request).await;
    let seen = app.last();
    assert!(
        seen.head.starts_with(&format!(
            "PATCH /%7e//../x?y&z= HTTP/1.1\r\nHost: web\r\n{fields}Via: "
        )),
        "{}",
        seen.head
    );
    assert!(
        response
            .head
            .starts_with("HTTP/1.1 200 Fine Thing\r\nX-A:1\r\nx-a:  2 \r\nX-U: ü\r\nVia: "),
        "{}",
        response.head
    );
    // Nothing is added that others decide about.
    for absent in [
        "date",
        "server",
        "user-agent",
        "content-length",
        "connection",
    ] {
        assert_eq!(seen.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn draining_finishes_what_is_open_and_loses_nothing() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = Backend::scripted(move |mut peer| {
        let mut gate = gate.clone();
        async move {
            while peer.request().await.is_some() {
                gate.wait_for(|open| *open).await.unwrap();
                peer.send(&ok("done")).await;
            }
        }
    })
    .await;
    let mut proxy = proxy_to(&app);
    let mut busy = proxy.connect().await;
    busy.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    while app.connections.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let mut idle = proxy.connect().await;
    idle.send("GET /x HTTP/1.1\r\nHost:\r\n\r\n").await;
    idle.response().await;
    let mut unused = proxy.connect().await;
    proxy.stop.cancel();
    // No new connections, as soon as the listener is gone.
    while TcpStream::connect(proxy.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // Who asks again is told that it is the last time, unless a second has gone.
    let again = idle.stream.write_all(b"GET /x HTTP/1.1\r\nHost:\r\n\r\n");
    if again.await.is_ok()
        && let Some(head) = idle.head().await
    {
        assert!(head.contains("Connection: close\r\n"), "{head}");
    }
    drop(idle);
    assert_eq!(unused.rest().await, "", "ends while others are busy");
    drop(unused);
    go.send(true).unwrap();
    let response = busy.response().await;
    assert_eq!(
        (response.body.as_str(), response.get("connection")),
        ("done", Some("close"))
    );
    assert_eq!(busy.rest().await, "");
    drop(busy);
    proxy.servers.take().unwrap().join().await;
}
