//! The forms of numbers and pages.

mod strict;

use std::rc::Rc;
use std::time::Duration;

use super::metrics::{Distribution, Sample, Value, flat, nested, place, prometheus};
use super::page::render;
use crate::meter::{Described, Histogram, Reading, Scope, table as t};
use crate::serve::ScopeView;

fn scope(label: &str, service: &str) -> ScopeView {
    ScopeView {
        label: label.to_owned(),
        service: service.to_owned(),
        reading: Reading::default(),
    }
}

fn sample(of: &'static Described, kind: Scope, at: &ScopeView, part: &str, n: u64) -> Sample {
    Sample {
        of,
        scope: kind,
        part: part.to_owned().into(),
        at: place("outgoing", kind, at),
        value: Value::Whole(n),
    }
}

fn times(kind: Scope, at: &ScopeView, ms: &[u64]) -> Sample {
    let histogram = Histogram::default();
    for ms in ms {
        histogram.observe(Duration::from_millis(*ms));
    }
    let (all, recent) = (histogram.view(), histogram.view());
    Sample {
        value: Value::Spread(Box::new(Distribution { all, recent })),
        ..sample(&t::REQUEST_LATENCY, kind, at, "", 0)
    }
}

const DAEMONSET: &str =
    "%/io.l5d.k8s.daemonset/default/incoming/l5d/#/io.l5d.k8s/default/http/hello";

/// What dashboards rely on.
fn samples() -> Vec<Sample> {
    let server = scope("0.0.0.0/4140", "");
    let (service, client) = (scope("svc/hello", ""), scope(DAEMONSET, ""));
    let pair = scope("#/io.l5d.fs/hello", "svc/hello");
    vec![
        sample(&t::REQUESTS, Scope::Server, &server, "", 12),
        sample(&t::FAILURES, Scope::Server, &server, "", 1),
        sample(&t::EXCEPTIONS, Scope::Server, &server, "no_binding", 1),
        sample(&t::SUCCESS, Scope::Service, &service, "", 11),
        sample(&t::FAILURES, Scope::Client, &client, "", 1),
        sample(&t::REQUESTS, Scope::Pair, &pair, "", 12),
        sample(&t::STATUS, Scope::Client, &client, "200", 11),
        sample(&t::LB_SIZE, Scope::Client, &client, "", 3),
        sample(&t::CONNECTS, Scope::Client, &client, "", 2),
        times(Scope::Service, &service, &[1, 1, 7]),
    ]
}

/// Node-proxy 15.3, its examples word for word.
#[test]
fn dashboards_find_their_names() {
    let text = prometheus(&samples(), "", false);
    strict::read(&text);
    let client = format!("rt=\"outgoing\", client=\"{DAEMONSET}\"");
    for line in [
        r#"rt:server:requests{rt="outgoing", server="0.0.0.0/4140"} 12"#,
        r#"rt:service:success{rt="outgoing", service="svc/hello"} 11"#,
        &format!("rt:client:failures{{{client}}} 1"),
        r##"rt:client:service:requests{rt="outgoing", client="#/io.l5d.fs/hello", service="svc/hello"} 12"##,
        &format!("rt:client:status:200{{{client}}} 11"),
        &format!("rt:client:loadbalancer:size{{{client}}} 3"),
        &format!("rt:client:connects{{{client}}} 2"),
        r#"rt:server:failures{rt="outgoing", server="0.0.0.0/4140", exception="no_binding"} 1"#,
        "# TYPE rt:server:requests counter",
        "# TYPE rt:service:request_latency_ms summary",
        "# TYPE rt:service:request_latency_ms_avg gauge",
        r#"rt:service:request_latency_ms_count{rt="outgoing", service="svc/hello"} 3"#,
        r#"rt:service:request_latency_ms_sum{rt="outgoing", service="svc/hello"} 9"#,
        r#"rt:service:request_latency_ms_avg{rt="outgoing", service="svc/hello"} 3"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn quantiles_are_of_the_last_minute() {
    let mut all = vec![times(Scope::Service, &scope("svc/hello", ""), &[1, 1, 7])];
    let families = strict::read(&prometheus(&all, "", false));
    let lines = &families["rt:service:request_latency_ms"].lines;
    let quantiles = lines
        .iter()
        .filter_map(|(_, labels, value)| Some((labels.get("quantile")?.as_str(), *value)));
    // Bounds of buckets, in milliseconds.
    let (low, high) = (1.023, 7.167);
    let expected = [
        ("0", low),
        ("0.5", low),
        ("0.9", high),
        ("0.95", high),
        ("0.99", high),
        ("0.999", high),
        ("0.9999", high),
        ("1", high),
    ];
    assert_eq!(quantiles.collect::<Vec<_>>(), expected);
    if let Value::Spread(spread) = &mut all[0].value {
        spread.recent = Histogram::default().view();
    }
    let families = strict::read(&prometheus(&all, "", false));
    let lines = &families["rt:service:request_latency_ms"].lines;
    assert_eq!(
        lines.len(),
        2,
        "sum and count stay, quantiles do not: {lines:?}"
    );
    assert!(!families.contains_key("rt:service:request_latency_ms_avg"));
}

#[test]
fn labels_are_escaped_and_names_legal() {
    let odd = Sample {
        at: Rc::new(super::metrics::Place {
            labels: vec![("rt", "a\"b\\c\nd".to_owned())],
            path: "rt/a".to_owned(),
        }),
        ..sample(&t::LB_MAX_EFFORT, Scope::Client, &scope("", ""), "", 3)
    };
    let text = prometheus(&[odd], "my-", false);
    let line = r#"my_rt:client:loadbalancer:max_effort_exhausted{rt="a\"b\\c\nd"} 3"#;
    assert!(text.lines().any(|l| l == line), "{text}");
    let families = strict::read(&text);
    let family = &families["my_rt:client:loadbalancer:max_effort_exhausted"];
    assert_eq!(family.lines[0].1["rt"], "a\"b\\c\nd");
}

#[test]
fn modern_histograms_are_shown_if_asked_for() {
    let text = prometheus(&samples(), "", true);
    let families = strict::read(&text);
    let family = &families["l5d_service_duration_seconds"];
    assert_eq!(family.kind, "histogram");
    let bucket = |bound: &str| {
        let mut lines = family.lines.iter();
        let found = lines.find(|(_, labels, _)| labels.get("le").is_some_and(|le| le == bound));
        found.expect(bound).2
    };
    // 1 ms lies below 1.024, 7 ms below 8.192.
    let bounds = [
        "0.000512",
        "0.001024",
        "0.004096",
        "0.008192",
        "16.777216",
        "+Inf",
    ];
    assert_eq!(bounds.map(bucket), [0.0, 2.0, 2.0, 3.0, 3.0, 3.0]);
    assert!(!prometheus(&samples(), "", false).contains("_bucket"));
}

/// Node-proxy 15.4.
#[test]
fn json_numbers_are_flat_nested_or_a_part() {
    let all = flat(&samples(), None);
    assert_eq!(all["rt/outgoing/server/0.0.0.0/4140/requests"], 12);
    let latency = "rt/outgoing/service/svc/hello/request_latency_ms";
    assert_eq!(all[&format!("{latency}.count")], 3);
    assert_eq!(all[&format!("{latency}.sum")], 9.0);
    assert_eq!(all[&format!("{latency}.p9990")], 7.167);
    let tree = nested(&all);
    let server = &tree["rt"]["outgoing"]["server"]["0.0.0.0"]["4140"];
    assert_eq!(server["requests"], 12);
    assert_eq!(
        (&server["failures"][""], &server["failures"]["no_binding"]),
        (&1.into(), &1.into())
    );
    assert_eq!(flat(&samples(), Some("/rt/outgoing/server/")).len(), 3);
    assert!(flat(&samples(), Some("rt/outgoing/serv")).is_empty());
}

#[test]
fn the_page_takes_nothing_for_markup() {
    let state = serde_json::json!({
        "node": "<script>",
        "routers": [{"label": "a", "names": [{"path": "/svc/<b>", "error": "\"&"}]}],
        "clusters": [{"id": "/<i>", "state": "neg"}],
    });
    let page = render(&state);
    assert!(!page.contains("<script>") && !page.contains("<b>\"") && !page.contains("<i>"));
    assert!(page.contains("/svc/&lt;b&gt;") && page.contains("&quot;&amp;"));
}
