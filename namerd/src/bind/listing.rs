//! The names that enumerating namers know, merged.

use std::sync::{Arc, Weak};

use l5d_naming::ClusterId;

use super::Namer;
use crate::store::{Cell, Engine, Reads, Recompute};

/// Merges the namers' listings.
pub(super) struct Listing {
    of: Vec<Arc<Cell<Arc<[ClusterId]>>>>,
    out: Weak<Cell<Arc<[ClusterId]>>>,
}

impl Listing {
    /// The merged names, sorted, each once; live while held.
    pub(super) fn follow(
        namers: &[Arc<dyn Namer>],
        engine: &Engine,
    ) -> Arc<Cell<Arc<[ClusterId]>>> {
        let of = namers.iter().filter_map(|n| n.names()).collect();
        engine.computed(Arc::new([]) as Arc<[_]>, |out| Self { of, out })
    }
}

impl Recompute for Listing {
    fn recompute(&self, reads: &mut Reads) {
        let mut all: Vec<ClusterId> = Vec::new();
        for names in &self.of {
            all.extend(reads.read(names).1.iter().cloned());
        }
        all.sort();
        all.dedup();
        if let Some(out) = self.out.upgrade() {
            out.set(all.into());
        }
    }
}
