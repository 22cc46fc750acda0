//! The frames of one cluster, shared by all sessions that follow it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use foldhash::HashMap;
use l5d_naming::{EndpointSet, EndpointWeight, Replicas};
use l5d_resolver::change::Change;
use l5d_resolver::hash::{RunningHash, cluster_hash, h8};
use l5d_resolver::v1::{self, down::Message};
use l5d_resolver::{convert, page, record};
use parking_lot::Mutex;
use prost::Message as _;

use super::encode::frame;
use super::frames::FrameTable;
use super::limits::HISTORY;
use super::metrics::Metrics;
use crate::bind::BoundCluster;
use crate::store::{Dep, Version};

/// About what a `Cluster` takes besides id and endpoints.
const HEAD_BYTES: usize = 16;

/// Encodes a cluster once a version. Brought up to date by whoever looks first; the others find the bytes ready.
pub(super) struct ClusterFrames {
    pub(super) cluster: Arc<BoundCluster>,
    /// H8 of the id: how nodes name what they hold from before.
    pub(super) key: u64,
    id_bytes: usize,
    inner: Mutex<Inner>,
    metrics: Arc<Metrics>,
    table: Weak<FrameTable>,
}

/// Where a cluster is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClusterNow {
    /// Our version: grows only when the hash changes. From 1.
    pub(super) version: u64,
    pub(super) hash: u64,
    pub(super) state: v1::State,
}

/// What brings a session from a version to the newest.
#[derive(Clone, Debug)]
pub(super) struct CatchUp {
    pub(super) now: ClusterNow,
    /// One delta, or the pages of the full state; none if the set is what it was.
    pub(super) frames: Arc<[Bytes]>,
    /// Whether it may take endpoints away.
    pub(super) takes_away: bool,
}

struct Inner {
    seen: Version,
    version: u64,
    replicas: Replicas,
    hash: u64,
    /// The steps to `version`, oldest first.
    steps: VecDeque<Step>,
    /// Changed endpoints in all steps.
    kept: usize,
    full: Option<Arc<[Bytes]>>,
    /// From older versions to `version`; `None` where the full state is not larger.
    composed: HashMap<u64, Option<CatchUp>>,
}

struct Step {
    /// Hash of the state before the step.
    from: u64,
    change: Change,
}

impl ClusterFrames {
    pub(super) fn new(
        cluster: Arc<BoundCluster>,
        metrics: Arc<Metrics>,
        table: Weak<FrameTable>,
    ) -> Self {
        let id = cluster.id.to_string();
        let now = cluster.replicas.get();
        Self {
            key: h8(id.as_bytes()),
            id_bytes: id.len(),
            inner: Mutex::new(Inner {
                seen: now.0,
                version: 1,
                hash: cluster_hash(&now.1),
                replicas: now.1.clone(),
                steps: VecDeque::new(),
                kept: 0,
                full: None,
                composed: HashMap::default(),
            }),
            cluster,
            metrics,
            table,
        }
    }

    /// The newest state.
    pub(super) fn now(&self) -> ClusterNow {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner);
        inner.now()
    }

    /// Whether this hash is that of the newest state or of one in the history, and its version.
    pub(super) fn version_of(&self, hash: u64) -> Option<u64> {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner);
        if inner.hash == hash {
            return Some(inner.version);
        }
        let back = inner.steps.iter().rev().position(|s| s.from == hash)?;
        Some(inner.version - 1 - back as u64)
    }

    /// The newest state in full, encoded once.
    pub(super) fn full(&self) -> CatchUp {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner);
        self.full_of(&mut inner)
    }

    /// From `version` to the newest: nothing, a delta if the history has it and it is smaller, else the full state (5.3).
    pub(super) fn catch_up(&self, version: u64) -> Option<CatchUp> {
        let mut inner = self.inner.lock();
        self.refresh(&mut inner);
        if version == inner.version {
            return None;
        }
        if !inner.composed.contains_key(&version) {
            let delta = self.compose(&inner, version);
            inner.composed.insert(version, delta);
        }
        let delta = inner.composed.get(&version).cloned().flatten();
        Some(delta.unwrap_or_else(|| self.full_of(&mut inner)))
    }

    fn full_of(&self, inner: &mut Inner) -> CatchUp {
        let frames = inner.full.get_or_insert_with(|| {
            self.metrics.encodings.add(1);
            let (number, id) = (self.cluster.number, &self.cluster.id);
            let pages = page::pages(number, id, &inner.replicas, inner.hash);
            pages
                .into_iter()
                .map(|page| frame(Message::Cluster(page)))
                .collect()
        });
        CatchUp {
            frames: Arc::clone(frames),
            now: inner.now(),
            takes_away: matches!(inner.replicas, Replicas::Neg | Replicas::Bound(_)),
        }
    }

    fn compose(&self, inner: &Inner, version: u64) -> Option<CatchUp> {
        let back = usize::try_from(inner.version.checked_sub(version)?).ok()?;
        let first = inner.steps.len().checked_sub(back)?;
        let Replicas::Bound(set) = &inner.replicas else {
            return None;
        };
        let nothing = CatchUp {
            frames: Arc::default(),
            now: inner.now(),
            takes_away: false,
        };
        if inner.steps[first].from == inner.hash {
            // There and back again.
            return Some(nothing);
        }
        let change = Change::compose(inner.steps.range(first..).map(|step| &step.change));
        let delta = change.to_delta(self.cluster.number, inner.hash, set.at())?;
        if delta.encoded_len() >= self.full_bytes(set) {
            return None;
        }
        self.metrics.encodings.add(1);
        Some(CatchUp {
            frames: [frame(Message::Delta(delta))].into(),
            takes_away: change.takes_away(),
            ..nothing
        })
    }

    /// About what the full state takes.
    fn full_bytes(&self, set: &EndpointSet) -> usize {
        let bytes = |v4| if v4 { record::RECORD4 } else { record::RECORD6 };
        let endpoints = set.endpoints().iter();
        let endpoints: usize = endpoints.map(|e| bytes(e.addr.is_ipv4())).sum();
        HEAD_BYTES + self.id_bytes + endpoints
    }

    /// Takes over the cell's newest state. A state that looks the same on the wire is not a new version.
    fn refresh(&self, inner: &mut Inner) {
        if self.cluster.replicas.version() == inner.seen {
            return;
        }
        let now = self.cluster.replicas.get();
        inner.seen = now.0;
        inner.advance(&now.1);
    }
}

impl Inner {
    fn now(&self) -> ClusterNow {
        ClusterNow {
            version: self.version,
            hash: self.hash,
            state: convert::state(&self.replicas),
        }
    }

    fn advance(&mut self, replicas: &Replicas) {
        let step = match (&self.replicas, replicas) {
            (Replicas::Bound(old), Replicas::Bound(new)) => Change::between(old, new)
                .map(|change| (hash_after(old, self.hash, &change), change)),
            _ => None,
        };
        let before = self.hash;
        self.hash = step
            .as_ref()
            .map_or_else(|| cluster_hash(replicas), |(hash, _)| *hash);
        self.replicas = replicas.clone();
        if self.hash == before {
            return;
        }
        match step {
            Some((_, change)) => {
                self.kept += change.len();
                let from = before;
                self.steps.push_back(Step { from, change });
            }
            None => {
                self.steps.clear();
                self.kept = 0;
            }
        }
        self.version += 1;
        self.full = None;
        self.composed.clear();
        // More changes than endpoints are never worth a delta, so the history is no larger than the state.
        let worth = match &self.replicas {
            Replicas::Bound(set) => set.len().max(HISTORY),
            _ => 0,
        };
        while self.steps.len() > HISTORY || self.kept > worth {
            let Some(oldest) = self.steps.pop_front() else {
                break;
            };
            self.kept -= oldest.change.len();
        }
    }
}

/// The hash after a change, at the cost of the change.
fn hash_after(old: &EndpointSet, hash: u64, change: &Change) -> u64 {
    let mut hash = RunningHash(hash);
    for addr in change.dels().chain(change.puts().map(|put| put.addr)) {
        let endpoints = old.endpoints();
        let first = endpoints.partition_point(|e| e.addr < addr);
        let same = endpoints[first..].iter().take_while(|e| e.addr == addr);
        let weight = same
            .map(|e| e.weight)
            .reduce(EndpointWeight::saturating_add);
        if let Some(weight) = weight {
            hash.remove(addr, weight);
        }
    }
    change.puts().for_each(|put| hash.add(put.addr, put.weight));
    hash.0
}

impl Drop for ClusterFrames {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.forget_cluster(self.cluster.number);
        }
    }
}

impl fmt::Debug for ClusterFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClusterFrames").field(&self.cluster).finish()
    }
}
