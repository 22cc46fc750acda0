//! TLS of each server that has it.

use std::sync::Arc;

use super::{Metric, Type, float};
use crate::tls::Gate;

pub(super) fn metrics(gates: &[(String, Arc<Gate>)]) -> Vec<Metric> {
    let with_tls = || {
        let ends = gates
            .iter()
            .map(|(name, gate)| (name, gate, gate.not_after()));
        ends.filter_map(|(name, gate, end)| Some((name, gate, end?)))
    };
    let mut handshakes = Vec::new();
    let mut reloads = Vec::new();
    let mut ends = Vec::new();
    for (name, gate, end) in with_tls() {
        let labels = |result: &str| vec![("server", name.clone()), ("result", result.to_owned())];
        let counts = gate.counts();
        handshakes.extend(counts.handshakes().map(|(r, n)| (labels(r), float(n))));
        reloads.extend(counts.reloads().map(|(r, n)| (labels(r), float(n))));
        ends.push((vec![("server", name.clone())], end as f64));
    }
    let metric = |name, help, kind, samples| Metric {
        name,
        help,
        kind,
        samples,
    };
    let all = [
        metric(
            "namerd_tls_handshakes_total",
            "TLS handshakes by how they ended",
            Type::Counter,
            handshakes,
        ),
        metric(
            "namerd_tls_reloads_total",
            "Changed TLS files: taken, or not usable",
            Type::Counter,
            reloads,
        ),
        metric(
            "namerd_tls_certificate_end_seconds",
            "When the certificate in use ends, in seconds of Unix time",
            Type::Gauge,
            ends,
        ),
    ];
    all.into_iter()
        .filter(|metric| !metric.samples.is_empty())
        .collect()
}
