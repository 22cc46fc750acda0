//! `telemetry` (node-proxy 15.1).

use std::collections::BTreeMap;

/// One telemeter. Metrics are served whether one asks for them or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Telemeter {
    /// `io.l5d.prometheus`
    Prometheus {
        /// Served here too, besides the usual places.
        path: String,
        /// In front of every name.
        prefix: String,
        /// `histograms` (ours): modern histograms besides the summaries.
        has_histograms: bool,
    },
    /// `io.l5d.recentRequests`
    RecentRequests {
        /// Share of the traces, 0 to 1.
        sample_rate: f64,
        /// How many are kept.
        capacity: usize,
    },
    /// `io.l5d.tracelog`: spans as lines of the log.
    TraceLog {
        /// Share of the traces, 0 to 1.
        sample_rate: f64,
        /// As `tracing` has it.
        level: tracing::Level,
    },
    /// `io.l5d.opentelemetry` (ours), and `io.l5d.zipkin` mapped to it.
    OpenTelemetry {
        /// The collector: `http://HOST:4318/v1/traces`.
        endpoint: String,
        /// Share of the traces, 0 to 1.
        sample_rate: f64,
        /// Sent with each export; may hold credentials, so they are never shown.
        headers: BTreeMap<String, String>,
        /// Attributes of the process.
        resource: BTreeMap<String, String>,
    },
}
