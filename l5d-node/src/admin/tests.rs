//! The forms of numbers and pages.

use super::metrics::{Measured, Sample, Summary, flat, nested, prometheus};
use super::page::render;

fn samples() -> Vec<Sample> {
    let server = |name: &str, value| Sample {
        name: format!("rt:server:{name}"),
        labels: vec![
            ("rt", "a\"b".to_owned()),
            ("server", "0.0.0.0/4140".to_owned()),
        ],
        place: format!("rt/a/server/0.0.0.0/4140/{name}"),
        value,
    };
    vec![
        server("requests", Measured::Counter(12)),
        server("status:2XX", Measured::Counter(11)),
        server("loadbalancer:max-effort", Measured::Gauge(3)),
        server(
            "request_latency_ms",
            Measured::Summary(Summary {
                count: 4,
                sum: 10.0,
                values: vec![(0.5, 2.0), (0.9, 4.0)],
            }),
        ),
    ]
}

#[test]
fn prometheus_text_has_types_escapes_and_legal_names() {
    let labels = "rt=\"a\\\"b\", server=\"0.0.0.0/4140\"";
    let expected = format!(
        "# TYPE rt:server:loadbalancer:max_effort gauge\n\
         rt:server:loadbalancer:max_effort{{{labels}}} 3\n\
         # TYPE rt:server:request_latency_ms summary\n\
         rt:server:request_latency_ms{{{labels}, quantile=\"0.5\"}} 2\n\
         rt:server:request_latency_ms{{{labels}, quantile=\"0.9\"}} 4\n\
         rt:server:request_latency_ms_sum{{{labels}}} 10\n\
         rt:server:request_latency_ms_count{{{labels}}} 4\n\
         # TYPE rt:server:request_latency_ms_avg gauge\n\
         rt:server:request_latency_ms_avg{{{labels}}} 2.5\n\
         # TYPE rt:server:requests counter\n\
         rt:server:requests{{{labels}}} 12\n\
         # TYPE rt:server:status:2XX counter\n\
         rt:server:status:2XX{{{labels}}} 11\n"
    );
    assert_eq!(prometheus(&samples()), expected);
}

#[test]
fn json_numbers_are_flat_nested_or_a_part() {
    let all = flat(&samples(), None);
    assert_eq!(all["rt/a/server/0.0.0.0/4140/requests"], 12);
    assert_eq!(all["rt/a/server/0.0.0.0/4140/request_latency_ms.p50"], 2.0);
    assert_eq!(
        nested(&all)["rt"]["a"]["server"]["0.0.0.0"]["4140"]["requests"],
        12
    );
    assert_eq!(flat(&samples(), Some("rt/a/server")).len(), all.len());
    assert!(flat(&samples(), Some("rt/a/serv")).is_empty());
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
