//! Identifiers through real sockets (node-proxy 7). Their tables are tests of `route::identify`.

use l5d_resolver::ingress::{Host, PathMatch, Rule, Table};

use super::*;
use crate::config::{Identifier, IngressRules};

fn consume() -> Identifier {
    Identifier::Path {
        segments: 1,
        consumes: true,
    }
}

#[tokio::test]
async fn what_a_path_identifier_consumed_is_not_sent() {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(|r| r.identifiers = vec![consume()]);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    for (target, sent) in [
        ("/web", "/"),
        ("/web/", "/"),
        ("/web?a=b", "/?a=b"),
        ("/web/c/?a=/b", "/c/?a=/b"),
        ("http://other/web/c", "/c"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        assert_eq!(proxy.ask(&request).await.status(), 200);
        let seen = app.last();
        assert_eq!(seen.line(), format!("GET {sent} HTTP/1.1"));
        assert_eq!(seen.get("host"), Some("other"));
    }
    let refused = proxy
        .ask("GET http://other HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(refused.status(), 400);
    assert!(refused.body.contains("GET / / not enough segments in path"));
}

#[tokio::test]
async fn a_chain_goes_on_without_a_name_and_ends_at_an_error() {
    let app = Backend::named("x").await;
    let header = Identifier::Header {
        header: "l5d-name".to_owned(),
    };
    let proxy = Proxy::with(|r| r.identifiers.insert(0, header.clone()));
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    proxy.names.bind(0, "/svc/a/b", &[app.addr]);
    for (field, status) in [
        ("", 200),
        ("l5d-name: /a/b\r\n", 200),
        ("l5d-name: a\r\n", 400),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: web\r\n{field}\r\n");
        assert_eq!(proxy.ask(&request).await.status(), status, "{field}");
    }
    assert_eq!(app.last().get("l5d-dst-service"), Some("/svc/a/b"));
}

fn ingress(router: &mut Router) {
    router.identifiers = vec![Identifier::Ingress(IngressRules {
        namespace: None,
        class: "linkerd".to_owned(),
        ignores_default_backends: false,
    })];
}

fn table() -> Table {
    Table::new([Rule {
        host: Host::parse("shop.com").unwrap(),
        path: PathMatch::Any,
        namespace: "default".into(),
        service: "cart".into(),
        port: "http".into(),
        is_default: false,
    }])
}

const SHOP: &str = "GET / HTTP/1.1\r\nHost: shop.com:80\r\n\r\n";

#[tokio::test]
async fn requests_wait_for_ingress_rules() {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(ingress);
    proxy.names.bind(0, "/svc/default/http/cart", &[app.addr]);
    let mut client = proxy.connect().await;
    client.send(SHOP).await;
    proxy.names.rules.set(Ok(table()));
    assert_eq!(client.response().await.status(), 200);
    let other = proxy.ask("GET / HTTP/1.1\r\nHost: b.com\r\n\r\n").await;
    assert_eq!(other.status(), 400);
    assert!(other.body.contains("no ingress rule matches"));
}

#[tokio::test]
async fn rules_that_do_not_come_are_told_of() {
    let proxy = Proxy::with(|r| {
        ingress(r);
        r.binding_timeout = Duration::from_millis(20);
    });
    let late = proxy.ask(SHOP).await;
    assert_eq!(late.status(), 503);
    assert_eq!(late.get("l5d-retryable"), Some("true"));
    assert!(late.body.contains("while waiting for Ingress rules"));
    proxy.names.rules.set(Err("it follows no Ingresses".into()));
    let refused = proxy.ask(SHOP).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.body.contains("it follows no Ingresses"));
}
