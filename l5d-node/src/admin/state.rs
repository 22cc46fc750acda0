//! What is followed, as JSON: for people at 3 a.m. and for scripts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use l5d_naming::{NameTree, Replicas};
use serde_json::{Map, Value, json};

use super::{Sight, ready};
use crate::cache::{Cluster, Contact, FollowSet, Leaf, Name, NameState, TableRouter};
use crate::config::Router;
use crate::serve::ClusterLoad;

/// The whole state.
pub(super) fn state(sight: &Sight, loads: &[ClusterLoad]) -> Value {
    let routers = sight.config.routers.iter().enumerate();
    let missing = ready::missing(sight);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": sight.started.elapsed().as_secs(),
        "node": sight.identity.node_name,
        "pod_ip": sight.identity.pod_ip,
        "ready": missing.is_empty(),
        "missing": missing,
        "warm_file": sight.identity.warm_file,
        "namerds": sight.namerds.iter().map(|set| contact(&set.contact())).collect::<Vec<_>>(),
        "routers": routers.map(|(i, r)| router(sight, i, r)).collect::<Vec<_>>(),
        "clusters": sight.namerds.iter().flat_map(|set| clusters(set, loads)).collect::<Vec<_>>(),
    })
}

fn contact(contact: &Contact) -> Value {
    let counts = &contact.counts;
    let errors = contact.errors.iter().rev();
    json!({
        "dst": contact.candidates.iter().map(|(h, p)| format!("{h}:{p}")).collect::<Vec<_>>(),
        "state": format!("{:?}", contact.state).to_lowercase(),
        "since": contact.since.map(time),
        "address": contact.address,
        "replica": contact.replica.as_ref().map(|(name, _)| name),
        "version": contact.replica.as_ref().map(|(_, version)| version),
        "lost_at": contact.lost_at.map(time),
        "has_followed": contact.has_followed,
        "interests": contact.interests,
        "clusters": contact.clusters,
        "position": contact.position,
        "sources": contact.sources.iter().map(|(name, age)| json!({
            "name": name,
            "age_ms": age.as_millis() as u64,
        })).collect::<Vec<_>>(),
        "counts": {
            "streams": counts.streams,
            "failures": counts.failures,
            "denied": counts.denied,
            "messages": counts.messages,
            "hash_mismatches": counts.hash_mismatches,
            "digest_mismatches": counts.digest_mismatches,
            "refetches": counts.refetches,
            "unknown_numbers": counts.unknown_numbers,
            "refusals": counts.refusals,
        },
        "errors": errors.map(|(at, error)| json!({"at": time(*at), "error": error})).collect::<Vec<_>>(),
    })
}

fn router(sight: &Sight, index: usize, config: &Router) -> Value {
    let cached = &sight.table.routers()[index];
    let addresses = sight.addresses.get(index).map_or(&[][..], |a| a);
    let servers = config.servers.iter().zip(addresses);
    let counts = cached.counts();
    json!({
        "label": config.label,
        "servers": servers.map(|(s, a)| json!({"server": s.label, "address": a})).collect::<Vec<_>>(),
        "interpreter": interpreter(config),
        "cache": {
            "names": cached.entries().len(),
            "limit": config.cache.paths,
            "misses": counts.misses,
            "evicts": counts.evicts,
            "expires": counts.expires,
            "oneshots": counts.oneshots,
        },
        "names": names(cached).iter().map(|n| name(n)).collect::<Vec<_>>(),
    })
}

fn names(router: &TableRouter) -> Vec<Arc<Name>> {
    let mut names = router.entries();
    names.sort_by(|a, b| a.path.cmp(&b.path));
    names
}

fn name(name: &Name) -> Value {
    let (state, tree, error) = match &*name.state() {
        NameState::Pending => ("pending", None, None),
        NameState::Failed(failure) => ("failed", None, Some(failure.message.to_string())),
        NameState::Bound(tree) => ("bound", Some(shown(tree)), None),
    };
    let mut made = Map::new();
    made.insert("path".to_owned(), name.path.to_string().into());
    if !name.local.is_empty() {
        made.insert("dtab".to_owned(), name.local.to_string().into());
    }
    made.insert("state".to_owned(), state.into());
    made.insert("stale".to_owned(), name.is_stale().into());
    made.extend(tree.map(|tree| ("tree".to_owned(), tree.into())));
    made.extend(error.map(|error| ("error".to_owned(), error.into())));
    Value::Object(made)
}

/// The tree in the text form of name trees; a residual is told behind a bar.
fn shown(tree: &NameTree<Leaf>) -> String {
    let leaf = |leaf: &Leaf| match leaf.residual.is_empty() {
        true => leaf.cluster.id.to_string(),
        false => format!("{} | {}", leaf.cluster.id, leaf.residual),
    };
    tree.map(&mut { leaf }).to_string()
}

fn clusters(set: &FollowSet, loads: &[ClusterLoad]) -> Vec<Value> {
    let mut clusters = set.clusters.live();
    clusters.sort_by(|a, b| a.id.cmp(&b.id));
    clusters.iter().map(|c| cluster(c, loads)).collect()
}

/// What the workers say of one address, together.
#[derive(Default)]
struct Load {
    pending: u64,
    idle: usize,
    failures: u32,
    out: usize,
    cost_us: u128,
    workers: usize,
}

pub(super) fn cluster(cluster: &Cluster, loads: &[ClusterLoad]) -> Value {
    let state = cluster.state();
    let mut by_addr: BTreeMap<SocketAddr, Load> = BTreeMap::new();
    for endpoint in loads
        .iter()
        .filter(|l| l.cluster == cluster.id)
        .flat_map(|l| &l.endpoints)
    {
        let load = by_addr.entry(endpoint.addr).or_default();
        load.pending += u64::from(endpoint.pending);
        load.idle += endpoint.idle;
        load.failures = load.failures.max(endpoint.failures);
        load.out += usize::from(endpoint.is_out);
        load.cost_us = load.cost_us.max(endpoint.cost.as_micros());
        load.workers += 1;
    }
    let endpoints = match &state.replicas {
        Replicas::Bound(set) => set.endpoints(),
        Replicas::Pending | Replicas::Neg | Replicas::Failed(_) => &[],
    };
    let endpoint = |e: &l5d_naming::Endpoint| {
        let load = by_addr.get(&e.addr).map(|load| {
            json!({
                "pending": load.pending,
                "idle_connections": load.idle,
                "failures": load.failures,
                "cost_ms": load.cost_us as f64 / 1000.0,
                "workers": load.workers,
                "workers_avoiding": load.out,
            })
        });
        json!({"address": e.addr, "weight": e.weight.to_f64(), "load": load})
    };
    json!({
        "id": cluster.id.to_string(),
        "version": state.version,
        "state": replicas(&state.replicas),
        "stale": cluster.is_stale(),
        "confirmed": Timestamp::try_from(cluster.confirmed()).ok().map(time),
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn replicas(replicas: &Replicas) -> String {
    match replicas {
        Replicas::Pending => "pending".to_owned(),
        Replicas::Neg => "neg".to_owned(),
        Replicas::Failed(why) => format!("Failed: {why}"),
        Replicas::Bound(_) => "bound".to_owned(),
    }
}

/// `/client_state.json` of linkerd: the addresses of each client.
pub(super) fn client_state(sight: &Sight) -> Value {
    let clusters = sight.namerds.iter().flat_map(|set| set.clusters.live());
    let made = clusters.map(|cluster| {
        let state = cluster.state();
        let mut value = json!({ "state": replicas(&state.replicas) });
        if let Replicas::Bound(set) = &state.replicas {
            value["addresses"] = set.endpoints().iter().map(|e| e.addr.to_string()).collect();
        }
        (
            cluster.id.to_string().trim_start_matches('/').to_owned(),
            value,
        )
    });
    Value::Object(made.collect())
}

/// What a router has bound through its interpreter, if it has one of this kind and namespace.
pub(super) fn interpreter_state(
    sight: &Sight,
    label: &str,
    kind: &str,
    namespace: &str,
) -> Option<Value> {
    let mut routers = sight.config.routers.iter();
    let index = routers.position(|r| r.label == label)?;
    let config = &sight.config.routers[index].interpreter;
    let root = config.root.as_deref().unwrap_or("default");
    if config.kind != kind || root != namespace {
        return None;
    }
    let cached = &sight.table.routers()[index];
    let contacts = sight.namerds.iter().map(|set| contact(&set.contact()));
    Some(json!({
        "interpreter": interpreter(&sight.config.routers[index]),
        "namerds": contacts.collect::<Vec<_>>(),
        "names": names(cached).iter().map(|n| name(n)).collect::<Vec<_>>(),
    }))
}

/// All ids that names are bound to, sorted.
pub(super) fn bound_names(sight: &Sight) -> Value {
    let clusters = sight.namerds.iter().flat_map(|set| set.clusters.live());
    let mut ids: Vec<String> = clusters.map(|c| c.id.to_string()).collect();
    ids.sort();
    ids.dedup();
    ids.into()
}

fn interpreter(router: &Router) -> Value {
    let interpreter = &router.interpreter;
    let dst = interpreter.dst.iter();
    json!({
        "kind": interpreter.kind,
        "dst": dst.map(|(host, port)| format!("/$/inet/{host}/{port}")).collect::<Vec<_>>(),
        "root": interpreter.root.as_ref().map(|root| format!("/{root}")),
        "transformers": interpreter.transformers.iter().map(|t| t.kind.as_str()).collect::<Vec<_>>(),
    })
}

fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}
