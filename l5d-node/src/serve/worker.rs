//! Workers: each a thread with a runtime, listeners, connections, pools and balancers of its own.

use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use l5d_naming::ClusterId;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::{Admission, Total};
use super::buffer::Buffers;
use super::listener;
use super::stats::{RouterStats, ServerStats, WorkerStats};
use super::wire::head::Limits;
use crate::balance::{Balancers, EndpointView};
use crate::cache::Names;
use crate::config;
use crate::meter::{Registry, RequestCounts};
use crate::route::{Override, Routes};
use crate::tell::Teller;
use crate::tls::{Acceptor, Tls};

/// What all of a worker's tasks share.
pub(crate) struct Worker {
    pub(crate) buffers: Buffers,
    pub(crate) rng: RefCell<fastrand::Rng>,
    pub(crate) drain: Drain,
    pub(crate) tasks: Tasks,
    /// Requests at once, of all servers.
    pub(crate) total: Total,
    pub(crate) connections: Connections,
    /// All that listen, for as long as the worker runs.
    servers: OnceCell<Vec<(SocketAddr, Weak<Server>)>>,
}

/// How many clients are connected to a worker, and how many may be.
#[derive(Debug)]
pub(crate) struct Connections {
    stats: Arc<WorkerStats>,
    most: usize,
    /// Told when one has ended.
    ended: Notify,
}

/// A client connection, counted while it is open.
pub(crate) struct Open(Rc<Worker>);

/// One router, as one worker has it.
pub(crate) struct Router {
    pub(crate) config: Arc<config::Router>,
    pub(crate) routes: Routes,
    pub(crate) balancers: Balancers,
    pub(crate) no_override: Rc<Override>,
    /// Who is told of single requests.
    pub(crate) teller: Arc<Teller>,
    pub(crate) pairs: Arc<Registry<RequestCounts>>,
    pub(crate) tls: Arc<Tls>,
    /// Where the router listens.
    addresses: Vec<SocketAddr>,
}

/// One listener, as one worker has it.
pub(crate) struct Server {
    pub(crate) worker: Rc<Worker>,
    pub(crate) router: Rc<Router>,
    pub(crate) config: config::Server,
    /// In TLS, if so.
    pub(crate) acceptor: Option<Arc<Acceptor>>,
    pub(crate) stats: Arc<ServerStats>,
    pub(crate) admission: Admission,
}

/// The tasks of a worker's connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(TaskTracker);

/// The end of a worker: first no new connections and `Connection: close`, a moment later no idle ones, at last none.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    is_draining: Arc<AtomicBool>,
    started: CancellationToken,
    idle_end: CancellationToken,
    forced: CancellationToken,
}

/// What a worker is started with.
pub(crate) struct Setup {
    pub(crate) routers: Vec<Arc<config::Router>>,
    /// By router, then by server.
    pub(crate) listeners: Vec<Vec<std::net::TcpListener>>,
    pub(crate) addresses: Vec<Vec<SocketAddr>>,
    /// By router, then by server; shared with the other workers.
    pub(crate) admissions: Vec<Vec<Admission>>,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) tls: Arc<Tls>,
    /// By router; none: nobody is told.
    pub(crate) tellers: Vec<Arc<Teller>>,
    pub(crate) stats: Vec<RouterStats>,
    pub(crate) own: Arc<WorkerStats>,
    pub(crate) workers: usize,
    /// Client connections that the worker may have.
    pub(crate) most_connections: usize,
    pub(crate) seed: u64,
    pub(crate) stop: CancellationToken,
    pub(crate) grace: Duration,
    pub(crate) questions: mpsc::Receiver<Question>,
}

/// By router: each cluster with its endpoints.
pub(crate) type Loads = Vec<Vec<(ClusterId, Vec<EndpointView>)>>;

/// Somebody wants to see the load of the endpoints.
pub(crate) type Question = oneshot::Sender<Loads>;

/// How often caches are swept.
const SWEEP: Duration = Duration::from_secs(2);
/// How long idle connections stay once draining has begun: who uses them steadily gets a last response that says so,
/// instead of a connection that ends as the next request is written.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Nothing is sent to it.
const ANY_PORT: u16 = 9;

/// For telling peers that what is still open will not be finished.
const LAST_WORDS: Duration = Duration::from_millis(100);

impl Setup {
    /// Runs the worker on this thread until it has drained.
    pub(crate) fn run(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // What is left when this returns is dropped, and so aborted, with the set.
        LocalSet::new().block_on(&runtime, self.serve())
    }

    async fn serve(mut self) -> std::io::Result<()> {
        let drain = Drain {
            is_draining: Arc::default(),
            started: CancellationToken::new(),
            idle_end: CancellationToken::new(),
            forced: CancellationToken::new(),
        };
        self.own.most.set(self.most_connections as u64);
        let worker = Rc::new(Worker {
            buffers: Buffers::default(),
            rng: RefCell::new(fastrand::Rng::with_seed(self.seed)),
            drain: drain.clone(),
            tasks: Tasks::default(),
            total: Total::new(self.workers),
            connections: Connections {
                stats: self.own.clone(),
                most: self.most_connections,
                ended: Notify::new(),
            },
            servers: OnceCell::new(),
        });
        let mut routers = Vec::new();
        let mut servers = Vec::new();
        let listeners = std::mem::take(&mut self.listeners);
        for (i, listeners) in listeners.into_iter().enumerate() {
            let router = Rc::new(self.router(i));
            for (s, listener) in listeners.into_iter().enumerate() {
                let server = Rc::new(Server {
                    worker: worker.clone(),
                    router: router.clone(),
                    config: router.config.servers[s].clone(),
                    acceptor: self.tls.acceptor(i, s).cloned(),
                    stats: self.stats[i].servers[s].clone(),
                    admission: self.admissions[i][s].clone(),
                });
                let listener = tokio::net::TcpListener::from_std(listener)?;
                servers.push((self.addresses[i][s], server.clone()));
                worker.tasks.spawn_local(listener::accept(server, listener));
            }
            routers.push(router);
        }
        worker.know(&servers);
        self.watch(&routers).await;
        drain.start();
        let idle_grace = IDLE_GRACE.min(self.grace / 2);
        let deadline = Instant::now() + self.grace;
        let is_empty = tokio::time::timeout(idle_grace, worker.tasks.end()).await;
        if is_empty.is_err() {
            drain.idle_end.cancel();
            let is_empty = tokio::time::timeout_at(deadline, worker.tasks.end()).await;
            if is_empty.is_err() {
                drain.forced.cancel();
                let _ = tokio::time::timeout(LAST_WORDS, worker.tasks.end()).await;
            }
        }
        Ok(())
    }

    /// Sweeps and answers questions until the worker is to stop.
    async fn watch(&mut self, routers: &[Rc<Router>]) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = sweep.tick() => {
                    let now = Instant::now();
                    for router in routers {
                        router.routes.sweep(now);
                        router.balancers.sweep(now);
                        router.pairs.expire(router.config.cache.idle_ttl, now);
                    }
                }
                Some(question) = self.questions.recv() => {
                    let now = Instant::now();
                    let loads = routers.iter().map(|r| r.balancers.view(now)).collect();
                    // Nobody waits any more: fine.
                    let _ = question.send(loads);
                }
            }
        }
    }

    fn router(&self, index: usize) -> Router {
        let config = &self.routers[index];
        let stats = &self.stats[index];
        Router {
            routes: Routes::new(
                index,
                config.clone(),
                self.names.clone(),
                stats.services.clone(),
                self.workers,
            ),
            balancers: Balancers::new(
                stats.clients.clone(),
                config.cache.clients,
                config.cache.idle_ttl,
                config.client.clone(),
                self.workers,
                stats.cache.clone(),
            ),
            no_override: Rc::default(),
            teller: self.tellers.get(index).cloned().unwrap_or_default(),
            pairs: stats.pairs.clone(),
            tls: self.tls.clone(),
            addresses: self.addresses[index].clone(),
            config: config.clone(),
        }
    }
}

impl Router {
    /// Whether this is where the router itself listens: it would call itself until the call depth ends it (trap 18.25).
    /// Before there is a connection (`from` is not known) an address of this host behind a router that listens on all of
    /// them is known only if it is a loopback one; a connection to one comes from the same address.
    pub(crate) fn is_own(&self, addr: SocketAddr, from: Option<IpAddr>) -> bool {
        let is_here = is_loopback(addr.ip()) || from == Some(addr.ip());
        self.addresses.iter().any(|own| {
            own.port() == addr.port()
                && (own.ip() == addr.ip() || own.ip().is_unspecified() && is_here)
        })
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether an address is one of this host, as this process sees it: what is sent there would come from there. Sends nothing.
fn is_here(ip: IpAddr) -> bool {
    let source = || {
        let socket = UdpSocket::bind(match ip {
            IpAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            IpAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        })?;
        socket.connect((ip, ANY_PORT))?;
        socket.local_addr()
    };
    is_loopback(ip) || source().is_ok_and(|source: SocketAddr| source.ip() == ip)
}

impl Worker {
    fn know(&self, servers: &[(SocketAddr, Rc<Server>)]) {
        let known = servers.iter().map(|(addr, s)| (*addr, Rc::downgrade(s)));
        // Done once.
        let _ = self.servers.set(known.collect());
    }

    /// The server that a connection to `addr` would reach, if it is one of this process: who listens at the very address goes
    /// before who listens at all of this host. Costs system calls only where the port is one of ours.
    pub(crate) fn server_at(&self, addr: SocketAddr) -> Option<Rc<Server>> {
        let servers = self.servers.get()?;
        let find = |ip: IpAddr| {
            let at = SocketAddr::new(ip, addr.port());
            let found = servers.iter().find(|(own, _)| *own == at)?;
            found.1.upgrade()
        };
        let everywhere: IpAddr = match addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        find(addr.ip()).or_else(|| find(everywhere).filter(|_| is_here(addr.ip())))
    }
}

impl Server {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            line: self.router.config.max_initial_line_bytes,
            fields: self.router.config.max_headers_bytes,
        }
    }
}

impl Connections {
    /// When there is room for one more.
    pub(crate) async fn room(&self) {
        while self.stats.connections.get() >= self.most as u64 {
            self.ended.notified().await;
        }
    }
}

impl Open {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        let Connections { stats, most, .. } = &worker.connections;
        stats.connections.inc();
        if stats.connections.get() == *most as u64 {
            stats.full.inc();
            tracing::warn!(
                most,
                "no more connections are accepted until some end: raise the limit of open files"
            );
        }
        Self(worker.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Connections { stats, ended, .. } = &self.0.connections;
        stats.connections.dec();
        // There may be several listeners that wait.
        ended.notify_waiters();
    }
}

impl Tasks {
    pub(crate) fn spawn_local(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(self.0.track_future(task));
    }

    /// When all have ended. No new ones are expected.
    async fn end(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

impl Drain {
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// When no more connections are taken.
    pub(crate) async fn started(&self) {
        self.started.cancelled().await;
    }

    /// When idle connections end.
    pub(crate) async fn idle_end(&self) {
        self.idle_end.cancelled().await;
    }

    /// When what is still open is given up.
    pub(crate) async fn forced(&self) {
        self.forced.cancelled().await;
    }

    fn start(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.started.cancel();
    }
}
