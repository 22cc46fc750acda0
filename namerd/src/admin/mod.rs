//! The admin server: health, metrics, and what this namerd knows (control plane 9).
//!
//! Reads what the other modules keep anyway and asks none of them to wait, so it answers when everything else is stuck. It
//! runs on a thread of its own and changes nothing, except for log levels and the stop.

mod levels;
mod metrics;
mod page;
mod security;
mod state;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use l5d_naming::Path;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bind::Binder;
use crate::config::Security;
use crate::store::services::Services;
use crate::store::{Cell, DtabStore, Engine};
use crate::stream::Hub;
use crate::tls::Gate;
use crate::web::{self, Ask, Body, JSON, Params, Refusal, Requests, explain, json_text};

pub use levels::{LogLevel, LogLevels};

/// Everything that the admin server shows.
pub struct Admin {
    /// The configuration in force, without secrets.
    pub config: serde_json::Value,
    /// What the configuration was warned about.
    pub warnings: Vec<String>,
    /// Which paths are served.
    pub security: Security,
    /// Further paths of the Prometheus page.
    pub prometheus_paths: Vec<String>,
    /// Recomputations.
    pub engine: Engine,
    /// Dtabs.
    pub store: Arc<dyn DtabStore>,
    /// Bindings.
    pub binder: Binder,
    /// Sessions.
    pub hub: Arc<Hub>,
    /// Watched API servers.
    pub clusters: Vec<ClusterState>,
    /// Configured namers.
    pub namers: Vec<NamerState>,
    /// True once every source has answered.
    pub ready: Arc<Cell<bool>>,
    /// Counters of the HTTP controllers.
    pub requests: Arc<Requests>,
    /// What connections of each server go through first, with the servers' names.
    pub gates: Vec<(String, Arc<Gate>)>,
    /// How often an endpoint had no gateway on its node.
    pub missing_gateways: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Log levels.
    pub levels: Arc<dyn LogLevels>,
    /// Cancelled to stop the process.
    pub stop: CancellationToken,
    /// When the process started.
    pub started: Instant,
}

/// One watched API server.
#[derive(Clone, Debug)]
pub struct ClusterState {
    /// Its address.
    pub api: String,
    /// What is known of it.
    pub services: Services,
}

/// One configured namer.
#[derive(Clone, Debug)]
pub struct NamerState {
    /// Its kind.
    pub kind: &'static str,
    /// Its prefix, without `/#`.
    pub prefix: Path,
    /// The API server behind it, if it has one.
    pub api: Option<String>,
}

/// All fixed paths, sorted.
const PATHS: [&str; 20] = [
    "/",
    "/admin",
    "/admin/index.txt",
    "/admin/lint",
    "/admin/lint.json",
    "/admin/metrics",
    "/admin/metrics.json",
    "/admin/metrics/prometheus",
    "/admin/ping",
    "/admin/server_info",
    "/admin/shutdown",
    "/bound-names.json",
    "/config.json",
    "/dtab/delegator.json",
    "/live",
    "/logging.json",
    "/metrics",
    "/metrics.json",
    "/ready",
    "/state.json",
];

/// How long a delegation may take.
const DELEGATION: Duration = Duration::from_secs(2);
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

impl web::Handler for Admin {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if !security::allows(&self.security, &path) {
            return web::empty(StatusCode::NOT_FOUND);
        }
        match (path.as_str(), request.method()) {
            ("/admin/shutdown", &Method::POST) => self.shut_down(),
            ("/admin/shutdown", _) => web::not_allowed("POST"),
            ("/logging.json", &Method::POST) => or_refused(self.set_level(request).await),
            ("/dtab/delegator.json", &Method::POST | &Method::GET) => {
                or_refused(self.explain(request).await)
            }
            ("/dtab/delegator.json", _) => web::not_allowed("GET, POST"),
            (_, &Method::GET | &Method::HEAD) => self.show(&path, &Params::of_query(request.uri())),
            ("/logging.json", _) => web::not_allowed("GET, POST"),
            _ if self.has(&path) => web::not_allowed("GET, HEAD"),
            _ => no_page(),
        }
    }
}

impl Admin {
    fn show(&self, path: &str, params: &Params) -> Response<Body> {
        match path {
            "/" => web::document("text/html; charset=utf-8", page::html(&state::of(self))),
            "/state.json" => web::document(JSON, pretty(&state::of(self))),
            "/live" => web::document(TEXT, "live\n"),
            "/ready" => self.show_ready(),
            "/admin/ping" => web::document(TEXT, "pong"),
            "/admin" | "/admin/" | "/admin/index.txt" => web::document(TEXT, self.index()),
            "/admin/metrics.json" | "/metrics.json" | "/admin/metrics" => {
                metrics::json(&metrics::gather(self), params)
            }
            "/metrics" | "/admin/metrics/prometheus" => self.show_prometheus(),
            "/config.json" => {
                web::document("application/json;charset=UTF-8", self.config.to_string())
            }
            "/logging.json" => web::document(JSON, self.levels_json()),
            "/bound-names.json" => web::document(JSON, self.names_json()),
            "/admin/lint" | "/admin/lint.json" => {
                web::document(JSON, serde_json::json!(self.warnings).to_string())
            }
            "/admin/server_info" => web::document(JSON, state::server_info(self).to_string()),
            _ if self.prometheus_paths.iter().any(|p| p == path) => self.show_prometheus(),
            _ => match self.namer_state(path) {
                Some(state) => web::document(JSON, pretty(&state)),
                None => no_page(),
            },
        }
    }

    /// Whether this namerd may serve; never un-ready because a source is away (K8S-129).
    fn show_ready(&self) -> Response<Body> {
        if self.ready.value() {
            return web::document(TEXT, "ready\n");
        }
        let missing = state::missing(self).join("\n");
        let message = format!("not ready, first answers are missing:\n{missing}\n");
        web::text(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    fn show_prometheus(&self) -> Response<Body> {
        web::document(PROMETHEUS, metrics::prometheus(&metrics::gather(self)))
    }

    fn has(&self, path: &str) -> bool {
        PATHS.contains(&path)
            || self.prometheus_paths.iter().any(|p| p == path)
            || self.namers.iter().any(|namer| namer.page() == path)
    }

    fn index(&self) -> String {
        let mut paths: Vec<String> = PATHS.iter().map(|p| (*p).to_owned()).collect();
        paths.extend(self.prometheus_paths.iter().cloned());
        paths.extend(self.namers.iter().map(NamerState::page));
        paths.sort();
        paths.dedup();
        paths.iter().map(|path| format!("{path}\n")).collect()
    }

    fn namer_state(&self, path: &str) -> Option<serde_json::Value> {
        let namer = self.namers.iter().find(|namer| namer.page() == path)?;
        Some(state::namer(self, namer))
    }

    fn names_json(&self) -> String {
        let names: Vec<_> = self
            .binder
            .names()
            .iter()
            .map(ToString::to_string)
            .collect();
        serde_json::json!(names).to_string()
    }

    fn levels_json(&self) -> String {
        let levels: Vec<String> = self
            .levels
            .all()
            .into_iter()
            .map(|(logger, level)| {
                let logger = json_text(logger);
                format!(r#"{{"logger":{logger},"level":"{level}"}}"#)
            })
            .collect();
        format!("[{}]", levels.join(","))
    }

    async fn set_level(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let params = Params::of_request(&head.uri, &head.headers, body).await?;
        let (Some(logger), Some(level)) = (params.get("logger"), params.get("level")) else {
            let message = "the parameters `logger` and `level` are needed";
            return Err(Refusal::bad(message));
        };
        let known = level.parse().map_err(Refusal::bad)?;
        self.levels.set(logger, known).map_err(Refusal::bad)?;
        tracing::info!(logger, level, "log level changed over the admin server");
        Ok(web::document(JSON, self.levels_json()))
    }

    /// Only the dtab that was sent takes part, whatever namespace is named: it lets unsaved edits be tried.
    async fn explain(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let ask = Ask {
            namespace: None,
            ..Ask::of(request).await?
        };
        explain(&self.binder, ask, DELEGATION).await
    }

    fn shut_down(&self) -> Response<Body> {
        tracing::info!("asked to stop over the admin server");
        self.stop.cancel();
        web::document(TEXT, "stopping\n")
    }
}

fn no_page() -> Response<Body> {
    web::text(
        StatusCode::NOT_FOUND,
        "no such page; /admin lists what there is\n",
    )
}

impl NamerState {
    fn page(&self) -> String {
        format!("/namer_state{}.json", self.prefix)
    }
}

fn or_refused(answer: Result<Response<Body>, Refusal>) -> Response<Body> {
    answer.unwrap_or_else(Into::into)
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
