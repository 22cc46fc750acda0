//! The pure part: rules of one object, and the table of many.
//!
//! The first rule of a table that matches takes the request, so their order is everything. Of two rules this one counts:
//!
//! 1. a rule before a default backend (K8S-42);
//! 2. with the host itself, then with a wildcard, then without host, as in Kubernetes 3.2;
//! 3. with an exact path; then expressions, whatever their length; then the prefix with more elements;
//! 4. of the older object, then by namespace and name (K8S-43), then the earlier one in it (K8S-42).

use std::cmp::Reverse;
use std::sync::Arc;

use l5d_resolver::ingress::{BadRule, Host, MOST_RULES, PathMatch, Rule, Table};

use super::{Backend, Ingress, IngressPath, PathKind};
use crate::store::services::ObjectName;

/// Why a rule was left out; the order of [`Skip::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// Its backend is no Service (Kubernetes 3.2).
    Backend,
    /// Its path is no regular expression.
    Expression,
    /// Its host is none, or it is too long.
    Malformed,
    /// There are too many.
    Limit,
}

/// One object, compiled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compiled {
    /// In the order of the object.
    pub(super) rules: Arc<[Rule]>,
    pub(super) skipped: Vec<(Skip, String)>,
}

// === impl Skip ===

impl Skip {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Backend,
        Self::Expression,
        Self::Malformed,
        Self::Limit,
    ];

    /// One word, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Skip::Backend => "backend",
            Skip::Expression => "expression",
            Skip::Malformed => "malformed",
            Skip::Limit => "limit",
        }
    }
}

/// What an object says, rule by rule.
pub(super) fn compile(ingress: &Ingress) -> Compiled {
    let mut rules = Vec::new();
    let mut skipped = Vec::new();
    let mut add = |host: Result<Host, BadRule>, path, backend: &Backend, is_default| {
        let rule = rule(&ingress.name, host, path, backend, is_default);
        match rule {
            Ok(rule) => rules.push(rule),
            Err(skip) => skipped.push(skip),
        }
    };
    for at in &ingress.paths {
        add(Host::parse(&at.host), path(at), &at.backend, false);
    }
    if let Some(backend) = &ingress.default {
        add(Ok(Host::Any), Ok(PathMatch::Any), backend, true);
    }
    Compiled {
        rules: rules.into(),
        skipped,
    }
}

fn path(at: &IngressPath) -> Result<PathMatch, BadRule> {
    match at.kind {
        PathKind::Exact => PathMatch::exact(&at.path),
        PathKind::Prefix => PathMatch::prefix(&at.path),
        PathKind::Expression => PathMatch::expression(&at.path),
    }
}

fn rule(
    ingress: &ObjectName,
    host: Result<Host, BadRule>,
    path: Result<PathMatch, BadRule>,
    backend: &Backend,
    is_default: bool,
) -> Result<Rule, (Skip, String)> {
    let bad = |error: BadRule| {
        let skip = match error {
            BadRule::Expression(..) => Skip::Expression,
            BadRule::TooLong(..) | BadRule::Host(_) => Skip::Malformed,
        };
        (skip, error.to_string())
    };
    let (host, path) = (host.map_err(bad)?, path.map_err(bad)?);
    let Backend::Service(service, port) = backend else {
        let place = match is_default {
            true => "the default backend".to_owned(),
            false => format!("the backend of host {host:?}, path {path:?}"),
        };
        return Err((
            Skip::Backend,
            format!("{place} is not a Service with a port"),
        ));
    };
    Ok(Rule {
        host,
        path,
        namespace: Arc::clone(&ingress.namespace),
        service: Arc::clone(service),
        port: Arc::clone(port),
        is_default,
    })
}

/// The table of the rules of these objects, which come in the order of K8S-43; and how many did not fit.
pub(super) fn table<'a>(objects: impl Iterator<Item = &'a Compiled>) -> (Table, usize) {
    let mut rules: Vec<Rule> = objects.flat_map(|o| o.rules.iter().cloned()).collect();
    // Stable: rules of one standing stay in the order of their objects.
    rules.sort_by_key(standing);
    let too_many = rules.len().saturating_sub(MOST_RULES);
    rules.truncate(MOST_RULES);
    (Table::new(rules), too_many)
}

/// Less counts first.
fn standing(rule: &Rule) -> (bool, u8, u8, Reverse<usize>) {
    let host = match rule.host {
        Host::Exact(_) => 0,
        Host::OneLabel(_) => 1,
        Host::Any => 2,
    };
    let (path, elements) = match &rule.path {
        PathMatch::Exact(_) => (0, 0),
        // Of 1.x, whose order is that of the objects alone.
        PathMatch::Expression(_) | PathMatch::Any => (1, 0),
        PathMatch::Prefix(prefix) => (2, prefix.matches('/').count()),
    };
    (rule.is_default, host, path, Reverse(elements))
}
