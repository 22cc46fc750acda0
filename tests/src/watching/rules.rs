//! Rules as Prometheus reads them: what is recorded, and the alerts.

use std::fmt::Write as _;

use super::alerts::{ALERTS, Alert};

/// A series that Prometheus computes all the time, since dashboards of a big fleet ask for it again and again.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub expr: &'static str,
    /// Its labels, besides those of the target.
    pub labels: &'static [&'static str],
}

/// All of them.
pub const RECORDED: &[Recorded] = &[
    Recorded {
        name: "l5d:service_requests:rate5m",
        expr: "sum by (rt, service) (rate(rt:service:requests[5m]))",
        labels: &["rt", "service"],
    },
    Recorded {
        name: "l5d:service_failures:rate5m",
        expr: "sum by (rt, service) (rate(rt:service:failures{exception=\"\"}[5m]))",
        labels: &["rt", "service"],
    },
    Recorded {
        name: "l5d:node_requests:rate5m",
        expr: "sum by (node, instance, rt) (rate(rt:server:requests[5m]))",
        labels: &["rt"],
    },
    Recorded {
        name: "l5d:node_failures:rate5m",
        expr: "sum by (node, instance, rt) (rate(rt:server:failures{exception=\"\"}[5m]))",
        labels: &["rt"],
    },
];

const HEAD: &str = "\
# Alerts and recorded series for Prometheus, made by `cargo xtask watching` from the tables of metrics: change
# tests/src/watching instead. The jobs are named `namerd` and `l5d-node`; podmonitor.yaml names them so.
groups:
";

/// The file.
pub(super) fn text(runbook: &str) -> String {
    let mut out = String::from(HEAD);
    put(&mut out, "- name: l5d-recorded\n  rules:\n");
    for recorded in RECORDED {
        put(&mut out, &format!("  - record: {}\n", recorded.name));
        expr(&mut out, recorded.expr);
    }
    for (group, alerts) in ALERTS {
        put(&mut out, &format!("- name: {group}\n  rules:\n"));
        alerts.iter().for_each(|a| alert(&mut out, a, runbook));
    }
    out
}

fn alert(out: &mut String, alert: &Alert, runbook: &str) {
    put(out, &format!("  - alert: {}\n", alert.name));
    expr(out, alert.expr);
    let anchor = runbook_anchor(alert.name);
    let severity = alert.severity.name();
    put(out, &format!("    for: {}\n", alert.wait));
    put(out, &format!("    labels:\n      severity: {severity}\n"));
    put(out, "    annotations:\n");
    for (key, value) in [
        ("summary", alert.summary),
        ("description", alert.description),
        ("runbook_url", &format!("{runbook}#{anchor}")),
    ] {
        put(out, &format!("      {key}: {}\n", quoted(value)));
    }
}

/// The place of an alert's entry in the runbook.
pub fn runbook_anchor(alert: &str) -> String {
    alert.to_lowercase()
}

fn expr(out: &mut String, expr: &str) {
    put(out, "    expr: |-\n");
    for line in expr.lines() {
        put(out, &format!("      {line}\n"));
    }
}

/// As YAML has it, which takes texts of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn put(out: &mut String, text: &str) {
    out.write_str(text).expect("a string takes everything");
}
