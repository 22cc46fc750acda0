//! Metrics, read from the modules' own counters when somebody asks (control plane 9.4, 10). Names, help and labels stand in
//! [`crate::meter::table`] and nowhere else.

mod authority;
mod gates;
mod process;
mod render;

use std::collections::BTreeMap;

use tokio::time::Instant;

pub(super) use self::render::{influxdb, json, prometheus};
use super::{Admin, ClusterState};
use crate::bind::BindState;
use crate::meter::table as t;
use crate::meter::{Counts, Described, Histograms, METRICS, Measured};
use crate::store::ingress::Ingresses;
use crate::store::services::{Kind, WatchStatus};
use l5d_naming::Replicas;

/// One number, or several that belong together.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Histogram(Measured),
}

/// Label values in the order of the table, and the value.
type Sample = (Vec<String>, Value);

/// Values of metrics, being gathered.
#[derive(Debug, Default)]
struct Sheet(BTreeMap<&'static str, Vec<Sample>>);

/// One metric with all its values.
#[derive(Debug)]
pub(super) struct Metric {
    of: Described,
    samples: Vec<Sample>,
}

impl Sheet {
    fn put(&mut self, of: &Described, value: f64) {
        self.label(of, &[], value);
    }

    fn label(&mut self, of: &Described, labels: &[&str], value: f64) {
        let labels = labels.iter().map(|l| (*l).to_owned()).collect();
        self.sample(of, labels, Value::Number(value));
    }

    fn counts<const N: usize>(&mut self, of: &Described, counts: &Counts<N>) {
        for (labels, n) in counts.all() {
            self.sample(of, labels.to_vec(), Value::Number(float(n)));
        }
    }

    fn histograms(&mut self, of: &Described, all: &Histograms) {
        for (label, measured) in all.all() {
            self.sample(of, vec![label], Value::Histogram(measured));
        }
    }

    fn sample(&mut self, of: &Described, labels: Vec<String>, value: Value) {
        debug_assert_eq!(labels.len(), of.labels.len(), "labels of {}", of.name);
        self.0.entry(of.name).or_default().push((labels, value));
    }
}

/// All metrics now, in the order of the table. Those without a value are left out.
pub(super) fn gather(admin: &Admin) -> Vec<Metric> {
    let mut sheet = Sheet::default();
    process::put(&mut sheet, admin);
    store(&mut sheet, admin);
    bindings(&mut sheet, admin);
    stream(&mut sheet, admin);
    watches(&mut sheet, &admin.clusters);
    if let Some(rules) = admin.hub.ingresses() {
        ingresses(&mut sheet, rules);
    }
    doors(&mut sheet, admin);
    gates::put(&mut sheet, &admin.gates);
    if let Some(ca) = &admin.ca {
        authority::put(&mut sheet, ca);
    }
    let found = |of: &Described| {
        let samples = sheet.0.remove(of.name)?;
        Some(Metric { of: *of, samples })
    };
    METRICS.iter().filter_map(found).collect()
}

fn store(sheet: &mut Sheet, admin: &Admin) {
    let names = admin.store.list().get();
    let namespaces = names.1.as_ref().map_or(0, |names| names.len());
    let kind = [admin.store.kind()];
    let status = admin.store.status().get();
    let status = &status.1;
    sheet.put(&t::RECOMPUTATIONS, float(admin.engine.runs()));
    sheet.put(&t::QUEUED, size(admin.engine.queued()));
    sheet.put(&t::NAMESPACES, size(namespaces));
    sheet.label(&t::STORE_CONNECTED, &kind, status.connected.into());
    if let Some(at) = status.confirmed {
        let age = Instant::now().saturating_duration_since(at);
        sheet.label(&t::STORE_AGE, &kind, age.as_secs_f64());
    }
    sheet.label(&t::STORE_FAILURES, &kind, float(status.failures));
    sheet.label(&t::STORE_UNKEPT, &kind, float(status.unkept));
    let unreadable = size(status.unreadable.len());
    sheet.label(&t::STORE_UNREADABLE, &kind, unreadable);
    sheet.counts(&t::STORE_WRITES, &admin.meter.store_writes);
    sheet.histograms(&t::STORE_SECONDS, &admin.meter.store_seconds);
}

fn bindings(sheet: &mut Sheet, admin: &Admin) {
    sheet.counts(&t::LOOKUPS, &admin.meter.lookups);
    let all = admin.binder.bindings();
    let mut states = BTreeMap::from([("pending", 0), ("failed", 0), ("bound", 0)]);
    let mut clusters = BTreeMap::new();
    for binding in &all {
        let state = match &binding.state.get().1 {
            BindState::Pending => "pending",
            BindState::Failed(_) => "failed",
            BindState::Tree(tree) => {
                tree.for_each_leaf(&mut |leaf| {
                    let cluster = &leaf.cluster;
                    clusters.entry(cluster.number).or_insert_with(|| {
                        match &cluster.replicas.get().1 {
                            Replicas::Pending => ("pending", 0),
                            Replicas::Neg => ("neg", 0),
                            Replicas::Failed(_) => ("failed", 0),
                            Replicas::Bound(set) if set.is_empty() => ("empty", 0),
                            Replicas::Bound(set) => ("bound", set.len()),
                        }
                    });
                });
                "bound"
            }
        };
        *states.entry(state).or_insert(0) += 1;
    }
    let mut sets = BTreeMap::from([
        ("pending", 0),
        ("neg", 0),
        ("failed", 0),
        ("empty", 0),
        ("bound", 0),
    ]);
    let mut endpoints = 0;
    for (state, n) in clusters.into_values() {
        *sets.entry(state).or_insert(0) += 1;
        endpoints += n;
    }
    sheet.put(&t::EVALUATIONS, float(admin.binder.evaluations()));
    sheet.put(&t::BINDINGS, size(all.len()));
    for (of, counts) in [(&t::BINDING_STATES, states), (&t::CLUSTERS, sets)] {
        for (state, n) in counts {
            sheet.label(of, &[state], size(n));
        }
    }
    sheet.put(&t::ENDPOINTS, size(endpoints));
    sheet.put(&t::MISSING_GATEWAYS, float((admin.missing_gateways)()));
}

fn stream(sheet: &mut Sheet, admin: &Admin) {
    let m = admin.hub.metrics();
    let (clusters, trees) = admin.hub.followed();
    let sessions = admin.hub.registry().list(None);
    for (of, count) in [
        (&t::SESSIONS, &m.sessions),
        (&t::SESSIONS_OPENED, &m.opened),
        (&t::SESSIONS_RESUMED, &m.resumed),
        (&t::FRAMES, &m.frames),
        (&t::ENCODINGS, &m.encodings),
        (&t::SENT_BYTES, &m.bytes),
        (&t::WRITES, &m.writes),
        (&t::REFETCHES, &m.refetches),
    ] {
        sheet.put(of, float(count.get()));
    }
    let interests = sessions.iter().map(|s| s.interests).sum();
    sheet.put(&t::INTERESTS, float(interests));
    let most = sessions.iter().map(|s| s.lag).max().unwrap_or_default();
    sheet.put(&t::MOST_LAG, most.as_secs_f64());
    for (code, n) in m.refusals() {
        sheet.label(&t::REFUSALS, &[code], float(n));
    }
    for (reason, n) in m.ended() {
        sheet.label(&t::ENDED, &[reason], float(n));
    }
    sheet.put(&t::GAP, admin.hub.gap().now().as_secs_f64());
    sheet.put(&t::FOLLOWED_CLUSTERS, size(clusters));
    sheet.put(&t::FOLLOWED_TREES, size(trees));
}

/// K8S-128.
fn watches(sheet: &mut Sheet, clusters: &[ClusterState]) {
    let now = Instant::now();
    for cluster in clusters {
        for kind in Kind::ALL {
            watch(
                sheet,
                &cluster.api,
                kind.source(),
                &cluster.services.status(kind),
                now,
            );
        }
    }
}

fn watch(sheet: &mut Sheet, api: &str, source: &str, status: &WatchStatus, now: Instant) {
    let labels = [api, source];
    let mut put = |of: &Described, value: f64| sheet.label(of, &labels, value);
    put(&t::WATCH_SYNCED, status.synced.into());
    if let Some(age) = status.age(now) {
        put(&t::WATCH_AGE, age.as_secs_f64());
    }
    if let Some(lag) = status.lag {
        put(&t::WATCH_LAG, lag.as_secs_f64());
    }
    put(&t::WATCH_RELISTS, float(status.relists));
    put(&t::WATCH_RESUMES, float(status.resumes));
    put(&t::WATCH_DECODE, float(status.decode_errors));
    put(&t::WATCH_TRAVELS, float(status.time_travels));
    put(&t::WATCH_OBJECTS, size(status.objects));
    put(&t::WATCH_STALE, size(status.stale_objects));
    let state = [api, source, status.state.name()];
    sheet.label(&t::WATCH_STATE, &state, 1.0);
}

fn ingresses(sheet: &mut Sheet, ingresses: &Ingresses) {
    let now = Instant::now();
    for kind in ingresses.watches() {
        let status = ingresses.status(*kind);
        watch(sheet, ingresses.api(), kind.source(), &status, now);
    }
    let table = ingresses.table().value();
    sheet.put(
        &t::INGRESS_RULES,
        size(table.map_or(0, |table| table.rules().len())),
    );
    for (skip, n) in ingresses.skipped() {
        sheet.label(&t::INGRESS_LEFT_OUT, &[skip.name()], size(n));
    }
}

fn doors(sheet: &mut Sheet, admin: &Admin) {
    for (route, status, n) in admin.requests.all() {
        sheet.label(&t::HTTP_REQUESTS, &[route, &status.to_string()], float(n));
    }
    sheet.histograms(&t::HTTP_SECONDS, admin.requests.seconds());
    let meter = &admin.meter;
    sheet.counts(&t::GRPC_CALLS, &meter.grpc);
    sheet.histograms(&t::GRPC_SECONDS, &meter.grpc_seconds);
    for (of, open) in [
        (&t::GRPC_STREAMS, &meter.grpc_streams),
        (&t::THRIFT_WAITING, &meter.thrift_waiting),
    ] {
        for (label, n) in open.all() {
            sheet.label(of, &[label], float(n));
        }
    }
    sheet.counts(&t::THRIFT_CALLS, &meter.thrift);
    sheet.counts(&t::LIMITS, &meter.limits);
    sheet.counts(&t::ADMIN_REQUESTS, &meter.admin);
    sheet.put(&t::ADMIN_WATCHERS, size(admin.watchers.open()));
    access_logs(sheet, admin);
    let log = admin.levels.counts();
    for (level, n) in log.lines {
        sheet.label(&t::LOG_LINES, &[level], float(n));
    }
    sheet.put(&t::LOG_LEFT_OUT, float(log.left_out));
    for (outcome, n) in log.spans {
        sheet.label(&t::SPANS, &[outcome], float(n));
    }
}

fn access_logs(sheet: &mut Sheet, admin: &Admin) {
    let logs = admin.meter.access_logs.lock();
    if logs.is_empty() {
        return;
    }
    let (mut written, mut dropped, mut failed) = (0, 0, 0);
    for counts in logs.iter().map(l5d_accesslog::AccessLog::counts) {
        written += counts.written;
        dropped += counts.dropped;
        failed += counts.failed;
    }
    for (outcome, n) in [
        ("written", written),
        ("dropped", dropped),
        ("failed", failed),
    ] {
        sheet.label(&t::ACCESS_LOG, &[outcome], float(n));
    }
}

/// Exact up to 2^53, which no counter here reaches.
fn float(n: u64) -> f64 {
    n as f64
}

fn size(n: usize) -> f64 {
    n as f64
}
