//! The paths of the admin server and what stands behind them (node-proxy 15.8).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::config::effective;

use super::views::View;
use super::{
    PrometheusPage, Sight, delegator, files, guard, live, metrics, page, ready, requests, state,
};

type Shared = State<Arc<Sight>>;
type Params = Query<Vec<(String, String)>>;

const PATHS: &[&str] = &[
    "/",
    "/admin",
    "/admin/index.txt",
    "/admin/metrics",
    "/admin/metrics.json",
    "/admin/metrics/prometheus",
    "/admin/ping",
    "/admin/registry.json",
    "/admin/server_info",
    "/admin/shutdown",
    "/admin/tracing",
    "/bound-names.json",
    "/client_state.json",
    "/config.json",
    "/delegator.json",
    "/live",
    "/logging.json",
    "/metrics",
    "/ready",
    "/requests",
    "/state",
    "/state.json",
    "/ui/clients.json",
    "/ui/overview.json",
    "/ui/requests.json",
    "/ui/services.json",
];

/// Pages of 1.x that have no counterpart, and what does their work.
const GONE: &[(&str, &str)] = &[
    (
        "/admin/threads",
        "threads are fixed: one a worker, `control`, `admin`; see `ps -T -p PID`",
    ),
    (
        "/admin/contention",
        "workers share no locks; `perf lock` shows those of the system",
    ),
    (
        "/admin/lint",
        "warnings of the configuration are logged at the start, and printed by `l5d-node --check FILE`",
    ),
    (
        "/admin/announcer",
        "announcers belong to namerd's world; nothing is announced from here",
    ),
    ("/admin/metrics/influxdb", "let Telegraf scrape /metrics"),
];

pub(super) fn all(sight: Arc<Sight>) -> Router {
    let own = PrometheusPage::of(&sight.config.telemetry).path;
    let mut routes = Router::new()
        .route("/", get(|| async { files::index() }))
        .route("/favicon.ico", get(|| async { files::icon() }))
        .route(
            "/files/{name}",
            get(|Path(name): Path<String>| async move { files::file(&name) }),
        )
        .route("/ui/{view}", get(view))
        .route("/state", get(front))
        .route("/admin", get(index))
        .route("/admin/index.txt", get(index))
        .route("/admin/ping", get(|| async { "pong" }))
        .route("/admin/server_info", get(server_info))
        .route("/admin/registry.json", get(registry))
        .route("/admin/shutdown", post(shutdown))
        .route("/admin/tracing", get(tracing).post(tracing))
        .route("/admin/metrics", get(metrics_json))
        .route("/admin/metrics.json", get(metrics_json))
        .route("/admin/metrics/prometheus", get(prometheus))
        .route("/metrics", get(prometheus))
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/logging.json", get(levels).post(set_level))
        .route("/requests", get(recent))
        .route("/config.json", get(config))
        .route("/state.json", get(state))
        .route("/client_state.json", get(client_state))
        .route("/bound-names.json", get(bound_names))
        .route("/delegator.json", get(delegator).post(delegator))
        .route(
            "/{router}/interpreter_state/{kind}/{namespace}",
            get(interpreter),
        );
    if let Some(path) = own.filter(|path| !PATHS.contains(&path.as_str())) {
        // Braces would be taken for a pattern.
        if !path.contains(['{', '}', '*']) {
            routes = routes.route(&path, get(prometheus));
        }
    }
    for (path, instead) in GONE {
        let text = format!("{path} is not served here: {instead}\n");
        routes = routes.route(path, get(|| async { (StatusCode::NOT_FOUND, text) }));
    }
    routes
        .route("/admin/pprof/{profile}", get(profile))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page; /admin lists all\n") })
        .layer(from_fn_with_state(sight.clone(), guard::check))
        .with_state(sight)
}

async fn index(State(sight): Shared) -> String {
    let security = &sight.config.admin.security;
    let served = PATHS
        .iter()
        .filter(|path| security.allows(path, guard::kind(path)));
    served.map(|path| format!("{path}\n")).collect()
}

async fn profile(Path(profile): Path<String>) -> (StatusCode, String) {
    let why = format!(
        "there is no profile {profile:?} here: use `perf record -g -p PID`; symbols are in the release's debug file\n"
    );
    (StatusCode::NOT_FOUND, why)
}

async fn view(State(sight): Shared, Path(name): Path<String>, Query(query): Params) -> Response {
    match View::of(&name) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(view) if asked(&query, "watch") == Some("true") => live::follow(&sight, view),
        Some(view) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, view.show(&sight).await).into_response()
        }
    }
}

async fn front(State(sight): Shared) -> Html<String> {
    let loads = sight.asker.loads().await;
    Html(page::render(&state::state(&sight, &loads)))
}

async fn state(State(sight): Shared) -> Response {
    let loads = sight.asker.loads().await;
    json(&state::state(&sight, &loads), true)
}

async fn ready(State(sight): Shared) -> Response {
    match ready::missing(&sight) {
        missing if missing.is_empty() => "ready\n".into_response(),
        missing => {
            let text: String = missing.iter().map(|m| format!("{m}\n")).collect();
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn shutdown(State(sight): Shared) -> &'static str {
    tracing::info!("stop asked for by the admin server");
    sight.stop.cancel();
    "stopping\n"
}

fn info() -> Value {
    json!({
        "name": "l5d-node",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    })
}

async fn server_info(State(sight): Shared) -> Response {
    let mut info = info();
    info["uptime_s"] = sight.started.elapsed().as_secs().into();
    info["node"] = sight.identity.node_name.clone().into();
    json(&info, false)
}

/// Parts with their settings.
async fn registry(State(sight): Shared) -> Response {
    let mut config = effective(&sight.config);
    let routers = config["routers"].take();
    json(
        &json!({"registry": {"server": info(), "routers": routers, "admin": config["admin"]}}),
        true,
    )
}

/// Whether requests are sampled; `?enable=true` or `false` changes it.
async fn tracing(State(sight): Shared, Query(query): Params) -> Response {
    let Some(traces) = &sight.traces else {
        let why = "no telemeter wants requests: io.l5d.recentRequests, io.l5d.tracelog, io.l5d.opentelemetry\n";
        return (StatusCode::NOT_FOUND, why).into_response();
    };
    match asked(&query, "enable") {
        Some("true") => traces.turn(true),
        Some("false") => traces.turn(false),
        Some(other) => {
            let why = format!("enable={}: true or false\n", other.escape_debug());
            return (StatusCode::BAD_REQUEST, why).into_response();
        }
        None => {}
    }
    let on = traces.is_on();
    if asked(&query, "enable").is_some() {
        tracing::info!(on, "sampling of requests changed over the admin server");
    }
    if on {
        "Tracing is on\n"
    } else {
        "Tracing is off\n"
    }
    .into_response()
}

async fn prometheus(State(sight): Shared) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    let page = PrometheusPage::of(&sight.config.telemetry);
    let samples = metrics::samples(&sight);
    let text = metrics::prometheus(&samples, &page.prefix, page.histograms);
    (kind, text).into_response()
}

async fn metrics_json(State(sight): Shared, Query(query): Params) -> Response {
    let flat = metrics::flat(&metrics::samples(&sight), asked(&query, "q"));
    if let (Some(q), true) = (asked(&query, "q"), flat.is_empty()) {
        let error = json!({"error": format!("No such subtree: {q}")});
        return (StatusCode::NOT_FOUND, Json(error)).into_response();
    }
    let made = match asked(&query, "tree") {
        Some("true") => metrics::nested(&flat),
        _ => Value::Object(flat),
    };
    json(&made, asked(&query, "pretty") == Some("true"))
}

async fn levels(State(sight): Shared) -> Response {
    let each = sight.levels.all().into_iter();
    let all: Value = each
        .map(|(logger, level)| json!({"logger": logger, "level": level.to_string()}))
        .collect();
    json(&all, false)
}

/// `logger` and `level`, in the query or as a form.
async fn set_level(State(sight): Shared, Query(query): Params, form: Bytes) -> Response {
    let form = self::form(&form);
    let value = |key| asked(&query, key).or_else(|| asked(&form, key));
    let (Some(logger), Some(level)) = (value("logger"), value("level")) else {
        let why = "the parameters `logger` and `level` are needed\n";
        return (StatusCode::BAD_REQUEST, why).into_response();
    };
    let set = level
        .parse()
        .and_then(|level| sight.levels.set(logger, level));
    match set {
        Ok(()) => {
            tracing::info!(logger, level, "log level changed over the admin server");
            levels(State(sight)).await
        }
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    }
}

/// JSON for who asks for it, else a page.
async fn recent(State(sight): Shared, headers: HeaderMap) -> Response {
    let traces = sight.traces.as_deref();
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    match accept.is_some_and(|accept| accept.contains("application/json")) {
        true => json(&requests::json(traces), true),
        false => Html(requests::html(traces)).into_response(),
    }
}

async fn config(State(sight): Shared) -> Response {
    json(&effective(&sight.config), true)
}

async fn client_state(State(sight): Shared) -> Response {
    json(&state::client_state(&sight), false)
}

async fn bound_names(State(sight): Shared) -> Response {
    json(&state::bound_names(&sight), false)
}

/// What one router's interpreter has bound: `/<router>/interpreter_state/<kind>/<namespace>.json`.
async fn interpreter(
    State(sight): Shared,
    Path((router, kind, namespace)): Path<(String, String, String)>,
) -> Response {
    let namespace = namespace.strip_suffix(".json").unwrap_or(&namespace);
    match state::interpreter_state(&sight, &router, &kind, namespace) {
        Some(state) => json(&state, true),
        None => {
            let why = "no router of this label has such an interpreter; /config.json shows them\n";
            (StatusCode::NOT_FOUND, why).into_response()
        }
    }
}

/// `path`, `dtab` and `namespace`, in the query, as a form, or as a JSON object.
async fn delegator(State(sight): Shared, Query(query): Params, body: Bytes) -> Response {
    let object: Option<Value> = serde_json::from_slice(&body).ok();
    let form = match object {
        Some(_) => Vec::new(),
        None => form(&body),
    };
    let value = |key: &str| {
        let member = || object.as_ref()?.get(key)?.as_str();
        asked(&query, key)
            .or_else(|| asked(&form, key))
            .or_else(member)
    };
    delegator::answer(&sight, value).await
}

/// The fields of a form.
fn form(body: &[u8]) -> Vec<(String, String)> {
    let uri = axum::http::Uri::builder()
        .path_and_query([b"/?", body].concat())
        .build()
        .ok();
    let form = uri.and_then(|uri| Query::<Vec<(String, String)>>::try_from_uri(&uri).ok());
    form.map(|Query(form)| form).unwrap_or_default()
}

fn asked<'a>(query: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let found = query.iter().find(|(k, _)| k == key);
    found.map(|(_, value)| value.as_str())
}

fn json(value: &Value, is_pretty: bool) -> Response {
    if !is_pretty {
        return Json(value).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, format!("{value:#}\n")).into_response()
}
