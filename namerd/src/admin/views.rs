//! What the page shows, as JSON: small parts of the state, each of bounded size, once or followed ([`super::live`]).
//!
//! `GET /ui/NAME.json`, with `watch=true` as server-sent events. Ages are in seconds; `null` is "never" or "not known".

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Admin, problems};
use super::{rules, state};
use crate::bind::{BindKey, BindState, Binding, Transformers};
use crate::store::{Caller, NamespaceState, VersionedDtab};
use crate::web::{Ask, Params, Refusal, delegation};

/// What can be shown.
#[derive(Clone, Debug)]
pub(super) enum View {
    /// Health, warnings, totals.
    Overview,
    /// All namespaces, without their dtabs.
    Namespaces,
    /// One namespace with its dtab.
    Dtab(String),
    /// Its versions.
    History(String),
    /// Bindings whose path, namespace or tree has this text.
    Bindings(String),
    /// One binding with its addresses.
    Binding(u32),
    /// Bound names with this text.
    Names(String),
    /// Connected nodes whose name has this text.
    Sessions(String),
    /// One of them, with what it follows.
    Session(u64),
    /// The Ingress rules that have this text.
    Ingress(String),
    /// Every step of a name.
    Explain(Box<Ask>),
}

/// Rows of a list; what is more is counted.
const ROWS: usize = 500;
/// Addresses of a set.
const ADDRESSES: usize = 1_000;
/// How long a delegation or a history may take.
const WAIT: Duration = Duration::from_secs(2);

impl View {
    /// The view of a path below `/ui/`.
    pub(super) fn of(path: &str, params: &Params) -> Result<Option<Self>, Refusal> {
        let text = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let need = |name: &str| {
            let value = params.get(name).filter(|value| !value.is_empty());
            let missing = || Refusal::bad(format!("the parameter `{name}` is missing"));
            value.map(str::to_owned).ok_or_else(missing)
        };
        let number = |name: &str| {
            let bad = |_| Refusal::bad(format!("the parameter `{name}` must be a number"));
            need(name)?.parse::<u64>().map_err(bad)
        };
        Ok(Some(match path.strip_prefix("/ui/") {
            Some("overview.json") => View::Overview,
            Some("namespaces.json") => View::Namespaces,
            Some("dtab.json") => View::Dtab(need("namespace")?),
            Some("history.json") => View::History(need("namespace")?),
            Some("bindings.json") => View::Bindings(text("q")),
            Some("binding.json") => View::Binding(number("number")?.try_into().unwrap_or(u32::MAX)),
            Some("names.json") => View::Names(text("q")),
            Some("sessions.json") => View::Sessions(text("q")),
            Some("ingress.json") => View::Ingress(text("q")),
            Some("session.json") => View::Session(number("id")?),
            Some("explain.json") => View::Explain(Box::new(Ask {
                namespace: params.get("namespace").map(str::to_owned),
                dtab: params.dtab()?,
                path: params.path()?,
            })),
            _ => return Ok(None),
        }))
    }

    /// As it is now. With many names this takes a while, in which the admin thread answers others.
    pub(super) async fn show(&self, admin: &Arc<Admin>) -> Result<String, Refusal> {
        match self {
            View::History(name) => history(admin, name).await.map(|v| v.to_string()),
            View::Explain(ask) => explain(admin, ask).await,
            view => {
                let (view, admin) = (view.clone(), Arc::clone(admin));
                let shown = tokio::task::spawn_blocking(move || view.now(&admin)).await;
                let failed = |e: tokio::task::JoinError| {
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())
                };
                shown.map_err(failed)?.map(|value| value.to_string())
            }
        }
    }

    fn now(&self, admin: &Admin) -> Result<Value, Refusal> {
        Ok(match self {
            View::Overview => overview(admin),
            View::Namespaces => namespaces(admin),
            View::Dtab(name) => dtab(admin, name),
            View::Bindings(q) => bindings(admin, q),
            View::Binding(number) => binding(admin, *number)?,
            View::Names(q) => names(admin, q),
            View::Sessions(q) => sessions(admin, q),
            View::Session(id) => session(admin, *id)?,
            View::Ingress(q) => rules::of(admin, q, ROWS),
            View::History(_) | View::Explain(_) => unreachable!("they wait, see `show`"),
        })
    }
}

fn overview(admin: &Admin) -> Value {
    json!({
        "server": state::server_info(admin),
        "ready": admin.ready.value(),
        "missing": state::missing(admin),
        "warnings": admin.warnings,
        "problems": problems::of(admin),
        "watches": state::all_watches(admin),
        "store": state::store(admin),
        "namers": admin.namers.iter().map(state::namer_line).collect::<Vec<_>>(),
        "totals": {
            "namespaces": admin.store.list().get().1.as_ref().map(|names| names.len()),
            "bindings": admin.binder.bindings().len(),
            "sessions": admin.hub.registry().len(),
            "rules": rules::count(admin),
        },
        "may_write": admin.may_write(),
    })
}

fn namespaces(admin: &Admin) -> Value {
    let names = admin.store.list().get();
    let names = names.1.iter().flat_map(|names| names.iter());
    let status = admin.store.status().get();
    let reason = |name: &str| {
        let unreadable = status.1.unreadable.iter();
        unreadable
            .clone()
            .find(|(n, _)| n == name)
            .map(|(_, why)| &**why)
    };
    let line = |name: &String| {
        let (state, entries, version) = match &admin.store.observe(name).get().1 {
            NamespaceState::Present(dtab) => (
                "present",
                Some(dtab.dtab.entries().len()),
                Some(version(dtab)),
            ),
            NamespaceState::Absent => ("absent", None, None),
            NamespaceState::Unreadable(_) => ("unreadable", None, None),
            NamespaceState::Pending => ("pending", None, None),
        };
        json!({"name": name, "state": state, "entries": entries, "version": version, "reason": reason(name)})
    };
    json!({"known": admin.store.list().get().1.is_some(), "namespaces": names.map(line).collect::<Vec<_>>()})
}

pub(super) fn version(dtab: &VersionedDtab) -> String {
    STANDARD.encode(&dtab.token.0)
}

/// One entry a line, as people edit it.
fn lines(dtab: &l5d_naming::Dtab) -> String {
    let entries = dtab.entries().iter();
    let lines = entries.map(|entry| format!("{} => {} ;\n", entry.prefix, entry.dst.show_exact()));
    lines.collect()
}

fn dtab(admin: &Admin, name: &str) -> Value {
    let status = admin.store.status().get();
    let reason = status.1.unreadable.iter().find(|(n, _)| n == name);
    let reason = reason.map(|(_, why)| why.to_string());
    match &admin.store.observe(name).get().1 {
        NamespaceState::Present(dtab) => json!({
            "name": name, "state": "present", "version": version(dtab), "dtab": lines(&dtab.dtab), "reason": reason,
        }),
        NamespaceState::Unreadable(why) => {
            json!({"name": name, "state": "unreadable", "reason": &**why})
        }
        NamespaceState::Pending => json!({"name": name, "state": "pending"}),
        NamespaceState::Absent => json!({"name": name, "state": "absent"}),
    }
}

async fn history(admin: &Admin, name: &str) -> Result<Value, Refusal> {
    let history = timeout(WAIT, admin.store.history(name)).await;
    let history = history.map_err(|_| Refusal::timed_out())??;
    let past = history.iter().map(|past| {
        let at = past
            .written
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        json!({
            "version": version(&past.version),
            "written": at.map(|at| at.as_secs()),
            "entries": past.version.dtab.entries().len(),
            "dtab": lines(&past.version.dtab),
        })
    });
    Ok(json!({"history": past.collect::<Vec<_>>()}))
}

fn has(text: &str, q: &str) -> bool {
    text.to_lowercase().contains(&q.to_lowercase())
}

fn bindings(admin: &Admin, q: &str) -> Value {
    let wanted = |binding: &&Arc<Binding>| {
        let key = &binding.key;
        q.is_empty()
            || has(&key.path.to_string(), q)
            || key.root.as_ref().is_some_and(|root| has(root, q))
            || matches!(&binding.state.get().1, BindState::Tree(tree) if has(&state::shown(tree), q))
    };
    let all = admin.binder.bindings();
    let found: Vec<_> = all.iter().filter(wanted).collect();
    let rows: Vec<_> = found.iter().take(ROWS).map(|b| state::binding(b)).collect();
    json!({"total": all.len(), "found": found.len(), "bindings": rows})
}

fn binding(admin: &Admin, number: u32) -> Result<Value, Refusal> {
    let all = admin.binder.bindings();
    let Some(binding) = all.iter().find(|binding| binding.number == number) else {
        let why = format!("there is no binding {number} any more");
        return Err(Refusal::new(StatusCode::NOT_FOUND, why));
    };
    let mut value = state::binding(binding);
    if let BindState::Tree(tree) = &binding.state.get().1 {
        let mut clusters = Vec::new();
        tree.for_each_leaf(&mut |leaf| {
            clusters.push(json!({
                "number": leaf.cluster.number,
                "id": leaf.cluster.id.to_string(),
                "residual": leaf.residual.to_string(),
                "weight": leaf.tree_weight.map(l5d_naming::Weight::value),
                "addresses": state::endpoints(&leaf.cluster.replicas.get().1, ADDRESSES),
            }));
        });
        value["clusters"] = clusters.into();
    }
    Ok(value)
}

fn names(admin: &Admin, q: &str) -> Value {
    let all = admin.binder.names();
    let texts = all.iter().map(ToString::to_string);
    let found: Vec<String> = texts.filter(|name| has(name, q)).collect();
    let rows = &found[..found.len().min(ROWS)];
    json!({"total": all.len(), "found": found.len(), "names": rows})
}

fn sessions(admin: &Admin, q: &str) -> Value {
    let all = admin.hub.registry().list(None);
    let found: Vec<_> = all
        .iter()
        .filter(|s| has(&s.node, q) || has(&s.peer, q))
        .collect();
    let rows: Vec<_> = found.iter().take(ROWS).map(|s| state::session(s)).collect();
    json!({"total": all.len(), "found": found.len(), "sessions": rows})
}

fn session(admin: &Admin, id: u64) -> Result<Value, Refusal> {
    let registry = admin.hub.registry();
    let Some((session, follows)) = registry.one(id) else {
        let why = format!("session {id} has ended");
        return Err(Refusal::new(StatusCode::NOT_FOUND, why));
    };
    let all = admin.binder.bindings();
    let followed: Vec<_> = all
        .iter()
        .filter(|binding| follows.contains(&binding.number))
        .collect();
    let rows: Vec<_> = followed
        .iter()
        .take(ROWS)
        .map(|b| state::binding(b))
        .collect();
    let mut value = state::session(&session);
    value["found"] = followed.len().into();
    value["bindings"] = rows.into();
    Ok(value)
}

async fn explain(admin: &Admin, ask: &Ask) -> Result<String, Refusal> {
    let key = BindKey {
        root: ask.namespace.as_deref().map(Into::into),
        router: l5d_naming::Dtab::empty(),
        local: ask.dtab.clone(),
        path: ask.path.clone(),
        transformers: Transformers::default(),
    };
    let tree = timeout(WAIT, admin.binder.delegate(&key, &Caller::default())).await;
    let tree = tree.map_err(|_| Refusal::timed_out())?;
    let failed =
        |e: crate::bind::BindError| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.message());
    Ok(delegation(&tree.map_err(failed)?))
}
