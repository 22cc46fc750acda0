//! What namerd said last: names with their bound trees, clusters with their endpoints.
//!
//! Written by [`crate::control`] and by the warm file's loader only; read by workers without a lock. A value once good is
//! never replaced by pending or failed (resolver API 6).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use l5d_naming::{ClusterId, Dtab, NameTree, Path, Replicas};
use tokio::sync::watch;

/// A name that a router uses, with its live state. Requests hold it while they run; it is followed at namerd as long as
/// it is in the cache.
pub struct Name {
    /// Index of the router in the configuration.
    pub router: usize,
    /// Logical name.
    pub path: Path,
    /// The request's override.
    pub local: Dtab,
    state: ArcSwap<NameState>,
    /// Wakes requests that wait for a first state.
    settled: watch::Sender<u64>,
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub enum NameState {
    /// Nothing yet.
    Pending,
    /// Binding failed or was refused, and nothing good came before.
    Failed(Failure),
    /// The last good tree.
    Bound(Arc<NameTree<Leaf>>),
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For the response and `l5d-err`.
    pub message: Arc<str>,
    /// `Refuse` LIMIT: 503 and retryable, otherwise 502 (resolver API 7).
    pub is_limit: bool,
}

/// A leaf of a bound tree.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The cluster; shared by all names that lead to it.
    pub cluster: Arc<Cluster>,
    /// What was left of the path.
    pub residual: Path,
}

/// A cluster with its live endpoints.
pub struct Cluster {
    /// Its lasting name.
    pub id: ClusterId,
    /// A number of this process, never given twice: key of the workers' balancers.
    pub key: u64,
    state: ArcSwap<ClusterState>,
    version: AtomicU64,
    stale: AtomicBool,
    changed: watch::Sender<u64>,
}

/// The endpoints of a cluster at a version.
#[derive(Clone, Debug)]
pub struct ClusterState {
    /// Grows with each change; a worker compares it with what its balancer was built from.
    pub version: u64,
    /// The last good endpoints: pending and failed only if nothing good ever came.
    pub replicas: Replicas,
}

impl Name {
    /// A name without a state.
    pub fn new(router: usize, path: Path, local: Dtab) -> Arc<Self> {
        Arc::new(Self {
            router,
            path,
            local,
            state: ArcSwap::from_pointee(NameState::Pending),
            settled: watch::Sender::new(0),
        })
    }

    /// The state now, without waiting.
    pub fn state(&self) -> Arc<NameState> {
        self.state.load_full()
    }

    /// The state as soon as it is not pending, or pending after `timeout`. Cancel safe.
    pub async fn settled(&self, timeout: Duration) -> Arc<NameState> {
        let mut changes = self.settled.subscribe();
        let not_pending = async {
            loop {
                let state = self.state();
                if !matches!(*state, NameState::Pending) {
                    return state;
                }
                if changes.changed().await.is_err() {
                    return self.state();
                }
            }
        };
        match tokio::time::timeout(timeout, not_pending).await {
            Ok(state) => state,
            Err(_) => self.state(),
        }
    }

    /// Sets the state; pending and failed never replace a tree.
    pub fn set(&self, state: NameState) {
        let is_good = matches!(state, NameState::Bound(_));
        if !is_good && matches!(**self.state.load(), NameState::Bound(_)) {
            return;
        }
        self.state.store(Arc::new(state));
        self.settled.send_modify(|n| *n += 1);
    }
}

impl Cluster {
    /// A cluster in a first state.
    pub fn new(id: ClusterId, key: u64, replicas: Replicas, is_stale: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            key,
            state: ArcSwap::from_pointee(ClusterState {
                version: 1,
                replicas,
            }),
            version: AtomicU64::new(1),
            stale: AtomicBool::new(is_stale),
            changed: watch::Sender::new(1),
        })
    }

    /// The version now: one atomic load.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The endpoints now.
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.load_full()
    }

    /// Whether this comes from before the present stream and is neither confirmed nor replaced.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Marks the state stale or confirmed.
    pub fn set_stale(&self, is_stale: bool) {
        self.stale.store(is_stale, Ordering::Relaxed);
    }

    /// Sets the endpoints; pending and failed never replace a good set. One writer.
    pub fn set(&self, replicas: Replicas) {
        let is_good = matches!(replicas, Replicas::Bound(_) | Replicas::Neg);
        let now = self.state.load();
        if now.replicas == replicas
            || (!is_good && matches!(now.replicas, Replicas::Bound(_) | Replicas::Neg))
        {
            return;
        }
        let version = now.version + 1;
        self.state
            .store(Arc::new(ClusterState { version, replicas }));
        self.version.store(version, Ordering::Release);
        self.changed.send_replace(version);
    }

    /// The state as soon as it is not pending, or pending after `timeout`. Cancel safe.
    pub async fn settled(&self, timeout: Duration) -> Arc<ClusterState> {
        let mut changes = self.changed.subscribe();
        let not_pending = async {
            loop {
                let state = self.state();
                if !matches!(state.replicas, Replicas::Pending) {
                    return state;
                }
                if changes.changed().await.is_err() {
                    return self.state();
                }
            }
        };
        match tokio::time::timeout(timeout, not_pending).await {
            Ok(state) => state,
            Err(_) => self.state(),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({} {})", self.router, self.path)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.id)
    }
}

/// The names that routers use. Shared by workers and the control client.
pub trait Names: Send + Sync {
    /// The entry for a name, made and followed if it is new. Never waits. A full cache gives an entry that works for its
    /// holders only (node-proxy 12.4). Called once for each request: a hit takes no lock that writers hold for long.
    fn name(&self, router: usize, path: &Path, local: &Dtab) -> Arc<Name>;

    /// For messages when a name stays pending: "no namerd reachable since ..., last error ..." or "namerd has not answered".
    fn why_pending(&self) -> String;
}
