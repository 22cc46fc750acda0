//! Each failure as HTTP/2 and as gRPC say it (node-proxy 11.3).

use h2::Reason;

use super::*;

/// What a client sees of a failure.
async fn seen(proxy: &Proxy, request: Request<()>) -> String {
    match ask(proxy, request).await {
        Ok(whole) => {
            let get = |name| whole.head.headers.get(name).map(|v| v.to_str().unwrap());
            assert!(get("l5d-err").is_some(), "{whole:?}");
            let retryable = get("l5d-retryable").map_or("", |_| " retryable");
            match get("grpc-status") {
                Some(code) => {
                    assert_eq!(get("content-type"), Some("application/grpc"));
                    assert!(get("grpc-message").is_some() && whole.body.is_empty());
                    format!("{} grpc {code}{retryable}", whole.head.status.as_u16())
                }
                None => {
                    assert!(!whole.body.is_empty());
                    format!("{}{retryable}", whole.head.status.as_u16())
                }
            }
        }
        Err(e) => format!("{}", e.reason().unwrap()),
    }
}

async fn check(proxy: &Proxy, change: impl Fn(&mut Request<()>), plain: &str, of_grpc: &str) {
    for (mut request, expected) in [(get("/a"), plain), (grpc("/a"), of_grpc)] {
        change(&mut request);
        assert_eq!(seen(proxy, request).await, expected);
    }
}

fn with(name: &'static str, value: &'static str) -> impl Fn(&mut Request<()>) {
    move |request| drop(request.headers_mut().insert(name, value.parse().unwrap()))
}

fn to(host: &'static str) -> impl Fn(&mut Request<()>) {
    move |request| *request.uri_mut() = format!("http://{host}/a").parse().unwrap()
}

#[tokio::test]
async fn failures_before_there_is_an_endpoint() {
    let impatient = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.binding_timeout = Duration::from_millis(50);
    });
    check(&impatient, |_| {}, "503 retryable", "200 grpc 14 retryable").await;
    let proxy = h2_proxy(&[ports::nobody()]);
    check(&proxy, |_| {}, "502 retryable", "200 grpc 14 retryable").await;
    check(&proxy, with("l5d-dtab", "/a=>"), "400", "200 grpc 3").await;
    let deep = "h2 a, ".repeat(1000) + "h2 b";
    let deep: &'static str = deep.leak();
    check(&proxy, with("via", deep), "400", "200 grpc 9").await;
    proxy
        .names
        .set(0, "/svc/neg", "", NameState::Bound(Arc::new(NameTree::Neg)));
    check(&proxy, to("neg"), "502", "200 grpc 14").await;
    proxy.names.bind(0, "/svc/empty", &[]);
    check(
        &proxy,
        to("empty"),
        "502 retryable",
        "200 grpc 14 retryable",
    )
    .await;
}

#[tokio::test]
async fn a_request_without_a_name_is_refused() {
    let nameless = |r: &mut Router| {
        r.protocol = Protocol::H2;
        r.identifiers = vec![crate::config::Identifier::HeaderToken {
            header: "x-name".to_owned(),
            folds_case: false,
        }];
    };
    let proxy = Proxy::with(nameless);
    let refused = Reason::REFUSED_STREAM.to_string();
    check(&proxy, |_| {}, &refused, "200 grpc 12").await;
    let proxy = Proxy::with(|r| {
        nameless(r);
        r.answers_unidentified = true;
    });
    check(&proxy, |_| {}, "400", "200 grpc 12").await;
}

#[tokio::test]
async fn failures_at_an_endpoint() {
    let backend = Server2::start(|request, mut respond| async move {
        match request.uri().path() {
            "/a" => std::future::pending().await,
            _ => respond.send_reset(Reason::INADEQUATE_SECURITY),
        }
    })
    .await;
    let impatient = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.client.base_mut().attempt_timeout = Some(Duration::from_millis(50));
    });
    impatient.names.bind(0, "/svc/web", &[backend.addr]);
    check(&impatient, |_| {}, "503", "200 grpc 4").await;
    // Takes no stream at all.
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(0);
    let full = Server2::with(builder, echo).await;
    impatient.names.bind(0, "/svc/full", &[full.addr]);
    check(&impatient, to("full"), "503", "200 grpc 4").await;
    // Others have time, however busy the machine is.
    let proxy = h2_proxy(&[backend.addr]);
    let reset = Reason::INADEQUATE_SECURITY.to_string();
    let other = |r: &mut Request<()>| *r.uri_mut() = "http://web/reset".parse().unwrap();
    check(&proxy, other, &reset, &reset).await;
    // Speaks HTTP/1.
    let old = Backend::scripted(|mut peer| async move {
        peer.until("SM\r\n\r\n").await;
        peer.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            .await;
    })
    .await;
    proxy.names.bind(0, "/svc/old", &[old.addr]);
    check(&proxy, to("old"), "502 retryable", "200 grpc 14 retryable").await;
    // Takes the request and dies.
    let dying = Backend::scripted(|mut peer| async move {
        settle(&mut peer).await;
        frame(&mut peer, 1).await;
    })
    .await;
    proxy.names.bind(0, "/svc/dying", &[dying.addr]);
    check(&proxy, to("dying"), "502", "200 grpc 13").await;
}

#[tokio::test]
async fn plain_errors_are_those_of_1x() {
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.has_plain_errors = true;
        r.binding_timeout = Duration::from_millis(50);
    });
    let reset = Reason::INTERNAL_ERROR.to_string();
    check(&proxy, |_| {}, &reset, &reset).await;
    proxy.names.bind(0, "/svc/web", &[]);
    check(&proxy, |_| {}, "502 retryable", "502 retryable").await;
}

#[tokio::test]
async fn clear_context_tells_nothing() {
    let proxy = Proxy::with(|r| {
        r.protocol = Protocol::H2;
        r.servers[0].clear_context = true;
    });
    proxy.names.bind(0, "/svc/web", &[]);
    let whole = ask(&proxy, get("/")).await.unwrap();
    let names: Vec<_> = whole.head.headers.keys().map(|n| n.as_str()).collect();
    assert!(names.iter().all(|n| !n.starts_with("l5d-")), "{names:?}");
    assert!(whole.body.is_empty() && whole.head.status == 502);
    let whole = ask(&proxy, grpc("/")).await.unwrap();
    assert_eq!(whole.head.headers["grpc-status"], "14");
    assert!(!whole.head.headers.contains_key("grpc-message"));
}
