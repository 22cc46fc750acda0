//! The numbers of node-proxy 15.2 that no other test asks for, each where it is counted.

use super::*;
use crate::config::SessionLimits;
use crate::meter::{Described, Reading, table as t};

/// How long a number that follows an answer may take to show.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what}");
}

fn count(reading: &Reading, of: &'static Described) -> u64 {
    let found = reading.spreads.iter().find(|s| std::ptr::eq(s.of, of));
    found.expect(of.name).view.count()
}

fn sum(reading: &Reading, of: &'static Described) -> u64 {
    let found = reading.spreads.iter().find(|s| std::ptr::eq(s.of, of));
    found.expect(of.name).view.sum_us
}

fn part(reading: &Reading, of: &'static Described, part: &str) -> u64 {
    let mut all = reading.numbers.iter();
    let found = all.find(|n| std::ptr::eq(n.of, of) && n.part == part);
    found.map_or(0, |n| n.value)
}

fn server(proxy: &Proxy) -> Reading {
    proxy.stats().view()[0].servers[0].reading.clone()
}

fn client(proxy: &Proxy) -> Reading {
    proxy.stats().view()[0].clients[0].reading.clone()
}

#[tokio::test]
async fn bytes_and_connections_are_counted_in_both_directions_of_both_ends() {
    let backend = Backend::answering(|_| ok(&"x".repeat(100_000))).await;
    let proxy = proxy_to(&backend);
    let request = format!(
        "POST /a HTTP/1.1\r\nHost: web\r\nContent-Length: 50000\r\nConnection: close\r\n\r\n{}",
        "y".repeat(50_000)
    );
    let mut peer = proxy.connect().await;
    peer.send(&request).await;
    let answer = peer.response().await;
    assert_eq!(answer.body.len(), 100_000);
    drop(peer);
    until("the client's end", || server(&proxy).value(&t::CLOSES) == 1).await;
    let (server, client) = (server(&proxy), client(&proxy));
    assert_eq!(server.value(&t::CONNECTS), 1);
    assert_eq!(server.value(&t::CONNECTIONS), 0);
    assert_eq!(server.value(&t::TLS_CONNECTIONS), 0);
    assert_eq!(server.value(&t::RECEIVED_BYTES), request.len() as u64);
    let sent = (answer.head.len() + answer.body.len()) as u64;
    assert_eq!(server.value(&t::SENT_BYTES), sent);
    assert_eq!(count(&server, &t::CONNECTION_DURATION), 1);
    // Heads differ by what is added; bodies do not.
    let (received, sent) = (
        client.value(&t::RECEIVED_BYTES),
        client.value(&t::SENT_BYTES),
    );
    assert!((100_000..101_000).contains(&received), "{received}");
    assert!((50_000..51_000).contains(&sent), "{sent}");
    assert_eq!(client.value(&t::CONNECTS), 1);
    assert_eq!(client.value(&t::POOL_SIZE), 1);
    assert_eq!(client.value(&t::CLOSES), 0);
}

#[tokio::test]
async fn a_connection_that_the_endpoint_ends_is_closed() {
    let backend = Backend::answering(|_| {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned()
    })
    .await;
    let proxy = proxy_to(&backend);
    proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    until("the end", || client(&proxy).value(&t::CLOSES) == 1).await;
    let client = client(&proxy);
    assert_eq!(client.value(&t::CONNECTIONS), 0);
    assert_eq!(count(&client, &t::CONNECTION_DURATION), 1);
}

#[tokio::test]
async fn overrides_handling_and_sending_again_are_measured() {
    let backend = Backend::named("a").await;
    let proxy = proxy_to(&backend);
    let path = "/svc/web";
    proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    let first = server(&proxy);
    assert_eq!(count(&first, &t::DTAB_SIZE), 0);
    assert_eq!(count(&first, &t::HANDLE_TIME), 1);
    let local = "/x=>/y;/z=>/y";
    let cluster = proxy.names.bind(0, path, &[backend.addr]);
    proxy.names.set(0, path, local, leaf(&cluster, "/"));
    let request = format!("GET / HTTP/1.1\r\nHost: web\r\nl5d-dtab: {local}\r\n\r\n");
    assert_eq!(proxy.ask(&request).await.status(), 200);
    let second = server(&proxy);
    assert_eq!(count(&second, &t::DTAB_SIZE), 1);
    assert_eq!(sum(&second, &t::DTAB_SIZE), 2);
    assert_eq!(count(&second, &t::HANDLE_TIME), 2);
    until("the end of both", || {
        count(&client(&proxy), &t::REQUEUES_PER_REQUEST) == 2
    })
    .await;
    let client = client(&proxy);
    assert_eq!(sum(&client, &t::REQUEUES_PER_REQUEST), 0);
    assert!(client.value(&t::LB_REBUILDS) >= 1);
    let own = &proxy.stats().view()[0].own;
    assert!(own.value(&t::CLIENT_MISSES) >= 1);
}

#[tokio::test]
async fn failures_say_why_at_the_service_and_at_the_client() {
    let proxy = Proxy::start();
    proxy.names.bind(0, "/svc/web", &[ports::nobody()]);
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(answer.status(), 502);
    until("its end", || {
        let view = &proxy.stats().view()[0];
        view.services[0].reading.value(&t::FAILURES) == 1
    })
    .await;
    let view = &proxy.stats().view()[0];
    for scope in [&view.services[0], &view.clients[0]] {
        let n = part(&scope.reading, &t::EXCEPTIONS, "connect_failed");
        assert_eq!(n, 1, "{}", scope.label);
    }
}

#[tokio::test]
async fn what_is_turned_away_is_a_nack() {
    let (entered, mut told) = tokio::sync::mpsc::channel(1);
    let backend = Backend::scripted(move |mut peer| {
        let entered = entered.clone();
        async move {
            peer.request().await;
            let _ = entered.send(()).await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let proxy = Proxy::with(|r| r.servers[0].max_concurrent_requests = Some(1));
    proxy.names.bind(0, "/svc/web", &[backend.addr]);
    let mut first = proxy.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    told.recv().await.expect("it is there");
    assert_eq!(server(&proxy).value(&t::REQUEST_CONCURRENCY), 1);
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!(answer.status(), 503);
    let server = server(&proxy);
    assert_eq!(server.value(&t::NACKS), 1);
    assert_eq!(server.value(&t::REFUSED), 0);
    assert_eq!(part(&server, &t::EXCEPTIONS, "overloaded"), 1);
}

#[tokio::test]
async fn connections_that_are_over_say_why_and_all_are_bounded() {
    let limits = SessionLimits {
        idle: Some(Duration::from_millis(20)),
        life: None,
    };
    let proxy = Proxy::with(|r| r.servers[0].session = limits);
    let own = || proxy.stats().own();
    let mut peer = proxy.connect().await;
    assert_eq!(peer.rest().await, "");
    until("the idle end", || server(&proxy).value(&t::IDLE_ENDS) == 1).await;
    assert_eq!(server(&proxy).value(&t::LIFETIME_ENDS), 0);
    until("nobody is connected", || {
        own().value(&t::CLIENT_CONNECTIONS) == 0
    })
    .await;
    assert!(own().value(&t::CLIENT_CONNECTIONS_MAX) >= 1);
    assert_eq!(own().value(&t::CLIENT_CONNECTIONS_FULL), 0);
}
