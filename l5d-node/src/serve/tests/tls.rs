//! TLS on both sides and between nodes, over real sockets (node-proxy 14).

use super::*;
use crate::cache::FollowSet;
use crate::config::{ClientKeys, Entry, Pattern, Plaintext, Settings};
use crate::tls::pki::{Pki, ask};
use l5d_naming::TransformerSpec;
use l5d_resolver::gateways::Gateways;
use l5d_tls::ClientTls;

const GET: &str = "GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";

pub(super) fn localnode(router: &mut Router) {
    if router.label == "incoming" {
        router.interpreter.transformers = vec![TransformerSpec {
            kind: "io.l5d.k8s.localnode".to_owned(),
            ..TransformerSpec::default()
        }];
    }
}

#[tokio::test]
async fn requests_come_in_over_tls() {
    let pki = Pki::new();
    let app = Backend::answering(|r| ok(&r.body)).await;
    let proxy = Proxy::with(|router| {
        router.servers[0].tls = Some(pki.server(&router.label, &["proxy.example"]));
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let long = "x".repeat(200_000);
    let post = format!(
        "POST /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    );
    let answer = ask(proxy.addr, &pki.client("proxy.example"), &post).await;
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&long));
    // What is not TLS is not answered.
    let mut plain = proxy.connect().await;
    plain.send(GET).await;
    let rest = plain.rest().await;
    assert!(!rest.starts_with("HTTP"), "{rest}");
}

#[tokio::test]
async fn certificates_rotate_under_load_without_a_failed_request() {
    let pki = Pki::new();
    let app = Backend::named("app").await;
    let proxy = Proxy::with(|router| {
        router.servers[0].tls = Some(pki.server(&router.label, &["proxy.example"]));
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    for round in 0..20 {
        if round % 4 == 0 {
            pki.issue("outgoing", &["proxy.example"]);
        }
        proxy.tls.look().await;
        let answer = ask(proxy.addr, &pki.client("proxy.example"), GET).await;
        assert!(answer.expect("an answer").starts_with("HTTP/1.1 200"));
    }
    assert!(proxy.tls.reloads()[0] >= 4);
    assert_eq!(proxy.tls.reloads()[1], 0);
}

#[tokio::test]
async fn the_egress_pattern_originates_tls() {
    let pki = Pki::new();
    let origin = pki.origin(&pki.server("o", &["example.com"])).await;
    let proxy = Proxy::with(|router| {
        let tls = pki.client("{service}");
        let keys = ClientKeys {
            tls: Some(Some(tls)),
            ..ClientKeys::default()
        };
        let prefix = Pattern::parse("/$/io.buoyant.rinet/443/{service}").unwrap();
        router.client = Settings::by_prefix(vec![Entry { prefix, keys }]);
    });
    for (path, name) in [("/svc/web", "example.com"), ("/svc/other", "other.com")] {
        let id = format!("/$/io.buoyant.rinet/443/{name}");
        let cluster = proxy.names.cluster(&id, addresses(&[origin.addr]));
        proxy.names.set(0, path, "", leaf(&cluster, "/"));
    }
    let answer = proxy.ask(GET).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.body.starts_with("GET /x "), "{}", answer.body);
    assert!(answer.body.contains("Host: web"), "TLS does not change it");
    assert_eq!(origin.seen.lock()[0], Ok(Some("example.com".to_owned())));
    // Another name is asked for, which the origin cannot show.
    let answer = proxy.ask(&GET.replace("web", "other")).await;
    assert_eq!(answer.status(), 502);
    assert!(
        answer.body.contains("expected other.com"),
        "{}",
        answer.body
    );
    // Sessions are resumed with the endpoint, and not more is sent in the clear than before.
    let answer = proxy.ask(GET).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn validation_can_be_turned_off_and_a_common_name_will_do() {
    let (pki, other) = (Pki::new(), Pki::new());
    let origin = pki.origin(&pki.server("o", &["CN=linkerd"])).await;
    let with = |tls: ClientTls| {
        let proxy = Proxy::with(move |router| {
            router.client.base_mut().tls = Some(tls.clone());
        });
        proxy.names.bind(0, "/svc/web", &[origin.addr]);
        proxy
    };
    assert_eq!(with(pki.client("linkerd")).ask(GET).await.status(), 200);
    assert_eq!(with(pki.client("else")).ask(GET).await.status(), 502);
    assert_eq!(with(other.client("linkerd")).ask(GET).await.status(), 502);
    let unchecked = ClientTls {
        is_unchecked: true,
        ..ClientTls::default()
    };
    assert_eq!(with(unchecked).ask(GET).await.status(), 200);
}

/// Binds `/svc/web` of one node's outgoing router to another's incoming one, and there to an application.
fn join(from: &Proxy, to: &Proxy, app: &Backend) {
    let id = "/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/io.l5d.k8s/default/http/web";
    let cluster = from.names.cluster(id, addresses(&[to.incoming]));
    from.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    to.names.bind(1, "/svc/web", &[app.addr]);
}

#[tokio::test]
async fn nodes_speak_mutual_tls_and_refuse_strangers() {
    let (pki, other) = (Pki::new(), Pki::new());
    let app = Backend::answering(|r| ok(&r.head)).await;
    let node =
        |pki: &Pki, name| Proxy::as_node(Some(pki.node(name, Plaintext::Refused)), localnode);
    let (a, b, stranger) = (node(&pki, "a"), node(&pki, "b"), node(&other, "c"));
    join(&a, &b, &app);
    let answer = a.ask(GET).await;
    assert_eq!(answer.status(), 200);
    let own = b.tls.acceptor(1, 0).expect("the incoming listener");
    assert_eq!(own.counts().handshakes.load(Ordering::Relaxed), 1);
    assert!(
        b.tls.acceptor(0, 0).is_none(),
        "applications speak clear text"
    );
    // Clear text from others.
    let mut plain = Peer::connect(b.incoming).await;
    plain.send(GET).await;
    assert!(!plain.rest().await.starts_with("HTTP"));
    // Another root, on either side.
    join(&stranger, &b, &app);
    assert_eq!(stranger.ask(GET).await.status(), 502);
    join(&b, &stranger, &app);
    let answer = b.ask(GET).await;
    assert_eq!(answer.status(), 502);
    assert!(
        answer.body.contains("expected spiffe://test/node/*"),
        "{}",
        answer.body
    );
    // No identity at all.
    let nobody = Proxy::start();
    join(&nobody, &b, &app);
    assert_ne!(nobody.ask(GET).await.status(), 200);
    assert_eq!(app.count(), 1);
}

/// Who stands at the address where the tests' proxies are.
fn standing(name: &str) -> Gateways {
    Gateways::new([([127, 0, 0, 1].into(), name.into())].into())
}

#[tokio::test]
async fn the_node_at_an_address_must_be_the_one_that_namerd_names() {
    let pki = Pki::new();
    let app = Backend::named("app").await;
    let patient = |router: &mut Router| {
        localnode(router);
        router.client.base_mut().connect_timeout = Duration::from_secs(60);
    };
    let node = |name| Proxy::as_node(Some(pki.node(name, Plaintext::Refused)), patient);
    let (a, b) = (node("a"), node("b"));
    let (namerd, other) = (FollowSet::new(), FollowSet::new());
    a.tls.peers().know(&[namerd.clone(), other.clone()]);
    b.names.bind(1, "/svc/web", &[app.addr]);
    let clusters = AtomicU64::new(0);
    let ask = || async {
        // A cluster of its own each time, so a new connection.
        let n = clusters.fetch_add(1, Ordering::Relaxed);
        let id = format!("/%/io.l5d.k8s.daemonset/l5d/incoming/l5d/#/test/{n}");
        let cluster = a.names.cluster(&id, addresses(&[b.incoming]));
        a.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
        let answer = a.ask(GET).await;
        (answer.status(), answer.body)
    };
    // Both say nothing: any node of the domain.
    assert_eq!(ask().await.0, 200);
    assert_eq!(a.tls.peers().counts(), [1, 0]);
    // One of them does: still, since the address may be the other one's.
    namerd.set_gateways(Some(Gateways::default()));
    assert_eq!(ask().await.0, 200);
    assert_eq!(a.tls.peers().counts(), [2, 0]);
    // The right one, whatever the case of its letters.
    namerd.set_gateways(Some(standing("B")));
    assert_eq!(ask().await.0, 200);
    assert_eq!(a.tls.peers().counts(), [2, 0]);
    let seen = app.count();
    // Another one.
    namerd.set_gateways(Some(standing("c")));
    let (status, body) = ask().await;
    assert_eq!(status, 502);
    assert!(body.contains("expected spiffe://test/node/c"), "{body}");
    assert_eq!(a.tls.peers().counts(), [2, 1]);
    // Nobody, and all tell.
    namerd.set_gateways(Some(Gateways::default()));
    other.set_gateways(Some(Gateways::default()));
    let (status, body) = ask().await;
    assert_eq!(status, 502);
    assert!(body.contains("knows of no node"), "{body}");
    assert_eq!(a.tls.peers().counts(), [2, 2]);
    assert_eq!(app.count(), seen, "a stranger has seen nothing");
    // A name that comes while it is waited for.
    let (answer, ()) = tokio::join!(ask(), async {
        other.set_gateways(Some(standing("b")));
    });
    assert_eq!(answer.0, 200);
}

#[tokio::test]
async fn while_a_cluster_changes_over_clear_text_is_allowed_on_both_sides() {
    let pki = Pki::new();
    let app = Backend::named("app").await;
    let new = |name| Proxy::as_node(Some(pki.node(name, Plaintext::Allowed)), localnode);
    let (a, b) = (new("a"), new("b"));
    let old = Proxy::start();
    for (from, to) in [(&a, &b), (&a, &old), (&old, &b), (&old, &old)] {
        join(from, to, &app);
        assert_eq!(from.ask(GET).await.status(), 200);
    }
    let counts = b
        .tls
        .acceptor(1, 0)
        .expect("the incoming listener")
        .counts();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((count(&counts.handshakes), count(&counts.plain)), (1, 1));
}

/// Answers when as many requests wait as the barrier says.
async fn gathering(barrier: &Arc<Mutex<Arc<tokio::sync::Barrier>>>) -> Backend {
    let barrier = barrier.clone();
    Backend::scripted(move |mut peer| {
        let barrier = barrier.clone();
        async move {
            while peer.request().await.is_some() {
                let barrier = barrier.lock().clone();
                barrier.wait().await;
                peer.send(&ok("app")).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn identities_rotate_under_load_without_a_failed_request() {
    let pki = Pki::new();
    let barrier = Arc::new(Mutex::new(Arc::new(tokio::sync::Barrier::new(1))));
    let app = gathering(&barrier).await;
    // A connection for each request at a time.
    let plain = |r: &mut Router| {
        localnode(r);
        r.client.base_mut().node_http2 = false;
    };
    let node = |name| Proxy::as_node(Some(pki.node(name, Plaintext::Refused)), plain);
    let (a, b) = (node("a"), node("b"));
    join(&a, &b, &app);
    let own = b.tls.acceptor(1, 0).expect("the incoming listener");
    for round in 1..=6 {
        pki.issue("a", &["spiffe://test/node/a"]);
        pki.issue("b", &["spiffe://test/node/b"]);
        // One request more at a time: kept connections go on, and a new one is made with what is new.
        *barrier.lock() = Arc::new(tokio::sync::Barrier::new(round));
        let asks = (0..round).map(|_| a.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n"));
        let looks = async {
            for _ in 0..2 {
                a.tls.look().await;
                b.tls.look().await;
            }
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all(asks), looks);
        assert!(answers.iter().all(|answer| answer.status() == 200));
    }
    assert_eq!([a.tls.reloads(), b.tls.reloads()], [[6, 0]; 2]);
    assert_eq!(own.counts().handshakes.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_certificate_of_the_client_is_told_only_where_that_is_wanted() {
    let pki = Pki::new();
    let app = Backend::answering(|_| ok("app")).await;
    let proxy = |is_wanted| {
        let proxy = Proxy::with(|router| {
            let mut tls = pki.server(&router.label, &["proxy.example"]);
            tls.ca = Some(pki.path("ca"));
            router.servers[0].tls = Some(tls);
            router.client.base_mut().forward_client_cert = is_wanted;
        });
        proxy.names.bind(0, "/svc/web", &[app.addr]);
        proxy
    };
    let (with, without) = (proxy(true), proxy(false));
    let shown = ClientTls {
        client_auth: Some(pki.issue("me", &["me.example", "CN=me"])),
        ..pki.client("proxy.example")
    };
    let bare = pki.client("proxy.example");
    let forged = GET.replace(
        "Connection",
        "x-forwarded-client-cert: forged\r\nConnection",
    );
    for (proxy, tls, told) in [
        (&with, &shown, true),
        (&with, &bare, false),
        (&without, &shown, false),
    ] {
        let answer = ask(proxy.addr, tls, &forged).await;
        assert!(answer.expect("an answer").starts_with("HTTP/1.1 200"));
        let seen = app.last();
        let seen = seen.get("x-forwarded-client-cert");
        assert_eq!(seen.is_some(), told, "{seen:?}");
        if let Some(seen) = seen {
            let (hash, rest) = seen.split_once(';').expect("a hash and more");
            assert!(hash.starts_with("Hash=") && hash.len() == 69);
            assert_eq!(rest, "DNS=me.example;Subject=\"CN=me\"");
        }
    }
}
