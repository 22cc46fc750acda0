//! Retries by the service's classifier, budgets, time limits, admission, queues: what requests see of them (node-proxy 13.4
//! to 13.11, acceptance 6, 7, 8).

use super::*;
use crate::config::{BalancerKind, Classifier, Router};
use crate::meter::{Described, table};

const GET: &str = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody";
const STREAM: &str =
    "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";

fn proxy(change: impl Fn(&mut Router)) -> Proxy {
    Proxy::with(|r| {
        r.service.base_mut().classifier = Classifier::RetryableAll5xx;
        r.client.base_mut().load_balancer.kind = BalancerKind::P2c { max_effort: 5 };
        change(r);
    })
}

/// Fails `n` times with 500 and a body, then answers what it got.
async fn failing(n: u64) -> Backend {
    let left = Arc::new(AtomicU64::new(n));
    Backend::answering(move |request| {
        let is_over = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_err();
        match is_over {
            true => ok(&format!("got {}", request.body)),
            false => "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops".to_owned(),
        }
    })
    .await
}

/// Of the first service, once nothing is pending.
async fn service(proxy: &Proxy, of: &'static Described) -> u64 {
    loop {
        let view = proxy.stats().view().remove(0);
        let reading = &view.services[0].reading;
        if reading.value(&table::PENDING) == 0 {
            return reading.value(of);
        }
        tokio::task::yield_now().await;
    }
}

async fn client(proxy: &Proxy, of: &'static Described) -> u64 {
    service(proxy, of).await;
    proxy.stats().view()[0].clients[0].reading.value(of)
}

#[tokio::test]
async fn a_failure_is_tried_again_with_its_body_and_fresh_headers() {
    let app = failing(2).await;
    let proxy = proxy(|_| {});
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let response = proxy.ask(POST).await;
    assert_eq!(
        (response.status(), response.body.as_str()),
        (200, "got body")
    );
    assert_eq!(response.get("l5d-success-class"), Some("1.0"));
    let seen = app.seen.lock().clone();
    assert_eq!(seen.len(), 3);
    let mut spans = std::collections::HashSet::new();
    for request in &seen {
        assert_eq!(request.body, "body");
        assert_eq!(request.all("via"), ["1.1 linkerd"]);
        assert_eq!(request.all("l5d-dst-service"), ["/svc/web"]);
        spans.insert(request.get("l5d-ctx-trace").unwrap().to_owned());
    }
    assert_eq!(spans.len(), 3);
    // What was not passed on was read: one connection served all.
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
    assert_eq!(service(&proxy, &table::RETRIES).await, 2);
    assert_eq!(service(&proxy, &table::REQUESTS).await, 1);
    assert_eq!(service(&proxy, &table::SUCCESS).await, 1);
    assert_eq!(client(&proxy, &table::REQUESTS).await, 3);
    assert_eq!(client(&proxy, &table::FAILURES).await, 2);
}

#[tokio::test]
async fn what_streams_is_never_tried_again() {
    let app = failing(1).await;
    let proxy = proxy(|_| {});
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let response = proxy.ask(STREAM).await;
    assert_eq!((response.status(), response.body.as_str()), (500, "oops"));
    assert_eq!(response.get("l5d-success-class"), Some("0.0"));
    assert_eq!(app.count(), 1);
}

#[tokio::test]
async fn the_method_and_the_kind_decide() {
    for (classifier, request, attempts) in [
        (Classifier::NonRetryable5xx, GET, 1),
        (Classifier::RetryableRead5xx, GET, 2),
        (Classifier::RetryableRead5xx, POST, 1),
        (Classifier::RetryableIdempotent5xx, POST, 1),
        (Classifier::RetryableAll5xx, POST, 2),
        (Classifier::AllSuccessful, GET, 1),
    ] {
        let app = failing(1).await;
        let proxy = proxy(|r| r.service.base_mut().classifier = classifier.clone());
        proxy.names.bind(0, "/svc/web", &[app.addr]);
        let response = proxy.ask(request).await;
        assert_eq!(app.count(), attempts, "{classifier:?}");
        assert_eq!(response.status(), if attempts == 2 { 200 } else { 500 });
        let class = match classifier {
            Classifier::AllSuccessful => "1.0",
            _ if attempts == 2 => "1.0",
            _ => "0.0",
        };
        assert_eq!(response.get("l5d-success-class"), Some(class));
    }
}

/// What the response is marked with counts at the server, whatever its status (node-proxy 15.2).
#[tokio::test]
async fn the_server_counts_by_the_verdict_that_the_response_shows() {
    for (classifier, shown, expected) in [
        (Classifier::AllSuccessful, "1.0", [1, 0]),
        (Classifier::NonRetryable5xx, "0.0", [0, 1]),
    ] {
        // The application's own word on it is replaced.
        let app = Backend::answering(|_| {
            "HTTP/1.1 500 Oops\r\nl5d-success-class: 0.5\r\nContent-Length: 0\r\n\r\n".to_owned()
        })
        .await;
        let proxy = proxy(|r| r.service.base_mut().classifier = classifier.clone());
        proxy.names.bind(0, "/svc/web", &[app.addr]);
        let response = proxy.ask(GET).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.all("l5d-success-class"), [shown]);
        let counts = loop {
            let view = proxy.stats().view().remove(0);
            let reading = &view.servers[0].reading;
            let ended = [
                reading.value(&table::SUCCESS),
                reading.value(&table::FAILURES),
            ];
            if ended != [0, 0] {
                break ended;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(counts, expected, "{classifier:?}");
    }
}

/// The body that is cut after the response has begun to go out is nobody's to try again.
#[tokio::test]
async fn never_after_a_byte_has_gone_to_the_client() {
    let app = Backend::scripted(|mut peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
    })
    .await;
    let proxy = proxy(|_| {});
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let mut peer = proxy.connect().await;
    peer.send(GET).await;
    assert!(peer.rest().await.ends_with("half"));
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
    assert_eq!(service(&proxy, &table::RETRIES).await, 0);
    assert_eq!(client(&proxy, &table::FAILURES).await, 1);
}

#[tokio::test]
async fn lost_connections_and_nonsense_are_tried_again_if_the_method_allows() {
    for nonsense in ["", "nonsense\r\n\r\n"] {
        let n = Arc::new(AtomicU64::new(0));
        let app = Backend::scripted(move |mut peer| {
            let n = n.fetch_add(1, Ordering::Relaxed);
            async move {
                peer.request().await;
                peer.send(if n == 0 {
                    nonsense
                } else {
                    "HTTP/1.1 204 Fine\r\n\r\n"
                })
                .await;
            }
        })
        .await;
        let read = proxy(|r| r.service.base_mut().classifier = Classifier::RetryableRead5xx);
        read.names.bind(0, "/svc/web", &[app.addr]);
        assert_eq!(read.ask(GET).await.status(), 204);
        assert_eq!(app.connections.load(Ordering::Relaxed), 2);
    }
}

/// Acceptance 8.
#[tokio::test]
async fn the_budget_of_a_name_bounds_its_retries() {
    let app = Backend::answering(|r| match r.line().contains("bad") {
        true => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into(),
        false => ok("x"),
    })
    .await;
    let proxy = proxy(|r| {
        let service = r.service.base_mut();
        service.retry_budget.min_per_sec = 0;
        service.retry_budget.percent = 0.5;
        service.retries_per_request = 1;
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let bad = "GET /bad HTTP/1.1\r\nHost: web\r\n\r\n";
    assert_eq!(proxy.ask(GET).await.status(), 200);
    assert_eq!(service(&proxy, &table::RETRIES_BUDGET).await, 0);
    assert_eq!(proxy.ask(bad).await.status(), 500);
    assert_eq!(
        (app.count(), service(&proxy, &table::RETRIES_BUDGET).await),
        (2, 1)
    );
    assert_eq!(proxy.ask(bad).await.status(), 500);
    assert_eq!(
        (app.count(), service(&proxy, &table::RETRIES_BUDGET).await),
        (4, 0)
    );
    assert_eq!(service(&proxy, &table::RETRIES_BUDGET_EXHAUSTED).await, 1);
}

#[tokio::test]
async fn no_request_is_tried_more_often_than_one_may_be() {
    let app = failing(u64::MAX).await;
    let proxy = proxy(|r| r.service.base_mut().retries_per_request = 3);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    assert_eq!(proxy.ask(GET).await.status(), 500);
    assert_eq!(app.count(), 4);
    assert_eq!(service(&proxy, &table::RETRIES_LIMIT).await, 1);
}

/// A retry draws anew: with the other branch of a union dead, all are answered in the end.
#[tokio::test]
async fn a_retry_draws_the_leaf_anew() {
    let (good, bad) = (Backend::named("good").await, failing(u64::MAX).await);
    let proxy = proxy(|_| {});
    let branch = |id: &str, backend: &Backend| l5d_naming::Weighted {
        weight: l5d_naming::Weight::new(1.0).unwrap(),
        tree: NameTree::Leaf(Leaf {
            cluster: proxy.names.cluster(id, addresses(&[backend.addr])),
            residual: Path::root(),
        }),
    };
    let union = NameTree::Union([branch("/#/good", &good), branch("/#/bad", &bad)].into());
    proxy
        .names
        .set(0, "/svc/web", "", NameState::Bound(Arc::new(union)));
    let mut peer = proxy.connect().await;
    for _ in 0..10 {
        peer.send(GET).await;
        assert_eq!(peer.response().await.body, "good");
    }
    assert!(bad.count() > 0);
}

/// Acceptance 6: an endpoint dies under load. GETs see nothing of it; it is set aside after five failures.
#[tokio::test]
async fn the_death_of_an_endpoint_is_not_seen_by_reads() {
    let apps = [Backend::named("a").await, Backend::named("b").await];
    let bad = failing(u64::MAX).await;
    let proxy = proxy(|r| r.service.base_mut().classifier = Classifier::RetryableRead5xx);
    let [a, b] = apps.each_ref().map(|app| app.addr);
    proxy.names.bind(0, "/svc/web", &[a, b, bad.addr]);
    let mut peer = proxy.connect().await;
    let [first, second] = apps;
    let begun = tokio::time::Instant::now();
    for i in 0..100 {
        peer.send(GET).await;
        assert_eq!(peer.response().await.status(), 200, "{i}");
    }
    // The one that answers 500 has had its five, and more only if this took as long as its first rest.
    assert!(bad.count() >= 5);
    assert!(bad.count() == 5 || begun.elapsed() >= Duration::from_secs(4));
    assert_eq!(client(&proxy, &table::RETRIES_BUDGET).await, 0);
    first.kill().await;
    for i in 0..100 {
        peer.send(GET).await;
        assert_eq!(peer.response().await.status(), 200, "{i}");
    }
    assert!(second.count() > 100);
}

/// Acceptance 7: what is bound stays in force; new addresses are used at once, without a failure.
#[tokio::test]
async fn traffic_moves_without_a_failure() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let proxy = proxy(|_| {});
    let cluster = proxy.names.bind(0, "/svc/web", &[old.addr]);
    let mut peer = proxy.connect().await;
    for i in 0..60 {
        match i {
            // The interpreter is away: nothing of that replaces what is good.
            20 => cluster.set(Replicas::Failed("namerd is away".into())),
            40 => cluster.set(addresses(&[new.addr])),
            _ => {}
        }
        peer.send(GET).await;
        let expected = if i < 40 { "old" } else { "new" };
        assert_eq!(peer.response().await.body, expected, "{i}");
    }
}

/// More at once than a server takes: 503 at once, and the next may come as soon as one has ended.
#[tokio::test]
async fn a_full_server_refuses() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opener = gate.clone();
    let app = Backend::scripted(move |mut peer| {
        let gate = gate.clone();
        async move {
            while peer.request().await.is_some() {
                gate.notified().await;
                peer.send(&ok("late")).await;
            }
        }
    })
    .await;
    let proxy = proxy(|r| r.servers[0].max_concurrent_requests = Some(1));
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let mut first = proxy.connect().await;
    first.send(GET).await;
    while app.connections.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let mut second = proxy.connect().await;
    second.send(GET).await;
    let refused = second.response().await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.get("retry-after"), Some("0"));
    assert_eq!(refused.get("l5d-retryable"), Some("true"));
    assert!(
        refused
            .get("l5d-err")
            .unwrap()
            .contains("maxConcurrentRequests")
    );
    opener.notify_one();
    assert_eq!(first.response().await.status(), 200);
    // The same connection goes on.
    second.send(GET).await;
    opener.notify_one();
    assert_eq!(second.response().await.status(), 200);
}

/// `hostConnectionPool`: one connection, one that waits for it, and no room for a third.
#[tokio::test]
async fn a_pool_has_a_size_and_a_queue() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opener = gate.clone();
    let app = Backend::scripted(move |mut peer| {
        let gate = gate.clone();
        async move {
            while peer.request().await.is_some() {
                gate.notified().await;
                peer.send(&ok("late")).await;
            }
        }
    })
    .await;
    let proxy = proxy(|r| {
        let pool = &mut r.client.base_mut().pool;
        (pool.max, pool.max_waiters) = (Some(1), Some(1));
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let mut peers = [
        proxy.connect().await,
        proxy.connect().await,
        proxy.connect().await,
    ];
    peers[0].send(GET).await;
    while app.connections.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    peers[1].send(GET).await;
    while proxy.stats().view()[0].clients[0]
        .reading
        .value(&table::PENDING)
        < 2
    {
        tokio::task::yield_now().await;
    }
    peers[2].send(GET).await;
    let refused = peers[2].response().await;
    assert_eq!(
        (refused.status(), refused.get("l5d-retryable")),
        (503, Some("true"))
    );
    assert!(
        refused.body.contains("client name: /#/test/svc/web"),
        "{}",
        refused.body
    );
    for peer in &mut peers[..2] {
        opener.notify_one();
        assert_eq!(peer.response().await.body, "late");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn time_limits_end_what_would_be_tried_for_ever() {
    let silent =
        Backend::scripted(|mut peer| async move { while peer.request().await.is_some() {} }).await;
    for (key, change) in [
        (
            "timeoutMs",
            (|r| r.servers[0].timeout = Some(Duration::from_millis(200))) as fn(&mut Router),
        ),
        ("totalTimeoutMs", |r| {
            r.service.base_mut().total_timeout = Some(Duration::from_millis(200));
            r.client.base_mut().attempt_timeout = Some(Duration::from_millis(20));
        }),
    ] {
        let proxy = proxy(change);
        proxy.names.bind(0, "/svc/web", &[silent.addr]);
        let response = proxy.ask(GET).await;
        assert_eq!(response.status(), 503);
        assert!(response.body.contains(key), "{}", response.body);
    }
}

/// A deadline goes on with each attempt, the attempt's own limit included.
#[tokio::test]
async fn every_attempt_has_its_deadline() {
    let app = failing(1).await;
    let proxy = proxy(|r| r.client.base_mut().attempt_timeout = Some(Duration::from_secs(60)));
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    assert_eq!(proxy.ask(GET).await.status(), 200);
    let seen = app.seen.lock().clone();
    let deadlines: Vec<_> = seen
        .iter()
        .map(|r| r.get("l5d-ctx-deadline").unwrap())
        .collect();
    assert_eq!(deadlines.len(), 2);
    assert_ne!(deadlines[0], deadlines[1]);
}

/// `serverSession`: an idle connection ends; one that is too old ends with an answer that says so.
#[tokio::test]
async fn sessions_end_between_requests() {
    let app = Backend::named("app").await;
    let idle = proxy(|r| r.servers[0].session.idle = Some(Duration::from_millis(50)));
    idle.names.bind(0, "/svc/web", &[app.addr]);
    // On a slow machine the time may be over before the request comes.
    let mut served = 0;
    while served == 0 {
        let mut peer = idle.connect().await;
        let _ = peer.stream.write_all(GET.as_bytes()).await;
        let all = peer.rest().await;
        served += all.matches("HTTP/1.1 200").count();
        assert!(served == 0 || all.ends_with("app"), "{all}");
    }
    let old = proxy(|r| r.servers[0].session.life = Some(Duration::ZERO));
    old.names.bind(0, "/svc/web", &[app.addr]);
    let mut peer = old.connect().await;
    peer.send(&GET.repeat(2)).await;
    let last = peer.response().await;
    assert_eq!(
        (last.body.as_str(), last.get("connection")),
        ("app", Some("close"))
    );
    assert_eq!(peer.rest().await, "");
}

/// `minSize`: once a client is in use, connections are there before they are needed.
#[tokio::test]
async fn connections_are_opened_in_advance() {
    let app = Backend::named("app").await;
    let proxy = proxy(|r| r.client.base_mut().pool.min = 3);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    assert_eq!(proxy.ask(GET).await.status(), 200);
    // The sweep comes every two seconds.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while app.connections.load(Ordering::Relaxed) < 3 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "they were not opened"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(proxy.ask(GET).await.status(), 200);
    assert_eq!(client(&proxy, &table::REQUESTS).await, 2);
}

/// `streamIdleTimeoutMs`: a body that stops is cut, and the endpoint is to blame.
#[tokio::test]
async fn a_silent_body_is_cut() {
    let app = Backend::scripted(|mut peer| async move {
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        while peer.request().await.is_some() {}
    })
    .await;
    let proxy = proxy(|r| {
        r.client.base_mut().stream_idle_timeout = Some(Duration::from_millis(50));
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let mut peer = proxy.connect().await;
    peer.send(GET).await;
    assert!(peer.rest().await.ends_with("half"));
    assert_eq!(client(&proxy, &table::FAILURES).await, 1);
}
