//! Metrics as text for Prometheus and as JSON.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Metric, Value as Number, float};
use crate::meter::{BOUNDS, Measured, Type};
use crate::web::{self, Body, JSON, Params};

/// The Prometheus text format. `prefix` stands before each name that does not begin with it.
pub(in crate::admin) fn prometheus(metrics: &[Metric], prefix: &str) -> String {
    let mut out = String::new();
    for metric in metrics {
        let name = match metric.of.name.starts_with(prefix) {
            true => metric.of.name.to_owned(),
            false => format!("{prefix}{}", metric.of.name),
        };
        let name = name.as_str();
        let kind = match metric.of.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        out.push_str(&format!(
            "# HELP {name} {}\n# TYPE {name} {kind}\n",
            metric.of.help
        ));
        for (values, value) in &metric.samples {
            let labels: Vec<_> = metric
                .of
                .labels
                .iter()
                .zip(values)
                .map(|(k, v)| format!("{k}=\"{}\"", escape(v)))
                .collect();
            match value {
                Number::Number(n) => line(&mut out, name, &labels, *n),
                Number::Histogram(measured) => histogram(&mut out, name, labels, measured),
            }
        }
    }
    out
}

fn line(out: &mut String, name: &str, labels: &[String], value: f64) {
    let labels = match labels.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", labels.join(",")),
    };
    out.push_str(&format!("{name}{labels} {value}\n"));
}

fn histogram(out: &mut String, name: &str, mut labels: Vec<String>, measured: &Measured) {
    let bounds = BOUNDS.iter().map(ToString::to_string);
    let bounds = bounds.chain(["+Inf".to_owned()]);
    for (bound, n) in bounds.zip(measured.up_to) {
        labels.push(format!("le=\"{bound}\""));
        line(out, &format!("{name}_bucket"), &labels, float(n));
        labels.pop();
    }
    line(out, &format!("{name}_sum"), &labels, measured.sum);
    let count = float(measured.count());
    line(out, &format!("{name}_count"), &labels, count);
}

/// InfluxDB's line protocol: one line a series, `host` as a tag, no times, so that the reader's clock counts.
pub(in crate::admin) fn influxdb(metrics: &[Metric], host: &str) -> String {
    // Tags may not be empty; blanks, commas and equal signs are escaped.
    let tag = |value: &str| match value {
        "" => "none".to_owned(),
        value => value
            .replace('\\', "\\\\")
            .replace([' ', '\n'], "\\ ")
            .replace(',', "\\,")
            .replace('=', "\\="),
    };
    let mut out = String::new();
    for metric in metrics {
        for (values, value) in &metric.samples {
            out.push_str(&format!("{},host={}", metric.of.name, tag(host)));
            for (label, value) in metric.of.labels.iter().zip(values) {
                out.push_str(&format!(",{label}={}", tag(value)));
            }
            let fields = match (value, metric.of.kind) {
                (Number::Number(n), Type::Counter) => format!("counter={n}"),
                (Number::Number(n), _) => format!("gauge={n}"),
                (Number::Histogram(m), _) => format!("count={},sum={}", m.count(), m.sum),
            };
            out.push_str(&format!(" {fields}\n"));
        }
    }
    out
}

/// Label values (prometheus.io, text format): backslash, quote and line feed.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The flat form, or with `tree=true` the nested one, or with `q=SCOPE` a part of it; `pretty=true` for people.
pub(in crate::admin) fn json(metrics: &[Metric], params: &Params) -> Response<Body> {
    let query = params.get("q").map(|q| q.trim_matches('/').to_owned());
    let is_in = |scope: &str| {
        query.as_deref().is_none_or(|q| {
            scope
                .strip_prefix(q)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let leaves: Vec<Leaf> = metrics
        .iter()
        .flat_map(leaves)
        .filter(|leaf| is_in(&leaf.scope))
        .collect();
    if let (Some(q), true) = (&query, leaves.is_empty()) {
        let error = json!({"error": format!("No such subtree: {q}")});
        let mut response = web::document(JSON, error.to_string());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let value = if params.is_true("tree") {
        tree(leaves)
    } else {
        let flat = leaves
            .into_iter()
            .map(|leaf| (format!("{}{}", leaf.scope, leaf.suffix), number(leaf.value)));
        Value::Object(flat.collect())
    };
    let text = match params.is_true("pretty") {
        true => format!("{value:#}"),
        false => value.to_string(),
    };
    web::document(JSON, text)
}

/// One number of the JSON forms: where it stands, what is appended in the flat form, and its key in the nested one.
struct Leaf {
    scope: String,
    suffix: &'static str,
    key: &'static str,
    value: f64,
}

fn leaves(metric: &Metric) -> Vec<Leaf> {
    let mut all = Vec::new();
    for (labels, value) in &metric.samples {
        let scope = scope(metric.of.name, labels);
        let mut add = |suffix, key, value| {
            let scope = scope.clone();
            all.push(Leaf {
                scope,
                suffix,
                key,
                value,
            });
        };
        match value {
            Number::Number(n) if metric.of.kind == Type::Counter => add("", "counter", *n),
            Number::Number(n) => add("", "gauge", *n),
            Number::Histogram(measured) => {
                let count = float(measured.count());
                add(".count", "stat.count", count);
                if count > 0.0 {
                    add(".sum", "stat.sum", measured.sum);
                    add(".avg", "stat.avg", measured.sum / count);
                }
            }
        }
    }
    all
}

/// `namerd_stream_frames_total` is `stream/frames_total`; label values follow.
fn scope(name: &str, labels: &[String]) -> String {
    let name = name.trim_start_matches("namerd_").replacen('_', "/", 1);
    let values = labels.iter().map(String::as_str);
    std::iter::once(name.as_str())
        .chain(values)
        .collect::<Vec<_>>()
        .join("/")
}

fn number(value: f64) -> Value {
    match value {
        _ if value.fract() == 0.0 && value >= 0.0 => (value as u64).into(),
        value => value.into(),
    }
}

fn tree(leaves: Vec<Leaf>) -> Value {
    let mut root = Map::new();
    for leaf in leaves {
        let parts: Vec<&str> = leaf
            .scope
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        insert(&mut root, &parts, leaf.key, number(leaf.value));
    }
    Value::Object(root)
}

fn insert(map: &mut Map<String, Value>, parts: &[&str], leaf: &str, value: Value) {
    match parts.split_first() {
        None => {
            map.insert(leaf.to_owned(), value);
        }
        Some((first, rest)) => {
            if let Value::Object(next) = map.entry(*first).or_insert_with(|| json!({})) {
                insert(next, rest, leaf, value);
            }
        }
    }
}
