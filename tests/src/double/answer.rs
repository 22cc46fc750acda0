//! One request of the API, from its path to its body.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::State;
use super::faults::{Fault, Settings};
use super::kinds::{Kind, Target};
use super::list::list;
use super::query::{Query, View};
use super::review::Reviews;
use super::status::Refusal;
use super::traffic::{Seen, Verb};
use super::watching::Watching;
use super::write;

/// More than any object has.
const BODY_LIMIT: usize = 8 << 20;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers a request; waits while the server is stalled.
pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let mut settings = state.faults.settings();
    let set = match settings.wait_for(|set| !set.stalled).await {
        Ok(set) => set.clone(),
        Err(_) => return refuse(&Refusal::of(StatusCode::SERVICE_UNAVAILABLE, None)),
    };
    if let Some(token) = &set.token
        && header_text(request.headers(), header::AUTHORIZATION) != format!("Bearer {token}")
    {
        return refuse(&Refusal::of(StatusCode::UNAUTHORIZED, None));
    }
    let path = request.uri().path().trim_end_matches('/').to_owned();
    if Reviews::is_review(&path) && request.method() == Method::POST {
        return match read(request).await {
            Ok(review) => {
                let answer = state.reviews.answer(&path, review);
                json_body(StatusCode::CREATED, &answer, None, false)
            }
            Err(refusal) => refuse(&refusal),
        };
    }
    let Some(target) = Kind::target(&path) else {
        return about(&set, &path);
    };
    match resource(&state, &set, target, request).await {
        Ok(response) => response,
        Err(refusal) => refuse(&refusal),
    }
}

/// Takes the time that so many bytes need at a rate in bytes per second.
pub(super) async fn pace(rate: Option<u32>, bytes: usize) {
    if let Some(rate) = rate {
        tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / f64::from(rate))).await;
    }
}

async fn resource(
    state: &Arc<State>,
    set: &Settings,
    target: Target,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let accept = header_text(request.headers(), header::ACCEPT).to_owned();
    let query = Query::parse(&target, request.uri(), &accept)?;
    let verb = verb(&target, request.method(), &query)?;
    state.traffic.saw(Seen {
        kind: target.kind,
        verb,
        query: request.uri().query().unwrap_or("").to_owned(),
        accept,
        at: Instant::now(),
    });
    let page = query.page.as_ref().map_or(1, |page| page.number);
    let mut cut = false;
    match state.faults.strike(target.kind, verb, page) {
        None => {}
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::CutInBody) => cut = true,
        Some(Fault::Status(code, retry_after)) => {
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(Refusal::of(code, retry_after));
        }
    }
    if verb == Verb::Watch {
        return Ok(watch_body(Watching::begin(state, query)?, cut));
    }
    let (code, body) = plain(state, verb, target, &query, request).await?;
    Ok(json_body(code, &body, set.bytes_per_second, cut))
}

async fn plain(
    state: &State,
    verb: Verb,
    target: Target,
    query: &Query,
    request: Request<Incoming>,
) -> Result<(StatusCode, Value), Refusal> {
    let store = &state.store;
    let ok = StatusCode::OK;
    Ok(match verb {
        Verb::List | Verb::Watch => (ok, list(store, query)?),
        Verb::Get => (ok, get(state, &target, query.view)?),
        Verb::Delete => (ok, write::delete(store, &target)?),
        Verb::Create => {
            let object = read(request).await?;
            (StatusCode::CREATED, write::create(store, &target, object)?)
        }
        Verb::Update => (ok, write::replace(store, &target, read(request).await?)?),
        Verb::Patch => {
            let kind = header_text(request.headers(), header::CONTENT_TYPE);
            if kind != "application/merge-patch+json" {
                let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                let message = "only application/merge-patch+json is taken";
                return Err(Refusal::new(code, "UnsupportedMediaType", message));
            }
            (ok, write::patch(store, &target, &read(request).await?)?)
        }
    })
}

fn get(state: &State, target: &Target, view: View) -> Result<Value, Refusal> {
    let name = target.name.as_deref().unwrap_or("");
    let namespace = target.namespace.as_deref().unwrap_or("");
    let object = state.store.get(target.kind, namespace, name);
    let object = object.ok_or_else(|| Refusal::not_found(target.kind, name))?;
    Ok(view.show(&object))
}

fn verb(target: &Target, method: &Method, query: &Query) -> Result<Verb, Refusal> {
    Ok(match (method, &target.name) {
        (&Method::GET, _) if query.watch => Verb::Watch,
        (&Method::GET, None) => Verb::List,
        (&Method::GET, Some(_)) => Verb::Get,
        (&Method::POST, None) => Verb::Create,
        (&Method::PUT, Some(_)) => Verb::Update,
        (&Method::PATCH, Some(_)) => Verb::Patch,
        (&Method::DELETE, Some(_)) => Verb::Delete,
        _ => {
            let message = "the server does not allow this method on the requested resource";
            let code = StatusCode::METHOD_NOT_ALLOWED;
            return Err(Refusal::new(code, "MethodNotAllowed", message));
        }
    })
}

async fn read(request: Request<Incoming>) -> Result<Value, Refusal> {
    let body = Limited::new(request.into_body(), BODY_LIMIT)
        .collect()
        .await;
    let body = body.map_err(|error| Refusal::bad_request(error.to_string()))?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| Refusal::bad_request(format!("the body is not JSON: {error}")))
}

/// What the server says of itself.
fn about(set: &Settings, path: &str) -> Response<Body> {
    let body = match path {
        "/livez" | "/readyz" | "/healthz" => return text("ok"),
        "/version" => json!({
            "major": "1", "minor": set.minor.to_string(),
            "gitVersion": format!("v1.{}.0-double", set.minor), "platform": "linux/amd64",
        }),
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => {
            let groups = [
                ("discovery.k8s.io", "v1"),
                ("networking.k8s.io", "v1"),
                ("l5d.io", "v1alpha1"),
            ];
            let groups = groups.map(|(group, version)| {
                let version =
                    json!({"groupVersion": format!("{group}/{version}"), "version": version});
                json!({"name": group, "versions": [version], "preferredVersion": version})
            });
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        "/api/v1"
        | "/apis/discovery.k8s.io/v1"
        | "/apis/networking.k8s.io/v1"
        | "/apis/l5d.io/v1alpha1" => resources(path),
        _ => {
            let message = "the server could not find the requested resource";
            return refuse(&Refusal::new(StatusCode::NOT_FOUND, "NotFound", message));
        }
    };
    json_body(StatusCode::OK, &body, set.bytes_per_second, false)
}

fn resources(root: &str) -> Value {
    let here = Kind::ALL.into_iter().filter(|kind| kind.root() == root);
    let resources: Vec<_> = here
        .map(|kind| {
            json!({
                "name": kind.plural(), "singularName": kind.name().to_lowercase(),
                "namespaced": kind.is_namespaced(), "kind": kind.name(),
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            })
        })
        .collect();
    let version = root
        .trim_start_matches("/apis/")
        .trim_start_matches("/api/");
    json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": version, "resources": resources,
    })
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or("")
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = json_body(refusal.code, &refusal.body(), None, false);
    if let Some(seconds) = refusal.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn text(text: &'static str) -> Response<Body> {
    Response::new(whole(Bytes::from_static(text.as_bytes())))
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn json_body(code: StatusCode, body: &Value, rate: Option<u32>, cut: bool) -> Response<Body> {
    let mut bytes = Bytes::from(body.to_string());
    let body = if cut || rate.is_some() {
        let half = cut.then(|| bytes.split_to(bytes.len() / 2));
        let rest = half.unwrap_or(bytes);
        streamed(stream::unfold(
            (rest, cut),
            move |(mut rest, cut)| async move {
                if rest.is_empty() {
                    return cut.then(|| (Err(cut_off()), (rest, false)));
                }
                let most = rate.map_or(rest.len(), |rate| (rate as usize / 10).max(1));
                let next = rest.split_to(most.min(rest.len()));
                pace(rate, next.len()).await;
                Some((Ok(next), (rest, cut)))
            },
        ))
    } else {
        whole(bytes)
    };
    response(code, body)
}

fn watch_body(watching: Watching, cut: bool) -> Response<Body> {
    // A cut watch breaks off after its first item.
    let items = stream::unfold((watching, 0_u64), move |(mut watching, sent)| async move {
        if cut && sent == 1 {
            written().await;
            return Some((Err(cut_off()), (watching, 2)));
        }
        let bytes = watching.next().await?;
        Some((Ok(bytes), (watching, sent + 1)))
    });
    response(StatusCode::OK, streamed(items))
}

fn streamed(items: impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    use futures_util::StreamExt as _;
    StreamBody::new(items.map(|item| item.map(Frame::data))).boxed_unsync()
}

fn response(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Lets the connection write out what it has: a body that fails at once would take its head with it.
async fn written() {
    tokio::task::yield_now().await;
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the double cuts this stream",
    )
}
