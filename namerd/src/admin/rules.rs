//! The Ingress rules that are served to nodes, for the page.

use l5d_resolver::ingress::{Host, PathMatch, Rule};
use serde_json::{Value, json};

use super::Admin;

/// How many rules are served; `None`: none are configured, or nothing has been listed yet.
pub(super) fn count(admin: &Admin) -> Option<usize> {
    let table = admin.hub.ingresses()?.table().value();
    table.map(|table| table.rules().len())
}

/// At most so many rules that have this text, in the order in which they count, and what is left out.
pub(super) fn of(admin: &Admin, q: &str, most: usize) -> Value {
    let Some(ingresses) = admin.hub.ingresses() else {
        return json!({"configured": false});
    };
    let table = ingresses.table().value();
    let rules = table.as_ref().map_or(&[][..], |table| table.rules());
    let found: Vec<_> = rules.iter().enumerate().map(row).collect();
    let q = q.to_lowercase();
    let has = |row: &&Value| q.is_empty() || text(row).contains(&q);
    let found: Vec<_> = found.iter().filter(has).collect();
    let skipped = ingresses.skipped().into_iter().filter(|(_, n)| *n > 0);
    json!({
        "configured": true,
        "listed": table.is_some(),
        "api": ingresses.api(),
        "class": &*ingresses.claim().class,
        "unclassed": ingresses.claim().unclassed,
        "total": rules.len(),
        "found": found.len(),
        "rules": found.iter().take(most).collect::<Vec<_>>(),
        "left_out": skipped.map(|(skip, n)| json!({"reason": skip.name(), "rules": n})).collect::<Vec<_>>(),
    })
}

fn row((place, rule): (usize, &Rule)) -> Value {
    let host = match &rule.host {
        Host::Any => "*".to_owned(),
        host => host.to_string(),
    };
    let (kind, path) = match &rule.path {
        PathMatch::Any => ("any", ""),
        PathMatch::Exact(path) => ("exact", &**path),
        PathMatch::Prefix(prefix) => ("prefix", &**prefix),
        PathMatch::Expression(expression) => ("expression", expression.text()),
    };
    json!({
        "place": place + 1,
        "host": host,
        "kind": kind,
        "path": path,
        "namespace": &*rule.namespace,
        "service": &*rule.service,
        "port": &*rule.port,
        "default": rule.is_default,
    })
}

fn text(row: &Value) -> String {
    let word = |key: &str| row[key].as_str().unwrap_or_default().to_lowercase();
    ["host", "path", "namespace", "service"].map(word).join(" ")
}
