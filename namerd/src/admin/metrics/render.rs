//! Metrics as text for Prometheus and as JSON.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Metric, Type};
use crate::web::{self, Body, JSON, Params};

/// The Prometheus text format.
pub(in crate::admin) fn prometheus(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for metric in metrics.iter().filter(|m| !m.samples.is_empty()) {
        let kind = match metric.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        out.push_str(&format!(
            "# HELP {0} {1}\n# TYPE {0} {kind}\n",
            metric.name, metric.help
        ));
        for (labels, value) in &metric.samples {
            let labels: Vec<_> = labels
                .iter()
                .map(|(k, v)| format!("{k}=\"{}\"", escape(v)))
                .collect();
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            out.push_str(&format!("{}{labels} {value}\n", metric.name));
        }
    }
    out
}

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
    let samples: Vec<(String, Type, f64)> = metrics
        .iter()
        .flat_map(|m| {
            m.samples
                .iter()
                .map(|(labels, v)| (scope(m.name, labels), m.kind, *v))
        })
        .filter(|(scope, ..)| is_in(scope))
        .collect();
    if let (Some(q), true) = (&query, samples.is_empty()) {
        let error = json!({"error": format!("No such subtree: {q}")});
        let mut response = web::document(JSON, error.to_string());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let value = if params.is_true("tree") {
        tree(samples)
    } else {
        let flat = samples.into_iter().map(|(scope, _, v)| (scope, number(v)));
        Value::Object(flat.collect())
    };
    let text = match params.is_true("pretty") {
        true => format!("{value:#}"),
        false => value.to_string(),
    };
    web::document(JSON, text)
}

/// `namerd_stream_frames_total` is `stream/frames_total`; label values follow.
fn scope(name: &str, labels: &[(&'static str, String)]) -> String {
    let name = name.trim_start_matches("namerd_").replacen('_', "/", 1);
    let values = labels.iter().map(|(_, value)| value.as_str());
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

fn tree(samples: Vec<(String, Type, f64)>) -> Value {
    let mut root = Map::new();
    for (scope, kind, value) in samples {
        let leaf = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        let parts: Vec<&str> = scope.split('/').filter(|part| !part.is_empty()).collect();
        insert(&mut root, &parts, leaf, number(value));
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
