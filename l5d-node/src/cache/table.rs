//! The path cache (node-proxy 12.4): bounded, with idle expiry; entries in use are never evicted.
//!
//! A hit reads an immutable map of one shard and takes no lock. A miss copies that map under the router's write lock,
//! which costs a few microseconds at 1,000 entries.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;
use l5d_naming::{Dtab, NameTree, Path};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{FollowSet, Name, Names, Rules};
use crate::config::CacheLimits;

const SHARDS: usize = 16;

/// The names that routers use, by router, path and override.
#[derive(Debug)]
pub struct Table {
    routers: Vec<TableRouter>,
    start: Instant,
}

/// The names of one router.
#[derive(Debug)]
pub struct TableRouter {
    index: usize,
    limits: CacheLimits,
    follow: Arc<FollowSet>,
    hasher: RandomState,
    shards: [ArcSwap<Shard>; SHARDS],
    /// Held by whoever changes `shards`, and counts what is in them.
    len: Mutex<usize>,
    counts: AtomicCounts,
}

type Shard = HashMap<Key, Arc<Entry>, RandomState>;

#[derive(Clone, Debug, PartialEq)]
struct Key {
    path: Path,
    local: Dtab,
}

#[derive(Debug)]
struct Entry {
    /// The table's own hold; more of them mean that a request uses it.
    name: Arc<Name>,
    used_ms: AtomicU64,
}

/// What happened at the path level since the start (`bindcache/path`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names that were not there.
    pub misses: u64,
    /// Entries that left for a new one.
    pub evicts: u64,
    /// Entries that left because nobody used them.
    pub expires: u64,
    /// Names that worked for their request only.
    pub oneshots: u64,
}

#[derive(Debug, Default)]
struct AtomicCounts {
    misses: AtomicU64,
    evicts: AtomicU64,
    expires: AtomicU64,
    oneshots: AtomicU64,
}

// === impl Table ===

impl Table {
    /// An empty table. For each router, in the order of the configuration: its bounds, and who follows its names.
    pub fn new(routers: impl IntoIterator<Item = (CacheLimits, Arc<FollowSet>)>) -> Self {
        let routers = routers
            .into_iter()
            .enumerate()
            .map(|(index, (limits, follow))| TableRouter::new(index, limits, follow))
            .collect();
        Self {
            routers,
            start: Instant::now(),
        }
    }

    /// The routers in the order of the configuration.
    pub fn routers(&self) -> &[TableRouter] {
        &self.routers
    }

    /// Lets go of what has been idle for too long. To be called now and then.
    pub fn expire(&self) {
        let now_ms = self.now_ms();
        for router in &self.routers {
            router.expire(now_ms);
        }
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

impl Names for Table {
    fn name(&self, router: usize, path: &Path, local: &Dtab) -> Arc<Name> {
        self.routers[router].name(path, local, self.now_ms())
    }

    fn why_pending(&self, router: usize) -> String {
        self.routers[router].follow.contact().to_string()
    }

    fn rules(&self, router: usize) -> Arc<Rules> {
        self.routers[router].follow.rules.clone()
    }
}

// === impl TableRouter ===

impl TableRouter {
    fn new(index: usize, limits: CacheLimits, follow: Arc<FollowSet>) -> Self {
        let hasher = RandomState::default();
        let shards =
            std::array::from_fn(|_| ArcSwap::from_pointee(HashMap::with_hasher(hasher.clone())));
        Self {
            index,
            limits,
            follow,
            hasher,
            shards,
            len: Mutex::new(0),
            counts: AtomicCounts::default(),
        }
    }

    /// Who follows this router's names.
    pub fn follow(&self) -> &Arc<FollowSet> {
        &self.follow
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let c = &self.counts;
        Counts {
            misses: c.misses.load(Ordering::Relaxed),
            evicts: c.evicts.load(Ordering::Relaxed),
            expires: c.expires.load(Ordering::Relaxed),
            oneshots: c.oneshots.load(Ordering::Relaxed),
        }
    }

    /// All entries, least recently used first. They count as in use while the answer is held.
    pub fn entries(&self) -> Vec<Arc<Name>> {
        let mut all: Vec<_> = self.entries_by_use().collect();
        all.sort_by_key(|entry| entry.used_ms.load(Ordering::Relaxed));
        all.iter().map(|entry| entry.name.clone()).collect()
    }

    fn name(&self, path: &Path, local: &Dtab, now_ms: u64) -> Arc<Name> {
        let key = Key {
            path: path.clone(),
            local: local.clone(),
        };
        let shard = &self.shards[self.hasher.hash_one(&key) as usize % SHARDS];
        let hit = |entry: &Arc<Entry>| {
            if entry.used_ms.load(Ordering::Relaxed) != now_ms {
                entry.used_ms.store(now_ms, Ordering::Relaxed);
            }
            entry.name.clone()
        };
        let name = shard.load().get(&key).map(hit);
        match name {
            Some(name) => {
                name.ask_again(self.follow.now_ms());
                name
            }
            None => self.insert(shard, key, now_ms, hit),
        }
    }

    fn insert(
        &self,
        shard: &ArcSwap<Shard>,
        key: Key,
        now_ms: u64,
        hit: impl Fn(&Arc<Entry>) -> Arc<Name>,
    ) -> Arc<Name> {
        let mut len = self.len.lock();
        if let Some(entry) = shard.load().get(&key) {
            return hit(entry); // another worker was faster
        }
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
        let name = self
            .follow
            .begin(self.index, key.path.clone(), key.local.clone());
        if *len >= self.limits.paths && !self.evict(&mut len) {
            self.counts.oneshots.fetch_add(1, Ordering::Relaxed);
            return name;
        }
        let entry = Arc::new(Entry {
            name: name.clone(),
            used_ms: AtomicU64::new(now_ms),
        });
        let mut map = Shard::clone(&shard.load());
        map.insert(key, entry);
        shard.store(Arc::new(map));
        *len += 1;
        name
    }

    /// Lets go of the longest-idle entry that nobody uses, if there is one.
    fn evict(&self, len: &mut usize) -> bool {
        let idle = self
            .entries_by_use()
            .filter(|entry| entry.is_unused())
            .min_by_key(|entry| entry.used_ms.load(Ordering::Relaxed));
        let Some(idle) = idle else { return false };
        self.remove(len, &[idle]);
        self.counts.evicts.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Lets go of unused entries that are idle for longer than the limit; one entry, the most recent, always stays.
    fn expire(&self, now_ms: u64) {
        let mut len = self.len.lock();
        let ttl_ms = self.limits.idle_ttl.as_millis() as u64;
        let mut idle: Vec<_> = self
            .entries_by_use()
            .filter(|entry| {
                let used_ms = entry.used_ms.load(Ordering::Relaxed);
                entry.is_unused() && now_ms.saturating_sub(used_ms) > ttl_ms
            })
            .collect();
        if idle.len() == *len {
            idle.sort_by_key(|entry| entry.used_ms.load(Ordering::Relaxed));
            idle.pop();
        }
        self.remove(&mut len, &idle);
        self.counts
            .expires
            .fetch_add(idle.len() as u64, Ordering::Relaxed);
    }

    fn remove(&self, len: &mut usize, leaving: &[Arc<Entry>]) {
        for entry in leaving {
            let key = Key {
                path: entry.name.path.clone(),
                local: entry.name.local.clone(),
            };
            let shard = &self.shards[self.hasher.hash_one(&key) as usize % SHARDS];
            let mut map = Shard::clone(&shard.load());
            map.remove(&key);
            shard.store(Arc::new(map));
        }
        *len -= leaving.len();
    }

    fn entries_by_use(&self) -> impl Iterator<Item = Arc<Entry>> + '_ {
        self.shards
            .iter()
            .flat_map(|shard| shard.load().values().cloned().collect::<Vec<_>>())
    }
}

impl Entry {
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.name) == 1
    }
}

// === impl Key ===

impl Eq for Key {} // weights are finite, so equality is reflexive

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
        for dentry in self.local.entries() {
            dentry.prefix.hash(state);
            hash_tree(&dentry.dst, state);
        }
    }
}

fn hash_tree<H: Hasher>(tree: &NameTree<Path>, state: &mut H) {
    std::mem::discriminant(tree).hash(state);
    match tree {
        NameTree::Leaf(path) => path.hash(state),
        NameTree::Alt(trees) => trees.iter().for_each(|t| hash_tree(t, state)),
        NameTree::Union(branches) => {
            for branch in branches {
                // `+ 0.0`: the two zeros are equal, so their bits must be
                (branch.weight.value() + 0.0).to_bits().hash(state);
                hash_tree(&branch.tree, state);
            }
        }
        NameTree::Neg | NameTree::Fail | NameTree::Empty => {}
    }
}

#[cfg(test)]
impl TableRouter {
    pub(super) fn len(&self) -> usize {
        *self.len.lock()
    }
}
