//! All nodes together: where to begin.

use super::{Dashboard, RT};
use crate::watching::dashboard::{Look::*, Panel, Row};

pub(super) fn all() -> Dashboard {
    Dashboard {
        name: "fleet",
        title: "l5d / Fleet",
        says: "What is broken, since when, for whom, why, and on which node. Begin here; the others go into one service, one node or namerd.",
        variables: vec![RT],
        rows: vec![now(), whom(), why(), control()],
    }
}

fn now() -> Row {
    Row("What is broken, since when", vec![
        Panel::new(Number, 4, "Requests", "reqps", "Requests in a second that servers of all node proxies had.")
            .ask(r#"sum(l5d:node_requests:rate5m{rt=~"$rt"})"#, ""),
        Panel::new(Number, 4, "Failing", "percentunit", "The part of them that ended with a failure, or not at all.")
            .ask(r#"sum(l5d:node_failures:rate5m{rt=~"$rt"}) / sum(l5d:node_requests:rate5m{rt=~"$rt"})"#, "")
            .limits(0.01, 0.05),
        Panel::new(Number, 4, "Node proxies that answer", "percentunit", "Of those that Prometheus knows of.")
            .ask(r#"avg(up{job="l5d-node"})"#, "")
            .limits(1.0, 0.9),
        Panel::new(Number, 4, "Replicas of namerd that answer", "none", "Nodes need one; two are wanted.")
            .ask(r#"sum(up{job="namerd"})"#, "")
            .limits(2.0, 1.0),
        Panel::new(Number, 4, "Node proxies without namerd", "none", "They go on with what they know and learn nothing new.")
            .ask("sum(l5d_node_control_connected == bool 0)", "")
            .limits(1.0, 3.0),
        Panel::new(Number, 4, "Oldest unconfirmed state", "s", "The longest time for which any node proxy has balanced over endpoints that namerd has not confirmed.")
            .ask("max(l5d_node_control_staleness_seconds)", "")
            .limits(60.0, 600.0),
        Panel::new(Rows, 12, "Alerts", "none", "What fires or is about to. Each has an entry in the runbook.")
            .ask(r#"ALERTS{alertname=~"L5d.+"}"#, ""),
        Panel::new(Lines, 12, "Alerts over time", "none", "Since when.")
            .ask(FIRING_COUNT, "{{alertname}}"),
    ])
}

const FIRING_COUNT: &str =
    "count by (alertname) (ALERTS{alertname=~\"L5d.+\", alertstate=\"firing\"})";

fn whom() -> Row {
    Row("For whom", vec![
        Panel::new(Lines, 12, "Failing services", "percentunit", "The part of requests that fail, of the ten services that fail most.")
            .ask(r#"topk(10, l5d:service_failures:rate5m{rt=~"$rt"} / (l5d:service_requests:rate5m{rt=~"$rt"} > 0))"#, "{{rt}} {{service}}"),
        Panel::new(Lines, 12, "Requests by service", "reqps", "The ten with most.")
            .ask(r#"topk(10, l5d:service_requests:rate5m{rt=~"$rt"})"#, "{{rt}} {{service}}"),
        Panel::new(Lines, 12, "Slow services", "ms", "Time to the end of the response that 99 in 100 requests keep to, on the worst node, of the ten slowest.")
            .ask(r#"topk(10, max by (rt, service) (rt:service:request_latency_ms{quantile="0.99", rt=~"$rt"}))"#, "{{rt}} {{service}}"),
        Panel::new(Lines, 12, "Failing nodes", "percentunit", "The part of requests that fail, of the ten node proxies that fail most: one of them, or all?")
            .ask(r#"topk(10, sum by (node, instance) (l5d:node_failures:rate5m{rt=~"$rt"}) / (sum by (node, instance) (l5d:node_requests:rate5m{rt=~"$rt"}) > 0))"#, "{{node}} {{instance}}"),
    ])
}

fn why() -> Row {
    Row("Why", vec![
        Panel::new(Lines, 12, "Responses made by node proxies", "reqps", "Answers that come from the proxy and not from the service, by reason: those of names (no_binding, binding_failed), of addresses (no_address), of connections, of time, of limits.")
            .ask(r#"sum by (rt, reason) (rate(rt:responses_made{rt=~"$rt"}[$__rate_interval])) > 0"#, "{{rt}} {{reason}}"),
        Panel::new(Lines, 12, "Failed attempts by client", "reqps", "Attempts at endpoints that got no response to pass on, of the ten bound names with most.")
            .ask(r#"topk(10, sum by (rt, client, exception) (rate(rt:client:failures{exception!="", rt=~"$rt"}[$__rate_interval])) > 0)"#, "{{client}} {{exception}}"),
        Panel::new(Lines, 8, "Retries", "reqps", "Attempts that a classifier wanted again; requeues went elsewhere because nobody had seen them.")
            .ask(r#"sum by (rt) (rate(rt:service:retries:total{rt=~"$rt"}[$__rate_interval]))"#, "{{rt}} retries")
            .ask(r#"sum by (rt) (rate(rt:client:retries:requeues{rt=~"$rt"}[$__rate_interval]))"#, "{{rt}} requeues"),
        Panel::new(Lines, 8, "Endpoints set aside", "none", "By bound name, on the worst node.")
            .ask(r#"topk(10, max by (rt, client) (rt:client:loadbalancer:busy{rt=~"$rt"}))"#, "{{client}}"),
        Panel::new(Lines, 8, "Turned away", "reqps", "Requests over a server's limit, which get 503 at once.")
            .ask(r#"sum by (node, instance, rt) (rate(rt:server:nacks{rt=~"$rt"}[$__rate_interval]))"#, "{{instance}} {{rt}}"),
    ])
}

fn control() -> Row {
    Row("What nodes know", vec![
        Panel::new(Lines, 8, "Nodes and node proxies", "none", "Nodes that Kubernetes has, node proxies that answer, and sessions that namerd has.")
            .ask(r#"max(namerd_k8s_watch_objects{source="k8s/nodes"}) or vector(0)"#, "nodes")
            .ask(r#"sum(up{job="l5d-node"})"#, "node proxies")
            .ask("sum(namerd_stream_sessions)", "sessions"),
        Panel::new(Lines, 8, "Unconfirmed state", "s", "How old the oldest unconfirmed endpoints of each node proxy are, of the ten worst.")
            .ask("topk(10, l5d_node_control_staleness_seconds)", "{{node}} {{instance}}"),
        Panel::new(Rows, 8, "Versions", "none", "How many of each there are.")
            .ask("count by (version) (l5d_node_build_info)", "")
            .ask("count by (version) (namerd_process_build_info)", ""),
    ])
}
