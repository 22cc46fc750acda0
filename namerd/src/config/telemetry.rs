//! `telemetry`: metrics are always on, so most of it only has to be understood (control plane 3.4, 10.1). Traces go
//! out only where `io.l5d.opentelemetry` names a collector.

use l5d_config::{Kinds, Section};

use super::Traces;

const TELEMETERS: Kinds = Kinds {
    what: "telemeter",
    known: &[
        "io.l5d.influxdb",
        "io.l5d.opentelemetry",
        "io.l5d.prometheus",
        "io.l5d.recentRequests",
        "io.l5d.zipkin",
        "io.l5d.tracelog",
    ],
    others: &[
        (
            "io.l5d.statsd",
            "is not supported: scrape /admin/metrics/prometheus, or read /admin/metrics.json",
        ),
        (
            "io.l5d.commonMetrics",
            "is not supported: /admin/metrics.json and /admin/metrics/prometheus are always there",
        ),
    ],
};

/// A page of metrics for Prometheus, besides `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusPage {
    /// `path`: where it is.
    pub path: String,
    /// `prefix`: what stands before each name that does not begin with it already.
    pub prefix: String,
}

/// Where the page is unless the file says otherwise.
const PROMETHEUS: &str = "/admin/metrics/prometheus";

/// What telemeters were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Telemetry {
    /// The Prometheus pages that were asked for.
    pub(super) prometheus: Vec<PrometheusPage>,
    /// Whether the InfluxDB page is served.
    pub(super) influxdb: bool,
    /// Where traces go.
    pub(super) traces: Option<Traces>,
}

pub(super) fn read(top: &Section<'_>) -> Telemetry {
    let mut telemetry = Telemetry::default();
    for section in top.key("telemetry").sections().unwrap_or_default() {
        telemeter(section, &mut telemetry);
    }
    telemetry
}

fn telemeter(mut section: Section<'_>, telemetry: &mut Telemetry) {
    let Some(kind) = section.kind(&TELEMETERS) else {
        return;
    };
    section.key("experimental").boolean();
    match kind {
        "io.l5d.prometheus" => telemetry.prometheus.push(prometheus(&section)),
        "io.l5d.influxdb" => telemetry.influxdb = true,
        "io.l5d.opentelemetry" if telemetry.traces.is_some() => {
            let message = "traces go to one collector only";
            section.reader().mistake(section.spot(), message, None);
        }
        "io.l5d.opentelemetry" => telemetry.traces = opentelemetry(&section),
        _ => without_effect(&section, kind),
    }
}

fn prometheus(section: &Section<'_>) -> PrometheusPage {
    let field = section.key("path");
    let spot = field.spot();
    let path = field.string().unwrap_or_else(|| PROMETHEUS.to_owned());
    if !path.starts_with('/') {
        let message = format!("{}.path must start with `/`", section.name());
        section.reader().mistake(spot, message, None);
    }
    let field = section.key("prefix");
    let spot = field.spot();
    let prefix = field.string().unwrap_or_default();
    let is_name = |(i, b): (usize, u8)| {
        b.is_ascii_alphabetic() || matches!(b, b'_' | b':') || (i > 0 && b.is_ascii_digit())
    };
    if !prefix.bytes().enumerate().all(is_name) {
        let message = format!(
            "{}.prefix cannot begin the name of a metric",
            section.name()
        );
        let help = "letters, digits, `_` and `:`, no digit first";
        section
            .reader()
            .mistake(spot, message, Some(help.to_owned()));
    }
    PrometheusPage { path, prefix }
}

/// `endpoint`, `sampleRate` (1.0), `serviceName` (`namerd`).
fn opentelemetry(section: &Section<'_>) -> Option<Traces> {
    let sample_rate = section.key("sampleRate").number(0.0..=1.0);
    let service_name = section.key("serviceName").string();
    let field = section.need("endpoint");
    let spot = field.spot();
    let endpoint = field.string()?;
    let uri = endpoint.parse::<http::Uri>().ok();
    if !uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some()) {
        let message = format!(
            "{}.endpoint must be the http:// address of a collector that speaks OTLP over gRPC, such as http://127.0.0.1:4317; \
             TLS is for a collector beside this process to add",
            section.name()
        );
        section.reader().mistake(spot, message, None);
    }
    Some(Traces {
        endpoint,
        sample_rate: sample_rate.unwrap_or(1.0),
        service_name: service_name.unwrap_or_else(|| "namerd".to_owned()),
    })
}

fn without_effect(section: &Section<'_>, kind: &str) {
    section.key("sampleRate").number(0.0..=1.0);
    match kind {
        "io.l5d.recentRequests" => drop(section.key("capacity").integer(1..=1_000_000)),
        "io.l5d.zipkin" => {
            section.key("host").string();
            section.key("port").port();
        }
        _ => drop(section.key("level").string()),
    }
    let message =
        format!("telemeter {kind} has no effect: namerd's own traces go to io.l5d.opentelemetry");
    section.reader().warn(section.spot(), message, None);
}
