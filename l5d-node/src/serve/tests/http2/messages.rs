//! Messages that pass: heads, bodies, trailers, windows, upgrades, the end of a worker.

use super::*;

#[tokio::test]
async fn heads_bodies_and_trailers_pass_both_ways() {
    let (seen, was_seen) = tokio::sync::oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let backend = Server2::start(move |request, mut respond| {
        let seen = seen.lock().unwrap().take();
        async move {
            let (head, mut body) = request.into_parts();
            let mut bytes = Vec::new();
            while let Some(Ok(part)) = body.data().await {
                bytes.extend_from_slice(&part);
            }
            let trailers = body.trailers().await.unwrap();
            let _ = seen.unwrap().send((head, bytes, trailers));
            let response = Response::builder().status(201).header("x-a", "1");
            let response = response.header("x-a", "2").body(()).unwrap();
            let mut out = respond.send_response(response, false).unwrap();
            out.send_data("answer".into(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", "yes".parse().unwrap());
            out.send_trailers(trailers).unwrap();
        }
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    let mut request = post("/a?b=c");
    for (name, value) in [
        ("te", "trailers"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-two", "1"),
        ("x-two", "2"),
        ("l5d-dst-service", "forged"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let (response, mut out) = open(&client, request, false).await;
    out.send_data("quest".into(), false).unwrap();
    out.send_data("ion".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-last", "1".parse().unwrap());
    out.send_trailers(trailers).unwrap();
    let whole = read(response).await.unwrap();

    let (head, body, trailers) = was_seen.await.unwrap();
    assert_eq!(
        (head.method.as_str(), head.uri.to_string().as_str()),
        ("POST", "http://web/a?b=c")
    );
    assert_eq!(body, b"question");
    assert_eq!(trailers.unwrap()["x-last"], "1");
    let all = |name| {
        let values = head.headers.get_all(name).iter();
        values.map(|v| v.to_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(all("te"), ["trailers"]);
    assert_eq!(all("cookie"), ["a=1; b=2"]);
    assert_eq!(all("x-two"), ["1", "2"]);
    assert_eq!(all("via"), ["h2 linkerd"]);
    assert_eq!(all("l5d-dst-service"), ["/svc/web"]);
    assert_eq!(all("l5d-dst-client"), ["/#/test/svc/web"]);
    assert_eq!(all("l5d-reqid").len(), 1);
    assert!(all("transfer-encoding").is_empty() && all("host").is_empty());

    assert_eq!(whole.head.status, 201);
    assert_eq!(whole.body, b"answer");
    assert_eq!(whole.trailers.unwrap()["x-end"], "yes");
    assert_eq!(whole.head.headers.get_all("x-a").iter().count(), 2);
    assert_eq!(whole.head.headers["via"], "h2 linkerd");
    assert_eq!(whole.head.headers["l5d-success-class"], "1.0");
    assert!(!whole.head.headers.contains_key("te"));
}

/// Judged by `grpc-status`.
fn grpc_proxy(backend: SocketAddr) -> Proxy {
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.service = crate::config::Settings::all(crate::config::ServiceSettings {
            classifier: crate::config::Classifier::Grpc {
                retryable: crate::config::GrpcRetries::Default,
                successes: vec![0],
            },
            ..crate::config::ServiceSettings::default()
        });
    });
    proxy.names.bind(0, "/svc/web", &[backend]);
    proxy
}

#[tokio::test]
async fn a_conversation_goes_on_in_both_directions() {
    let backend = Server2::echo().await;
    let proxy = grpc_proxy(backend.addr);
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, grpc("/talk"), false).await;
    let (head, mut stream) = response.await.unwrap().into_parts();
    assert!(!head.headers.contains_key("l5d-success-class"));
    for i in 0..10 {
        let word = format!("word {i}");
        out.send_data(word.clone().into(), false).unwrap();
        let back = stream.data().await.unwrap().unwrap();
        assert_eq!(back, word);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "5".parse().unwrap());
    out.send_trailers(trailers).unwrap();
    assert!(stream.data().await.is_none());
    let trailers = stream.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "5");
    assert_eq!(trailers["l5d-success-class"], "0.0");
}

#[tokio::test]
async fn trailers_only_and_empty_ends_stay_what_they_are() {
    let backend = Server2::start(|request, mut respond| async move {
        if request.uri().path() == "/only" {
            let response = Response::builder().header("grpc-status", "7");
            drop(
                respond
                    .send_response(response.body(()).unwrap(), true)
                    .unwrap(),
            );
        } else {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data(Bytes::new(), true).unwrap();
        }
    })
    .await;
    let proxy = grpc_proxy(backend.addr);
    let client = client(proxy.addr).await;
    let (response, _out) = open(&client, grpc("/only"), true).await;
    let (head, body) = response.await.unwrap().into_parts();
    assert!(body.is_end_stream());
    assert_eq!(head.headers["grpc-status"], "7");
    assert_eq!(head.headers["l5d-success-class"], "0.0");
    let (response, _out) = open(&client, get("/empty"), true).await;
    let whole = read(response).await.unwrap();
    assert_eq!((whole.body.len(), whole.trailers), (0, None));
}

#[tokio::test]
async fn a_slow_reader_holds_the_endpoint_back() {
    const SIZE: usize = 10 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let backend = Server2::start(move |request, mut respond| {
        let count = count.clone();
        async move {
            if request.uri().path() == "/other" {
                drop(respond.send_response(Response::new(()), true));
                return;
            }
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            for _ in 0..SIZE >> 14 {
                if send(&mut out, vec![7; 1 << 14].into()).await.is_err() {
                    return;
                }
                count.fetch_add(1 << 14, Ordering::Relaxed);
            }
            let _ = out.send_data(Bytes::new(), true);
        }
    })
    .await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    let (response, _out) = open(&client, get("/"), true).await;
    let (_, mut stream) = response.await.unwrap().into_parts();
    let mut read = 0;
    while let Some(bytes) = stream.data().await {
        let n = bytes.unwrap().len();
        read += n;
        // Windows of 64 KiB at the client and at the proxy, and what the codecs have under way.
        let ahead = (sent.load(Ordering::Relaxed) as usize).saturating_sub(read);
        assert!(ahead <= 8 << 16, "{ahead} bytes ahead of the reader");
        stream.flow_control().release_capacity(n).unwrap();
        // Other streams go on meanwhile.
        if read % (1 << 20) < n {
            let (response, _out) = open(&client, get("/other"), true).await;
            drop(response.await.unwrap());
        }
    }
    assert_eq!(read, SIZE);
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let backend = Server2::echo().await;
    let proxy = h2_proxy(&[backend.addr]);
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, post("/"), false).await;
    let body: Bytes = (0..10 << 20).map(|i: u32| (i / 7) as u8).collect();
    let sent = body.clone();
    let sending = tokio::spawn(async move {
        send(&mut out, sent).await.unwrap();
        out.send_data(Bytes::new(), true).unwrap();
    });
    let whole = read(response).await.unwrap();
    sending.await.unwrap();
    assert!(whole.body == body, "the body has changed");
}

#[tokio::test]
async fn http_1_is_told_to_speak_http_2() {
    let backend = Server2::echo().await;
    let proxy = h2_proxy(&[backend.addr]);
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.body, "HTTP/2 required");
    assert_eq!(answer.get("connection"), Some("close"));
}

#[tokio::test]
async fn an_upgrade_from_http_1_becomes_the_first_stream() {
    let backend = Server2::echo().await;
    let proxy = h2_proxy(&[backend.addr]);
    let mut peer = proxy.connect().await;
    peer.send(
        "POST /up HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    let head = peer.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    peer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let raw = &mut peer.stream;
    raw.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut body = Vec::new();
    loop {
        let mut header = [0; 9];
        raw.read_exact(&mut header).await.unwrap();
        let [a, b, c, kind, flags, _, _, _, stream] = header;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        raw.read_exact(&mut payload).await.unwrap();
        match kind {
            0 => {
                assert_eq!(stream, 1);
                body.extend_from_slice(&payload);
            }
            // RST_STREAM, GOAWAY
            3 | 7 => panic!("{header:?} {payload:?}"),
            _ => {}
        }
        if stream == 1 && flags & 1 == 1 {
            break;
        }
    }
    assert_eq!(body, b"hello");
}

#[tokio::test]
async fn a_draining_worker_finishes_its_streams() {
    let (go, went) = tokio::sync::watch::channel(false);
    let backend = Server2::start(move |_, mut respond| {
        let mut went = went.clone();
        async move {
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            went.wait_for(|go| *go).await.unwrap();
            out.send_data("late".into(), true).unwrap();
        }
    })
    .await;
    let mut proxy = h2_proxy(&[backend.addr]);
    let stream = TcpStream::connect(proxy.addr).await.unwrap();
    let (mut client, connection) = h2::client::handshake::<_>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let (response, _out) = client.send_request(get("/"), true).unwrap();
    let (_, mut body) = response.await.unwrap().into_parts();
    proxy.stop.cancel();
    // GOAWAY has come when no more streams can be opened.
    while client.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.send(true).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "late");
    connection.await.unwrap().unwrap();
    proxy.servers.take().unwrap().join().await;
}

#[tokio::test]
async fn a_short_answer_is_judged_by_its_trailers_before_it_goes_out() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let backend = Server2::start(move |request, mut respond| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut body = request.into_body();
            let said = body.data().await.unwrap().unwrap();
            let mut out = respond.send_response(Response::new(()), false).unwrap();
            out.send_data(said, false).unwrap();
            let mut trailers = HeaderMap::new();
            let status = if n == 0 { "14" } else { "0" };
            trailers.insert("grpc-status", status.parse().unwrap());
            out.send_trailers(trailers).unwrap();
        }
    })
    .await;
    let proxy = grpc_proxy(backend.addr);
    let client = client(proxy.addr).await;
    let (response, mut out) = open(&client, grpc("/"), false).await;
    out.send_data("once".into(), true).unwrap();
    let whole = read(response).await.unwrap();
    assert_eq!(whole.body, b"once");
    let trailers = whole.trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["l5d-success-class"], "1.0");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_silent_client_is_asked_again_and_again() {
    let backend = Server2::start(|request, respond| async move {
        let _kept = (request, respond);
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.servers[0].h2.ping_interval = Duration::from_millis(20);
        // Nobody who answers takes as long; it is looked whether one has answered when it is over.
        r.servers[0].h2.ping_timeout = Duration::from_secs(2);
    });
    proxy.names.bind(0, "/svc/web", &[backend.addr]);
    let mut peer = proxy.connect().await;
    peer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let get = [
        0, 0, 8, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 3, b'w', b'e', b'b',
    ];
    peer.stream
        .write_all(&[&settings[..], &get].concat())
        .await
        .unwrap();
    for _ in 0..2 {
        let payload = frame(&mut peer, 6).await;
        let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &payload].concat();
        peer.stream.write_all(&pong).await.unwrap();
    }
    // Without an answer the connection ends.
    frame(&mut peer, 6).await;
    peer.rest().await;
}
