//! Delegations (node-proxy 15.8): every step of a name as one router binds it, in the JSON form that Linkerd 1.x answers.
//!
//! In: `path`, `dtab` (the override of one request, behind the router's own rules), `namespace` (the router's label; may be
//! left out where there is one router). Out: what namerd tells.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use l5d_naming::{Dtab, Path};
use l5d_resolver::v1;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::Sight;
use crate::cache::{Explain, Unexplained};

/// Delegations asked for at one time.
const MOST: usize = 8;

/// Who is asked, and how many at once.
#[derive(Clone, Debug)]
pub struct Delegator {
    explain: Arc<dyn Explain>,
    room: Arc<Semaphore>,
}

impl Delegator {
    /// That asks this.
    pub fn new(explain: Arc<dyn Explain>) -> Self {
        Self {
            explain,
            room: Arc::new(Semaphore::new(MOST)),
        }
    }
}

/// A status and why.
type Refusal = (StatusCode, String);

/// Answers a question; `value` gives its parameters.
pub(super) async fn answer<'a>(sight: &Sight, value: impl Fn(&str) -> Option<&'a str>) -> Response {
    match explained(sight, value).await {
        Ok(tree) => axum::Json(tree).into_response(),
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    }
}

async fn explained<'a>(
    sight: &Sight,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<Value, Refusal> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let router = router(sight, value("namespace"))?;
    let path = value("path").ok_or_else(|| bad("the parameter `path` is needed".to_owned()))?;
    let path = Path::parse(path).map_err(|e| bad(format!("Invalid path: {path} / {e}")))?;
    let dtab = value("dtab").unwrap_or_default();
    let dtab = Dtab::parse(dtab).map_err(|e| bad(format!("Invalid dtab: {e}")))?;
    let Ok(_room) = sight.delegator.room.try_acquire() else {
        let why = format!("{MOST} delegations are being asked for already; try again later");
        return Err((StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let explained = sight.delegator.explain.explain(router, &path, &dtab).await;
    let explained = explained.map_err(|why| (status(&why), why.to_string()))?;
    let steps = explained.steps.as_ref();
    let steps = steps.ok_or((
        StatusCode::BAD_GATEWAY,
        "namerd has answered without steps".to_owned(),
    ))?;
    Ok(node(steps, &explained))
}

/// The index of the router of this label.
fn router(sight: &Sight, label: Option<&str>) -> Result<usize, Refusal> {
    let routers = &sight.config.routers;
    let labels: Vec<_> = routers.iter().map(|r| r.label.as_str()).collect();
    let labels = labels.join(", ");
    match label {
        None if routers.len() == 1 => Ok(0),
        None => Err((
            StatusCode::BAD_REQUEST,
            format!("the parameter `namespace` is needed, a router's label: {labels}"),
        )),
        Some(label) => {
            let found = routers.iter().position(|router| router.label == label);
            let why = format!("no router is labelled {label:?}; there are: {labels}");
            found.ok_or((StatusCode::NOT_FOUND, why))
        }
    }
}

fn status(why: &Unexplained) -> StatusCode {
    match why {
        Unexplained::Router => StatusCode::NOT_FOUND,
        Unexplained::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Unexplained::Invalid(_) => StatusCode::BAD_REQUEST,
        Unexplained::Refused(_) => StatusCode::BAD_GATEWAY,
        Unexplained::Late(_) => StatusCode::GATEWAY_TIMEOUT,
        Unexplained::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// One node (control plane 7.6).
fn node(step: &v1::Step, all: &v1::Explained) -> Value {
    let mut made = Map::new();
    made.insert("type".to_owned(), step.kind.as_str().into());
    made.insert("path".to_owned(), step.path.as_str().into());
    // A transformation has no dentry in this form (naming 7.1).
    if let Some(rule) = step.rule.as_ref().filter(|_| step.kind != "transformation") {
        let dentry = json!({"prefix": rule.prefix, "dst": rule.dst});
        made.insert("dentry".to_owned(), dentry);
    }
    let mut nodes = step.children.iter().map(|child| node(child, all));
    match step.kind.as_str() {
        "exception" => {
            made.insert("message".to_owned(), step.why.as_str().into());
        }
        "delegate" => {
            made.insert("delegate".to_owned(), nodes.next().into());
        }
        "alt" => {
            made.insert("alt".to_owned(), nodes.collect());
        }
        "union" => {
            let branches = step.children.iter().zip(nodes);
            let branches =
                branches.map(|(child, node)| json!({"weight": child.weight, "tree": node}));
            made.insert("union".to_owned(), branches.collect());
        }
        "leaf" => {
            made.insert("bound".to_owned(), bound(step, all));
        }
        "transformation" => {
            made.insert("name".to_owned(), transformer(step, all).into());
            made.insert("bound".to_owned(), bound(step, all));
            made.insert("tree".to_owned(), nodes.next().into());
        }
        _ => {}
    }
    Value::Object(made)
}

/// Older namerds tell it beside the steps only.
fn transformer<'a>(step: &'a v1::Step, all: &'a v1::Explained) -> &'a str {
    if !step.transformer.is_empty() {
        return &step.transformer;
    }
    let found = all.transformed.iter().find(|t| t.leaf == step.id);
    found.map_or("transformer", |t| &t.kind)
}

fn bound(step: &v1::Step, all: &v1::Explained) -> Value {
    // Older namerds tell the clusters of the result only.
    let mut of_result = all.result.iter().flat_map(|result| &result.clusters);
    let cluster = step.cluster.as_ref();
    let cluster = cluster.or_else(|| of_result.find(|cluster| cluster.id == step.id));
    let addr = match cluster {
        Some(cluster) => addr(cluster),
        None => {
            json!({"type": "failed", "cause": format!("not told by this namerd: {}", step.why)})
        }
    };
    json!({"addr": addr, "id": step.id, "path": step.residual})
}

fn addr(cluster: &v1::ResolvedCluster) -> Value {
    match cluster.state() {
        v1::State::Pending => json!({"type": "pending"}),
        v1::State::Neg => json!({"type": "neg"}),
        v1::State::Failed => json!({"type": "failed", "cause": cluster.message}),
        v1::State::Bound => {
            let mut meta = Map::new();
            if !cluster.authority.is_empty() {
                let authority = cluster.authority.as_str().into();
                meta.insert(l5d_naming::metadata::AUTHORITY.to_owned(), authority);
            }
            let addrs: Vec<_> = cluster.endpoints.iter().map(endpoint).collect();
            json!({"type": "bound", "addrs": addrs, "meta": meta})
        }
    }
}

fn endpoint(endpoint: &v1::ResolvedEndpoint) -> Value {
    use l5d_naming::metadata::{ENDPOINT_WEIGHT, NODE_NAME};
    let mut meta = Map::new();
    for (key, value) in &endpoint.metadata {
        meta.insert(key.clone(), value.as_str().into());
    }
    if !endpoint.zone.is_empty() {
        meta.insert("zone".to_owned(), endpoint.zone.as_str().into());
    }
    if !endpoint.node.is_empty() {
        meta.insert(NODE_NAME.to_owned(), endpoint.node.as_str().into());
    }
    #[expect(clippy::float_cmp, reason = "one is exact")]
    if endpoint.weight != 1.0 {
        meta.insert(ENDPOINT_WEIGHT.to_owned(), endpoint.weight.into());
    }
    json!({"ip": endpoint.ip, "port": endpoint.port, "meta": meta})
}
