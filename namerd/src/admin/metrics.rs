//! Metrics, read from the modules' own counters when somebody asks (control plane 9.4, 10).
//!
//! Names are `namerd_<module>_<what>_<unit>`. Labels have few values by their nature: kinds of watches, routes, reasons.

mod gates;
mod render;

use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::render::{json, prometheus};
use super::{Admin, ClusterState};
use crate::store::services::Kind;

/// What a number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One metric with all its labelled values.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Type,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

/// All metrics now.
pub(super) fn gather(admin: &Admin) -> Vec<Metric> {
    let mut all = process(admin);
    all.extend(names(admin));
    all.extend(stream(admin));
    all.extend(watches(&admin.clusters));
    all.extend(gates::metrics(&admin.gates));
    all.push(Metric {
        name: "namerd_api_http_requests_total",
        help: "Requests answered by HTTP controllers",
        kind: Type::Counter,
        samples: admin
            .requests
            .all()
            .into_iter()
            .map(|(route, status, n)| {
                let labels = vec![("route", route.to_owned()), ("status", status.to_string())];
                (labels, float(n))
            })
            .collect(),
    });
    all
}

fn process(admin: &Admin) -> Vec<Metric> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let uptime = admin.started.elapsed().as_secs_f64();
    let mut all = vec![
        Metric {
            name: "namerd_process_build_info",
            help: "The version, as a label",
            kind: Type::Gauge,
            samples: vec![(vec![("version", version)], 1.0)],
        },
        gauge(
            "namerd_process_ready",
            "Whether every source has answered once",
            admin.ready.value().into(),
        ),
        gauge(
            "namerd_process_uptime_seconds",
            "Time since the start",
            uptime,
        ),
    ];
    if let Some((cpu, resident)) = resources() {
        all.push(counter(
            "namerd_process_cpu_seconds_total",
            "Processor time used",
            cpu,
        ));
        all.push(gauge(
            "namerd_process_resident_bytes",
            "Resident memory",
            resident,
        ));
    }
    all
}

fn names(admin: &Admin) -> Vec<Metric> {
    let namespaces = admin
        .store
        .list()
        .get()
        .1
        .as_ref()
        .map_or(0, |names| names.len());
    vec![
        counter(
            "namerd_store_recomputations_total",
            "Nodes of the graph computed",
            float(admin.engine.runs()),
        ),
        gauge(
            "namerd_store_queued_nodes",
            "Nodes of the graph waiting to be computed",
            size(admin.engine.queued()),
        ),
        gauge(
            "namerd_store_namespaces",
            "Dtab namespaces",
            size(namespaces),
        ),
        counter(
            "namerd_bind_evaluations_total",
            "Bindings evaluated",
            float(admin.binder.evaluations()),
        ),
        gauge(
            "namerd_bind_bindings",
            "Bindings kept",
            size(admin.binder.bindings().len()),
        ),
        counter(
            "namerd_transform_gateway_missing_total",
            "Endpoints left out because their node had no gateway",
            float((admin.missing_gateways)()),
        ),
    ]
}

fn stream(admin: &Admin) -> Vec<Metric> {
    let m = admin.hub.metrics();
    let (clusters, trees) = admin.hub.followed();
    let labelled = |name, help, label: &'static str, values: &[(&'static str, u64)]| Metric {
        name,
        help,
        kind: Type::Counter,
        samples: values
            .iter()
            .map(|(value, n)| (vec![(label, (*value).to_owned())], float(*n)))
            .collect(),
    };
    vec![
        gauge(
            "namerd_stream_sessions",
            "Sessions open",
            float(m.sessions.get()),
        ),
        counter(
            "namerd_stream_sessions_opened_total",
            "Sessions opened",
            float(m.opened.get()),
        ),
        counter(
            "namerd_stream_sessions_resumed_total",
            "Sessions that began with something held from before",
            float(m.resumed.get()),
        ),
        counter(
            "namerd_stream_frames_total",
            "Messages handed to sessions",
            float(m.frames.get()),
        ),
        counter(
            "namerd_stream_encodings_total",
            "States encoded, once a version",
            float(m.encodings.get()),
        ),
        counter(
            "namerd_stream_sent_bytes_total",
            "Bytes handed to sessions",
            float(m.bytes.get()),
        ),
        counter(
            "namerd_stream_writes_total",
            "Chunks handed to sessions",
            float(m.writes.get()),
        ),
        counter(
            "namerd_stream_refetches_total",
            "States a node wanted in full again",
            float(m.refetches.get()),
        ),
        labelled(
            "namerd_stream_refusals_total",
            "Interests refused",
            "code",
            &m.refusals(),
        ),
        labelled(
            "namerd_stream_ended_total",
            "Sessions ended",
            "reason",
            &m.ended(),
        ),
        gauge(
            "namerd_stream_gap_seconds",
            "How long sessions gather before they write",
            admin.hub.gap().now().as_secs_f64(),
        ),
        gauge(
            "namerd_stream_followed_clusters",
            "Clusters that sessions follow",
            size(clusters),
        ),
        gauge(
            "namerd_stream_followed_trees",
            "Trees that sessions follow",
            size(trees),
        ),
    ]
}

/// K8S-128.
fn watches(clusters: &[ClusterState]) -> Vec<Metric> {
    let now = Instant::now();
    let mut all = Vec::new();
    let statuses: Vec<_> = clusters
        .iter()
        .flat_map(|c| Kind::ALL.map(|kind| (c.api.clone(), kind, c.services.status(kind))))
        .collect();
    let labels =
        |api: &String, kind: Kind| vec![("api", api.clone()), ("source", kind.source().to_owned())];
    type Read = fn(&crate::store::services::WatchStatus, Instant) -> Option<f64>;
    let columns: [(&'static str, &'static str, Type, Read); 9] = [
        (
            "namerd_k8s_watch_synced",
            "Whether a first list has been complete",
            Type::Gauge,
            |s, _| Some(s.synced.into()),
        ),
        (
            "namerd_k8s_watch_age_seconds",
            "Time since the last item",
            Type::Gauge,
            |s, now| s.age(now).map(|d| d.as_secs_f64()),
        ),
        (
            "namerd_k8s_watch_lag_seconds",
            "How late the last slice event came",
            Type::Gauge,
            |s, _| s.lag.map(|d| Duration::as_secs_f64(&d)),
        ),
        (
            "namerd_k8s_watch_relists_total",
            "Lists after the first",
            Type::Counter,
            |s, _| Some(float(s.relists)),
        ),
        (
            "namerd_k8s_watch_resumes_total",
            "Watches gone on from a version",
            Type::Counter,
            |s, _| Some(float(s.resumes)),
        ),
        (
            "namerd_k8s_watch_decode_errors_total",
            "Objects that could not be read",
            Type::Counter,
            |s, _| Some(float(s.decode_errors)),
        ),
        (
            "namerd_k8s_watch_time_travels_total",
            "Lists refused as older than what was known",
            Type::Counter,
            |s, _| Some(float(s.time_travels)),
        ),
        (
            "namerd_k8s_watch_objects",
            "Objects kept",
            Type::Gauge,
            |s, _| Some(size(s.objects)),
        ),
        (
            "namerd_k8s_watch_stale_objects",
            "Objects whose last version could not be read",
            Type::Gauge,
            |s, _| Some(size(s.stale_objects)),
        ),
    ];
    for (name, help, kind, read) in columns {
        let samples = statuses
            .iter()
            .filter_map(|(api, source, status)| Some((labels(api, *source), read(status, now)?)));
        all.push(Metric {
            name,
            help,
            kind,
            samples: samples.collect(),
        });
    }
    let state = |(api, source, status): &(String, Kind, crate::store::services::WatchStatus)| {
        let mut labels = labels(api, *source);
        labels.push(("state", status.state.name().to_owned()));
        (labels, 1.0)
    };
    all.push(Metric {
        name: "namerd_k8s_watch_state",
        help: "1 for the state that a watch is in",
        kind: Type::Gauge,
        samples: statuses.iter().map(state).collect(),
    });
    all
}

fn counter(name: &'static str, help: &'static str, value: f64) -> Metric {
    one(name, help, Type::Counter, value)
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Metric {
    one(name, help, Type::Gauge, value)
}

fn one(name: &'static str, help: &'static str, kind: Type, value: f64) -> Metric {
    Metric {
        name,
        help,
        kind,
        samples: vec![(Vec::new(), value)],
    }
}

/// Exact up to 2^53, which no counter here reaches.
fn float(n: u64) -> f64 {
    n as f64
}

fn size(n: usize) -> f64 {
    n as f64
}

/// Processor seconds and resident bytes, where the system tells them.
fn resources() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may contain anything: field 3 and on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let pages: f64 = fields.get(21)?.parse().ok()?;
    // Linux tells both in fixed units to programs: 100 ticks a second, pages of 4 KiB (more on some ARM kernels).
    Some((ticks / 100.0, pages * 4_096.0))
}
