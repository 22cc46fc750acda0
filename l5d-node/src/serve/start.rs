//! Opening the listeners, starting the workers, asking and ending them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use l5d_naming::ClusterId;
use rustix::process::{Resource, getrlimit};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::listener;
use super::stats::Stats;
use super::worker::{Question, Setup};
use crate::balance::EndpointView;
use crate::cache::Names;
use crate::config::{Config, Protocol};
use crate::tell::Teller;
use crate::tls::Tls;

/// The workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error("router {router}: cannot listen on {addr}: {source}")]
    Listen {
        /// The router's label.
        router: String,
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A thread.
    #[error("cannot start worker {worker}: {source}")]
    Thread {
        /// From 0.
        worker: usize,
        /// What the system says.
        source: io::Error,
    },
}

/// The running workers. They end when the token given to [`start`] is cancelled; [`Servers::join`] waits for it.
#[derive(Debug)]
pub struct Servers {
    /// By router, then by server: where they really listen.
    pub addresses: Vec<Vec<SocketAddr>>,
    /// What happened.
    pub stats: Arc<Stats>,
    workers: Vec<WorkerHandle>,
}

/// Asks the workers; independent of [`Servers`].
#[derive(Clone, Debug)]
pub struct Asker(Vec<mpsc::Sender<Question>>);

/// One cluster's endpoints as one worker sees them.
#[derive(Clone, Debug)]
pub struct ClusterLoad {
    /// From 0.
    pub worker: usize,
    /// Index of the router in the configuration.
    pub router: usize,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its endpoints, sorted by address.
    pub endpoints: Vec<EndpointView>,
}

#[derive(Debug)]
struct WorkerHandle {
    questions: mpsc::Sender<Question>,
    ended: oneshot::Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

/// Files that are kept for other things than connections of requests.
const OTHER_FILES: u64 = 256;
/// Client connections that a worker may have, however many files may be open: half a gigabyte while they are idle.
const MOST_CONNECTIONS: u64 = 1 << 16;
/// Questions that wait for a worker.
const QUESTIONS: usize = 8;

/// Opens all listeners and starts the workers. When `stop` is cancelled they take no more connections, finish what is open
/// and end, after `config.admin.shutdown_grace` at the latest. `tellers`, by router, tell of single requests; without them
/// nothing is told. `seed` makes their choices repeatable.
pub fn start(
    config: &Config,
    names: &Arc<dyn Names>,
    tls: &Arc<Tls>,
    tellers: &[Arc<Teller>],
    workers: usize,
    seed: Option<u64>,
    stop: &CancellationToken,
) -> Result<Servers, StartError> {
    let workers = workers.max(1);
    let (listeners, addresses) = listen(config, workers)?;
    let labels = config.routers.iter().map(|r| {
        let servers = r.servers.iter().map(|s| s.label.clone()).collect();
        (r.label.clone(), servers)
    });
    let are_h2 = config.routers.iter().map(|r| r.protocol == Protocol::H2);
    let stats = Arc::new(Stats::new(labels.collect(), are_h2.collect(), workers));
    let mut seeds = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    let admissions = config.routers.iter().map(|r| {
        let limits = r.servers.iter().map(|s| s.max_concurrent_requests);
        limits.map(Admission::new).collect()
    });
    let admissions: Vec<Vec<Admission>> = admissions.collect();
    let mut handles = Vec::new();
    for (worker, listeners) in listeners.into_iter().enumerate() {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let setup = Setup {
            routers: config.routers.clone(),
            listeners,
            addresses: addresses.clone(),
            admissions: admissions.clone(),
            names: names.clone(),
            tls: tls.clone(),
            tellers: tellers.to_vec(),
            stats: stats.workers[worker].clone(),
            own: stats.own[worker].clone(),
            workers,
            most_connections: most_connections(workers),
            seed: seeds.u64(..),
            stop: stop.child_token(),
            grace: config.admin.shutdown_grace,
            questions: asked,
        };
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{worker}"))
            .spawn(move || {
                // Whoever would listen may be gone.
                let _ = end.send(setup.run());
            })
            .map_err(|source| StartError::Thread { worker, source })?;
        handles.push(WorkerHandle {
            questions,
            ended,
            thread,
        });
    }
    Ok(Servers {
        addresses,
        stats,
        workers: handles,
    })
}

impl Servers {
    /// Who asks the workers for their load, also while they end.
    pub fn asker(&self) -> Asker {
        Asker(self.workers.iter().map(|w| w.questions.clone()).collect())
    }

    /// The load of all endpoints in use. A worker that does not answer because it is ending is left out.
    pub async fn loads(&self) -> Vec<ClusterLoad> {
        self.asker().loads().await
    }

    /// Waits until all workers have ended; the token must have been cancelled.
    pub async fn join(self) {
        for (worker, handle) in self.workers.into_iter().enumerate() {
            match handle.ended.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(worker, %error, "worker failed"),
                Err(_) => tracing::error!(worker, "worker panicked"),
            }
            // It has said its last word: this does not block.
            let _ = handle.thread.join();
        }
    }
}

impl Asker {
    /// The load of all endpoints in use. A worker that does not answer because it is ending is left out.
    pub async fn loads(&self) -> Vec<ClusterLoad> {
        let mut all = Vec::new();
        for (worker, questions) in self.0.iter().enumerate() {
            let (question, answer) = oneshot::channel();
            if questions.send(question).await.is_err() {
                continue;
            }
            let routers = answer.await.unwrap_or_default();
            for (router, clusters) in routers.into_iter().enumerate() {
                all.extend(
                    clusters
                        .into_iter()
                        .map(|(cluster, endpoints)| ClusterLoad {
                            worker,
                            router,
                            cluster,
                            endpoints,
                        }),
                );
            }
        }
        all
    }
}

type Listeners = Vec<Vec<Vec<TcpListener>>>;

/// One listener for each worker (first index), router and server, and where they are.
fn listen(
    config: &Config,
    workers: usize,
) -> Result<(Listeners, Vec<Vec<SocketAddr>>), StartError> {
    let mut listeners: Listeners = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for router in &config.routers {
        listeners.iter_mut().for_each(|l| l.push(Vec::new()));
        let mut own = Vec::new();
        for server in &router.servers {
            let failed = |source| StartError::Listen {
                router: router.label.clone(),
                addr: server.addr,
                source,
            };
            if server.addr.port() != 0 && !server.socket.reuse_port {
                listener::ask_for(server.addr).map_err(failed)?;
            }
            let mut addr = server.addr;
            for of_worker in &mut listeners {
                let listener = listener::open(addr, server.socket).map_err(failed)?;
                addr = listener.local_addr().map_err(failed)?;
                if let Some(of_router) = of_worker.last_mut() {
                    of_router.push(listener);
                }
            }
            own.push(addr);
        }
        addresses.push(own);
    }
    Ok((listeners, addresses))
}

/// Client connections that each worker may have. Each may need another one to an endpoint.
fn most_connections(workers: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let each = files.saturating_sub(OTHER_FILES) / 2 / workers as u64;
    each.clamp(1, MOST_CONNECTIONS) as usize
}
