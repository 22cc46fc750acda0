//! What was asked of the double: counts and the last requests, and a wake-up for tests that wait for one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kinds::Kind;

/// How many requests are remembered one by one.
const REMEMBERED: usize = 10_000;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// A collection, or a page of it.
    List,
    /// A collection's changes, also as a streaming list.
    Watch,
    /// POST
    Create,
    /// PUT
    Update,
    /// PATCH
    Patch,
    /// DELETE of one or of all.
    Delete,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The kind asked for.
    pub kind: Kind,
    /// What for.
    pub verb: Verb,
    /// The query string.
    pub query: String,
    /// The `Accept` header.
    pub accept: String,
    /// When.
    pub at: Instant,
}

/// The counts.
#[derive(Debug)]
pub struct Traffic {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<(Kind, Verb), u64>,
    open: BTreeMap<Kind, usize>,
    seen: VecDeque<Seen>,
}

/// An open watch; counted as long as it lives.
#[derive(Debug)]
pub(super) struct OpenWatch {
    traffic: Arc<Traffic>,
    kind: Kind,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }

    /// How many requests of a kind and verb there have been.
    pub fn requests(&self, kind: Kind, verb: Verb) -> u64 {
        let inner = self.inner.lock();
        inner.counts.get(&(kind, verb)).copied().unwrap_or(0)
    }

    /// How many watches of a kind are open.
    pub fn open_watches(&self, kind: Kind) -> usize {
        self.inner.lock().open.get(&kind).copied().unwrap_or(0)
    }

    /// How many watches are open in all.
    pub fn all_open_watches(&self) -> usize {
        self.inner.lock().open.values().sum()
    }

    /// The last requests, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.lock().seen.iter().cloned().collect()
    }

    /// Waits until something holds of the counts. Cancel safe.
    pub async fn wait(&self, mut holds: impl FnMut(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        while !holds(self) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn saw(&self, seen: Seen) {
        {
            let mut inner = self.inner.lock();
            *inner.counts.entry((seen.kind, seen.verb)).or_default() += 1;
            inner.seen.push_back(seen);
            if inner.seen.len() > REMEMBERED {
                inner.seen.pop_front();
            }
        }
        self.changed.send_replace(());
    }

    pub(super) fn open(self: &Arc<Self>, kind: Kind) -> OpenWatch {
        *self.inner.lock().open.entry(kind).or_default() += 1;
        self.changed.send_replace(());
        OpenWatch {
            traffic: Arc::clone(self),
            kind,
        }
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        if let Some(open) = self.traffic.inner.lock().open.get_mut(&self.kind) {
            *open -= 1;
        }
        self.traffic.changed.send_replace(());
    }
}
