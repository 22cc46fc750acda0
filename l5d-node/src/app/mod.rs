//! The whole process: builds every part, starts it on its threads, and ends it in order. The only module that knows all
//! others; everything else gets what it needs from here.
//!
//! | thread | does |
//! |---|---|
//! | `worker-N` | requests ([`crate::serve`]) |
//! | `tell` | recent requests and traces, where a telemeter wants them ([`crate::tell`]) |
//! | `access-log` | one for each access log |
//! | `control` | follows namerd, lets idle names go, writes the warm file |
//! | `admin` | the admin server |
//!
//! A stop ends them in this order, so that what drains can still be seen and is still kept up to date.

#[cfg(test)]
mod admin_tests;
mod background;
pub mod cli;
mod files;
mod logging;
#[cfg(test)]
mod tests;
mod thread;

pub use logging::log;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::background::Secure;
use self::thread::Thread;
use crate::admin::{self, LogLevels, NoLevels, Sight};
use crate::cache::warm::{self, Scope};
use crate::cache::{FollowSet, Names, Table};
use crate::config::{Config, Identity, IdentityError, SocketOptions};
use crate::control::{Certifying, Explaining, Plan};
use crate::serve::{self, Servers, StartError};
use crate::tell::{AccessError, Tellers, Writer};
use crate::tls::Tls;

/// What is not in the configuration file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Levels of the log, if they can be changed.
    pub levels: Option<Arc<dyn LogLevels>>,
    /// Worker threads; `None`: one for each processor.
    pub workers: Option<usize>,
    /// Makes the choices of balancers repeatable.
    pub seed: Option<u64>,
}

/// The process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The environment lacks something.
    #[error("{}", list(.0))]
    Identity(Vec<IdentityError>),
    /// The admin server.
    #[error("admin: cannot listen on {addr}: {source}")]
    Admin {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The routers.
    #[error(transparent)]
    Serve(#[from] StartError),
    /// Files for TLS.
    #[error(transparent)]
    Tls(#[from] crate::tls::StartError),
    /// An access log.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A thread.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

fn list(errors: &[IdentityError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A started process. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    /// By router, then by server: where they really listen.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// Where the admin server listens.
    pub admin: SocketAddr,
    /// The names in use.
    pub table: Arc<Table>,
    stop: CancellationToken,
    end_control: CancellationToken,
    end_admin: CancellationToken,
    servers: Option<Servers>,
    control: Option<Thread>,
    end_tell: CancellationToken,
    tell: Option<Thread>,
    writers: Vec<Writer>,
    admin_thread: Option<Thread>,
}

/// Starts everything. Returns once all listeners are open; what the warm file knows is served from the first request on.
///
/// # Errors
/// Something could not be started; what was is stopped again.
pub fn run(config: Config, identity: Identity, options: Options) -> Result<Running, AppError> {
    files::raise_limit();
    let warnings = config
        .check_identity(&identity)
        .map_err(AppError::Identity)?;
    for warning in config.warnings.iter().chain(&warnings) {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(config);
    let mut plans = Plan::all(&config, &identity);
    let table = Arc::new(table(&config, &plans));
    let scope = Scope::new(&config, &identity);
    let is_warm = load(&table, &scope, identity.warm_file.as_deref(), &mut plans);
    let namerds: Vec<Arc<FollowSet>> = plans.iter().map(|plan| plan.set.clone()).collect();

    let admin_addr = config.admin.addr;
    let admin_failed = |source| AppError::Admin {
        addr: admin_addr,
        source,
    };
    let listener = listen(admin_addr, config.admin.socket).map_err(admin_failed)?;
    let admin_addr = listener.local_addr().map_err(admin_failed)?;
    let stop = CancellationToken::new();
    let mut running = Running {
        addresses: Vec::new(),
        admin: admin_addr,
        table: table.clone(),
        stop: stop.clone(),
        end_control: CancellationToken::new(),
        end_admin: CancellationToken::new(),
        servers: None,
        control: None,
        end_tell: CancellationToken::new(),
        tell: None,
        writers: Vec::new(),
        admin_thread: None,
    };
    let workers = options.workers.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    });
    let names: Arc<dyn Names> = table.clone();
    let tls = Tls::new(&config)?;
    tls.peers().know(&namerds);
    let tellers = Tellers::start(&config)?;
    running.writers = tellers.writers;
    let servers = serve::start(
        &config,
        &names,
        &tls,
        &tellers.routers,
        workers,
        options.seed,
        &stop,
    )?;
    running.addresses.clone_from(&servers.addresses);
    log_addresses(&config, &servers.addresses, admin_addr);

    let certifying = Certifying::of(&config, &identity, &tls);
    let explaining = Explaining::of(&config, &identity, &plans);
    let sight = Arc::new(Sight {
        config,
        identity: identity.clone(),
        table: table.clone(),
        namerds: namerds.clone(),
        stats: servers.stats.clone(),
        asker: servers.asker(),
        addresses: servers.addresses.clone(),
        tls: tls.clone(),
        is_warm,
        tellers: tellers.routers,
        traces: tellers.traces.clone(),
        window: admin::Window::default(),
        watchers: admin::Watchers::default(),
        delegator: admin::Delegator::new(Arc::new(explaining)),
        levels: options.levels.unwrap_or_else(|| Arc::new(NoLevels)),
        started: Instant::now(),
        stop,
    });
    running.servers = Some(servers);
    let end = running.end_control.clone();
    let file = identity.warm_file;
    let secure = Secure { tls, certifying };
    running.control = Some(Thread::start("control", move || {
        background::run(plans, table, namerds, scope, file, secure, end)
    })?);
    if let Some(traces) = tellers.traces {
        let end = running.end_tell.clone();
        running.tell = Some(Thread::start("tell", move || async move {
            traces.run(end).await;
        })?);
    }
    let end = running.end_admin.clone();
    running.admin_thread = Some(Thread::start("admin", move || async move {
        let served = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => admin::serve(listener, sight, end).await,
            Err(e) => Err(e),
        };
        if let Err(error) = served {
            tracing::error!(%error, "the admin server failed");
        }
    })?);
    Ok(running)
}

impl Running {
    /// Asks for a stop; requests that are open may end, within `shutdownGraceMs`.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until a stop was asked for, here or at the admin server. Cancel safe.
    pub async fn stop_asked(&self) {
        self.stop.cancelled().await;
    }

    /// Stops, and waits for the end: no more requests first, then a last warm file, then the admin server.
    pub async fn join(mut self) {
        self.stop();
        if let Some(servers) = self.servers.take() {
            servers.join().await;
        }
        self.end_tell.cancel();
        if let Some(tell) = self.tell.take() {
            tell.join().await;
        }
        // What is in their queues is written.
        self.writers.clear();
        self.end_control.cancel();
        if let Some(control) = self.control.take() {
            control.join().await;
        }
        self.end_admin.cancel();
        if let Some(admin) = self.admin_thread.take() {
            admin.join().await;
        }
        tracing::info!("stopped");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.end_control.cancel();
        self.end_tell.cancel();
        self.end_admin.cancel();
    }
}

fn table(config: &Config, plans: &[Plan]) -> Table {
    let routers = config.routers.iter().enumerate();
    Table::new(routers.map(|(index, router)| {
        let plan = plans.iter().find(|plan| plan.has_router(index));
        let set = plan.map_or_else(FollowSet::new, |plan| plan.set.clone());
        (router.cache.clone(), set)
    }))
}

/// Whether names came from the file.
fn load(table: &Table, scope: &Scope, file: Option<&Path>, plans: &mut [Plan]) -> bool {
    let Some(file) = file else {
        tracing::info!("no warm file: after a restart, names are known once namerd has answered");
        return false;
    };
    match warm::load(file, table, scope) {
        Ok(None) => {
            tracing::info!(file = %file.display(), "no warm file yet");
            false
        }
        Ok(Some(loaded)) => {
            let (names, left_out) = (loaded.names, loaded.left_out);
            tracing::info!(file = %file.display(), names, left_out, "warm file loaded");
            for memory in loaded.namerds {
                if let Some(plan) = plans.iter_mut().find(|plan| plan.dst == memory.dst) {
                    plan.remember(&memory.position, memory.worked);
                    if let Some((class, rules)) = memory.ingress {
                        plan.set.warm_ingress(class, rules);
                    }
                }
            }
            names > 0
        }
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "warm file ignored");
            false
        }
    }
}

/// The admin listener; with `reusePort` those of two processes may be there at once, as with servers.
fn listen(addr: SocketAddr, options: SocketOptions) -> io::Result<std::net::TcpListener> {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(options.reuse_addr)?;
    socket.set_reuse_port(options.reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    let backlog = options.backlog.and_then(|n| i32::try_from(n).ok());
    socket.listen(backlog.unwrap_or(128))?;
    Ok(socket.into())
}

/// One line for each listener, with the address that it really has.
fn log_addresses(config: &Config, addresses: &[Vec<SocketAddr>], admin: SocketAddr) {
    for (router, addresses) in config.routers.iter().zip(addresses) {
        for (server, addr) in router.servers.iter().zip(addresses) {
            tracing::info!(router = router.label, server = server.label, %addr, "listening");
        }
    }
    tracing::info!(addr = %admin, "admin listening");
}
