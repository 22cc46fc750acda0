//! Each row of the table of errors, node-proxy 11.2.

use super::*;
use crate::cache::Failure;

const GET: &str = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

/// Sends `request`, expects `status`, and that the connection then takes another request (`stays`) or ends.
async fn refused(proxy: &Proxy, request: &str, status: u16, stays: bool) -> Message {
    let mut client = proxy.connect().await;
    client.send(request).await;
    let response = client.response().await;
    assert_eq!(response.status(), status, "{request:?}: {}", response.body);
    assert!(response.get("l5d-err").is_some(), "{}", response.head);
    assert_eq!(response.get("content-type"), Some("text/plain"));
    if stays {
        client.send(request).await;
        assert_eq!(client.response().await.status(), status);
    } else {
        assert_eq!(response.get("connection"), Some("close"));
        assert_eq!(client.rest().await, "");
    }
    response
}

fn is_retryable(response: &Message) -> bool {
    response.get("l5d-retryable") == Some("true")
}

#[tokio::test]
async fn too_long_heads() {
    let proxy = Proxy::start();
    let long = "x".repeat(5000);
    refused(
        &proxy,
        &format!("GET /{long} HTTP/1.1\r\nHost: web\r\n\r\n"),
        414,
        false,
    )
    .await;
    // Said before the line has ended.
    refused(&proxy, &format!("GET /{long}"), 414, false).await;
    let many = format!("A: {long}\r\nB: {long}\r\n");
    let response = refused(
        &proxy,
        &format!("GET / HTTP/1.1\r\nHost: web\r\n{many}\r\n"),
        431,
        false,
    )
    .await;
    assert!(response.body.contains("maxHeadersKB"));
    refused(
        &proxy,
        &format!("GET / HTTP/1.1\r\nHost: web\r\n{many}{many}"),
        431,
        false,
    )
    .await;
    let fields = "a: b\r\n".repeat(200);
    refused(
        &proxy,
        &format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n"),
        431,
        false,
    )
    .await;
}

#[tokio::test]
async fn bad_dtabs_come_before_anything_else() {
    let proxy = Proxy::start();
    for field in ["l5d-dtab", "l5d-ctx-dtab"] {
        let request = format!("GET / HTTP/1.1\r\nHost:\r\n{field}: /a => \r\n\r\n");
        let response = refused(&proxy, &request, 400, true).await;
        assert!(response.body.contains("dtab"), "{}", response.body);
    }
}

#[tokio::test]
async fn unidentified() {
    let proxy = Proxy::start();
    for request in [
        "GET /a?secret HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let response = refused(&proxy, request, 400, true).await;
        assert_eq!(
            response.body,
            "Unknown destination: GET /a / Host header is absent"
        );
    }
}

#[tokio::test]
async fn call_depth() {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(|r| r.servers[0].max_call_depth = 3);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let via = |n| "Via: 1.1 a\r\n".repeat(n);
    let exactly = format!(
        "GET / HTTP/1.1\r\nHost: web\r\nVia: 1.0 x, 1.1 y\r\n{}\r\n",
        via(1)
    );
    assert_eq!(proxy.ask(&exactly).await.status(), 200);
    assert_eq!(
        app.last().get("via"),
        Some("1.0 x, 1.1 y, 1.1 a, 1.1 linkerd")
    );
    let more = format!(
        "GET / HTTP/1.1\r\nHost: web\r\nVia: 1.0 x, 1.1 y\r\n{}\r\n",
        via(2)
    );
    let response = refused(&proxy, &more, 400, true).await;
    assert_eq!(
        response.body,
        "Maximum number of calls (3) has been exceeded. Please check for proxy loops."
    );
}

#[tokio::test]
async fn connect_opens_no_tunnel() {
    let proxy = Proxy::start();
    let response = refused(
        &proxy,
        "CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n",
        405,
        false,
    )
    .await;
    assert!(response.get("allow").is_some());
}

#[tokio::test]
async fn no_binding() {
    let proxy = Proxy::start();
    for tree in [NameTree::Neg, NameTree::Fail, NameTree::Empty] {
        proxy
            .names
            .set(0, "/svc/web", "", NameState::Bound(Arc::new(tree)));
        let response = refused(&proxy, GET, 502, true).await;
        assert_eq!(
            response.body,
            "Unable to route request!\n\nservice name: /svc/web\ndtab:\n  /svc => /host\n  /host => /#/test\n\
             base dtab:\n  /svc => /host\n  /host => /#/test\noverride dtab:\n"
        );
        assert!(
            response
                .get("l5d-err")
                .unwrap()
                .starts_with("Unable+to+route+request%21%0A%0A")
        );
        assert!(!is_retryable(&response));
        assert_eq!(response.get("l5d-success-class"), Some("0.0"));
    }
}

#[tokio::test]
async fn k8s_62_bound_without_address_is_retryable() {
    let proxy = Proxy::start();
    for replicas in [Replicas::Neg, addresses(&[])] {
        let cluster = proxy.names.cluster("/#/x", replicas);
        proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
        let response = refused(&proxy, GET, 502, true).await;
        assert!(
            response
                .body
                .starts_with("Unable to route request!\n\nservice name: /svc/web\n")
        );
        assert!(response.body.ends_with("client name: /#/x\n"));
        assert!(is_retryable(&response));
    }
}

#[tokio::test]
async fn connection_refused() {
    let proxy = Proxy::start();
    let dead = ports::nobody();
    proxy.names.bind(0, "/svc/web", &[dead]);
    let response = refused(&proxy, GET, 502, true).await;
    let begin = format!(
        "Unable to establish connection to {dead}.\n\nservice name: /svc/web\nclient name: /#/test/svc/web\n\
         addresses: [{dead}]\nselected address: {dead}\n"
    );
    assert!(response.body.starts_with(&begin), "{}", response.body);
    assert!(is_retryable(&response));
}

#[tokio::test]
async fn pending_until_the_binding_timeout() {
    let proxy = Proxy::with(|r| r.binding_timeout = Duration::from_millis(20));
    let response = refused(&proxy, GET, 503, true).await;
    assert_eq!(
        response.body,
        "Exceeded 20.milliseconds binding timeout while resolving name: /svc/web\nnamerd has not answered"
    );
    assert!(is_retryable(&response));
    let cluster = proxy.names.cluster("/#/x", Replicas::Pending);
    proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    assert!(is_retryable(&refused(&proxy, GET, 503, true).await));
}

#[tokio::test]
async fn a_name_that_binds_while_requests_wait() {
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    let mut client = proxy.connect().await;
    client.send(GET).await;
    // The request is waiting as soon as its name has been asked for.
    while proxy.names.names.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let cluster = proxy.names.cluster("/#/x", Replicas::Pending);
    proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    cluster.set(addresses(&[app.addr]));
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn failed_names_and_clusters() {
    let proxy = Proxy::start();
    let failed = |is_limit| {
        NameState::Failed(Failure {
            message: "namer says no".into(),
            is_limit,
        })
    };
    proxy.names.set(0, "/svc/web", "", failed(false));
    let response = refused(&proxy, GET, 502, true).await;
    assert_eq!(
        (response.body.as_str(), is_retryable(&response)),
        ("namer says no", false)
    );
    proxy.names.set(0, "/svc/web", "", failed(true));
    assert!(is_retryable(&refused(&proxy, GET, 503, true).await));
    let cluster = proxy
        .names
        .cluster("/#/x", Replicas::Failed("no such port".into()));
    proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    assert_eq!(refused(&proxy, GET, 502, true).await.body, "no such port");
}

#[tokio::test]
async fn timeouts() {
    let silent = Backend::scripted(|mut peer| async move {
        peer.rest().await;
    })
    .await;
    for (total, attempt, key) in [
        (Some(20), None, "totalTimeoutMs"),
        (None, Some(20), "requestAttemptTimeoutMs"),
    ] {
        let proxy = Proxy::with(|r| {
            r.service.base_mut().total_timeout = total.map(Duration::from_millis);
            r.client.base_mut().attempt_timeout = attempt.map(Duration::from_millis);
        });
        proxy.names.bind(0, "/svc/web", &[silent.addr]);
        let response = refused(&proxy, GET, 503, true).await;
        assert!(response.body.contains(key), "{}", response.body);
        assert!(!is_retryable(&response));
    }
}

#[tokio::test]
async fn lost_and_malformed_responses() {
    for (answer, what) in [
        ("", "was lost before the response"),
        ("HTTP/1.1 200 OK\r\nContent-", "ends in its head"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "conflicting Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
            "invalid Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na",
            "Transfer-Encoding",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding in HTTP/1.0",
        ),
        (
            "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
            "invalid header name",
        ),
        ("HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n", "bare LF"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "invalid chunk size",
        ),
        ("HTTP/1.1 101 Switching\r\n\r\n", "interim"),
        ("SMTP ready\r\n", "malformed"),
    ] {
        let app = Backend::scripted(move |mut peer| async move {
            peer.request().await;
            peer.send(answer).await;
        })
        .await;
        let proxy = proxy_to(&app);
        let response = refused(&proxy, GET, 502, true).await;
        assert!(
            response.body.contains(what),
            "{answer:?}: {}",
            response.body
        );
        assert!(!is_retryable(&response));
    }
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(9000));
    let app = Backend::answering(move |_| long.clone()).await;
    refused(&proxy_to(&app), GET, 502, true).await;
}

#[tokio::test]
async fn a_router_does_not_call_itself() {
    let proxy = Proxy::start();
    proxy.names.bind(0, "/svc/web", &[proxy.addr]);
    let response = refused(&proxy, GET, 502, true).await;
    assert!(
        response.body.contains("this router itself"),
        "{}",
        response.body
    );
}

/// Trap 18.25, for a router that listens on all addresses of the host.
#[tokio::test]
async fn a_router_does_not_call_itself_by_another_address_of_its_host() {
    // Asks the system for the address it would send from; nothing is sent.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe
        .connect("192.0.2.1:9")
        .and_then(|()| probe.local_addr());
    let Some(ip) = own.ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback()) else {
        eprintln!("skipped: this host has no other address");
        return;
    };
    let proxy = Proxy::with(|r| r.servers[0].addr = ([0, 0, 0, 0], 0).into());
    let other = (ip, proxy.addr.port()).into();
    proxy.names.bind(0, "/svc/web", &[other]);
    let response = refused(&proxy, GET, 502, true).await;
    assert!(
        response.body.contains("this router itself"),
        "{}",
        response.body
    );
}

/// The previous hop has the same limit for headers, and must be able to read what this one says.
#[tokio::test]
async fn l5d_err_leaves_room_for_the_other_fields() {
    let proxy = Proxy::with(|r| {
        let entry = |n| format!("/svc/{n}/{} => /x", "y".repeat(40));
        let dtab = (0..300).map(entry).collect::<Vec<_>>().join(";");
        r.dtab = Dtab::parse(&dtab).unwrap();
    });
    let neg = NameState::Bound(Arc::new(NameTree::Neg));
    proxy.names.set(1, "/svc/web", "", neg);
    proxy.names.bind(0, "/svc/web", &[proxy.incoming]);
    let response = refused(&proxy, GET, 502, true).await;
    assert!(response.body.starts_with("Unable to route request!"));
    assert!(response.body.len() > 20_000);
}

#[tokio::test]
async fn a_failure_to_head_has_no_body() {
    let proxy = Proxy::start();
    proxy
        .names
        .set(0, "/svc/web", "", NameState::Bound(Arc::new(NameTree::Neg)));
    let mut client = proxy.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 502 "));
    client.send(GET).await;
    assert_eq!(client.response().await.status(), 502);
}

#[tokio::test]
async fn an_answer_before_a_long_body_closes() {
    let proxy = Proxy::start();
    proxy
        .names
        .set(0, "/svc/web", "", NameState::Bound(Arc::new(NameTree::Neg)));
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\nbegin")
        .await;
    let response = client.response().await;
    assert_eq!(
        (response.status(), response.get("connection")),
        (502, Some("close"))
    );
    // A short one was read: the connection stays.
    let short = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi";
    refused(&proxy, short, 502, true).await;
}

fn part(reading: &crate::meter::Reading, name: &str, part: &str) -> u64 {
    let mut all = reading.numbers.iter();
    let found = all.find(|n| n.of.name == name && n.part == part);
    found.unwrap().value
}

#[tokio::test]
async fn what_happened_is_counted() {
    let app = Backend::answering(|r| match r.line().contains("bad") {
        true => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into(),
        false => ok("x"),
    })
    .await;
    let proxy = proxy_to(&app);
    for path in ["/", "/", "/bad"] {
        proxy
            .ask(&format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n"))
            .await;
    }
    proxy.ask("nonsense\r\n\r\n").await;
    proxy.ask("GET / HTTP/1.1\r\nHost:\r\n\r\n").await;
    let number = |scope: &super::super::ScopeView, name: &str| part(&scope.reading, name, "");
    // The counts follow the responses.
    let view = loop {
        let view = proxy.stats().view().remove(0);
        if number(&view.servers[0], "pending") == 0 && number(&view.servers[0], "requests") == 4 {
            break view;
        }
        tokio::task::yield_now().await;
    };
    let server = &view.servers[0].reading;
    let counts = ["requests", "success", "failures"].map(|name| part(server, name, ""));
    assert_eq!(counts, [4, 3, 1]);
    let classes = ["2XX", "4XX", "5XX"].map(|class| part(server, "status/<class>", class));
    assert_eq!(classes, [2, 1, 1]);
    assert_eq!(part(server, "status/<code>", "400"), 1);
    assert_eq!(number(&view.servers[0], "refused"), 1);
    assert_eq!(view.services[0].label, "svc/web");
    assert_eq!(number(&view.services[0], "requests"), 3);
    assert_eq!(view.clients[0].label, "#/test/svc/web");
    assert_eq!(number(&view.clients[0], "connects"), 1);
    let spread = |scope: &super::super::ScopeView, name| {
        let found = scope.reading.spreads.iter().find(|s| s.of.name == name);
        found.unwrap().view.count()
    };
    assert_eq!(spread(&view.clients[0], "request_latency_ms"), 3);
    let pair = &view.pairs[0];
    assert_eq!(
        (pair.label.as_str(), pair.service.as_str()),
        ("#/test/svc/web", "svc/web")
    );
    assert_eq!((number(pair, "requests"), number(pair, "failures")), (3, 1));
    for reason in ["malformed", "unidentified"] {
        assert_eq!(part(server, "failures/<exception>", reason), 1);
        assert_eq!(part(&view.own, "responses_made/<reason>", reason), 1);
    }
    let loads = proxy.servers.as_ref().unwrap().loads().await;
    assert_eq!(loads[0].endpoints[0].addr, app.addr);
    assert_eq!(
        (loads[0].endpoints[0].pending, loads[0].endpoints[0].idle),
        (0, 1)
    );
}
