//! From one router to another of the same process: without a socket, and else as over one (node-proxy 16.2).

use std::collections::BTreeMap;

use super::*;
use crate::config::Plaintext;
use crate::meter::{Reading, table};
use crate::serve::RouterView;
use crate::tls::pki::Pki;

const NODES: &str = "/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/test/web";
const PLAIN: &str = "/#/test/web";
const GET: &str = "GET /a?b HTTP/1.1\r\nHost: web\r\nX-Case: kept\r\n\r\n";

/// Leads `/svc/web` from one proxy's outgoing router to an incoming one, and from there to `app`.
fn lead(from: &Proxy, to: &Proxy, id: &str, app: SocketAddr) {
    let cluster = from.names.cluster(id, addresses(&[to.incoming]));
    from.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    to.names.bind(1, "/svc/web", &[app]);
}

/// One proxy that calls itself.
fn within(app: SocketAddr, change: impl Fn(&mut Router)) -> Proxy {
    let proxy = Proxy::with(change);
    lead(&proxy, &proxy, NODES, app);
    proxy
}

fn local_connects(views: &[RouterView]) -> u64 {
    views[1].servers[0].reading.value(&table::LOCAL_CONNECTS)
}

/// Ends the proxy; what it has counted.
async fn ended(mut proxy: Proxy) -> Vec<RouterView> {
    let stats = proxy.stats();
    proxy.stop.cancel();
    proxy.servers.take().unwrap().join().await;
    stats.view()
}

/// An application with an answer of each kind, by the path.
async fn app() -> Backend {
    Backend::answering(|request| {
        let path = request.line().split(' ').nth(1).unwrap_or_default();
        let (n, body) = (request.body.len(), &request.body);
        match path {
            "/chunks" => format!(
                "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n{n:x}\r\n{body}\r\n0\r\nX-Sum: 1\r\n\r\n"
            ),
            "/none" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n".to_owned(),
            "/same" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_owned(),
            "/old" => "HTTP/1.0 200 OK\r\nX-Of: 1.0\r\n\r\nuntil the end".to_owned(),
            "/broken" => "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            "/turned-away" => {
                "HTTP/1.1 503 Busy\r\nl5d-retryable: true\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            "/gone" => String::new(),
            "/nonsense" => "SMTP/1.1 hello\r\nConnection: close\r\n\r\n".to_owned(),
            "/big" => ok(&"y".repeat(300_000)),
            _ => ok(body),
        }
    })
    .await
}

/// Requests of each kind. All of them end with a whole answer.
fn requests() -> Vec<String> {
    let paths = [
        "/",
        "/chunks",
        "/none",
        "/same",
        "/old",
        "/broken",
        "/turned-away",
        "/gone",
        "/nonsense",
        "/big",
    ];
    let mut all: Vec<_> = paths
        .iter()
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: web\r\nCookie: a=b\r\n\r\n"))
        .collect();
    let long = "x".repeat(200_000);
    all.extend([
        "POST /p HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nabcde".to_owned(),
        format!("PUT /p HTTP/1.1\r\nHost: web\r\nContent-Length: 200000\r\n\r\n{long}"),
        "POST /chunks HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-End: 1\r\n\r\n"
            .to_owned(),
        "GET /x HTTP/1.0\r\nHost: web\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: web\r\nl5d-dtab: /x\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: web\r\nVia: 1.1 a, 1.1 b\r\nl5d-sample: 0.0\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: web\r\nForwarded: for=9.9.9.9\r\nl5d-ctx-deadline: nonsense\r\n\r\n"
            .to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: web\r\nMax-Forwards: 7\r\n\r\n".to_owned(),
    ]);
    all
}

/// A head as far as it does not depend on chance: ids of traces, and ports of proxies.
fn plain(head: &str, incoming: SocketAddr) -> Vec<String> {
    let chance = [
        "l5d-ctx-trace",
        "l5d-reqid",
        "traceparent",
        "l5d-ctx-deadline",
    ];
    let lines = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !chance.iter().any(|c| name.eq_ignore_ascii_case(c))
    });
    lines
        .map(|line| line.replace(&incoming.to_string(), "INCOMING"))
        .collect()
}

/// All numbers that tell how requests ended, by scope and name.
fn numbers(view: &RouterView) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut add = |scope: &str, reading: &Reading| {
        for number in &reading.numbers {
            let is_told = [
                "requests",
                "success",
                "failures",
                "status",
                "pending",
                "responses",
            ]
            .iter()
            .any(|name| number.of.name.starts_with(name));
            if is_told {
                let name = format!("{scope} {} {}", number.of.name, number.part);
                all.insert(name, number.value);
            }
        }
    };
    view.servers.iter().for_each(|s| add("server", &s.reading));
    view.services.iter().for_each(|s| add(&s.label, &s.reading));
    view.clients.iter().for_each(|s| add(&s.label, &s.reading));
    add("own", &view.own);
    all
}

/// What is seen of all requests, sent one after the other over one connection as far as it lasts: by the client, by the
/// application, and by who reads the metrics.
async fn outcome(
    from: Proxy,
    to: Option<Proxy>,
    id: &str,
) -> (Vec<Message>, Vec<Message>, [BTreeMap<String, u64>; 2], u64) {
    let app = app().await;
    let incoming = to.as_ref().unwrap_or(&from).incoming;
    lead(&from, to.as_ref().unwrap_or(&from), id, app.addr);
    let mut answers = Vec::new();
    let mut client = from.connect().await;
    for request in requests() {
        client.send(&request).await;
        let mut answer = client.response().await;
        let is_last = answer.get("connection") == Some("close") || answer.line().contains("/1.0");
        answer.head = plain(&answer.head, incoming).join("\n");
        answer.body = answer.body.replace(&incoming.to_string(), "INCOMING");
        answer.body = answer.body.replace(&app.addr.to_string(), "APP");
        answer.head = answer.head.replace(&app.addr.to_string(), "APP");
        answers.push(answer);
        if is_last {
            client = from.connect().await;
        }
    }
    drop(client);
    let mut seen = app.seen.lock().clone();
    for request in &mut seen {
        request.head = plain(&request.head, incoming).join("\n");
    }
    let near = ended(from).await;
    let far = match to {
        Some(to) => ended(to).await,
        None => near.clone(),
    };
    let connects = local_connects(&far);
    (
        answers,
        seen,
        [numbers(&near[0]), numbers(&far[1])],
        connects,
    )
}

#[tokio::test]
async fn requests_answers_and_metrics_are_those_of_a_socket() {
    let change = |router: &mut Router| {
        router.servers[0].clear_context = router.label == "outgoing";
        router.servers[0].forwarded = Some(crate::config::Forwarded {
            by: crate::config::Labeler::Ip,
            from: crate::config::Labeler::Ip,
        });
    };
    let outside = outcome(Proxy::with(change), Some(Proxy::with(change)), PLAIN).await;
    assert_eq!(outside.3, 0, "another process is reached by a socket");
    let inside = outcome(Proxy::with(change), None, PLAIN).await;
    assert!(inside.3 > 0, "the own one is not");
    assert_eq!(inside.0.len(), requests().len());
    for ((inside, outside), request) in inside.0.iter().zip(&outside.0).zip(requests()) {
        assert_eq!(inside, outside, "{request}");
    }
    assert_eq!(inside.1.len(), outside.1.len());
    for (inside, outside) in inside.1.iter().zip(&outside.1) {
        assert_eq!(inside, outside);
    }
    assert_eq!(inside.2, outside.2);
}

#[tokio::test]
async fn a_node_does_not_ask_itself_for_http_2() {
    let app = Backend::named("app").await;
    let proxy = within(app.addr, |_| {});
    for _ in 0..3 {
        let answer = proxy.ask(GET).await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, "app"));
        assert_eq!(answer.get("via"), Some("1.1 linkerd, 1.1 linkerd"));
    }
    assert!(!app.last().head.contains("l5d-node"));
    let views = ended(proxy).await;
    // A connection that is kept serves all.
    assert_eq!(local_connects(&views), 1);
    assert_eq!(views[1].servers[0].reading.value(&table::CONNECTS), 1);
    assert_eq!(views[1].servers[0].reading.value(&table::CLOSES), 1);
    assert_eq!(views[1].servers[0].reading.value(&table::CONNECTIONS), 0);
}

#[tokio::test]
async fn a_router_that_listens_everywhere_is_known_by_any_address_of_this_host() {
    let app = Backend::named("app").await;
    let everywhere = |router: &mut Router| router.servers[0].addr = ([0, 0, 0, 0], 0).into();
    let proxy = Proxy::with(everywhere);
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 9], port));
    let cluster = proxy
        .names
        .cluster(PLAIN, addresses(&[at(proxy.incoming.port())]));
    proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    proxy.names.bind(1, "/svc/web", &[app.addr]);
    let own = proxy
        .names
        .cluster("/#/own", addresses(&[at(proxy.addr.port())]));
    proxy.names.set(0, "/svc/loop", "", leaf(&own, "/"));
    let mut client = Peer::connect(at(proxy.addr.port())).await;
    client.send(GET).await;
    assert_eq!(client.response().await.body, "app");
    client.send(&GET.replace("web", "loop")).await;
    let refused = client.response().await;
    assert_eq!(refused.status(), 502);
    assert!(refused.body.contains("loop"), "{}", refused.body);
    drop(client);
    assert_eq!(local_connects(&ended(proxy).await), 1);
}

#[tokio::test]
async fn two_routers_that_call_each_other_end_at_the_call_depth() {
    let proxy = Proxy::with(|router| router.servers[0].max_call_depth = 20);
    let (there, back) = (proxy.incoming, proxy.addr);
    proxy.names.bind(0, "/svc/web", &[there]);
    proxy.names.bind(1, "/svc/web", &[back]);
    let answer = proxy.ask(GET).await;
    assert_eq!(answer.status(), 400, "{answer:?}");
    let views = ended(proxy).await;
    assert!(local_connects(&views) >= 9);
}

#[tokio::test]
async fn nodes_know_themselves_without_a_handshake() {
    let pki = Pki::new();
    let app = Backend::named("app").await;
    let change = |router: &mut Router| {
        super::tls::localnode(router);
        router.client.base_mut().forward_client_cert = true;
    };
    let node = |name| Proxy::as_node(Some(pki.node(name, Plaintext::Refused)), change);
    let (a, b) = (node("a"), node("b"));
    lead(&a, &b, NODES, app.addr);
    assert_eq!(a.ask(GET).await.status(), 200);
    let by_handshake = app.last();
    lead(&a, &a, NODES, app.addr);
    assert_eq!(a.ask(GET).await.status(), 200);
    let cert = |message: &Message| {
        let told = message.get("x-forwarded-client-cert").map(str::to_owned);
        told.expect("the node's certificate is told")
    };
    assert!(cert(&by_handshake).contains("/node/a"));
    assert_eq!(cert(&app.last()), cert(&by_handshake));
    let door = a.tls.acceptor(1, 0).expect("the incoming listener");
    assert_eq!(door.counts().handshakes.load(Ordering::Relaxed), 0);
    assert_eq!(local_connects(&ended(a).await), 1);
}

#[tokio::test]
async fn who_must_show_something_else_shakes_hands() {
    let pki = Pki::new();
    let app = Backend::named("app").await;
    // TLS by files on the listener: the outgoing router does not speak it.
    let proxy = Proxy::with(|router| {
        if router.label == "incoming" {
            router.servers[0].tls = Some(pki.server("incoming", &["proxy.example"]));
        }
    });
    lead(&proxy, &proxy, PLAIN, app.addr);
    assert_eq!(proxy.ask(GET).await.status(), 502);
    assert_eq!(app.count(), 0);
    assert_eq!(local_connects(&ended(proxy).await), 0);
    // Both speak it: over a socket, with all that it proves.
    let proxy = Proxy::with(|router| match &*router.label {
        "incoming" => router.servers[0].tls = Some(pki.server("incoming", &["proxy.example"])),
        _ => router.client.base_mut().tls = Some(pki.client("proxy.example")),
    });
    lead(&proxy, &proxy, PLAIN, app.addr);
    assert_eq!(proxy.ask(GET).await.body, "app");
    assert_eq!(local_connects(&ended(proxy).await), 0);
}

#[tokio::test]
async fn big_bodies_pass_a_slow_reader_whole() {
    const MIB: usize = 1 << 20;
    let app = Backend::scripted(|mut peer| async move {
        let head = peer.head().await.expect("a request");
        assert!(head.starts_with("POST"), "{head}");
        peer.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            8 * MIB
        ))
        .await;
        // What comes goes back.
        for _ in 0..8 * MIB / 4096 {
            let part = peer.bytes(4096).await;
            peer.stream.write_all(&part).await.unwrap();
        }
    })
    .await;
    let proxy = within(app.addr, |_| {});
    let client = proxy.connect().await;
    let (mut read, mut write) = client.stream.into_split();
    let block: Vec<u8> = (0..MIB).map(|i| (i * 7 + i / 251) as u8).collect();
    let sent = block.clone();
    let writer = tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: {}\r\n\r\n",
            8 * MIB
        );
        write.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..8 {
            write.write_all(&sent).await.unwrap();
        }
        write
    });
    let mut seen = Vec::new();
    let head_end = |seen: &[u8]| seen.windows(4).position(|w| w == b"\r\n\r\n");
    while head_end(&seen).is_none_or(|at| seen.len() < at + 4 + 8 * MIB) {
        // Small bites, and others get their turn before each.
        let mut bite = vec![0; 10_000];
        let n = read.read(&mut bite).await.unwrap();
        assert!(n > 0, "ended after {}", seen.len());
        seen.extend_from_slice(&bite[..n]);
        tokio::task::yield_now().await;
    }
    let body = &seen[head_end(&seen).unwrap() + 4..];
    assert!(body.chunks(MIB).all(|part| part == block));
    let _write = writer.await.unwrap();
    assert_eq!(local_connects(&ended(proxy).await), 1);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_cut_for_the_client() {
    let app = Backend::scripted(|mut peer| async move {
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
    })
    .await;
    let proxy = within(app.addr, |_| {});
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(&client.head().await.unwrap()[9..12], "200");
    let rest = client.rest().await;
    assert!(!rest.contains("0\r\n\r\n"), "no clean end: {rest:?}");
    let views = ended(proxy).await;
    for view in &views {
        let server = &view.servers[0].reading;
        assert_eq!(server.value(&table::FAILURES), 1, "{}", view.label);
    }
}

#[tokio::test]
async fn a_client_that_is_gone_takes_its_request_with_it() {
    let (told, mut tells) = tokio::sync::mpsc::channel(2);
    let app = Backend::scripted(move |mut peer| {
        let told = told.clone();
        async move {
            peer.head().await;
            told.send("came").await.unwrap();
            // No answer: only the end of the connection ends this.
            assert_eq!(peer.rest().await, "");
            told.send("left").await.unwrap();
        }
    })
    .await;
    let proxy = within(app.addr, |_| {});
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(tells.recv().await, Some("came"));
    let reset = socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO));
    reset.unwrap();
    drop(client);
    assert_eq!(tells.recv().await, Some("left"));
}

#[tokio::test]
async fn tunnels_pass_within_the_process() {
    let app = Backend::scripted(|mut peer| async move {
        peer.head().await;
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .await;
        while let Some(line) = peer.until("\n").await {
            peer.send(&line).await;
        }
        peer.send("bye").await;
    })
    .await;
    let proxy = within(app.addr, |_| {});
    let mut client = proxy.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status(), 101);
    let long = "z".repeat(300_000) + "\n";
    for text in ["a\n", &long] {
        client.send(text).await;
        assert_eq!(client.until("\n").await.unwrap(), text);
    }
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "bye", "each end is passed on");
}

#[tokio::test]
async fn draining_lets_a_request_within_the_process_end() {
    let (told, mut tells) = tokio::sync::mpsc::channel(1);
    let go = Arc::new(tokio::sync::Notify::new());
    let app = {
        let go = go.clone();
        Backend::scripted(move |mut peer| {
            let (told, go) = (told.clone(), go.clone());
            async move {
                peer.request().await;
                told.send(()).await.unwrap();
                go.notified().await;
                peer.send(&ok("late")).await;
            }
        })
        .await
    };
    let proxy = within(app.addr, |_| {});
    let mut client = proxy.connect().await;
    client.send(GET).await;
    tells.recv().await.unwrap();
    proxy.stop.cancel();
    go.notify_one();
    let answer = client.response().await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "late"));
    let views = ended(proxy).await;
    assert_eq!(views[1].servers[0].reading.value(&table::CONNECTIONS), 0);
    assert_eq!(views[1].servers[0].reading.value(&table::SUCCESS), 1);
}
