//! Messages that mean different things to different readers (node-proxy 9.4, traps 1, 2, 4): refused, and what follows on the
//! connection is never read as a request.

use super::*;

/// Behind each of these stands a request that must not be answered.
const REFUSED: &[(&str, u16)] = &[
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4, 5\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: +4\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: -1\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0x4\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4 4\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length:\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9223372036854775808\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length : 4\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\n Content-Length: 4\r\n\r\n",
        400,
    ),
    ("POST / HTTP/1.1\r\nHost: web\r\nX: a\r\n b\r\n\r\n", 400),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: xchunked\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding:\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding : chunked\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nHost: web\r\nTransfer_Encoding\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\nHost: web\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\n\r\n", 400),
    (
        "GET / HTTP/1.1\r\nHost: web\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\r\nHost: web\r\nX: a\rb\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\r\nX: a\0b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\r\nX\0: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\r\n: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\r\nno colon\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web\r\nhost: other\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: we b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: web/x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: user@web\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET http://web/ HTTP/1.1\r\n\r\n", 400),
    ("GET http://we\"b/ HTTP/1.1\r\nHost: web\r\n\r\n", 400),
    ("GET /a#b HTTP/1.1\r\nHost: web\r\n\r\n", 400),
    ("GET a HTTP/1.1\r\nHost: web\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: web\r\n\r\n", 400),
    ("GET / HTTP/1.1 \r\nHost: web\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: web\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\nHost: web\r\n\r\n", 400),
    ("GET / HTTP/1.2\r\nHost: web\r\n\r\n", 400),
    ("GET /\r\nHost: web\r\n\r\n", 400),
    ("\x16\x03\x01\x02\r\n", 400),
];

/// Chunked bodies that are refused while they stream.
const BAD_CHUNKS: &[&str] = &[
    "x\r\n",
    "-1\r\na",
    "+1\r\na\r\n0\r\n\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    " 1\r\na\r\n0\r\n\r\n",
    "1 \r\na\r\n0\r\n\r\n",
    "1\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "1;x\ny\r\na\r\n0\r\n\r\n",
    "8000000000000000\r\na",
    "10000000000000001\r\na",
    "\r\n",
    ";\r\n",
    "0\r\nBad Trailer: x\r\n\r\n",
    "0\r\nX: a\nY: b\r\n\r\n",
    "0\r\n\n",
];

const INSIDE: &str = "GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n";

#[tokio::test]
async fn ambiguous_heads_are_refused_and_the_connection_ends() {
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    for (head, status) in REFUSED {
        let mut client = proxy.connect().await;
        client.send(&format!("{head}{INSIDE}")).await;
        let response = client.response().await;
        assert_eq!(response.status(), *status, "{head:?}");
        assert_eq!(response.get("connection"), Some("close"));
        assert_eq!(client.rest().await, "", "{head:?}");
    }
    assert_eq!(app.count(), 0, "{:?}", app.seen.lock());
}

#[tokio::test]
async fn bad_chunks_end_the_connection_and_reach_nobody_whole() {
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    for chunks in BAD_CHUNKS {
        let mut client = proxy.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(&format!("{head}{chunks}{INSIDE}")).await;
        let response = client.response().await;
        assert_eq!(response.status(), 400, "{chunks:?}");
        assert_eq!(client.rest().await, "", "{chunks:?}");
    }
    assert_eq!(app.count(), 0, "{:?}", app.seen.lock());
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request() {
    let app = Backend::answering(|r| ok(&format!("{} {}", r.line(), r.body))).await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client
        .send(
            "\r\nPOST /1 HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc\
             POST /2 HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\ndef\r\n0\r\n\r\n\
             POST /3 HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nghi\
             GET /4 HTTP/1.1\r\nHost: web\r\n\r\n",
        )
        .await;
    for expected in [
        "POST /1 HTTP/1.1 abc",
        "POST /2 HTTP/1.1 def",
        "POST /3 HTTP/1.1 ghi",
        "GET /4 HTTP/1.1 ",
    ] {
        assert_eq!(client.response().await.body, expected);
    }
    let seen = app.seen.lock().clone();
    assert_eq!(seen[2].get("content-length"), Some("3"));
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn connection_cannot_strip_what_is_needed_end_to_end() {
    let app = Backend::answering(|_| {
        "HTTP/1.1 200 OK\r\nConnection: set-cookie, x-hop\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nContent-Length: 0\r\n\r\n"
            .into()
    })
    .await;
    let proxy = proxy_to(&app);
    let response = proxy
        .ask(
            "GET / HTTP/1.1\r\nConnection: host, l5d-ctx-other, X-Hop, authorization, via\r\nHost: web\r\nVia: 1.1 a\r\n\
             l5d-ctx-other: x\r\nx-hop: 1\r\nAuthorization: y\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nTE: trailers\r\n\
             Trailer: X\r\nUpgrade: websocket\r\nProxy-Authorization: secret\r\n\r\n",
        )
        .await;
    let seen = app.last();
    for kept in ["host", "l5d-ctx-other", "authorization"] {
        assert!(seen.get(kept).is_some(), "{kept}");
    }
    assert_eq!(seen.get("via"), Some("1.1 a, 1.1 linkerd"));
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "proxy-authorization",
    ] {
        assert_eq!(seen.get(gone), None, "{gone}");
    }
    assert_eq!(response.all("set-cookie"), ["a", "b"]);
    for gone in ["connection", "x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(response.get(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn bytes_behind_a_response_are_not_the_next_one() {
    let app = Backend::scripted(|mut peer| async move {
        peer.request().await;
        peer.send(&format!("{}{}", ok("first"), ok("poison"))).await;
        peer.request().await;
    })
    .await;
    let proxy = proxy_to(&app);
    let mut client = proxy.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(client.response().await.body, "first");
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(client.response().await.body, "first");
    assert_eq!(app.connections.load(Ordering::Relaxed), 2);
}
