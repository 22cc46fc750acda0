//! Who is connected now.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use super::lag::Lag;

/// The sessions of this replica.
#[derive(Debug, Default)]
pub struct Registry {
    next: AtomicU64,
    sessions: DashMap<u64, Arc<Entry>>,
}

/// One session as pages and `Nodes` show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number, of this process.
    pub id: u64,
    /// The node's name, as in `Hello`.
    pub node: String,
    /// Where the stream comes from.
    pub peer: String,
    /// The proxy's version.
    pub version: String,
    /// How long it has been connected.
    pub connected: Duration,
    /// Interests followed.
    pub interests: u64,
    /// Clusters followed.
    pub clusters: u64,
    /// How far the node is behind what was handed over, by its acknowledgements.
    pub lag: Duration,
    /// Since the oldest message was handed over that the node has not acknowledged; nothing: it has acknowledged all.
    pub stale: Duration,
    /// Bytes handed over.
    pub bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Whether it began with something held from before.
    pub resumed: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    node: String,
    peer: String,
    version: String,
    resumed: bool,
    connected: Instant,
    pub(super) interests: AtomicU64,
    pub(super) clusters: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) lag: Lag,
    /// The bindings that answer its interests, in the order of their ids, which grow.
    follows: parking_lot::Mutex<Vec<(u32, u32)>>,
}

/// Takes the session out of the registry when dropped.
pub(super) struct Registered {
    registry: Arc<Registry>,
    id: u64,
    pub(super) entry: Arc<Entry>,
}

impl Registry {
    /// All sessions, or those of one node, the longest connected first.
    pub fn list(&self, node: Option<&str>) -> Vec<SessionInfo> {
        let mut list: Vec<(u64, Arc<Entry>)> = self
            .sessions
            .iter()
            .filter(|e| node.is_none_or(|node| e.node == node))
            .map(|e| (*e.key(), Arc::clone(e.value())))
            .collect();
        list.sort_by_key(|(id, _)| *id);
        list.into_iter().map(|(_, entry)| entry.show()).collect()
    }

    /// One session, with the numbers of the bindings that it follows.
    pub fn one(&self, id: u64) -> Option<(SessionInfo, HashSet<u32>)> {
        let entry = Arc::clone(self.sessions.get(&id)?.value());
        let follows = entry.follows.lock().iter().map(|(_, tree)| *tree).collect();
        Some((entry.show(), follows))
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        node: String,
        peer: String,
        version: String,
        resumed: bool,
    ) -> Registered {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            id,
            node,
            peer,
            version,
            resumed,
            connected: Instant::now(),
            interests: AtomicU64::new(0),
            clusters: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            lag: Lag::default(),
            follows: parking_lot::Mutex::default(),
        });
        self.sessions.insert(id, Arc::clone(&entry));
        Registered {
            registry: Arc::clone(self),
            id,
            entry,
        }
    }
}

impl Entry {
    /// The interest is answered by this binding.
    pub(super) fn follow(&self, interest: u32, binding: u32) {
        self.follows.lock().push((interest, binding));
    }

    /// The interest has ended.
    pub(super) fn leave(&self, interest: u32) {
        let mut follows = self.follows.lock();
        if let Ok(at) = follows.binary_search_by_key(&interest, |(id, _)| *id) {
            follows.remove(at);
        }
    }

    fn show(&self) -> SessionInfo {
        let (lag, stale) = self.lag.now();
        SessionInfo {
            id: self.id,
            node: self.node.clone(),
            peer: self.peer.clone(),
            version: self.version.clone(),
            connected: self.connected.elapsed(),
            interests: self.interests.load(Ordering::Relaxed),
            clusters: self.clusters.load(Ordering::Relaxed),
            lag,
            stale,
            bytes: self.bytes.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            resumed: self.resumed,
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.sessions.remove(&self.id);
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
