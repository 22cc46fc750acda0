//! One node proxy.

use super::Dashboard;
use crate::watching::dashboard::{Look::*, Panel, Row, Variable};

const INSTANCE: Variable = Variable {
    name: "instance",
    title: "Node proxy",
    series: "l5d_node_build_info",
    label: "instance",
    has_all: false,
};

pub(super) fn all() -> Dashboard {
    Dashboard {
        name: "node",
        title: "l5d / Node proxy",
        says: "One node proxy: its load and failures, what it knows of namerd, its bounds, its certificate.",
        variables: vec![INSTANCE],
        rows: vec![now(), requests(), control(), bounds()],
    }
}

fn now() -> Row {
    Row("Now", vec![
        Panel::new(Number, 4, "Follows namerd", "none", "1: yes. 0: it goes on with what it knows.")
            .ask(r#"min(l5d_node_control_connected{instance="$instance"})"#, "")
            .limits(1.0, 1.0),
        Panel::new(Number, 4, "Unconfirmed for", "s", "Age of the oldest endpoints that namerd has not confirmed.")
            .ask(r#"max(l5d_node_control_staleness_seconds{instance="$instance"})"#, "")
            .limits(60.0, 600.0),
        Panel::new(Number, 4, "Clients of those it may have", "percentunit", "At 100 % it accepts nobody until somebody leaves.")
            .ask(r#"l5d_node_client_connections{instance="$instance"} / l5d_node_client_connections_max"#, "")
            .limits(0.6, 0.8),
        Panel::new(Number, 4, "Open files of those allowed", "percentunit", "Connections of both sides and everything else.")
            .ask(r#"process_open_fds{instance="$instance"} / process_max_fds"#, "")
            .limits(0.6, 0.8),
        Panel::new(Number, 4, "Up for", "s", "Since its start.")
            .ask(r#"process_uptime_seconds{instance="$instance"}"#, ""),
        Panel::new(Number, 4, "Identity ends in", "s", "Time left of its certificate; below zero: it has none, or has not been renewed.")
            .ask(r#"l5d_node_identity_end_seconds{instance="$instance"} - time()"#, "")
            .limits(14400.0, 7200.0),
    ])
}

fn requests() -> Row {
    Row("Requests", vec![
        Panel::new(Lines, 8, "Requests and failures", "reqps", "By router; failures are answered or not.")
            .ask(r#"sum by (rt) (rate(rt:server:requests{instance="$instance"}[$__rate_interval]))"#, "{{rt}}")
            .ask(r#"sum by (rt) (rate(rt:server:failures{exception="", instance="$instance"}[$__rate_interval]))"#, "{{rt}} failures"),
        Panel::new(Lines, 8, "Latency", "ms", "Time to the end of the response.")
            .ask(r#"rt:server:request_latency_ms{quantile=~"0.5|0.99|0.999", instance="$instance"}"#, "{{rt}} {{quantile}}"),
        Panel::new(Lines, 8, "Until an endpoint is chosen", "µs", "Time from the head of a request to its first attempt: what the proxy itself takes, and waits for names.")
            .ask(r#"rt:server:handletime_us{quantile=~"0.5|0.99", instance="$instance"}"#, "{{rt}} {{quantile}}"),
        Panel::new(Lines, 8, "Responses made here", "reqps", "Why the proxy answered itself.")
            .ask(r#"sum by (rt, reason) (rate(rt:responses_made{instance="$instance"}[$__rate_interval])) > 0"#, "{{rt}} {{reason}}"),
        Panel::new(Lines, 8, "Status", "reqps", "Responses by class; error: none.")
            .ask(r#"sum by (rt) (rate(rt:server:status:2XX{instance="$instance"}[$__rate_interval]))"#, "{{rt}} 2XX")
            .ask(r#"sum by (rt) (rate(rt:server:status:4XX{instance="$instance"}[$__rate_interval]))"#, "{{rt}} 4XX")
            .ask(r#"sum by (rt) (rate(rt:server:status:5XX{instance="$instance"}[$__rate_interval]))"#, "{{rt}} 5XX")
            .ask(r#"sum by (rt) (rate(rt:server:status:error{instance="$instance"}[$__rate_interval]))"#, "{{rt}} error"),
        Panel::new(Lines, 8, "Services that fail here", "reqps", "The ten with most failures.")
            .ask(r#"topk(10, sum by (rt, service) (rate(rt:service:failures{exception="", instance="$instance"}[$__rate_interval])))"#, "{{rt}} {{service}}"),
    ])
}

fn control() -> Row {
    Row("What it knows", vec![
        Panel::new(Lines, 8, "Names and bound names", "none", "Names in the caches; bound names that namerd is asked about; those of them unconfirmed.")
            .ask(r#"sum(rt:bindcache:path:names{instance="$instance"})"#, "names")
            .ask(r#"sum(l5d_node_control_clusters{instance="$instance"})"#, "bound names")
            .ask(r#"sum(l5d_node_control_stale_clusters{instance="$instance"})"#, "unconfirmed"),
        Panel::new(Lines, 8, "Messages of namerd", "ops", "Changes that came, and streams that failed.")
            .ask(r#"sum(rate(l5d_node_control_messages_total{instance="$instance"}[$__rate_interval]))"#, "messages")
            .ask(r#"sum(rate(l5d_node_control_failures_total{instance="$instance"}[$__rate_interval]))"#, "failures")
            .ask(r#"sum(rate(l5d_node_control_denied_total{instance="$instance"}[$__rate_interval]))"#, "denied"),
        Panel::new(Lines, 8, "Disagreements", "ops", "States and heartbeats that did not fit what is known here; each is asked for again.")
            .ask(r#"sum(rate(l5d_node_control_hash_mismatches_total{instance="$instance"}[$__rate_interval]))"#, "hashes")
            .ask(r#"sum(rate(l5d_node_control_digest_mismatches_total{instance="$instance"}[$__rate_interval]))"#, "digests")
            .ask(r#"sum(rate(l5d_node_control_unknown_numbers_total{instance="$instance"}[$__rate_interval]))"#, "unknown numbers"),
    ])
}

fn bounds() -> Row {
    Row("Bounds", vec![
        Panel::new(Lines, 8, "Connections", "none", "Of clients, and to endpoints.")
            .ask(r#"sum by (rt) (rt:server:connections{instance="$instance"})"#, "{{rt}} clients")
            .ask(r#"sum by (rt) (rt:client:connections{instance="$instance"})"#, "{{rt}} endpoints"),
        Panel::new(Lines, 8, "Bytes", "Bps", "Of clients' connections.")
            .ask(r#"sum by (rt) (rate(rt:server:received_bytes{instance="$instance"}[$__rate_interval]))"#, "{{rt}} in")
            .ask(r#"sum by (rt) (rate(rt:server:sent_bytes{instance="$instance"}[$__rate_interval]))"#, "{{rt}} out"),
        Panel::new(Lines, 8, "Turned away", "ops", "Requests over a limit, connections that could not be accepted, times at the bound of clients.")
            .ask(r#"sum by (rt) (rate(rt:server:nacks{instance="$instance"}[$__rate_interval]))"#, "{{rt}} requests")
            .ask(r#"sum by (rt) (rate(rt:server:accept_failures{instance="$instance"}[$__rate_interval]))"#, "{{rt}} not accepted")
            .ask(r#"rate(l5d_node_client_connections_full_total{instance="$instance"}[$__rate_interval])"#, "at the bound"),
        Panel::new(Lines, 8, "Processor", "percentunit", "1 is one core.")
            .ask(r#"rate(process_cpu_seconds_total{instance="$instance"}[$__rate_interval])"#, "cores"),
        Panel::new(Lines, 8, "Memory", "bytes", "Resident.")
            .ask(r#"process_resident_memory_bytes{instance="$instance"}"#, "resident"),
        Panel::new(Lines, 8, "TLS", "ops", "Handshakes with clients and other nodes.")
            .ask(r#"rate(l5d_node_tls_handshakes_total{instance="$instance"}[$__rate_interval])"#, "ended well")
            .ask(r#"rate(l5d_node_tls_handshake_failures_total{instance="$instance"}[$__rate_interval])"#, "failed"),
    ])
}
