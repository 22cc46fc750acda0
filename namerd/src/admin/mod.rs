//! The admin server: health, metrics, and what this namerd knows (control plane 9).
//!
//! Reads what the other modules keep anyway and asks none of them to wait, so it answers when everything else is stuck. It
//! runs on a thread of its own. It changes log levels, stops the process, and writes dtabs for its page, as far as it may.
//! What is answered at once stands here; [`views`] are the page's, [`live`] lets them be followed, [`edit`] writes.

mod check;
mod edit;
mod files;
mod levels;
mod live;
mod metrics;
mod problems;
mod rules;
mod security;
mod state;
mod views;

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
use crate::ca::Ca;
use crate::config::{PrometheusPage, Security};
use crate::meter::Meter;
use crate::store::services::Services;
use crate::store::{Cell, DtabStore, Engine, NamespaceState};
use crate::stream::Hub;
use crate::tls::Gate;
use crate::web::{self, Ask, Body, JSON, Params, Refusal, Requests, explain, json_text};

pub use levels::{LogCounts, LogLevel, LogLevels};
pub use live::Watchers;

use views::View;

/// Everything that the admin server shows.
pub struct Admin {
    /// The configuration in force, without secrets.
    pub config: serde_json::Value,
    /// What the configuration was warned about.
    pub warnings: Vec<String>,
    /// Which paths are served.
    pub security: Security,
    /// Further paths of the Prometheus page.
    pub prometheus: Vec<PrometheusPage>,
    /// Whether metrics are served for InfluxDB.
    pub influxdb: bool,
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
    /// Who signs for nodes, if anybody does.
    pub ca: Option<Arc<Ca>>,
    /// Counters that modules share.
    pub meter: Arc<Meter>,
    /// Pages that follow changes.
    pub watchers: Watchers,
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
const PATHS: &[&str] = &[
    "/",
    "/admin",
    "/admin/index.txt",
    "/admin/lint",
    "/admin/lint.json",
    "/admin/metrics",
    "/admin/metrics.json",
    "/admin/metrics/prometheus",
    "/admin/ping",
    "/admin/registry.json",
    "/admin/server_info",
    "/admin/shutdown",
    "/bound-names.json",
    "/config.json",
    "/dtab/delegator.json",
    "/help",
    "/live",
    "/logging",
    "/logging.json",
    "/metrics",
    "/metrics.json",
    "/ready",
    "/state.json",
    "/storage/dtabs.json",
    "/ui/bindings.json",
    "/ui/check.json",
    "/ui/names.json",
    "/ui/namespaces.json",
    "/ui/overview.json",
    "/ui/sessions.json",
];

/// How long a delegation may take.
const DELEGATION: Duration = Duration::from_secs(2);
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The pages of an admin server.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Admin>);

impl Pages {
    /// That show this.
    pub fn new(admin: Admin) -> Self {
        Self(Arc::new(admin))
    }
}

impl web::Handler for Pages {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let admin = &self.0;
        let path = request.uri().path().to_owned();
        let category = security::category(&path, request.method());
        let response = match security::allows(&admin.security, category, &path) {
            true => admin.answer(&path, request).await,
            false => web::empty(StatusCode::NOT_FOUND),
        };
        let status = response.status();
        admin.meter.admin.count([category.name(), status.as_str()]);
        response
    }
}

impl Admin {
    async fn answer(self: &Arc<Self>, path: &str, request: Request<Incoming>) -> Response<Body> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_read && edit::is_foreign(request.headers()) {
            let why = "this comes from a page of another site";
            return web::text(StatusCode::FORBIDDEN, why);
        }
        match (path, request.method()) {
            ("/admin/shutdown", &Method::POST) => self.shut_down(),
            ("/admin/shutdown", _) => web::not_allowed("POST"),
            ("/logging.json", &Method::POST) => or_refused(self.set_level(request).await),
            ("/dtab/delegator.json", &Method::POST | &Method::GET) => {
                or_refused(self.explain(request).await)
            }
            ("/dtab/delegator.json", _) => web::not_allowed("GET, POST"),
            ("/ui/check.json", &Method::POST) => or_refused(self.check(request).await),
            ("/ui/check.json", _) => web::not_allowed("POST"),
            ("/ui/dtab.json", &Method::PUT | &Method::DELETE) => {
                or_refused(self.write(request).await)
            }
            ("/ui/dtab.json", method) if !is_get(method) => {
                web::not_allowed("GET, HEAD, PUT, DELETE")
            }
            ("/admin/metrics/influxdb", method) if is_get(method) && self.influxdb => {
                let host = request.headers().get(http::header::HOST);
                let host = host.and_then(|host| host.to_str().ok()).unwrap_or("none");
                web::document(TEXT, metrics::influxdb(&metrics::gather(self), host))
            }
            (_, method) if is_get(method) && path.starts_with("/ui/") => {
                or_refused(self.view(path, &Params::of_query(request.uri())).await)
            }
            (_, method) if is_get(method) => self.show(path, &Params::of_query(request.uri())),
            ("/logging.json", _) => web::not_allowed("GET, POST"),
            _ if self.has(path) => web::not_allowed("GET, HEAD"),
            _ => no_page(),
        }
    }

    async fn view(
        self: &Arc<Self>,
        path: &str,
        params: &Params,
    ) -> Result<Response<Body>, Refusal> {
        match View::of(path, params)? {
            None => Ok(no_page()),
            Some(view) if params.is_true("watch") => live::follow(self, view),
            Some(view) => Ok(web::document(JSON, view.show(self).await?)),
        }
    }

    fn show(&self, path: &str, params: &Params) -> Response<Body> {
        match path {
            "/" | "/logging" | "/help" => files::page(None),
            "/state.json" => web::document(JSON, pretty(&state::of(self))),
            "/live" => web::document(TEXT, "live\n"),
            "/ready" => self.show_ready(),
            "/admin/ping" => web::document(TEXT, "pong"),
            "/admin" | "/admin/" | "/admin/index.txt" => web::document(TEXT, self.index()),
            "/admin/metrics.json" | "/metrics.json" | "/admin/metrics" => {
                metrics::json(&metrics::gather(self), params)
            }
            "/metrics" => self.show_prometheus(""),
            "/config.json" => {
                web::document("application/json;charset=UTF-8", self.config.to_string())
            }
            "/logging.json" => web::document(JSON, self.levels_json()),
            "/bound-names.json" => web::document(JSON, self.names_json()),
            "/storage/dtabs.json" => web::document(JSON, pretty(&state::dtabs(self))),
            "/admin/lint" | "/admin/lint.json" => {
                web::document(JSON, serde_json::json!(self.warnings).to_string())
            }
            "/admin/server_info" => web::document(JSON, state::server_info(self).to_string()),
            "/admin/registry.json" => web::document(JSON, pretty(&self.registry())),
            _ => match self.prometheus.iter().find(|page| page.path == path) {
                Some(page) => self.show_prometheus(&page.prefix),
                None if path == "/admin/metrics/prometheus" => self.show_prometheus(""),
                None => self.show_other(path),
            },
        }
    }

    fn show_other(&self, path: &str) -> Response<Body> {
        if let Some(file) = files::file(path) {
            return file;
        }
        if let Some(namespace) = path.strip_prefix("/dtab/").filter(|name| !name.is_empty()) {
            return self.show_namespace(namespace);
        }
        if let Some(kind) = path.strip_prefix("/admin/pprof/") {
            let why = format!(
                "namerd has no profile {kind:?} of its own: use `perf record -g -p PID`; its symbols are in the release's debug file\n"
            );
            return web::text(StatusCode::NOT_IMPLEMENTED, why);
        }
        if self.interpreter_page().as_deref() == Some(path) {
            return web::document(JSON, pretty(&state::dtabs(self)));
        }
        match self.namer_state(path) {
            Some(state) => web::document(JSON, pretty(&state)),
            None => no_page(),
        }
    }

    /// The page, open at a namespace; it shows by itself what cannot be read.
    fn show_namespace(&self, name: &str) -> Response<Body> {
        match &self.store.observe(name).get().1 {
            NamespaceState::Absent => {
                let why = format!("there is no dtab namespace {name}\n");
                web::text(StatusCode::NOT_FOUND, why)
            }
            NamespaceState::Present(dtab) => files::page(Some((name, Some(dtab)))),
            NamespaceState::Unreadable(_) | NamespaceState::Pending => {
                files::page(Some((name, None)))
            }
        }
    }

    /// What runs here: parts with their settings.
    fn registry(&self) -> serde_json::Value {
        serde_json::json!({"registry": {
            "server": state::server_info(self),
            "namer": self.namers.iter().map(state::namer_line).collect::<Vec<_>>(),
            "config": self.config,
        }})
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

    fn show_prometheus(&self, prefix: &str) -> Response<Body> {
        let metrics = metrics::gather(self);
        web::document(PROMETHEUS, metrics::prometheus(&metrics, prefix))
    }

    fn has(&self, path: &str) -> bool {
        PATHS.contains(&path)
            || self.prometheus.iter().any(|page| page.path == path)
            || self.namers.iter().any(|namer| namer.page() == path)
    }

    fn index(&self) -> String {
        let mut paths: Vec<String> = PATHS.iter().map(|p| (*p).to_owned()).collect();
        paths.extend(self.prometheus.iter().map(|page| page.path.clone()));
        paths.extend(self.interpreter_page());
        paths.extend(self.namers.iter().map(NamerState::page));
        paths.sort();
        paths.dedup();
        paths.iter().map(|path| format!("{path}\n")).collect()
    }

    /// Where 1.x showed the dtab of its ConfigMap interpreter, which is a store here (Kubernetes 10).
    fn interpreter_page(&self) -> Option<String> {
        let kind = self.store.kind();
        (kind == "io.l5d.k8s.configMap")
            .then(|| format!("/interpreter_state/{}.json", kind.to_lowercase()))
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

fn is_get(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
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
