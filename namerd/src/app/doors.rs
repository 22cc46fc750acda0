//! The servers: admin on a thread of its own, the interfaces on the main runtime.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use l5d_accesslog::{AccessLog, Form, Writer};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::build::Core;
use super::gates::Gates;
use crate::admin::{Admin, ClusterState, LogLevels, NamerState, Pages, Watchers};
use crate::api::http::{Controller, Waits};
use crate::api::thrift::Thrift;
use crate::api::{self, Api, Offer};
use crate::config::{Config, Interface, InterfaceKind, Security, Server};
use crate::stream::Limits;
use crate::web::{listen, serve};

/// Connections of one gRPC port: 5,000 nodes, each with one, and tools.
const CONNECTIONS: usize = 10_000;

/// What nodes may ask for at an interface.
fn limits(kind: &InterfaceKind, core: &Core) -> Arc<Limits> {
    let InterfaceKind::Mesh(mesh) = kind else {
        return Arc::clone(core.hub.limits());
    };
    let given = &mesh.limits;
    Arc::new(Limits {
        sessions: given.sessions as usize,
        interests: given.interests,
        overrides: given.overrides,
        want_burst: given.new_interest_burst,
        wants_per_second: given.new_interests_per_second,
        path_bytes: given.path_bytes as usize,
        override_bytes: given.override_bytes as usize,
        router_bytes: given.router_dtab_bytes as usize,
        hello_bytes: given.hello_bytes as usize,
        message_bytes: given.message_bytes as usize,
        ..Limits::clone(core.hub.limits())
    })
}

/// The interfaces, while they serve.
pub(super) struct Interfaces {
    pub(super) addresses: Vec<(&'static str, SocketAddr)>,
    stop: CancellationToken,
    servers: JoinSet<()>,
    access_logs: Vec<Writer>,
}

impl Interfaces {
    /// Starts them in the order of the configuration.
    pub(super) fn start(config: &Config, core: &Core) -> Result<Self, StartError> {
        let mut interfaces = Self {
            addresses: Vec::new(),
            stop: CancellationToken::new(),
            servers: JoinSet::new(),
            access_logs: Vec::new(),
        };
        // What is left when the interfaces have ended is for the admin server.
        let grace = config.admin.shutdown_grace.mul_f64(0.9);
        for (i, interface) in config.interfaces.iter().enumerate() {
            let kind = interface.kind.name();
            let server = &interface.server;
            let listener = listen(&format!("interfaces[{i}] ({kind})"), server)?;
            let addr = listener.local_addr().unwrap_or(server.addr);
            let stop = interfaces.stop.clone();
            let gate = Arc::clone(&core.gates.interfaces[i]);
            let access_log = interfaces.access_log(i, &interface.kind, core)?;
            let api = Api {
                hub: Arc::clone(&core.hub),
                limits: limits(&interface.kind, core),
                ready: Arc::clone(&core.ready),
                grace,
                connections: CONNECTIONS,
                gate: Arc::clone(&gate),
                nodes: Arc::clone(&core.guards[i].nodes),
                connection_age: interface.connection_age,
                access_log,
                ca: core.ca.clone(),
                meter: Arc::clone(&core.meter),
            };
            match &interface.kind {
                InterfaceKind::Mesh(options) => {
                    let offer = Offer::Mesh(options.clone());
                    interfaces.grpc(kind, api::serve_as(listener, api, offer, stop));
                }
                InterfaceKind::Destination(options) => {
                    let offer = Offer::Destination(options.clone());
                    interfaces.grpc(kind, api::serve_as(listener, api, offer, stop));
                }
                InterfaceKind::Thrift(options) => {
                    let thrift = Thrift {
                        binder: core.binder.clone(),
                        path_bytes: api.limits.path_bytes,
                        options: *options,
                        gate,
                        asks_certificates: !interface.nodes.tools.is_empty(),
                        meter: Arc::clone(&core.meter),
                    };
                    interfaces
                        .servers
                        .spawn(api::thrift::serve(listener, thrift, stop));
                }
                InterfaceKind::HttpController => {
                    let controller = Controller::new(
                        core.binder.clone(),
                        Arc::clone(&core.store),
                        Waits::default(),
                        Arc::clone(&core.requests),
                        stop.clone(),
                    )
                    .guarded(core.guards[i].callers(interface));
                    let controller = Arc::new(controller);
                    interfaces
                        .servers
                        .spawn(serve(listener, gate, controller, stop));
                }
            }
            tracing::info!(kind, %addr, "serving");
            interfaces.addresses.push((kind, addr));
        }
        Ok(interfaces)
    }

    fn access_log(
        &mut self,
        index: usize,
        kind: &InterfaceKind,
        core: &Core,
    ) -> Result<Option<AccessLog>, StartError> {
        let InterfaceKind::Mesh(options) = kind else {
            return Ok(None);
        };
        let Some(settings) = &options.access_log else {
            return Ok(None);
        };
        let (log, writer) = AccessLog::start(settings, Form::H2)
            .map_err(|source| StartError::AccessLog { index, source })?;
        self.access_logs.push(writer);
        core.meter.access_logs.lock().push(log.clone());
        Ok(Some(log))
    }

    fn grpc(
        &mut self,
        kind: &'static str,
        serving: impl Future<Output = io::Result<()>> + Send + 'static,
    ) {
        self.servers.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, kind, "does not serve");
            }
        });
    }

    /// Waits until one of them ends by itself, which none should.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        match self.servers.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Ends them: what is open may finish until nine tenths of the time are over.
    pub(super) async fn end(mut self, deadline: Instant) {
        self.stop.cancel();
        let left = deadline.saturating_duration_since(Instant::now());
        let cut = Instant::now() + left.mul_f64(0.95);
        let all = async { while self.servers.join_next().await.is_some() {} };
        if timeout_at(cut, all).await.is_err() {
            tracing::warn!("requests were still open at the end of the grace time; cut off");
        }
        self.servers.shutdown().await;
        let logs = std::mem::take(&mut self.access_logs);
        let last_lines = move || logs.into_iter().for_each(Writer::end);
        // Fails only if the runtime ends at the same time.
        let _ = tokio::task::spawn_blocking(last_lines).await;
    }
}

/// The admin server, so that it never waits for, or slows down, what answers names.
pub(super) struct AdminThread {
    pub(super) addr: SocketAddr,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl AdminThread {
    /// Starts it; when this returns, it listens.
    pub(super) async fn start(
        server: &Server,
        gates: &Gates,
        admin: Admin,
    ) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Admin)?;
        let stop = CancellationToken::new();
        let (tell_addr, addr) = oneshot::channel();
        let (tell_end, ended) = oneshot::channel();
        let (server, stopping) = (server.clone(), stop.clone());
        let gate = Arc::clone(&gates.admin);
        let thread = move || {
            runtime.block_on(async move {
                let listener = match listen("admin", &server) {
                    Ok(listener) => listener,
                    Err(e) => return drop(tell_addr.send(Err(e))),
                };
                let addr = listener.local_addr().unwrap_or(server.addr);
                if tell_addr.send(Ok(addr)).is_err() {
                    return;
                }
                let cut = stopping.clone();
                let serving = serve(listener, gate, Arc::new(Pages::new(admin)), stopping);
                tokio::select! {
                    () = serving => {}
                    () = async { cut.cancelled().await; tokio::time::sleep(LAST_ANSWERS).await } => {}
                }
            });
            // Nobody listens any more if the process is about to end anyway.
            let _ = tell_end.send(());
        };
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(thread)
            .map_err(StartError::Admin)?;
        let gone = |_| StartError::Admin(std::io::Error::other("its thread ended at once"));
        let addr = addr.await.map_err(gone)??;
        tracing::info!(kind = "admin", %addr, "serving");
        Ok(Self { addr, stop, ended })
    }

    /// Ends it.
    pub(super) async fn end(mut self, deadline: Instant) {
        self.stop.cancel();
        if timeout_at(deadline, &mut self.ended).await.is_err() {
            tracing::warn!("the admin server did not end in time");
        }
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// For answers of the admin server that are under way at the stop.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// Whether the admin page may only show dtabs. Nobody proves anything there, so where a controller asks writers for a proof
/// the page must not be the way around it.
pub(super) fn is_read_only(config: &Config) -> bool {
    let asks = |interface: &Interface| !interface.callers.writes.is_empty();
    config.admin.security.read_only || config.interfaces.iter().any(asks)
}

/// What the admin server shows.
pub(super) fn pages(
    config: &Config,
    warnings: Vec<String>,
    core: &Core,
    levels: Arc<dyn LogLevels>,
    stop: CancellationToken,
) -> Admin {
    let clusters = core
        .clusters
        .iter()
        .map(|(api, services)| ClusterState {
            api: api.to_string(),
            services: services.clone(),
        })
        .collect();
    let namers = config
        .namers
        .iter()
        .map(|namer| NamerState {
            kind: namer.kind.name(),
            prefix: namer.prefix.clone(),
            api: namer.kind.k8s().map(|k8s| k8s.api.to_string()),
        })
        .collect();
    let missing = core.transforms.missing_gateways();
    Admin {
        config: config.effective(),
        warnings,
        security: Security {
            read_only: is_read_only(config),
            ..config.admin.security.clone()
        },
        prometheus: config.prometheus.clone(),
        influxdb: config.influxdb,
        engine: core.engine.clone(),
        store: Arc::clone(&core.store),
        binder: core.binder.clone(),
        hub: Arc::clone(&core.hub),
        clusters,
        namers,
        ready: Arc::clone(&core.ready),
        requests: Arc::clone(&core.requests),
        gates: core.gates.named(config),
        ca: core.ca.clone(),
        meter: Arc::clone(&core.meter),
        watchers: Watchers::default(),
        missing_gateways: Arc::new(move || missing.by_node().iter().map(|(_, n)| n).sum()),
        levels,
        stop,
        started: Instant::now(),
    }
}
