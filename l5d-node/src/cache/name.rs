//! A name that a router uses, with its live state.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use l5d_naming::{Dtab, NameTree, Path};
use tokio::sync::watch;

use super::{Cluster, FollowSet};

/// A name that a router uses, with its live state. Requests hold it while they run; it is followed at namerd until the
/// last holder (the cache is one) has let go.
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
    stale: AtomicBool,
    /// When a refused name may be asked for again, in the time of `follow`; 0: it is not refused.
    again_at_ms: AtomicU64,
    follow: Option<(u64, Arc<FollowSet>)>,
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

/// Two leaves are equal when they lead to the same cell with the same residual.
impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cluster, &other.cluster) && self.residual == other.residual
    }
}

impl Name {
    /// A name without a state that nobody follows.
    pub fn new(router: usize, path: Path, local: Dtab) -> Arc<Self> {
        Arc::new(Self::build(router, path, local, None))
    }

    /// A name without a state whose end is told to `set`.
    pub(super) fn followed(
        router: usize,
        path: Path,
        local: Dtab,
        id: u64,
        set: Arc<FollowSet>,
    ) -> Arc<Self> {
        Arc::new(Self::build(router, path, local, Some((id, set))))
    }

    fn build(
        router: usize,
        path: Path,
        local: Dtab,
        follow: Option<(u64, Arc<FollowSet>)>,
    ) -> Self {
        Self {
            router,
            path,
            local,
            state: ArcSwap::from_pointee(NameState::Pending),
            settled: watch::Sender::new(0),
            stale: AtomicBool::new(false),
            again_at_ms: AtomicU64::new(0),
            follow,
        }
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

    /// Sets the state; pending and failed never replace a tree (RES-6).
    pub fn set(&self, state: NameState) {
        let is_good = matches!(state, NameState::Bound(_));
        if !is_good && matches!(**self.state.load(), NameState::Bound(_)) {
            return;
        }
        self.state.store(Arc::new(state));
        self.settled.send_modify(|n| *n += 1);
    }

    /// The last good tree, if there ever was one.
    pub fn tree(&self) -> Option<Arc<NameTree<Leaf>>> {
        match &**self.state.load() {
            NameState::Bound(tree) => Some(tree.clone()),
            NameState::Pending | NameState::Failed(_) => None,
        }
    }

    /// Whether the tree comes from before the present stream and is neither confirmed nor replaced.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Marks the tree stale or confirmed.
    pub fn set_stale(&self, is_stale: bool) {
        self.stale.store(is_stale, Ordering::Relaxed);
    }

    /// The number under which the name's [`FollowSet`] knows it; `None` if nobody follows it.
    pub fn follow_id(&self) -> Option<u64> {
        self.follow.as_ref().map(|(id, _)| *id)
    }

    /// Namerd refused the name: it is not followed until a request needs it again, `retry` from now at the earliest.
    pub fn refuse(&self, failure: Failure, retry: Duration) {
        self.set(NameState::Failed(failure));
        if let Some((_, set)) = &self.follow {
            let at = set.now_ms().saturating_add(retry.as_millis() as u64).max(1);
            self.again_at_ms.store(at, Ordering::Release);
        }
    }

    /// Asks for a refused name again, once its time has come. Called by requests: one load when it is not refused.
    pub(super) fn ask_again(&self, now_ms: u64) {
        let at = self.again_at_ms.load(Ordering::Acquire);
        if at == 0 || now_ms < at {
            return;
        }
        let is_first = self
            .again_at_ms
            .compare_exchange(at, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if let (true, Some((id, set))) = (is_first, &self.follow) {
            self.set(NameState::Pending);
            set.want_again(*id);
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some((id, set)) = &self.follow {
            set.end(*id);
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({} {})", self.router, self.path)
    }
}
