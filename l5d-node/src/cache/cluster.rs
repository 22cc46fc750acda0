//! Clusters with their live endpoints, one cell for each id.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use l5d_naming::{ClusterId, Replicas};
use parking_lot::Mutex;
use tokio::sync::watch;

/// A cluster with its live endpoints.
pub struct Cluster {
    /// Its lasting name.
    pub id: ClusterId,
    /// A number of this process, never given twice: key of the workers' balancers.
    pub key: u64,
    state: ArcSwap<ClusterState>,
    version: AtomicU64,
    stale: AtomicBool,
    /// Unix seconds of the last moment when a namerd stood behind the state; it counts while `stale`.
    confirmed_s: AtomicU64,
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

/// The clusters of one namerd by id; each id has one cell, as long as somebody holds it.
#[derive(Debug, Default)]
pub struct Clusters {
    cells: Mutex<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    by_id: HashMap<ClusterId, Weak<Cluster>>,
    /// The dead ones leave when there are more than this.
    sweep_above: usize,
}

/// Keys of clusters, over all namerds of the process.
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

// === impl Cluster ===

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
            confirmed_s: AtomicU64::new(unix_s(SystemTime::now())),
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

    /// Marks the state stale or confirmed. The moment of the first staleness is that of the last confirmation.
    pub fn set_stale(&self, is_stale: bool) {
        let was_stale = self.stale.swap(is_stale, Ordering::Relaxed);
        if is_stale && !was_stale {
            self.set_confirmed(SystemTime::now());
        }
    }

    /// When a namerd last stood behind the state: now, unless it is stale.
    pub fn confirmed(&self) -> SystemTime {
        if !self.is_stale() {
            return SystemTime::now();
        }
        UNIX_EPOCH + Duration::from_secs(self.confirmed_s.load(Ordering::Relaxed))
    }

    /// Says when the (stale) state was last confirmed, to the second.
    pub fn set_confirmed(&self, at: SystemTime) {
        self.confirmed_s.store(unix_s(at), Ordering::Relaxed);
    }

    /// Sets the endpoints; pending and failed never replace a good set (RES-6). One writer.
    pub fn set(&self, replicas: Replicas) {
        let now = self.state.load();
        if now.replicas == replicas || (!is_good(&replicas) && is_good(&now.replicas)) {
            return;
        }
        let version = now.version + 1;
        self.state
            .store(Arc::new(ClusterState { version, replicas }));
        self.version.store(version, Ordering::Release);
        self.changed.send_replace(version);
    }

    /// Whether there is a state that a request can use or that tells it there is none: bound or negative.
    pub fn has_good(&self) -> bool {
        is_good(&self.state.load().replicas)
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

fn is_good(replicas: &Replicas) -> bool {
    matches!(replicas, Replicas::Bound(_) | Replicas::Neg)
}

fn unix_s(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.id)
    }
}

// === impl Clusters ===

impl Clusters {
    /// The cell of `id`; a new one is pending.
    pub fn cell(&self, id: &ClusterId) -> Arc<Cluster> {
        let mut cells = self.cells.lock();
        if let Some(cluster) = cells.by_id.get(id).and_then(Weak::upgrade) {
            return cluster;
        }
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let cluster = Cluster::new(id.clone(), key, Replicas::Pending, false);
        cells.by_id.insert(id.clone(), Arc::downgrade(&cluster));
        if cells.by_id.len() > cells.sweep_above {
            cells.by_id.retain(|_, cell| cell.strong_count() > 0);
            cells.sweep_above = (2 * cells.by_id.len()).max(64);
        }
        cluster
    }

    /// All that somebody holds.
    pub fn live(&self) -> Vec<Arc<Cluster>> {
        let cells = self.cells.lock();
        cells.by_id.values().filter_map(Weak::upgrade).collect()
    }
}
