//! Unit tests of the alerts, as promtool reads them: each fires in the fault that it is for, and nothing else does.

use serde_json::{Value, json};

use super::alerts::{ALERTS, Alert};
use super::healthy::HEALTHY;
use super::names::Names;
use super::query;

/// The file of tests for the rules in the file `rules`.
pub fn tests(rules: &str) -> Value {
    let alerts = ALERTS.iter().flat_map(|(_, alerts)| *alerts);
    let mut tests = vec![healthy()];
    tests.extend(alerts.map(faulty));
    json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests})
}

/// Nothing is even pending.
fn healthy() -> Value {
    let asked =
        ["30m", "2h", "9h"].map(|at| json!({"expr": "ALERTS", "eval_time": at, "exp_samples": []}));
    json!({"name": "healthy", "interval": "1m", "input_series": series(&[]), "promql_expr_test": asked})
}

fn faulty(alert: &Alert) -> Value {
    let mut names: Vec<&str> = alert.also.to_vec();
    names.push(alert.name);
    names.sort_unstable();
    let fired = names
        .iter()
        .map(|name| json!({"labels": format!("{{alertname={name:?}}}"), "value": 1}));
    let asked = json!([{
        "expr": "group by (alertname) (ALERTS{alertstate=\"firing\"})",
        "eval_time": alert.by,
        "exp_samples": fired.collect::<Vec<_>>(),
    }]);
    json!({"name": alert.name, "interval": "1m", "input_series": series(alert.fault), "promql_expr_test": asked})
}

/// A healthy fleet but for a fault.
fn series(fault: &[(&str, &str)]) -> Vec<Value> {
    let is_healthy = |(name, _): &&(&str, &str)| fault.iter().all(|(other, _)| other != name);
    let all = HEALTHY.iter().filter(is_healthy).chain(fault);
    all.map(|(series, values)| json!({"series": series, "values": values}))
        .collect()
}

/// Series of tests must be ones that the programs have.
///
/// # Errors
/// What they do not have.
pub fn check(names: &Names) -> Result<(), String> {
    let faults = ALERTS.iter().flat_map(|(_, alerts)| *alerts);
    let faults = faults.flat_map(|alert| alert.fault);
    for (series, _) in HEALTHY.iter().chain(faults) {
        query::check(series, names)?;
    }
    Ok(())
}
