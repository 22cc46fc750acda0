//! What the page shows, as JSON of bounded size.

use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Sight, metrics, ready, requests, state};
use crate::cache::{Contact, FollowSet};
use crate::meter::{Scope, table as t};
use crate::serve::{RouterView, ScopeView};

/// One view of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Routers, and what is followed.
    Overview,
    /// By logical name.
    Services,
    /// By bound name, with endpoints.
    Clients,
    /// The recent ones.
    Requests,
}

/// Services or clients of a view: those with most requests.
const MOST: usize = 200;
/// Endpoints of one client, and of all.
const ENDPOINTS: usize = 100;
const ALL_ENDPOINTS: usize = 2_000;

impl View {
    /// The view of a path below `/ui/`.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "overview.json" => Self::Overview,
            "services.json" => Self::Services,
            "clients.json" => Self::Clients,
            "requests.json" => Self::Requests,
            _ => return None,
        })
    }

    /// What it shows now, on one line.
    pub(super) async fn show(self, sight: &Sight) -> String {
        let value = match self {
            Self::Overview => overview(sight),
            Self::Services => services(sight),
            Self::Clients => clients(sight).await,
            Self::Requests => recent(sight),
        };
        value.to_string()
    }
}

fn overview(sight: &Sight) -> Value {
    let missing = ready::missing(sight);
    let routers = sight.stats.view();
    let router = |(index, router): (usize, &RouterView)| {
        let servers = router.servers.iter().enumerate().map(|(s, server)| {
            let mut made = numbers(sight, router, Scope::Server, server);
            let addresses = sight.addresses.get(index).and_then(|a| a.get(s));
            made["address"] = json!(addresses);
            made["connections"] = server.reading.value(&t::CONNECTIONS).into();
            made
        });
        json!({"label": router.label, "servers": servers.collect::<Vec<_>>()})
    };
    json!({
        "node": sight.identity.node_name,
        "version": env!("CARGO_PKG_VERSION"),
        "up_s": sight.started.elapsed().as_secs(),
        "ready": missing.is_empty(),
        "missing": missing,
        "namerds": sight.namerds.iter().map(|set| followed(set)).collect::<Vec<_>>(),
        "routers": routers.iter().enumerate().map(router).collect::<Vec<_>>(),
    })
}

fn followed(set: &FollowSet) -> Value {
    let contact: Contact = set.contact();
    let clusters = set.clusters.live();
    let stale: Vec<_> = clusters.iter().filter(|c| c.is_stale()).collect();
    let oldest = stale.iter().map(|c| c.confirmed()).min();
    let since = contact.since.map(SystemTime::from);
    let dst = contact.candidates.iter().map(|(h, p)| format!("{h}:{p}"));
    let sources = contact.sources.iter();
    json!({
        "dst": dst.collect::<Vec<_>>(),
        "state": format!("{:?}", contact.state).to_lowercase(),
        "connected": contact.is_connected(),
        "since_s": since.and_then(seconds_since),
        "replica": contact.replica.as_ref().map(|(name, version)| format!("{name} {version}")),
        "interests": contact.interests,
        "clusters": clusters.len(),
        "stale_clusters": stale.len(),
        "staleness_s": oldest.and_then(seconds_since).unwrap_or_default(),
        "error": contact.errors.back().map(|(at, error)| format!("{at:.0}: {error}")),
        "sources": sources.map(|(name, age)| json!({"name": name, "age_s": age.as_secs()})).collect::<Vec<_>>(),
    })
}

fn seconds_since(at: SystemTime) -> Option<u64> {
    at.elapsed().ok().map(|age| age.as_secs())
}

/// What is shown of each scope: rates and quantiles are those of the last minute.
fn numbers(sight: &Sight, router: &RouterView, kind: Scope, scope: &ScopeView) -> Value {
    let reading = &scope.reading;
    let place = &metrics::place(&router.label, kind, scope).path;
    let grown = |of: &'static crate::meter::Described| {
        let place = format!("{place}/{}", of.name);
        sight.window.grown(&place, reading.value(of))
    };
    let (good, bad) = (grown(&t::SUCCESS), grown(&t::FAILURES));
    let length = sight.window.length(sight.started, Instant::now());
    let latency = reading
        .spreads
        .iter()
        .find(|s| s.of.name == t::REQUEST_LATENCY.name);
    let latency = latency.map(|spread| {
        let place = format!("{place}/{}", t::REQUEST_LATENCY.name);
        sight.window.recent(&place, &spread.view)
    });
    let quantile = |q| {
        let us = latency.as_ref().and_then(|latency| latency.quantile_us(q));
        us.map(|us| us as f64 / 1000.0)
    };
    let ended = good + bad;
    json!({
        "rate": ended as f64 / length.as_secs_f64().max(1.0),
        "success": (ended > 0).then(|| good as f64 / ended as f64),
        "p50_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
        "pending": reading.value(&t::PENDING),
    })
}

fn services(sight: &Sight) -> Value {
    let mut all = Vec::new();
    for router in &sight.stats.view() {
        for service in &router.services {
            let mut made = numbers(sight, router, Scope::Service, service);
            made["router"] = router.label.as_str().into();
            made["name"] = service.label.as_str().into();
            all.push(made);
        }
    }
    let left_out = busiest(&mut all);
    json!({"services": all, "left_out": left_out})
}

async fn clients(sight: &Sight) -> Value {
    let loads = sight.asker.loads().await;
    let mut all = Vec::new();
    for router in &sight.stats.view() {
        for client in &router.clients {
            let mut made = numbers(sight, router, Scope::Client, client);
            made["router"] = router.label.as_str().into();
            made["id"] = client.label.as_str().into();
            all.push(made);
        }
    }
    let left_out = busiest(&mut all);
    let clusters: Vec<_> = sight
        .namerds
        .iter()
        .flat_map(|set| set.clusters.live())
        .collect();
    let mut room = ALL_ENDPOINTS;
    for made in &mut all {
        let id = format!("/{}", made["id"].as_str().unwrap_or_default());
        let cluster = clusters.iter().find(|c| c.id.to_string() == id);
        let mut shown = cluster.map_or(Value::Null, |c| state::cluster(c, &loads));
        let endpoints = match shown["endpoints"].take() {
            Value::Array(endpoints) => endpoints,
            _ => Vec::new(),
        };
        made["size"] = endpoints.len().into();
        let kept: Vec<_> = endpoints.into_iter().take(ENDPOINTS.min(room)).collect();
        room -= kept.len();
        made["endpoints"] = kept.into();
        made["state"] = match shown["state"].take() {
            Value::Null => "gone".into(),
            state => state,
        };
        let stale = cluster.filter(|c| c.is_stale());
        made["stale_s"] = json!(stale.map(|c| seconds_since(c.confirmed()).unwrap_or_default()));
    }
    json!({"clients": all, "left_out": left_out})
}

/// Leaves those with most requests, sorted by name; says how many were left out.
fn busiest(all: &mut Vec<Value>) -> usize {
    let name = |v: &Value| {
        (
            v["name"].to_string(),
            v["id"].to_string(),
            v["router"].to_string(),
        )
    };
    let rate = |v: &Value| v["rate"].as_f64().unwrap_or_default();
    all.sort_by(|a, b| {
        rate(b)
            .total_cmp(&rate(a))
            .then_with(|| name(a).cmp(&name(b)))
    });
    let left_out = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    all.sort_by_key(name);
    left_out
}

fn recent(sight: &Sight) -> Value {
    let traces = sight.traces.as_deref();
    let mut requests = requests::json(traces);
    if let Value::Array(all) = &mut requests {
        all.truncate(MOST);
    }
    json!({
        "kept": traces.is_some_and(|t| t.keeps_recent()),
        "requests": requests,
    })
}
