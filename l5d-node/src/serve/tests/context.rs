//! Context headers and names: node-proxy 7.2, 7.9, 8 and the example of two hops, 8.9.

use super::*;
use crate::config::Identifier;

#[tokio::test]
async fn two_hops_as_in_the_example_of_8_9() {
    let app = Backend::answering(|_| ok("world v2")).await;
    let proxy = Proxy::start();
    let local = "/host/world => /srv/world-v2";
    let out = proxy.names.cluster(
        "/%/io.l5d.k8s.daemonset/default/incoming/l5d/#/io.l5d.k8s/default/http/world-v2",
        addresses(&[proxy.incoming]),
    );
    proxy.names.set(0, "/svc/world", local, leaf(&out, "/"));
    let inc = proxy.names.cluster(
        "/%/io.l5d.k8s.localnode/10.2.0.9/#/io.l5d.k8s/default/http/world-v2",
        addresses(&[app.addr]),
    );
    proxy.names.set(1, "/svc/world", local, leaf(&inc, "/"));
    let response = proxy
        .ask(
            "GET http://world/x HTTP/1.1\r\nHost: world\r\nProxy-Connection: Keep-Alive\r\n\
             l5d-dtab: /host/world => /srv/world-v2\r\nX-Odd-Case: as IS  \r\n\r\n",
        )
        .await;
    assert_eq!(response.body, "world v2");
    assert_eq!(response.get("via"), Some("1.1 linkerd, 1.1 linkerd"));
    assert_eq!(response.get("l5d-success-class"), Some("1.0"));
    let seen = app.last();
    assert_eq!(seen.line(), "GET /x HTTP/1.1");
    assert_eq!(seen.get("host"), Some("world"));
    assert!(seen.head.contains("\r\nX-Odd-Case: as IS  \r\n"));
    assert_eq!(seen.get("via"), Some("1.1 linkerd, 1.1 linkerd"));
    assert_eq!(seen.get("l5d-ctx-dtab"), Some("/host/world=>/srv/world-v2"));
    assert_eq!(seen.get("l5d-dst-service"), Some("/svc/world"));
    assert_eq!(
        seen.get("l5d-dst-client"),
        Some("/%/io.l5d.k8s.localnode/10.2.0.9/#/io.l5d.k8s/default/http/world-v2")
    );
    assert_eq!(seen.get("l5d-reqid").map(str::len), Some(16));
    assert_eq!(seen.get("l5d-ctx-trace").map(str::len), Some(44));
    for absent in ["l5d-dst-residual", "l5d-dtab", "proxy-connection"] {
        assert_eq!(seen.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn dst_headers_of_the_last_hop_do_not_stay() {
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    let cluster = proxy
        .names
        .cluster("/#/io.l5d.fs/web", addresses(&[app.addr]));
    proxy.names.set(
        0,
        "/svc/web",
        "",
        leaf(&cluster, "/rest/of it".replace(' ', "_").as_str()),
    );
    let stale = "l5d-dst-service: /old\r\nL5D-Dst-Client: /old\r\nl5d-dst-residual: /old\r\nl5d-reqid: 1\r\n";
    proxy
        .ask(&format!("GET / HTTP/1.1\r\nHost: web\r\n{stale}\r\n"))
        .await;
    let seen = app.last();
    assert_eq!(seen.get("l5d-dst-service"), Some("/svc/web"));
    assert_eq!(seen.get("l5d-dst-client"), Some("/#/io.l5d.fs/web"));
    assert_eq!(seen.get("l5d-dst-residual"), Some("/rest/of_it"));
    proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    proxy
        .ask(&format!("GET / HTTP/1.1\r\nHost: web\r\n{stale}\r\n"))
        .await;
    assert_eq!(app.last().get("l5d-dst-residual"), None);
}

#[tokio::test]
async fn the_trace_id_travels_and_spans_are_new() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    let words: [u64; 4] = [0x11, 0x22, 0xabc, 6];
    let raw: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let trace = STANDARD.encode(&raw);
    proxy
        .ask(&format!(
            "GET / HTTP/1.1\r\nHost: web\r\nl5d-ctx-trace: {trace}\r\nl5d-sample: 0\r\nl5d-ctx-other: kept\r\n\r\n"
        ))
        .await;
    let seen = app.last();
    assert_eq!(seen.get("l5d-reqid"), Some("0000000000000abc"));
    assert_eq!(seen.get("l5d-sample"), None);
    assert_eq!(seen.get("l5d-ctx-other"), Some("kept"));
    let sent = STANDARD.decode(seen.get("l5d-ctx-trace").unwrap()).unwrap();
    assert_eq!(sent[16..24], raw[16..24]);
    // Decided, and against: 0 of the traces are wanted.
    assert_eq!(sent[24..32], 2u64.to_be_bytes());
    assert_ne!(sent[..8], raw[..8]);
    assert_ne!(sent[8..16], raw[..8]);
}

#[tokio::test]
async fn deadlines_are_combined_and_tightened() {
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    let two = "l5d-ctx-deadline: 5 100\r\nl5d-ctx-deadline: 7 90\r\n";
    proxy
        .ask(&format!("GET / HTTP/1.1\r\nHost: web\r\n{two}\r\n"))
        .await;
    assert_eq!(app.last().get("l5d-ctx-deadline"), Some("7 90"));
    let proxy = Proxy::with(|r| r.service.base_mut().total_timeout = Some(Duration::from_secs(60)));
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    proxy.ask("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    let seen = app.last();
    let (now, until) = seen
        .get("l5d-ctx-deadline")
        .unwrap()
        .split_once(' ')
        .unwrap();
    let (now, until): (i64, i64) = (now.parse().unwrap(), until.parse().unwrap());
    assert_eq!(until - now, 60_000_000_000);
}

#[tokio::test]
async fn both_dtab_fields_are_joined_in_order() {
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    let cluster = proxy.names.cluster("/#/x", addresses(&[app.addr]));
    let joined = "/c=>/d;/e=>/f;/a=>/b";
    proxy.names.set(0, "/svc/web", joined, leaf(&cluster, "/"));
    let fields = "l5d-dtab: /a => /b\r\nl5d-ctx-dtab: /c => /d ;\r\nL5d-Ctx-Dtab: /e => /f\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n");
    for _ in 0..2 {
        assert_eq!(proxy.ask(&request).await.status(), 200);
        assert_eq!(app.last().get("l5d-ctx-dtab"), Some(joined));
        assert_eq!(app.last().get("l5d-dtab"), None);
    }
}

/// Naming 8.1: only the header sent on is rounded; the name is bound with the numbers as received.
#[tokio::test]
async fn weights_are_rounded_in_what_goes_on_only() {
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    let cluster = proxy.names.cluster("/#/x", addresses(&[app.addr]));
    let exact = "/a=>0.125*/b & 0.875*/c";
    proxy.names.set(0, "/svc/web", exact, leaf(&cluster, "/"));
    let request = format!("GET / HTTP/1.1\r\nHost: web\r\nl5d-dtab: {exact}\r\n\r\n");
    assert_eq!(proxy.ask(&request).await.status(), 200);
    let sent = "/a=>0.13*/b & 0.88*/c";
    assert_eq!(app.last().get("l5d-ctx-dtab"), Some(sent));
}

#[tokio::test]
async fn clear_context_removes_all_of_it() {
    let app = Backend::answering(|r| {
        if r.line().contains("err") {
            return "HTTP/1.1 502 Bad Gateway\r\nl5d-err: secret\r\nContent-Length: 6\r\n\r\nsecret".into();
        }
        "HTTP/1.1 200 OK\r\nl5d-anything: x\r\nContent-Length: 2\r\n\r\nhi".into()
    })
    .await;
    let proxy = Proxy::with(|r| r.servers[0].clear_context = true);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let hostile = "l5d-dtab: not a dtab\r\nl5d-ctx-deadline: 1 2\r\nL5D-Foo: x\r\ndtab-local: x\r\n\
                   l5d-ctx-trace: AAAA\r\nx-forwarded-client-cert: forged\r\n";
    let response = proxy
        .ask(&format!("GET / HTTP/1.1\r\nHost: web\r\n{hostile}\r\n"))
        .await;
    assert_eq!(response.body, "hi");
    assert!(!response.head.contains("l5d-"), "{}", response.head);
    let seen = app.last();
    for gone in [
        "l5d-dtab",
        "l5d-ctx-deadline",
        "l5d-foo",
        "dtab-local",
        "x-forwarded-client-cert",
    ] {
        assert_eq!(seen.get(gone), None, "{gone}");
    }
    for own in [
        "l5d-dst-service",
        "l5d-dst-client",
        "l5d-reqid",
        "l5d-ctx-trace",
    ] {
        assert!(seen.get(own).is_some(), "{own}");
    }
    let response = proxy.ask("GET /err HTTP/1.1\r\nHost: web\r\n\r\n").await;
    assert_eq!((response.status(), response.body.as_str()), (502, ""));
    assert!(!response.head.contains("l5d-") && !response.head.contains("secret"));
    let response = proxy.ask("GET / HTTP/1.1\r\nHost:\r\n\r\n").await;
    assert_eq!((response.status(), response.body.as_str()), (400, ""));
    assert!(!response.head.contains("l5d-"));
}

#[tokio::test]
async fn a_forged_client_certificate_is_always_removed() {
    let app = Backend::named("x").await;
    let proxy = proxy_to(&app);
    let request =
        "GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-Client-Cert: x\r\nX-Forwarded-For: y\r\n\r\n";
    proxy.ask(request).await;
    assert_eq!(app.last().get("x-forwarded-client-cert"), None);
    assert_eq!(app.last().get("x-forwarded-for"), Some("y"));
}

#[tokio::test]
async fn names_are_the_host_as_received() {
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    for (host, name) in [
        ("hello", "/svc/hello"),
        ("hello:8080", "/svc/hello:8080"),
        ("HeLLo", "/svc/HeLLo"),
        ("a.b.svc.cluster.local", "/svc/a.b.svc.cluster.local"),
        ("[::1]:80", r"/svc/\x5b\x3a\x3a\x31\x5d\x3a\x38\x30"),
    ] {
        proxy.names.bind(0, name, &[app.addr]);
        for version in ["1.0", "1.1"] {
            let request = format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n");
            assert_eq!(proxy.ask(&request).await.status(), 200, "{host}");
            assert_eq!(app.last().get("l5d-dst-service"), Some(name));
            assert_eq!(app.last().get("host"), Some(host));
        }
    }
}

#[tokio::test]
async fn another_header_can_name_the_destination() {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(|r| {
        r.identifiers = vec![Identifier::HeaderToken {
            header: "my-header".into(),
            folds_case: false,
        }];
    });
    let name = r"/svc/\x66\x6f\x6f\x2f\x62\x61\x72";
    proxy.names.bind(0, name, &[app.addr]);
    let request = "GET / HTTP/1.1\r\nHost: web\r\nMy-Header: foo/bar\r\nmy-header: second\r\n\r\n";
    assert_eq!(proxy.ask(request).await.status(), 200);
    let request = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
    let refused = proxy.ask(request).await;
    assert_eq!(refused.status(), 400);
    assert!(
        refused.body.contains("my-header header is absent"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn absolute_targets_win_over_host() {
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    for name in ["/svc/hello", "/svc/hello:80", "/svc/h"] {
        proxy.names.bind(0, name, &[app.addr]);
    }
    for (target, host, line) in [
        ("http://hello/x", "hello", "GET /x HTTP/1.1"),
        ("http://hello:80/", "hello:80", "GET / HTTP/1.1"),
        ("http://h?x=1", "h", "GET /?x=1 HTTP/1.1"),
        ("http://h", "h", "GET / HTTP/1.1"),
        ("https://h/x%2F..//y", "h", "GET /x%2F..//y HTTP/1.1"),
        ("HTTP://user:pass@h/x", "h", "GET /x HTTP/1.1"),
        (
            "http://h/r?to=http://x|y",
            "h",
            "GET /r?to=http://x|y HTTP/1.1",
        ),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        assert_eq!(proxy.ask(&request).await.status(), 200, "{target}");
        let seen = app.last();
        assert_eq!((seen.line(), seen.get("host")), (line, Some(host)));
        assert!(!seen.head.contains("pass"));
    }
    // Not absolute: it does not begin with a scheme.
    proxy.names.bind(0, "/svc/other", &[app.addr]);
    let request = "GET /r?to=http://x HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(proxy.ask(request).await.status(), 200);
    assert_eq!(app.last().get("host"), Some("other"));
    let request = "OPTIONS * HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(proxy.ask(request).await.status(), 200);
    assert_eq!(app.last().line(), "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn an_authority_replaces_host_and_is_undone_in_locations() {
    let app = Backend::answering(|_| {
        "HTTP/1.1 302 Found\r\nLocation: http://real.example/a?u=real.example\r\nRefresh: 5; url=http://real.example/\r\n\
         Content-Length: 0\r\n\r\n"
            .into()
    })
    .await;
    let proxy = Proxy::start();
    let set =
        EndpointSet::new([Endpoint::new(app.addr)]).with_authority(Some("real.example".into()));
    let cluster = proxy.names.cluster("/#/x", Replicas::Bound(Arc::new(set)));
    proxy.names.set(0, "/svc/web", "", leaf(&cluster, "/"));
    let response = proxy
        .ask("GET / HTTP/1.1\r\nA: b\r\nHost: web\r\n\r\n")
        .await;
    assert_eq!(app.last().get("host"), Some("real.example"));
    assert_eq!(response.get("location"), Some("http://web/a?u=web"));
    assert_eq!(response.get("refresh"), Some("5; url=http://web/"));
}
