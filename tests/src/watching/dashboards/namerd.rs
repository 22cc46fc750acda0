//! The control plane.

use super::Dashboard;
use crate::watching::dashboard::{Look::*, Panel, Row, Variable};

const INSTANCE: Variable = Variable {
    name: "instance",
    title: "namerd",
    series: "namerd_process_build_info",
    label: "instance",
    has_all: true,
};

pub(super) fn all() -> Dashboard {
    Dashboard {
        name: "namerd",
        title: "l5d / namerd",
        says: "The control plane from its sources to the nodes: what it hears, what it binds, whom it tells, what it refuses.",
        variables: vec![INSTANCE],
        rows: vec![now(), sources(), names(), sessions(), doors()],
    }
}

fn now() -> Row {
    Row(
        "Now",
        vec![
            Panel::new(
                Number,
                4,
                "Ready",
                "none",
                "Replicas whose sources have all answered once.",
            )
            .ask(r#"sum(namerd_process_ready{instance=~"$instance"})"#, "")
            .limits(2.0, 1.0),
            Panel::new(
                Number,
                4,
                "Store answers",
                "none",
                "1: all of them reach the dtab store.",
            )
            .ask(r#"min(namerd_store_connected{instance=~"$instance"})"#, "")
            .limits(1.0, 1.0),
            Panel::new(Number, 4, "Sessions", "none", "Node proxies that follow.")
                .ask(r#"sum(namerd_stream_sessions{instance=~"$instance"})"#, ""),
            Panel::new(
                Number,
                4,
                "Most behind",
                "s",
                "How far the session that is most behind is behind.",
            )
            .ask(
                r#"max(namerd_stream_most_lag_seconds{instance=~"$instance"})"#,
                "",
            )
            .limits(5.0, 30.0),
            Panel::new(
                Number,
                4,
                "Names that cannot be bound",
                "none",
                "Bindings that have failed.",
            )
            .ask(
                r#"max(namerd_bind_binding_states{state="failed", instance=~"$instance"})"#,
                "",
            )
            .limits(1.0, 10.0),
            Panel::new(Number, 4, "Namespaces", "none", "Dtab namespaces.")
                .ask(r#"max(namerd_store_namespaces{instance=~"$instance"})"#, ""),
        ],
    )
}

fn sources() -> Row {
    Row("What it hears", vec![
        Panel::new(Lines, 8, "Time since the store was heard", "s", "Since the dtab store last said what it holds.")
            .ask(r#"namerd_store_age_seconds{instance=~"$instance"} or namerd_store_connected{instance=~"$instance"} * 0"#, "{{instance}} {{kind}}"),
        Panel::new(Lines, 8, "Writes to the store", "ops", "By what was done and how it ended.")
            .ask(r#"sum by (operation, outcome) (rate(namerd_store_writes_total{instance=~"$instance"}[$__rate_interval]))"#, "{{operation}} {{outcome}}"),
        Panel::new(Rows, 8, "Watches", "none", "The state that each watch of an API server is in.")
            .ask(r#"namerd_k8s_watch_state{instance=~"$instance"} == 1"#, ""),
        Panel::new(Lines, 8, "Objects", "none", "What watches keep.")
            .ask(r#"max by (api, source) (namerd_k8s_watch_objects{instance=~"$instance"})"#, "{{source}}"),
        Panel::new(Lines, 8, "Time since an item", "s", "Grows while nothing changes; a watch that is not live and grows is stale.")
            .ask(r#"namerd_k8s_watch_age_seconds{instance=~"$instance"}"#, "{{instance}} {{source}}"),
        Panel::new(Lines, 8, "Lists anew", "ops", "After gaps that a watch could not bridge.")
            .ask(r#"sum by (instance, source) (rate(namerd_k8s_watch_relists_total{instance=~"$instance"}[$__rate_interval]))"#, "{{instance}} {{source}}"),
    ])
}

fn names() -> Row {
    Row("What it binds", vec![
        Panel::new(Lines, 8, "Bindings", "none", "By what they came to.")
            .ask(r#"max by (state) (namerd_bind_binding_states{instance=~"$instance"})"#, "{{state}}"),
        Panel::new(Lines, 8, "Bound clusters", "none", "By the state of their address set; empty ones have no endpoints.")
            .ask(r#"max by (state) (namerd_bind_clusters{instance=~"$instance"})"#, "{{state}}"),
        Panel::new(Lines, 8, "Work", "ops", "Bindings evaluated, and nodes of the graph computed.")
            .ask(r#"sum(rate(namerd_bind_evaluations_total{instance=~"$instance"}[$__rate_interval]))"#, "evaluations")
            .ask(r#"sum(rate(namerd_store_recomputations_total{instance=~"$instance"}[$__rate_interval]))"#, "recomputations"),
    ])
}

fn sessions() -> Row {
    Row("Whom it tells", vec![
        Panel::new(Lines, 8, "Sessions by replica", "none", "They should be spread.")
            .ask(r#"namerd_stream_sessions{instance=~"$instance"}"#, "{{instance}}"),
        Panel::new(Lines, 8, "Sessions that ended", "ops", "closed is usual; the others are in the runbook (L5dSessionsShed).")
            .ask(r#"sum by (reason) (rate(namerd_stream_ended_total{instance=~"$instance"}[$__rate_interval]))"#, "{{reason}}"),
        Panel::new(Lines, 8, "Bytes to nodes", "Bps", "Of all sessions.")
            .ask(r#"sum by (instance) (rate(namerd_stream_sent_bytes_total{instance=~"$instance"}[$__rate_interval]))"#, "{{instance}}"),
        Panel::new(Lines, 8, "Messages and encodings", "ops", "A state is encoded once, whatever the number of sessions that it goes to.")
            .ask(r#"sum(rate(namerd_stream_frames_total{instance=~"$instance"}[$__rate_interval]))"#, "messages")
            .ask(r#"sum(rate(namerd_stream_encodings_total{instance=~"$instance"}[$__rate_interval]))"#, "encodings"),
        Panel::new(Lines, 8, "Lag", "s", "Of the session that is most behind; and how long changes are gathered before they are written.")
            .ask(r#"namerd_stream_most_lag_seconds{instance=~"$instance"}"#, "{{instance}} lag")
            .ask(r#"namerd_stream_gap_seconds{instance=~"$instance"}"#, "{{instance}} gathering"),
        Panel::new(Lines, 8, "Refused", "ops", "Interests that are refused, and states that nodes wanted again.")
            .ask(r#"sum by (code) (rate(namerd_stream_refusals_total{instance=~"$instance"}[$__rate_interval]))"#, "{{code}}")
            .ask(r#"sum(rate(namerd_stream_refetches_total{instance=~"$instance"}[$__rate_interval]))"#, "wanted again"),
    ])
}

fn doors() -> Row {
    Row("Its doors and its bounds", vec![
        Panel::new(Lines, 8, "gRPC calls", "reqps", "By method and code.")
            .ask(r#"sum by (method, code) (rate(namerd_api_grpc_calls_total{instance=~"$instance"}[$__rate_interval]))"#, "{{method}} {{code}}"),
        Panel::new(Lines, 8, "HTTP requests", "reqps", "By route and status.")
            .ask(r#"sum by (route, status) (rate(namerd_api_http_requests_total{instance=~"$instance"}[$__rate_interval]))"#, "{{route}} {{status}}"),
        Panel::new(Lines, 8, "Slow HTTP answers", "s", "What 99 in 100 keep to.")
            .ask(r#"histogram_quantile(0.99, sum by (le, route) (rate(namerd_api_http_request_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#, "{{route}}"),
        Panel::new(Lines, 8, "Processor", "percentunit", "1 is one core.")
            .ask(r#"rate(namerd_process_cpu_seconds_total{instance=~"$instance"}[$__rate_interval])"#, "{{instance}}"),
        Panel::new(Lines, 8, "Memory", "bytes", "Resident.")
            .ask(r#"namerd_process_resident_bytes{instance=~"$instance"}"#, "{{instance}}"),
        Panel::new(Lines, 8, "Open files of those allowed", "percentunit", "Each node proxy takes one.")
            .ask(r#"namerd_process_open_fds{instance=~"$instance"} / namerd_process_max_fds"#, "{{instance}}"),
    ])
}
