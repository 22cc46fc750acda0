//! Who this node is, as it stands now: given by files or by namerd, used by listeners and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use l5d_tls::nodes::Identity;
use tokio::sync::Notify;

/// The identity in use. One writer, any number of readers.
#[derive(Debug, Default)]
pub struct Own {
    current: ArcSwapOption<Identity>,
    is_there: Notify,
    counts: OwnCounts,
}

/// What has happened to it.
#[derive(Debug, Default)]
pub struct OwnCounts {
    /// Identities taken into use.
    pub taken: AtomicU64,
    /// Attempts to get one that have failed.
    pub failed: AtomicU64,
}

impl Own {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The one in use; `None`: not yet there.
    pub fn get(&self) -> Option<Arc<Identity>> {
        self.current.load_full()
    }

    /// The one in use, as soon as there is one. Cancel safe.
    pub async fn wait(&self) -> Arc<Identity> {
        loop {
            let is_there = self.is_there.notified();
            if let Some(identity) = self.get() {
                return identity;
            }
            is_there.await;
        }
    }

    /// Uses another one from the next connection on.
    pub fn set(&self, identity: Identity) {
        self.current.store(Some(Arc::new(identity)));
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        self.is_there.notify_waiters();
    }

    /// There was to be another one, and there is not.
    pub fn failed(&self) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// What has happened.
    pub fn counts(&self) -> &OwnCounts {
        &self.counts
    }
}
