//! The frame of one binding, shared by all sessions that follow it.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use l5d_naming::BoundName;
use l5d_resolver::v1::{self, down::Message};
use l5d_resolver::{convert, hash};
use parking_lot::Mutex;

use super::encode;
use super::frames::FrameTable;
use super::limits::clip;
use super::metrics::Metrics;
use crate::bind::{BindError, BindState, Binding, BoundCluster};
use crate::store::{Dep, Version};

/// Encodes a binding's tree once a version.
pub(super) struct TreeFrames {
    pub(super) binding: Arc<Binding>,
    now: Mutex<(Version, Arc<TreeNow>)>,
    metrics: Arc<Metrics>,
    table: Weak<FrameTable>,
}

/// A tree at one version.
pub(super) struct TreeNow {
    /// Our version: grows only when the hash changes. From 1.
    pub(super) version: u64,
    pub(super) hash: u64,
    pub(super) kind: TreeKind,
    /// The clusters it names, each once.
    pub(super) clusters: Vec<Arc<BoundCluster>>,
    wire: v1::tree::State,
    frame: OnceLock<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TreeKind {
    Pending,
    Failed,
    /// A tree, be it negative.
    Known,
}

impl TreeFrames {
    pub(super) fn new(
        binding: Arc<Binding>,
        metrics: Arc<Metrics>,
        table: Weak<FrameTable>,
    ) -> Self {
        let state = binding.state.get();
        let now = TreeNow::of(1, &state.1);
        Self {
            now: Mutex::new((state.0, Arc::new(now))),
            binding,
            metrics,
            table,
        }
    }

    /// The newest tree.
    pub(super) fn now(&self) -> Arc<TreeNow> {
        let mut now = self.now.lock();
        if self.binding.state.version() != now.0 {
            let state = self.binding.state.get();
            now.0 = state.0;
            let next = TreeNow::of(now.1.version + 1, &state.1);
            // Another number for the same id is another tree on the wire.
            if next.hash != now.1.hash || next.numbers().ne(now.1.numbers()) {
                now.1 = Arc::new(next);
            }
        }
        Arc::clone(&now.1)
    }

    /// The frame of a version, encoded once.
    pub(super) fn frame(&self, now: &TreeNow) -> Bytes {
        let encoded = now.frame.get_or_init(|| {
            self.metrics.encodings.add(1);
            encode::frame(Message::Tree(v1::Tree {
                number: self.binding.number,
                hash: now.hash,
                state: Some(now.wire.clone()),
            }))
        });
        encoded.clone()
    }
}

impl TreeNow {
    fn of(version: u64, state: &BindState) -> Self {
        let tree = match state {
            BindState::Pending => return Self::without_tree(version, None),
            BindState::Failed(error) => return Self::without_tree(version, Some(error)),
            BindState::Tree(tree) => tree,
        };
        let wire = convert::node_of(tree, &mut |leaf| v1::Leaf {
            cluster: leaf.cluster.number,
            residual: leaf.residual.to_string(),
            id: String::new(),
        });
        let root = match wire {
            Ok(root) => root,
            // No message can carry it; what the node has stays in use.
            Err(e) => {
                let error = BindError::Width(e.to_string().into());
                return Self::without_tree(version, Some(&error));
            }
        };
        let mut clusters: Vec<Arc<BoundCluster>> = Vec::new();
        tree.for_each_leaf(&mut |leaf| clusters.push(Arc::clone(&leaf.cluster)));
        clusters.sort_by_key(|c| c.number);
        clusters.dedup_by_key(|c| c.number);
        let names = tree.map(&mut |leaf| BoundName {
            id: leaf.cluster.id.clone(),
            residual: leaf.residual.clone(),
        });
        Self {
            version,
            hash: hash::tree_hash(&names),
            kind: TreeKind::Known,
            clusters,
            wire: v1::tree::State::Root(root),
            frame: OnceLock::new(),
        }
    }

    fn without_tree(version: u64, failed: Option<&BindError>) -> Self {
        let (kind, hash, wire) = match failed {
            None => (
                TreeKind::Pending,
                hash::pending_tree_hash(),
                v1::tree::State::Pending(v1::Nothing {}),
            ),
            Some(error) => (
                TreeKind::Failed,
                hash::failed_tree_hash(),
                v1::tree::State::Failed(wire_error(error)),
            ),
        };
        Self {
            version,
            hash,
            kind,
            clusters: Vec::new(),
            wire,
            frame: OnceLock::new(),
        }
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.clusters.iter().map(|c| c.number)
    }
}

fn wire_error(error: &BindError) -> v1::Error {
    let code = match error {
        BindError::Depth(_) => v1::Code::Depth,
        BindError::Width(_) => v1::Code::Width,
        BindError::Namer(_) => v1::Code::Namer,
        BindError::Store(_) => v1::Code::Store,
    };
    v1::Error {
        code: code as i32,
        message: clip(error.message()),
        retry_ms: 0,
    }
}

impl Drop for TreeFrames {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.forget_tree(self.binding.number);
        }
    }
}

impl fmt::Debug for TreeFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TreeFrames").field(&self.binding).finish()
    }
}

impl fmt::Debug for TreeNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeNow")
            .field("version", &self.version)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
