//! Which node stands at which gateway, of all gateways that somebody collapses onto.
//!
//! Kept beside the indexes: an index that is computed anew has told this before anything is computed of it, so names are
//! there before the address sets that need them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use l5d_resolver::gateways::Gateways;
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
        let mut nodes: BTreeMap<IpAddr, Arc<str>> = BTreeMap::new();
        for index in parts.indexes.values() {
            nodes.extend(index.nodes());
        }
        // Within the lock: what was computed last stays.
        self.cell.set(Gateways::new(nodes));
    }
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
