//! Everything this namerd knows, as JSON: what the state page shows.
//!
//! Ages are in seconds; `null` means "never" or "not known".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use l5d_naming::{NameTree, Replicas};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Admin, ClusterState, NamerState};
use crate::bind::{BindState, Binding, BoundLeaf};
use crate::store::NamespaceState;
use crate::store::services::{Kind, WatchStatus};
use crate::stream::SessionInfo;

pub(super) fn of(admin: &Admin) -> Value {
    let bindings = admin.binder.bindings();
    let sessions = admin.hub.registry().list(None);
    json!({
        "server": server_info(admin),
        "ready": admin.ready.value(),
        "missing": missing(admin),
        "warnings": admin.warnings,
        "watches": all_watches(admin),
        "store": store(admin),
        "namespaces": namespaces(admin),
        "namers": admin.namers.iter().map(namer_line).collect::<Vec<_>>(),
        "bindings": bindings.iter().map(|b| binding(b)).collect::<Vec<_>>(),
        "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
    })
}

pub(super) fn server_info(admin: &Admin) -> Value {
    json!({
        "name": "namerd",
        "version": env!("CARGO_PKG_VERSION"),
        "replica": admin.hub.replica(),
        "uptime": seconds(admin.started.elapsed()),
    })
}

/// Which first answers readiness waits for.
pub(super) fn missing(admin: &Admin) -> Vec<String> {
    let mut missing = Vec::new();
    for cluster in &admin.clusters {
        if cluster.services.ready().value() {
            continue;
        }
        for kind in Kind::ALL {
            let status = cluster.services.status(kind);
            if !status.synced {
                let error = status.last_error.map(|(_, e)| format!(": {e}"));
                missing.push(format!(
                    "{} of {} ({}){}",
                    kind.source(),
                    cluster.api,
                    status.state.name(),
                    error.unwrap_or_default()
                ));
            }
        }
    }
    if admin.store.list().get().1.is_none() {
        missing.push(format!("dtabs of {}", admin.store.kind()));
    }
    missing
}

/// All dtabs, in the shape of 1.x.
pub(super) fn dtabs(admin: &Admin) -> Value {
    let status = admin.store.status().get();
    let names = admin.store.list().get();
    let mut value = serde_json::Map::new();
    for name in names.1.iter().flat_map(|names| names.iter()) {
        if let NamespaceState::Present(dtab) = &admin.store.observe(name).get().1 {
            let line =
                json!({"version": STANDARD.encode(&dtab.token.0), "dtab": dtab.dtab.show_exact()});
            value.insert(name.clone(), line);
        }
    }
    json!({
        "state": {"running": status.1.connected, "value": value},
        "store": store(admin),
    })
}

/// One namer with what was looked up of it.
pub(super) fn namer(admin: &Admin, namer: &NamerState) -> Value {
    let mut value = namer_line(namer);
    let cluster = admin
        .clusters
        .iter()
        .find(|cluster| Some(&cluster.api) == namer.api.as_ref());
    if let Some(cluster) = cluster {
        value["watches"] = watches(cluster).into();
    }
    let prefix = namer_path(namer);
    let mut clusters = std::collections::BTreeMap::new();
    for binding in admin.binder.bindings() {
        if let BindState::Tree(tree) = &binding.state.get().1 {
            tree.for_each_leaf(&mut |leaf| {
                let id = leaf.cluster.id.to_string();
                if id.contains(&format!("{prefix}/")) {
                    clusters.insert(id, replicas(&leaf.cluster.replicas.get().1));
                }
            });
        }
    }
    value["clusters"] = json!(clusters);
    value
}

fn namer_path(namer: &NamerState) -> String {
    format!("/#{}", namer.prefix)
}

pub(super) fn namer_line(namer: &NamerState) -> Value {
    json!({"kind": namer.kind, "prefix": namer_path(namer), "api": namer.api})
}

/// Every watch: those of the models, then those of Ingress rules.
pub(super) fn all_watches(admin: &Admin) -> Vec<Value> {
    let mut all: Vec<Value> = admin.clusters.iter().flat_map(watches).collect();
    if let Some(rules) = admin.hub.ingresses() {
        let kinds = rules.watches().iter();
        all.extend(kinds.map(|kind| watch(rules.api(), kind.source(), &rules.status(*kind))));
    }
    all
}

/// Every watch of one API server.
fn watches(cluster: &ClusterState) -> Vec<Value> {
    let one = |kind: Kind| watch(&cluster.api, kind.source(), &cluster.services.status(kind));
    Kind::ALL.map(one).to_vec()
}

/// Last item, last error, age, objects (K8S-128).
fn watch(api: &str, source: &str, status: &WatchStatus) -> Value {
    let now = Instant::now();
    let ago = |at: Option<Instant>| at.map(|at| seconds(now.saturating_duration_since(at)));
    let error = status
        .last_error
        .as_ref()
        .map(|(at, message)| json!({"message": &**message, "age": ago(Some(*at))}));
    json!({
        "api": api,
        "source": source,
        "state": status.state.name(),
        "synced": status.synced,
        "objects": status.objects,
        "stale_objects": status.stale_objects,
        "last_item_age": ago(status.last_item),
        "last_event_age": ago(status.last_event),
        "last_error": error,
        "resource_version": &*status.rv,
        "relists": status.relists,
        "resumes": status.resumes,
        "decode_errors": status.decode_errors,
        "time_travels": status.time_travels,
        "lag": status.lag.map(seconds),
    })
}

fn namespaces(admin: &Admin) -> Vec<Value> {
    let names = admin.store.list().get();
    let names = names.1.iter().flat_map(|names| names.iter());
    let namespace = |name: &String| match &admin.store.observe(name).get().1 {
        NamespaceState::Present(dtab) => json!({
            "name": name,
            "state": "present",
            "version": STANDARD.encode(&dtab.token.0),
            "entries": dtab.dtab.entries().len(),
            "dtab": dtab.dtab.show_exact(),
        }),
        NamespaceState::Absent => json!({"name": name, "state": "absent"}),
        NamespaceState::Unreadable(reason) => {
            json!({"name": name, "state": "unreadable", "reason": &**reason})
        }
        NamespaceState::Pending => json!({"name": name, "state": "pending"}),
    };
    names.map(namespace).collect()
}

pub(super) fn binding(binding: &Binding) -> Value {
    let now = binding.state.get();
    let (state, tree, clusters) = match &now.1 {
        BindState::Pending => ("pending", Value::Null, Vec::new()),
        BindState::Failed(e) => ("failed", e.message().into(), Vec::new()),
        BindState::Tree(tree) => {
            let mut clusters = Vec::new();
            tree.for_each_leaf(&mut |leaf| clusters.push(cluster(leaf)));
            ("bound", shown(tree).into(), clusters)
        }
    };
    let key = &binding.key;
    let kinds: Vec<&str> = key.transformers.iter().map(|t| t.kind.as_str()).collect();
    json!({
        "number": binding.number,
        "namespace": key.root.as_deref(),
        "path": key.path.to_string(),
        "router_dtab": key.router.show_exact(),
        "dtab": key.local.show_exact(),
        "transformers": kinds,
        "state": state,
        "version": now.0.0,
        "tree": tree,
        "clusters": clusters,
    })
}

fn cluster(leaf: &BoundLeaf) -> Value {
    json!({
        "number": leaf.cluster.number,
        "id": leaf.cluster.id.to_string(),
        "addresses": replicas(&leaf.cluster.replicas.get().1),
    })
}

pub(super) fn shown(tree: &NameTree<BoundLeaf>) -> String {
    tree.map(&mut |leaf| leaf.cluster.id.0.concat(&leaf.residual))
        .show_exact()
}

fn replicas(replicas: &Replicas) -> Value {
    match replicas {
        Replicas::Pending => json!({"state": "pending"}),
        Replicas::Neg => json!({"state": "neg"}),
        Replicas::Failed(why) => json!({"state": "failed", "cause": &**why}),
        Replicas::Bound(set) => json!({"state": "bound", "endpoints": set.len()}),
    }
}

/// The endpoints of a set, at most so many of them.
pub(super) fn endpoints(now: &Replicas, most: usize) -> Value {
    let mut value = replicas(now);
    let Replicas::Bound(set) = now else {
        return value;
    };
    let endpoint = |endpoint: &l5d_naming::Endpoint| {
        json!({
            "addr": endpoint.addr.to_string(),
            "node": endpoint.node.as_deref(),
            "zone": endpoint.zone.as_deref(),
            "weight": endpoint.weight.to_f64(),
            "meta": endpoint.metadata.as_deref(),
        })
    };
    let all = set.endpoints().iter().take(most).map(endpoint);
    value["list"] = all.collect::<Vec<_>>().into();
    value["authority"] = set.authority().map(|a| a.to_string()).into();
    value
}

/// How the dtab store is.
pub(super) fn store(admin: &Admin) -> Value {
    let status = admin.store.status().get();
    let status = &status.1;
    let age = |at: Instant| seconds(Instant::now().saturating_duration_since(at));
    let unreadable = status.unreadable.iter();
    let unreadable = unreadable.map(|(name, why)| json!({"name": name, "reason": &**why}));
    json!({
        "kind": admin.store.kind(),
        "connected": status.connected,
        "age": status.confirmed.map(age),
        "failure": status.failure.as_deref(),
        "failures": status.failures,
        "history_lost": status.unkept,
        "unreadable": unreadable.collect::<Vec<_>>(),
    })
}

pub(super) fn session(session: &SessionInfo) -> Value {
    json!({
        "id": session.id,
        "node": session.node,
        "peer": session.peer,
        "version": session.version,
        "connected": seconds(session.connected),
        "interests": session.interests,
        "clusters": session.clusters,
        "lag": seconds(session.lag),
        "stale": seconds(session.stale),
        "bytes": session.bytes,
        "writes": session.writes,
        "resumed": session.resumed,
    })
}

/// Seconds with milliseconds.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}
