//! From one process to the next, and what a connection may cost while it lives (node-proxy 4, 16.5).

use super::*;

/// Two proxies of one router each at the same port, as two processes would have them.
fn shared(addr: SocketAddr, app: &Backend) -> Proxy {
    let proxy = Proxy::with(|router| {
        if router.label == "outgoing" {
            router.servers[0].addr = addr;
            router.servers[0].socket.reuse_port = true;
        }
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    proxy
}

/// Asks again and again until told to stop, on connections of `each` requests; counts answers, and panics at a failure.
async fn load(addr: SocketAddr, each: usize, stop: CancellationToken, answers: Arc<AtomicU64>) {
    while !stop.is_cancelled() {
        let mut client = Peer::connect(addr).await;
        for n in 1..=each {
            let request = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n";
            let sent = client.stream.write_all(request).await;
            let Some(head) = client.head().await else {
                // One that draws breath for a second is taken for idle when its connection's end comes, as any client must
                // expect between two requests.
                assert!(n > 1, "the first request of a connection: {sent:?}");
                break;
            };
            let response = client.body(head, true).await;
            assert_eq!(
                response.status(),
                200,
                "request {n} of a connection: {response:?}"
            );
            answers.fetch_add(1, Ordering::Relaxed);
            // Whoever is told so does not ask again.
            if response.get("connection") == Some("close") {
                break;
            }
        }
    }
}

/// Waits until a counter has grown by `n`.
async fn more(counter: &AtomicU64, n: u64) {
    let wanted = counter.load(Ordering::Relaxed) + n;
    while counter.load(Ordering::Relaxed) < wanted {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_old_process_drains_while_a_new_one_listens_and_no_request_fails() {
    let app = Backend::named("app").await;
    let mut old = shared(([127, 0, 0, 1], 0).into(), &app);
    let (stop, answers) = (CancellationToken::new(), Arc::<AtomicU64>::default());
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..12 {
        // Most come anew for each request: those are the ones that a closing listener could lose.
        let each = if n % 4 == 0 { 1000 } else { 1 };
        clients.spawn(load(old.addr, each, stop.clone(), answers.clone()));
    }
    more(&answers, 200).await;
    let mut generations = 0;
    while generations < 3 {
        let new = shared(old.addr, &app);
        more(&answers, 200).await;
        old.stop.cancel();
        old.servers.take().unwrap().join().await;
        more(&answers, 200).await;
        old = new;
        generations += 1;
    }
    stop.cancel();
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_busy_port_is_refused_without_the_key() {
    let app = Backend::named("app").await;
    let first = shared(([127, 0, 0, 1], 0).into(), &app);
    let names: Arc<dyn Names> = Arc::new(Fixed::default());
    let mut second = router("outgoing");
    second.servers[0].addr = first.addr;
    let config = Config {
        routers: vec![Arc::new(second)],
        ..Config::default()
    };
    let (tls, stop) = (
        crate::tls::Tls::new(&config).unwrap(),
        CancellationToken::new(),
    );
    let tellers = Tellers::start(&config).unwrap();
    let error = start(&config, &names, &tls, &tellers.routers, 1, Some(1), &stop).unwrap_err();
    assert!(error.to_string().contains("cannot listen on"), "{error}");
}

#[tokio::test]
async fn who_sends_a_head_or_a_body_drop_by_drop_is_left() {
    let app = Backend::named("app").await;
    let proxy = Proxy::with(|router| {
        router.servers[0].socket.read_timeout = Some(Duration::from_millis(20));
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    for part in [
        "GET / HTTP/1.1\r\nHost: w",
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nab",
    ] {
        let mut client = proxy.connect().await;
        client.send(part).await;
        assert_eq!(client.rest().await, "", "{part:?}");
    }
    assert_eq!(app.count(), 0);
    // One that has nothing to say may wait.
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
        assert_eq!(client.response().await.body, "app");
    }
}
