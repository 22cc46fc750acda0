//! Connections that cease to speak HTTP: upgrades and CONNECT (node-proxy 7.9, 9.6, traps 9 and 12).

use super::*;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: web\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Key: x\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: y\r\n\r\n";

/// Agrees to every upgrade, greets at once, sends back each line it gets, and after its peer's end says good-bye.
async fn echo() -> Backend {
    Backend::scripted(|mut peer| async move {
        let Some(request) = peer.request().await else {
            return;
        };
        assert_eq!(request.get("connection"), Some("upgrade"));
        assert_eq!(request.get("upgrade"), Some("websocket"));
        peer.send(&format!("{SWITCHING}welcome\n")).await;
        lines(peer).await;
    })
    .await
}

async fn lines(mut peer: Peer) {
    while let Some(line) = peer.until("\n").await {
        peer.send(&line).await;
    }
    peer.send("bye").await;
}

fn connecting(app: &Backend) -> Proxy {
    let proxy = Proxy::with(|router| router.allows_connect = true);
    proxy.names.bind(0, "/svc/web:443", &[app.addr]);
    proxy
}

#[tokio::test]
async fn an_upgrade_joins_both_connections_and_passes_each_end_on() {
    let app = echo().await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    // What stands behind the request is of the other protocol already.
    client.send(&format!("{UPGRADE}early\n")).await;
    let response = client.response().await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.get("connection"), Some("upgrade"));
    assert_eq!(response.get("upgrade"), Some("websocket"));
    assert_eq!(response.get("sec-websocket-accept"), Some("y"));
    assert_eq!(client.until("\n").await.unwrap(), "welcome\n");
    assert_eq!(client.until("\n").await.unwrap(), "early\n");
    let long = "x".repeat(100_000) + "\n";
    for text in ["a\n", "HTTP/1.1 400 no\n", &long] {
        client.send(text).await;
        assert_eq!(client.until("\n").await.unwrap(), text);
    }
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "bye", "the other direction goes on");
    // Its connection is not used again.
    let mut other = proxy.connect().await;
    other.send(UPGRADE).await;
    assert_eq!(other.response().await.status(), 101);
    assert_eq!(app.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_server_that_does_not_switch_answers_as_ever() {
    let app = Backend::named("no").await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send(UPGRADE).await;
        let response = client.response().await;
        assert_eq!((response.status(), response.body.as_str()), (200, "no"));
        assert_eq!(response.get("connection"), None);
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_no_upgrade_is_not_sent_on_as_one() {
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    for head in [
        // Nothing is asked for.
        "GET / HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\n\r\n",
        // HTTP/1.0 knows none.
        "GET / HTTP/1.0\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        // Requests in HTTP/2 would pass unseen.
        "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n\
         HTTP2-Settings: x\r\n\r\n",
        // Its body would come before the other protocol.
        "POST / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
    ] {
        assert_eq!(proxy.ask(head).await.status(), 200, "{head:?}");
        let seen = app.last();
        for gone in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(seen.get(gone), None, "{head:?}");
        }
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_refused() {
    let app = Backend::answering(|_| SWITCHING.to_owned()).await;
    let proxy = proxy_to(&app);
    let response = proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn a_server_that_dies_in_a_tunnel_ends_it() {
    let app = Backend::scripted(|mut peer| async move {
        peer.request().await;
        peer.send(SWITCHING).await;
        peer.until("\n").await;
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.status(), 101);
    client.send("end\n").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn draining_ends_tunnels_at_the_deadline() {
    let app = echo().await;
    let mut proxy = Proxy::graced(Duration::from_millis(50));
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let mut client = proxy.connect().await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.status(), 101);
    assert_eq!(client.until("\n").await.unwrap(), "welcome\n");
    proxy.stop.cancel();
    proxy.servers.take().unwrap().join().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn connect_opens_a_tunnel_where_that_is_allowed() {
    let app = Backend::scripted(lines).await;
    let proxy = connecting(&app);
    let mut client = proxy.connect().await;
    client
        .send("CONNECT web:443 HTTP/1.1\r\nHost: other\r\n\r\n\x16\x03\x01\n")
        .await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        !head.to_ascii_lowercase().contains("content-length"),
        "{head}"
    );
    assert_eq!(client.until("\n").await.unwrap(), "\x16\x03\x01\n");
    client.send("more\n").await;
    assert_eq!(client.until("\n").await.unwrap(), "more\n");
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "bye");
}

#[tokio::test]
async fn connect_to_nobody_is_answered_and_opens_nothing() {
    let app = Backend::scripted(lines).await;
    let proxy = connecting(&app);
    proxy.names.bind(0, "/svc/dead:1", &[ports::nobody()]);
    for (target, status) in [
        ("dead:1", 502),
        ("web", 400),
        (":443", 400),
        ("web:", 400),
        ("http://web:443/", 400),
    ] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: web:443\r\n\r\n");
        assert_eq!(proxy.ask(&request).await.status(), status, "{target}");
    }
    let request = "CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(proxy.ask(request).await.status(), 400);
    assert_eq!(app.connections.load(Ordering::Relaxed), 0);
}
