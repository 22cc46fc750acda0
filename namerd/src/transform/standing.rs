//! Which node stands at which gateway, of all gateways that somebody collapses onto.
//!
//! Kept beside the indexes: an index that is computed anew has told this before anything is computed of it, so names are
//! there before the address sets that need them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use l5d_resolver::gateways::{self, Gateways};
use parking_lot::Mutex;

use super::gateways::{GatewayIndex, GatewayState};
use crate::store::Cell;

/// All names, for whoever follows them.
pub(super) struct Standing {
    cell: Arc<Cell<Gateways>>,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    next: u64,
    indexes: BTreeMap<u64, Arc<GatewayIndex>>,
    /// Not all indexes are told, and that was said.
    is_full: bool,
}

/// One index's part of the names, for as long as it lives.
pub(super) struct Part {
    of: Arc<Standing>,
    id: u64,
}

impl Standing {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            cell: Cell::new(Gateways::default()),
            parts: Mutex::default(),
        })
    }

    pub(super) fn cell(&self) -> &Arc<Cell<Gateways>> {
        &self.cell
    }

    pub(super) fn part(self: &Arc<Self>) -> Part {
        let mut parts = self.parts.lock();
        parts.next += 1;
        Part {
            of: Arc::clone(self),
            id: parts.next,
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u64, Arc<GatewayIndex>>)) {
        let mut parts = self.parts.lock();
        change(&mut parts.indexes);
        let (nodes, is_full) = union(&parts.indexes);
        if is_full && !parts.is_full {
            tracing::error!(
                most = gateways::MOST,
                "there are more gateways than nodes take names of: those of the transformers that came last have none, and \
                 no node with an identity connects to them"
            );
        }
        parts.is_full = is_full;
        // Within the lock: what was computed last stays.
        let now = self.cell.value().changed_to(nodes);
        self.cell.set(now);
    }
}

/// The names of all indexes, the oldest first, as far as nodes take them, and whether some were left out: whoever names too
/// many gateways fails alone (RES-10).
fn union(indexes: &BTreeMap<u64, Arc<GatewayIndex>>) -> (BTreeMap<IpAddr, Arc<str>>, bool) {
    let (mut nodes, mut is_full) = (BTreeMap::new(), false);
    for index in indexes.values() {
        if nodes.len() + index.nodes().count() <= gateways::MOST {
            nodes.extend(index.nodes());
        } else {
            is_full = true;
        }
    }
    (nodes, is_full)
}

impl Part {
    /// The index is this now. One that is not known at the moment changes nothing.
    pub(super) fn update(&self, state: &GatewayState) {
        match state {
            GatewayState::Pending | GatewayState::Failed(_) => {}
            GatewayState::Missing => self.of.change(|indexes| {
                indexes.remove(&self.id);
            }),
            GatewayState::Known(index) => self.of.change(|indexes| {
                indexes.insert(self.id, Arc::clone(index));
            }),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.of.change(|indexes| {
            indexes.remove(&self.id);
        });
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}
