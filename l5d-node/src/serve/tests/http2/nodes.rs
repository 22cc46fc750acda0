//! Requests of HTTP/1 between two nodes (node-proxy 14.3): on shared connections once the other node has offered it, restored to
//! what they were, and as before with everybody else.

use super::*;

/// Passes bytes on to whoever it is pointed at, and notes how connections begin.
struct Tap {
    addr: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    begun: Arc<Mutex<Vec<String>>>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Tap {
    async fn to(target: SocketAddr) -> Self {
        let listener = ports::listen();
        let addr = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let begun: Arc<Mutex<Vec<String>>> = Arc::default();
        let (to, noted) = (target.clone(), begun.clone());
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let (to, noted) = (*to.lock(), noted.clone());
                open.spawn(async move {
                    let mut first = [0; 3];
                    client.peek(&mut first).await.unwrap();
                    let first = String::from_utf8_lossy(&first).into_owned();
                    noted.lock().push(first);
                    let mut server = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self {
            addr,
            target,
            begun,
            _task: tokio_util::task::AbortOnDropHandle::new(task),
        }
    }

    fn count(&self, first: &str) -> usize {
        self.begun.lock().iter().filter(|b| *b == first).count()
    }
}

/// Two nodes: `/svc/web` leads from the outgoing router through a tap to the incoming one, and from there to `backend`.
async fn nodes(backend: SocketAddr, change: impl Fn(&mut Router)) -> (Proxy, Tap) {
    let proxy = Proxy::with(change);
    let tap = Tap::to(proxy.incoming).await;
    let id = "/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/test/web";
    let cluster = proxy.names.cluster(id, addresses(&[tap.addr]));
    proxy
        .names
        .set(0, "/svc/web", "", super::leaf(&cluster, "/"));
    proxy.names.bind(1, "/svc/web", &[backend]);
    (proxy, tap)
}

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: web\r\nX-Case: kept\r\n\r\n";

#[tokio::test]
async fn requests_between_nodes_share_a_connection_and_arrive_as_they_were() {
    let backend = Backend::answering(|request| match request.line() {
        line if line.ends_with("/1.0") => {
            "HTTP/1.0 200 OK\r\nX-Of: 1.0\r\n\r\nuntil the end".to_owned()
        }
        line if line.starts_with("POST") => format!(
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
            request.body.len(),
            request.body,
        ),
        _ => ok("whole"),
    })
    .await;
    let (proxy, tap) = nodes(backend.addr, |_| {}).await;
    let first = proxy.ask(GET).await;
    assert_eq!((first.status(), first.body.as_str()), (200, "whole"));
    let (in_http_1, shape) = (backend.last(), first.clone());
    let plain = |head: &str| {
        let lines = head.lines().map(str::to_ascii_lowercase);
        let differs = |l: &String| l.starts_with("l5d-ctx-trace") || l.starts_with("l5d-reqid");
        let mut lines: Vec<_> = lines.filter(|l| !differs(l)).collect();
        lines.sort();
        lines
    };
    for _ in 0..20 {
        let again = proxy.ask(GET).await;
        assert_eq!(again.body, "whole");
        assert_eq!(plain(&again.head), plain(&shape.head));
        assert_eq!(plain(&backend.last().head), plain(&in_http_1.head));
    }
    assert_eq!((tap.count("GET"), tap.count("PRI")), (1, 1));
    assert_eq!(in_http_1.get("via"), Some("1.1 linkerd, 1.1 linkerd"));
    assert!(!in_http_1.head.contains("l5d-node") && !first.head.contains("l5d-node"));

    let posted = proxy
        .ask("POST /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-End: 1\r\n\r\n")
        .await;
    assert_eq!((posted.status(), posted.body.as_str()), (201, "abcde"));
    assert!(
        posted.trailers.to_ascii_lowercase().contains("x-sum: 1"),
        "{posted:?}"
    );
    let seen = backend.last();
    assert_eq!(seen.body, "abcde");
    assert!(
        seen.trailers.to_ascii_lowercase().contains("x-end: 1"),
        "{seen:?}"
    );

    let old = proxy.ask("GET /old HTTP/1.0\r\nHost: web\r\n\r\n").await;
    assert_eq!((old.status(), old.body.as_str()), (200, "until the end"));
    assert!(old.line().starts_with("HTTP/1.0"));
    assert_eq!(old.get("via"), Some("1.0 linkerd, 1.0 linkerd"));
    assert_eq!(backend.last().line(), "GET /old HTTP/1.0");
    assert_eq!(
        (tap.count("GET"), tap.count("POS"), tap.count("PRI")),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn large_bodies_and_failures_pass_between_nodes() {
    let backend = Backend::answering(|request| match request.line() {
        line if line.contains("/cut") => {
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nshort".to_owned()
        }
        line if line.contains("/lost") => String::new(),
        _ => ok(&request.body),
    })
    .await;
    let (proxy, tap) = nodes(backend.addr, |_| {}).await;
    proxy.ask(GET).await;
    let body = "0123456789".repeat(300_000);
    let request = format!(
        "POST /big HTTP/1.1\r\nHost: web\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let big = proxy.ask(&request).await;
    assert!(big.body == body, "{} bytes came back", big.body.len());
    let lost = proxy.ask("POST /lost HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(lost.status(), 502);
    assert!(lost.get("l5d-err").unwrap().contains("lost"));
    let mut client = proxy.connect().await;
    client.send("GET /cut HTTP/1.1\r\nHost: web\r\n\r\n").await;
    // A reset may overtake what was sent before it, and then there is an answer; never a whole one of half a body.
    let head = client.head().await.unwrap();
    if head.starts_with("HTTP/1.1 200 ") {
        assert!(client.rest().await.len() < 100);
    } else {
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    // One of them did no harm to the others.
    assert_eq!(proxy.ask(GET).await.status(), 200);
    assert_eq!(
        (tap.count("GET"), tap.count("POS"), tap.count("PRI")),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn what_cannot_be_carried_goes_as_before() {
    let backend = Backend::named("whole").await;
    let (proxy, tap) = nodes(backend.addr, |_| {}).await;
    proxy.ask(GET).await;
    proxy.ask(GET).await;
    assert_eq!((tap.count("GET"), tap.count("PRI")), (1, 1));
    let upgrade =
        "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(proxy.ask(upgrade).await.status(), 200);
    // On the connection that was there.
    assert_eq!((tap.count("GET"), tap.count("PRI")), (1, 1));
}

#[tokio::test]
async fn a_key_switches_it_off_and_nobody_else_is_asked() {
    let backend = Backend::named("whole").await;
    let off = |r: &mut Router| r.client.base_mut().node_http2 = false;
    let (proxy, tap) = nodes(backend.addr, off).await;
    for _ in 0..5 {
        assert_eq!(proxy.ask(GET).await.status(), 200);
    }
    assert_eq!((tap.count("GET"), tap.count("PRI")), (1, 0));
    // An application is no node.
    let proxy = proxy_to(&backend);
    for _ in 0..3 {
        proxy.ask(GET).await;
        assert_eq!(backend.last().get("l5d-node-http2"), None);
    }
}

#[tokio::test]
async fn a_node_that_does_not_keep_its_offer_is_spoken_to_as_before() {
    let backend = Backend::named("whole").await;
    let (proxy, tap) = nodes(backend.addr, |_| {}).await;
    proxy.ask(GET).await;
    proxy.ask(GET).await;
    assert_eq!(tap.count("PRI"), 1);
    // Replaced by one that knows nothing of it.
    let old = Backend::scripted(|mut peer| async move {
        while let Some(head) = peer.head().await {
            if head.starts_with("PRI") {
                peer.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                    .await;
                return;
            }
            peer.send(&ok("old")).await;
        }
    })
    .await;
    *tap.target.lock() = old.addr;
    let Proxy { servers, .. } = &proxy;
    assert!(servers.is_some());
    // The connection that is open serves on; a new endpoint object begins without one.
    let id = "/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/test/other";
    let cluster = proxy.names.cluster(id, addresses(&[tap.addr]));
    proxy
        .names
        .set(0, "/svc/other", "", super::leaf(&cluster, "/"));
    let other = GET.replace("Host: web", "Host: other");
    for _ in 0..3 {
        assert_eq!(proxy.ask(&other).await.body, "old");
    }
    assert_eq!(tap.count("PRI"), 1);
}
