//! The admin server (node-proxy 15.3, 15.8): is it alive, may it serve, what happened, what is followed.
//!
//! In: HTTP requests of people and scrapers. Out: views of [`crate::cache`] and [`crate::serve`], taken when asked; the
//! only change that can be asked for is a stop. It runs on a thread of its own and must never slow a request of the data
//! plane.

mod metrics;
mod page;
mod ready;
mod state;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::cache::{FollowSet, Table};
use crate::config::{Config, Identity};
use crate::serve::{Asker, Stats};
use crate::tell::{Teller, Traces};

pub use metrics::Window;

/// All that the pages show.
#[derive(Debug)]
pub struct Sight {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// What the process was told besides.
    pub identity: Identity,
    /// Names.
    pub table: Arc<Table>,
    /// The namerds that are followed.
    pub namerds: Vec<Arc<FollowSet>>,
    /// Counters of the data plane.
    pub stats: Arc<Stats>,
    /// Load of endpoints.
    pub asker: Asker,
    /// By router, then by server: where they really listen.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// Whether names came from the warm file.
    pub is_warm: bool,
    /// By router: who is told of single requests.
    pub tellers: Vec<Arc<Teller>>,
    /// Sampled requests, if a telemeter wants them.
    pub traces: Option<Arc<Traces>>,
    /// What came in the last minute.
    pub window: Window,
    /// How the Prometheus page looks.
    pub prometheus: PrometheusPage,
    /// When the process began to serve.
    pub started: tokio::time::Instant,
    /// Cancelled when a stop was asked for.
    pub stop: CancellationToken,
}

/// The Prometheus page (node-proxy 15.1, 15.3).
#[derive(Clone, Debug, Default)]
pub struct PrometheusPage {
    /// In front of each name.
    pub prefix: String,
    /// Whether modern histograms are shown as well.
    pub histograms: bool,
}

type Shared = State<Arc<Sight>>;

/// Serves until `end` is cancelled; requests under way then have ended or are cut by the caller.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    sight: Arc<Sight>,
    end: CancellationToken,
) -> std::io::Result<()> {
    let served = axum::serve(listener, routes(sight.clone()))
        .with_graceful_shutdown(end.cancelled_owned())
        .into_future();
    tokio::select! {
        served = served => served,
        never = look(&sight) => match never {},
    }
}

/// Keeps the window of the last minute.
async fn look(sight: &Sight) -> Infallible {
    let mut ticks = tokio::time::interval(metrics::EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sight.window.look(&metrics::samples(sight));
    }
}

const PATHS: &[&str] = &[
    "/",
    "/admin",
    "/admin/index.txt",
    "/admin/metrics.json",
    "/admin/metrics/prometheus",
    "/admin/ping",
    "/admin/server_info",
    "/admin/shutdown",
    "/bound-names.json",
    "/client_state.json",
    "/config.json",
    "/delegator.json",
    "/live",
    "/metrics",
    "/ready",
    "/state.json",
];

fn routes(sight: Arc<Sight>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/admin", get(index))
        .route("/admin/index.txt", get(index))
        .route("/admin/ping", get(|| async { "pong" }))
        .route("/admin/server_info", get(server_info))
        .route("/admin/shutdown", post(shutdown))
        .route("/admin/metrics.json", get(metrics_json))
        .route("/admin/metrics/prometheus", get(prometheus))
        .route("/metrics", get(prometheus))
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/config.json", get(config))
        .route("/state.json", get(state))
        .route("/client_state.json", get(client_state))
        .route("/bound-names.json", get(bound_names))
        .route("/delegator.json", get(delegator))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page; /admin lists all\n") })
        .with_state(sight)
}

async fn index() -> String {
    PATHS.iter().map(|path| format!("{path}\n")).collect()
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

async fn server_info() -> Response {
    let info = serde_json::json!({
        "name": "l5d-node",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    });
    json(&info, false)
}

async fn prometheus(State(sight): Shared) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    let page = &sight.prometheus;
    let samples = metrics::samples(&sight);
    let text = metrics::prometheus(&samples, &page.prefix, page.histograms);
    (kind, text).into_response()
}

async fn metrics_json(
    State(sight): Shared,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let asked = |key: &str| {
        query
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    };
    let flat = metrics::flat(&metrics::samples(&sight), asked("q"));
    let made = match asked("tree") {
        Some("true") => metrics::nested(&flat),
        _ => serde_json::Value::Object(flat),
    };
    json(&made, asked("pretty") == Some("true"))
}

async fn config(State(sight): Shared) -> Response {
    json(&crate::config::effective(&sight.config), true)
}

async fn client_state(State(sight): Shared) -> Response {
    json(&state::client_state(&sight), false)
}

async fn bound_names(State(sight): Shared) -> Response {
    json(&state::bound_names(&sight), false)
}

async fn delegator() -> Response {
    let text = "not supported yet on the node: ask namerd, with `namerctl explain` or its /api/1/delegate\n";
    (StatusCode::NOT_IMPLEMENTED, text).into_response()
}

fn json(value: &serde_json::Value, is_pretty: bool) -> Response {
    if !is_pretty {
        return Json(value).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, format!("{value:#}\n")).into_response()
}
