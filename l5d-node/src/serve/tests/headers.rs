//! Fields that configuration adds or changes (node-proxy 4, 8.4, 8.6, 8.7, 9.7).

use super::*;
use crate::config::{Forwarded, Labeler, TracePropagator};

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n")
}

async fn seen(change: impl Fn(&mut Router), request: &str) -> Message {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(change);
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let response = proxy.ask(request).await;
    assert_eq!(response.status(), 200, "{}", response.body);
    app.last()
}

#[tokio::test]
async fn forwarded_stands_behind_what_is_there() {
    let change = |r: &mut Router| {
        r.servers[0].forwarded = Some(Forwarded {
            by: Labeler::Router,
            from: Labeler::Ip,
        });
    };
    let plain = seen(change, &get("Forwarded: for=_a\r\n")).await;
    let ours = "by=_outgoing;for=127.0.0.1;host=web";
    assert_eq!(plain.all("forwarded"), ["for=_a", ours]);
    let absolute = "GET http://web/x HTTP/1.1\r\nHost: other:80\r\n\r\n";
    let absolute = seen(change, absolute).await;
    let ours = "by=_outgoing;for=127.0.0.1;host=\"other:80\";proto=http";
    assert_eq!(absolute.all("forwarded"), [ours], "the host as received");
    assert!(seen(|_| {}, &get("")).await.get("forwarded").is_none());
}

/// One label for each connection, and one for each request.
#[tokio::test]
async fn random_labels_live_as_long_as_they_should() {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(|r| {
        r.servers[0].forwarded = Some(Forwarded {
            by: Labeler::ConnectionRandom,
            from: Labeler::RequestRandom,
        });
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let mut client = proxy.connect().await;
    let mut fields = Vec::new();
    for _ in 0..2 {
        client.send(&get("")).await;
        assert_eq!(client.response().await.status(), 200);
        fields.push(app.last().get("forwarded").unwrap().to_owned());
    }
    let by = |field: &str| field.split(';').next().unwrap().to_owned();
    assert_eq!(by(&fields[0]), by(&fields[1]));
    assert_ne!(fields[0], fields[1]);
    proxy.ask(&get("")).await;
    assert_ne!(by(app.last().get("forwarded").unwrap()), by(&fields[0]));
}

#[tokio::test]
async fn a_timestamp_is_added_to_those_that_are_there() {
    let change = |r: &mut Router| r.servers[0].timestamp_header = Some("X-Start".to_owned());
    let seen = seen(change, &get("x-start: 7\r\n")).await;
    let all = seen.all("x-start");
    assert_eq!((all.len(), all[0]), (2, "7"));
    let ms: u64 = all[1].parse().unwrap();
    assert!((1_700_000_000_000..9_000_000_000_000).contains(&ms));
}

#[tokio::test]
async fn our_name_in_via_can_be_another() {
    let app = Backend::named("x").await;
    let proxy = Proxy::with(|r| r.via = "edge".to_owned());
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let response = proxy.ask(&get("Via: 1.1 a\r\n")).await;
    assert_eq!(app.last().all("via"), ["1.1 a, 1.1 edge"]);
    assert_eq!(response.all("via"), ["1.1 edge"]);
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn w3c_context_goes_on_with_a_new_span() {
    let change = |r: &mut Router| r.trace_propagator = TracePropagator::W3c;
    let fields = format!("traceparent: {PARENT}\r\ntracestate: a=b\r\n");
    let traced = seen(change, &get(&fields)).await;
    let parent = traced.get("traceparent").unwrap();
    assert!(
        parent.starts_with(&PARENT[..36]) && parent.ends_with("-01"),
        "{parent}"
    );
    assert_ne!(parent, PARENT);
    assert_eq!(traced.get("tracestate"), Some("a=b"));
    assert_eq!(traced.get("l5d-reqid"), Some("8448eb211c80319c"));
    assert!(traced.get("l5d-ctx-trace").is_some());
    // From an untrusted client nothing stays.
    let clear = |r: &mut Router| {
        change(r);
        r.servers[0].clear_context = true;
    };
    let cleared = seen(clear, &get(&fields)).await;
    assert!(!cleared.get("traceparent").unwrap().contains(&PARENT[3..35]));
    assert_eq!(cleared.get("tracestate"), None);
    // By default it is a field like any other.
    let plain = seen(|_| {}, &get(&fields)).await;
    assert_eq!(plain.get("traceparent"), Some(PARENT));
}

#[tokio::test]
async fn zipkin_context_replaces_ours() {
    let change = |r: &mut Router| r.trace_propagator = TracePropagator::Zipkin;
    let fields = "X-B3-TraceId: 463ac35c9f6413ad\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\nX-B3-Sampled: 1\r\nl5d-ctx-trace: x\r\nl5d-sample: x\r\n";
    let traced = seen(change, &get(fields)).await;
    assert_eq!(traced.all("x-b3-traceid"), ["463ac35c9f6413ad"]);
    assert_eq!(traced.all("x-b3-sampled"), ["1"]);
    assert_ne!(traced.get("x-b3-spanid"), Some("a2fb4a1d1a96d312"));
    assert_eq!(traced.get("l5d-ctx-trace"), None);
    assert_eq!(traced.get("l5d-sample"), None);
    assert_eq!(traced.get("l5d-reqid"), Some("463ac35c9f6413ad"));
}

fn trace(fields: &str) -> String {
    format!("TRACE / HTTP/1.1\r\nHost: web\r\n{fields}\r\n")
}

#[tokio::test]
async fn max_forwards_counts_down_for_trace() {
    let onward = seen(|_| {}, &trace("Max-Forwards: 3\r\n")).await;
    assert_eq!(onward.all("max-forwards"), ["2"]);
    let get = seen(|_| {}, &get("Max-Forwards: 3\r\n")).await;
    assert_eq!(get.all("max-forwards"), ["3"], "only for TRACE");
    let app = Backend::named("x").await;
    let proxy = Proxy::start();
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let wrong = proxy.ask(&trace("Max-Forwards: x\r\n")).await;
    assert_eq!(wrong.status(), 400);
    assert!(wrong.body.contains("Invalid value for Max-Forwards header"));
    let here = proxy.ask(&trace("Max-Forwards: 0\r\n")).await;
    assert_eq!(here.status(), 200);
    assert_eq!(here.get("l5d-err"), None);
    for part in [
        "--- Router: outgoing ---",
        "service name: /svc/web",
        "client name: /#/test/svc/web",
        &format!("selected address: {}", app.addr),
    ] {
        assert!(here.body.contains(part), "{part} in {}", here.body);
    }
    assert_eq!(app.count(), 0, "nothing is sent on");
}

#[tokio::test]
async fn an_expired_deadline_ends_a_request_only_where_it_is_enforced() {
    seen(|_| {}, &get("l5d-ctx-deadline: 1 2\r\n")).await;
    let app = Backend::named("x").await;
    let proxy = Proxy::with(|r| {
        r.enforces_deadline = true;
        r.timeout_status = 504;
    });
    proxy.names.bind(0, "/svc/web", &[app.addr]);
    let late = proxy.ask(&get("l5d-ctx-deadline: 1 2\r\n")).await;
    assert_eq!(late.status(), 504);
    assert!(late.body.contains("l5d-ctx-deadline"), "{}", late.body);
    assert_eq!(app.count(), 0);
    let in_time = proxy
        .ask(&get(&format!("l5d-ctx-deadline: 1 {}\r\n", i64::MAX)))
        .await;
    assert_eq!(in_time.status(), 200);
}
