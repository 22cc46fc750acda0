//! The frames of everything that is followed now, by number: one encoder for all sessions.
//!
//! Sessions hold the encoders; the table only finds them, so what nobody follows costs nothing.

use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::cluster_frames::ClusterFrames;
use super::metrics::Metrics;
use super::tree_frames::TreeFrames;
use crate::bind::{Binding, BoundCluster};

/// Finds encoders by number.
#[derive(Debug)]
pub(super) struct FrameTable {
    clusters: DashMap<u32, Weak<ClusterFrames>>,
    trees: DashMap<u32, Weak<TreeFrames>>,
    metrics: Arc<Metrics>,
}

impl FrameTable {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            clusters: DashMap::new(),
            trees: DashMap::new(),
            metrics,
        })
    }

    /// The shared encoder of a cluster.
    pub(super) fn cluster(self: &Arc<Self>, cluster: &Arc<BoundCluster>) -> Arc<ClusterFrames> {
        let mut entry = self.clusters.entry(cluster.number).or_default();
        if let Some(frames) = entry.upgrade() {
            return frames;
        }
        let frames = Arc::new(ClusterFrames::new(
            Arc::clone(cluster),
            Arc::clone(&self.metrics),
            Arc::downgrade(self),
        ));
        *entry = Arc::downgrade(&frames);
        frames
    }

    /// The shared encoder of a binding.
    pub(super) fn tree(self: &Arc<Self>, binding: &Arc<Binding>) -> Arc<TreeFrames> {
        let mut entry = self.trees.entry(binding.number).or_default();
        if let Some(frames) = entry.upgrade() {
            return frames;
        }
        let frames = Arc::new(TreeFrames::new(
            Arc::clone(binding),
            Arc::clone(&self.metrics),
            Arc::downgrade(self),
        ));
        *entry = Arc::downgrade(&frames);
        frames
    }

    // A new encoder of the same number may have taken the place of the one that ended.

    pub(super) fn forget_cluster(&self, number: u32) {
        self.clusters
            .remove_if(&number, |_, frames| frames.strong_count() == 0);
    }

    pub(super) fn forget_tree(&self, number: u32) {
        self.trees
            .remove_if(&number, |_, frames| frames.strong_count() == 0);
    }

    /// Encoders that exist now: clusters, trees.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.clusters.len(), self.trees.len())
    }
}
