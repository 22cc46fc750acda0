//! Each row of table 11.2 of the node proxy's specification, provoked once (acceptance 5): status, what `l5d-err` says,
//! whether the sender may try elsewhere, whether the connection goes on. Details of single rows stand in the other files.

use super::*;
use crate::cache::Failure;
use crate::config::Router;
use crate::meter::table as metrics;

const GET: &str = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

/// What a row promises.
struct Row {
    name: &'static str,
    request: String,
    status: u16,
    /// What `l5d-err` begins with, form-encoded; empty: there is none.
    err: &'static str,
    is_retryable: bool,
    /// Whether the connection takes another request.
    stays: bool,
}

fn row(name: &'static str, status: u16, err: &'static str) -> Row {
    Row {
        name,
        request: GET.to_owned(),
        status,
        err,
        is_retryable: false,
        stays: true,
    }
}

impl Row {
    fn asking(mut self, request: impl Into<String>) -> Self {
        self.request = request.into();
        self
    }

    fn retryable(mut self) -> Self {
        self.is_retryable = true;
        self
    }

    fn closing(mut self) -> Self {
        self.stays = false;
        self
    }

    async fn check(self, proxy: &Proxy) {
        let name = self.name;
        let mut client = proxy.connect().await;
        client.send(&self.request).await;
        let response = client.response().await;
        assert_eq!(response.status(), self.status, "{name}: {}", response.head);
        let err = response.get("l5d-err").unwrap_or_default();
        match self.err {
            "" => assert_eq!(err, "", "{name}"),
            begin => assert!(err.starts_with(begin), "{name}: {err}"),
        }
        let retryable = response.get("l5d-retryable");
        assert_eq!(retryable == Some("true"), self.is_retryable, "{name}");
        client.send(GET).await;
        assert_eq!(client.head().await.is_some(), self.stays, "{name}");
    }
}

/// What is wrong with the request.
#[tokio::test]
async fn requests() {
    let proxy = Proxy::start();
    let malformed = "Malformed+request";
    for row in [
        row("malformed", 400, malformed)
            .asking("nonsense\r\n\r\n")
            .closing(),
        row("initial line too long", 414, malformed)
            .asking(format!(
                "GET /{} HTTP/1.1\r\nHost: web\r\n\r\n",
                "x".repeat(5000)
            ))
            .closing(),
        row("headers too long", 431, malformed)
            .asking(format!(
                "GET / HTTP/1.1\r\nHost: web\r\nX: {}\r\n\r\n",
                "x".repeat(9000)
            ))
            .closing(),
        row("bad dtab", 400, "invalid+dtab+override")
            .asking("GET / HTTP/1.1\r\nHost: web\r\nl5d-dtab: nonsense\r\n\r\n"),
        row("not identified", 400, "Unknown+destination").asking("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        row("call depth", 400, "Maximum+number+of+calls").asking(format!(
            "GET / HTTP/1.1\r\nHost: web\r\nVia: {}\r\n\r\n",
            vec!["1.1 l"; 1001].join(",")
        )),
        row("conflicting lengths", 400, malformed)
            .asking(
                "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            )
            .closing(),
    ] {
        row.check(&proxy).await;
    }
}

/// What is wrong with the name.
#[tokio::test]
async fn names() {
    let impatient = Proxy::with(|r| r.binding_timeout = Duration::from_millis(50));
    row(
        "pending",
        503,
        "Exceeded+50.milliseconds+binding+timeout+while+resolving",
    )
    .retryable()
    .check(&impatient)
    .await;
    let proxy = Proxy::start();
    let set = |state| proxy.names.set(0, "/svc/web", "", state);
    set(NameState::Failed(Failure {
        message: "no such namer".into(),
        is_limit: false,
    }));
    row("namer failed", 502, "no+such+namer")
        .check(&proxy)
        .await;
    set(NameState::Bound(Arc::new(NameTree::Neg)));
    row("no binding", 502, "Unable+to+route+request")
        .check(&proxy)
        .await;
    for replicas in [Replicas::Neg, addresses(&[])] {
        let cluster = proxy.names.cluster("/#/empty", replicas);
        set(leaf(&cluster, "/"));
        row("no address", 502, "Unable+to+route+request")
            .retryable()
            .check(&proxy)
            .await;
    }
    let cluster = proxy.names.cluster("/#/web", addresses(&[ports::nobody()]));
    set(leaf(&cluster, "/"));
    row(
        "connection refused",
        502,
        "Unable+to+establish+connection+to",
    )
    .retryable()
    .check(&proxy)
    .await;
}

/// What is wrong with the answer.
#[tokio::test]
async fn answers() {
    for (name, answer, err) in [
        ("lost after it was sent", "", "the+connection+to"),
        (
            "conflicting lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "malformed+response",
        ),
        ("malformed", "nonsense\r\n\r\n", "malformed+response"),
        (
            "its own",
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            "",
        ),
    ] {
        let app = Backend::answering(move |_| answer.to_owned()).await;
        let proxy = proxy_to(&app);
        let status = if err.is_empty() { 503 } else { 502 };
        row(name, status, err)
            .asking("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n")
            .check(&proxy)
            .await;
    }
}

/// What took too long; each names its limit.
#[tokio::test]
async fn limits() {
    let silent =
        Backend::scripted(|mut peer| async move { while peer.request().await.is_some() {} }).await;
    const SHORT: Duration = Duration::from_millis(50);
    type Change = fn(&mut Router);
    let changes: [(&str, Change); 3] = [
        ("requestAttemptTimeoutMs", |r| {
            r.client.base_mut().attempt_timeout = Some(SHORT);
        }),
        ("totalTimeoutMs", |r| {
            r.service.base_mut().total_timeout = Some(SHORT)
        }),
        ("timeoutMs", |r| r.servers[0].timeout = Some(SHORT)),
    ];
    for (key, change) in changes {
        let proxy = Proxy::with(change);
        proxy.names.bind(0, "/svc/web", &[silent.addr]);
        row(key, 503, "exceeded+50.milliseconds")
            .check(&proxy)
            .await;
        assert!(proxy.ask(GET).await.body.contains(&format!("({key})")));
    }
    // Nobody gets in; nobody waits.
    let full = Proxy::with(|r| r.servers[0].max_concurrent_requests = Some(0));
    row("maxConcurrentRequests", 503, "Too+many+requests")
        .retryable()
        .check(&full)
        .await;
    let crowded = Proxy::with(|r| {
        let pool = &mut r.client.base_mut().pool;
        (pool.max, pool.max_waiters) = (Some(1), Some(0));
    });
    crowded.names.bind(0, "/svc/web", &[silent.addr]);
    let mut first = crowded.connect().await;
    first.send(GET).await;
    let is_waiting = || {
        let view = crowded.stats().view().remove(0);
        let client = view.clients.first();
        client.is_some_and(|c| c.reading.value(&metrics::PENDING) == 1)
    };
    while !is_waiting() {
        tokio::task::yield_now().await;
    }
    row("too many waiters", 503, "Unable+to+send+the+request")
        .retryable()
        .check(&crowded)
        .await;
}
