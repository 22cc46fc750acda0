//! `telemetry`: metrics are always on, so most of it only has to be understood (control plane 3.4, 10.1).

use l5d_config::{Kinds, Section};

const TELEMETERS: Kinds = Kinds {
    what: "telemeter",
    known: &[
        "io.l5d.prometheus",
        "io.l5d.recentRequests",
        "io.l5d.zipkin",
        "io.l5d.tracelog",
    ],
    others: &[
        ("io.l5d.influxdb", "is not supported yet"),
        ("io.l5d.statsd", "is not supported yet"),
        (
            "io.l5d.commonMetrics",
            "is not supported: /admin/metrics.json and /admin/metrics/prometheus are always there",
        ),
    ],
};

/// Further paths of the Prometheus page.
pub(super) fn read(top: &Section<'_>) -> Vec<String> {
    let sections = top.key("telemetry").sections().unwrap_or_default();
    sections.into_iter().filter_map(telemeter).collect()
}

fn telemeter(mut section: Section<'_>) -> Option<String> {
    let kind = section.kind(&TELEMETERS)?;
    section.key("experimental").boolean();
    if kind == "io.l5d.prometheus" {
        section.legacy(
            "prefix",
            "namerd's metrics are named namerd_... as they are",
        );
        let field = section.key("path");
        let spot = field.spot();
        let path = field.string()?;
        if !path.starts_with('/') {
            let message = format!("{}.path must start with `/`", section.name());
            section.reader().mistake(spot, message, None);
        }
        return Some(path);
    }
    section.key("sampleRate").number(0.0..=1.0);
    match kind {
        "io.l5d.recentRequests" => drop(section.key("capacity").integer(1..=1_000_000)),
        "io.l5d.zipkin" => {
            section.key("host").string();
            section.key("port").port();
        }
        _ => drop(section.key("level").string()),
    }
    let message = format!("telemeter {kind} has no effect: namerd traces no requests");
    section.reader().warn(section.spot(), message, None);
    None
}
