//! Which endpoints of a service a node's answer depends on, found once for all nodes (K8S-143).

use std::sync::Arc;

use foldhash::HashMap;

use super::merge::Part;

/// One endpoint: which part of the service, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) part: u32,
    pub(super) at: u32,
}

/// The places of all copies of those addresses of which any copy is on a node, by node; under `None` those of which any
/// copy is on no known node. Sorting out the copies of these is enough for the node's answer. Holds as long as the parts
/// stay what they are.
#[derive(Debug, Default)]
pub(super) struct NearIndex {
    by_node: HashMap<Option<Arc<str>>, Vec<Place>>,
}

impl NearIndex {
    pub(super) fn new(parts: &[Part<'_>]) -> Self {
        let mut all = Vec::new();
        for (part, index) in parts.iter().zip(0..) {
            let endpoints = part.slice.endpoints.iter().zip(0..);
            all.extend(endpoints.map(|(e, at)| (e, Place { part: index, at })));
        }
        all.sort_by_key(|(endpoint, _)| endpoint.ip);
        let mut index = Self::default();
        for copies in all.chunk_by(|(a, _), (b, _)| a.ip == b.ip) {
            for (i, (endpoint, _)) in copies.iter().enumerate() {
                let node = &endpoint.node;
                if copies[..i].iter().all(|(other, _)| other.node != *node) {
                    let places = index.by_node.entry(node.clone()).or_default();
                    places.extend(copies.iter().map(|(_, place)| *place));
                }
            }
        }
        index
    }

    /// What the answer of this node is made from.
    pub(super) fn of(&self, node: &str) -> impl Iterator<Item = Place> {
        let own = self.by_node.get(&Some(node.into()));
        let nowhere = self.by_node.get(&None);
        own.into_iter().chain(nowhere).flatten().copied()
    }
}
