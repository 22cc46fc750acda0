//! `telemetry` (node-proxy 15.1).

use std::collections::BTreeMap;

use l5d_config::{Field, Kinds, Section};

use super::scalar::count;
use crate::config::Telemeter;

const TELEMETERS: Kinds = Kinds {
    what: "telemeter",
    known: &[
        "io.l5d.prometheus",
        "io.l5d.recentRequests",
        "io.l5d.zipkin",
        "io.l5d.tracelog",
        "io.l5d.opentelemetry",
        "io.l5d.influxdb",
        "io.l5d.statsd",
    ],
    others: &[],
};

/// Where collectors of today take what `io.l5d.zipkin` sent to its own port.
const OTLP_PORT: u16 = 4318;

pub(super) fn read(field: Field<'_>) -> Vec<Telemeter> {
    let sections = field.sections().unwrap_or_default();
    sections.into_iter().filter_map(one).collect()
}

fn one(mut section: Section<'_>) -> Option<Telemeter> {
    let kind = section.kind(&TELEMETERS)?;
    let is_experimental = section.key("experimental").boolean().unwrap_or(false);
    match kind {
        "io.l5d.prometheus" => prometheus(&section),
        "io.l5d.recentRequests" => {
            let sample_rate = section.need("sampleRate").number(0.0..=1.0);
            let capacity = count(section.key("capacity"), 1).unwrap_or(10);
            Some(Telemeter::RecentRequests {
                sample_rate: sample_rate?,
                capacity,
            })
        }
        "io.l5d.tracelog" => Some(Telemeter::TraceLog {
            sample_rate: rate(&section, 1.0),
            level: level(&section),
        }),
        "io.l5d.zipkin" => Some(zipkin(&section)),
        "io.l5d.opentelemetry" => opentelemetry(&section),
        "io.l5d.influxdb" => {
            let message = "telemeter io.l5d.influxdb has no effect: let a collector scrape /admin/metrics/prometheus";
            section.reader().warn(section.spot(), message, None);
            None
        }
        _ => {
            statsd(&section, is_experimental);
            None
        }
    }
}

fn rate(section: &Section<'_>, default: f64) -> f64 {
    let read = section.key("sampleRate").number(0.0..=1.0);
    read.unwrap_or(default)
}

fn prometheus(section: &Section<'_>) -> Option<Telemeter> {
    let field = section.key("path");
    let spot = field.spot();
    let path = field.string();
    let path = path.unwrap_or_else(|| "/admin/metrics/prometheus".to_owned());
    if !path.starts_with('/') {
        let message = format!("{}.path must start with `/`", section.name());
        section.reader().mistake(spot, message, None);
    }
    Some(Telemeter::Prometheus {
        path,
        prefix: section.key("prefix").string().unwrap_or_default(),
        has_histograms: section.key("histograms").boolean().unwrap_or(false),
    })
}

fn level(section: &Section<'_>) -> tracing::Level {
    let field = section.key("level");
    let spot = field.spot();
    let Some(text) = field.string() else {
        return tracing::Level::INFO;
    };
    match text.to_ascii_uppercase().as_str() {
        "ALL" | "TRACE" => tracing::Level::TRACE,
        "DEBUG" => tracing::Level::DEBUG,
        "INFO" => tracing::Level::INFO,
        "WARNING" | "WARN" => tracing::Level::WARN,
        "ERROR" | "CRITICAL" | "FATAL" => tracing::Level::ERROR,
        _ => {
            let message = format!("`{}` is no level of the log", text.escape_debug());
            let help = "levels: TRACE, DEBUG, INFO, WARNING, ERROR";
            section
                .reader()
                .mistake(spot, message, Some(help.to_owned()));
            tracing::Level::INFO
        }
    }
}

/// Its transport no longer exists: spans go to the same host over OTLP.
fn zipkin(section: &Section<'_>) -> Telemeter {
    let host = section.key("host").string();
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    let port = section.key("port").port().unwrap_or(9410);
    let target = match port {
        9410 => OTLP_PORT,
        port => port,
    };
    let endpoint = format!("http://{host}:{target}/v1/traces");
    let message = format!(
        "telemeter io.l5d.zipkin sends to {endpoint} (OTLP over HTTP): no collector speaks Scribe any more"
    );
    let help = "use `kind: io.l5d.opentelemetry` with `endpoint` to say where";
    let reader = section.reader();
    reader.warn(section.spot(), message, Some(help.to_owned()));
    Telemeter::OpenTelemetry {
        endpoint,
        sample_rate: rate(section, 0.001),
        headers: BTreeMap::new(),
        resource: BTreeMap::new(),
    }
}

fn opentelemetry(section: &Section<'_>) -> Option<Telemeter> {
    let sample_rate = rate(section, 1.0);
    let headers = map(section.key("headers"));
    let resource = map(section.key("resource"));
    let field = section.need("endpoint");
    let spot = field.spot();
    let endpoint = field.string()?;
    let uri = endpoint.parse::<http::Uri>().ok();
    let is_url = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    };
    if !uri.as_ref().is_some_and(is_url) {
        let message = format!(
            "{}.endpoint must be the address of a collector, such as http://localhost:4318/v1/traces",
            section.name()
        );
        section.reader().mistake(spot, message, None);
    }
    Some(Telemeter::OpenTelemetry {
        endpoint,
        sample_rate,
        headers,
        resource,
    })
}

/// A map with keys of the user's.
fn map(field: Field<'_>) -> BTreeMap<String, String> {
    let Some(mut section) = field.section() else {
        return BTreeMap::new();
    };
    let entries = section.entries().into_iter();
    entries
        .filter_map(|(key, value)| Some((key.to_owned(), value.string()?)))
        .collect()
}

fn statsd(section: &Section<'_>, is_experimental: bool) {
    if !is_experimental {
        let message = "the io.l5d.statsd telemeter is experimental: it needs `experimental: true`";
        section.reader().mistake(section.spot(), message, None);
    }
    let _ = section.key("prefix").string();
    let _ = section.key("hostname").string();
    let _ = section.key("port").port();
    let _ = section.key("gaugeIntervalMs").millis();
    let _ = section.key("sampleRate").number(0.0..=1.0);
    let message =
        "telemeter io.l5d.statsd has no effect: let a collector scrape /admin/metrics/prometheus";
    section.reader().warn(section.spot(), message, None);
}
