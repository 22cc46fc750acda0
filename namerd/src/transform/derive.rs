//! Cells computed from other cells.

use std::fmt;
use std::sync::{Arc, Weak};

use foldhash::HashMap;
use l5d_naming::{Endpoint, EndpointSet, Replicas};
use parking_lot::Mutex;

use crate::store::{Audience, Cell, Endpoints, Engine, Reads, Recompute};

/// A cell whose value is `compute`'s, as long as someone holds it.
pub(super) fn derived<T: PartialEq + Send + Sync + 'static>(
    engine: &Engine,
    first: T,
    compute: impl Fn(&mut Reads) -> T + Send + Sync + 'static,
) -> Arc<Cell<T>> {
    struct Node<T, F> {
        out: Weak<Cell<T>>,
        compute: F,
    }
    impl<T: PartialEq + Send + Sync, F: Fn(&mut Reads) -> T + Send + Sync> Recompute for Node<T, F> {
        fn recompute(&self, reads: &mut Reads) {
            if let Some(out) = self.out.upgrade() {
                out.set((self.compute)(reads));
            }
        }
    }
    engine.computed(first, |out| Node { out, compute })
}

/// A pure function of one set. Whatever is not bound passes unchanged (K8S-50).
pub(super) type Map = dyn Fn(&Arc<EndpointSet>) -> Replicas + Send + Sync;

/// All views of a cluster through one function.
pub(super) struct Mapped {
    engine: Engine,
    base: Arc<dyn Endpoints>,
    map: Arc<Map>,
    views: Mutex<Views>,
}

#[derive(Default)]
struct Views {
    whole: Weak<Cell<Replicas>>,
    each_node: Weak<Cell<Replicas>>,
    on_node: HashMap<Arc<str>, Weak<Cell<Replicas>>>,
}

impl Mapped {
    pub(super) fn views(
        engine: &Engine,
        base: &Arc<dyn Endpoints>,
        map: impl Fn(&Arc<EndpointSet>) -> Replicas + Send + Sync + 'static,
    ) -> Arc<dyn Endpoints> {
        Arc::new(Self {
            engine: engine.clone(),
            base: Arc::clone(base),
            map: Arc::new(map),
            views: Mutex::default(),
        })
    }

    fn view(
        &self,
        slot: &mut Weak<Cell<Replicas>>,
        base: impl FnOnce() -> Arc<Cell<Replicas>>,
    ) -> Arc<Cell<Replicas>> {
        slot.upgrade().unwrap_or_else(|| {
            let (base, map) = (base(), Arc::clone(&self.map));
            let cell = derived(&self.engine, Replicas::Pending, move |reads| {
                mapped(&reads.read(&base).1, &*map)
            });
            *slot = Arc::downgrade(&cell);
            cell
        })
    }
}

impl Endpoints for Mapped {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        self.view(&mut self.views.lock().whole, || self.base.whole())
    }

    fn each_node(&self) -> Arc<Cell<Replicas>> {
        self.view(&mut self.views.lock().each_node, || self.base.each_node())
    }

    fn on_node(&self, node: &str) -> Option<Arc<Cell<Replicas>>> {
        let base = self.base.on_node(node)?;
        let mut views = self.views.lock();
        views.on_node.retain(|_, cell| cell.strong_count() > 0);
        Some(self.view(views.on_node.entry(node.into()).or_default(), || base))
    }

    fn audience(&self) -> Audience {
        self.base.audience()
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").finish_non_exhaustive()
    }
}

/// `map` of a bound set; everything else as it is.
pub(super) fn mapped(replicas: &Replicas, map: impl Fn(&Arc<EndpointSet>) -> Replicas) -> Replicas {
    match replicas {
        Replicas::Bound(set) => map(set),
        other => other.clone(),
    }
}

/// The endpoints of `set` that `keep` wants; none is `Neg`, also if there were none before (K8S-51).
/// The set itself where all are wanted: there are as many sets of one node's endpoints as nodes have names.
pub(super) fn filtered(set: &Arc<EndpointSet>, keep: impl Fn(&Endpoint) -> bool) -> Replicas {
    let kept = set.endpoints().iter().filter(|e| keep(e));
    match kept.clone().count() {
        0 => return Replicas::Neg,
        all if all == set.len() => return Replicas::Bound(Arc::clone(set)),
        _ => {}
    }
    let kept = kept.cloned();
    Replicas::Bound(Arc::new(like(set, EndpointSet::new(kept))))
}

/// One endpoint an address, weights of equal addresses added up (K8S-72); the first one's metadata stays.
pub(super) fn summed(endpoints: impl IntoIterator<Item = Endpoint>) -> EndpointSet {
    let mut by_addr: HashMap<_, Endpoint> = HashMap::default();
    for endpoint in endpoints {
        by_addr
            .entry(endpoint.addr)
            .and_modify(|kept| kept.weight = kept.weight.saturating_add(endpoint.weight))
            .or_insert(endpoint);
    }
    EndpointSet::new(by_addr.into_values())
}

/// `new` with what `old` says of the set as a whole (K8S-53).
pub(super) fn like(old: &EndpointSet, new: EndpointSet) -> EndpointSet {
    new.with_authority(old.authority().cloned())
        .with_at(old.at())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_which_all_is_wanted_is_shared_and_not_copied() {
        let endpoint = |n: u8| Endpoint::new(([10, 0, 0, n], 80).into());
        let set = Arc::new(EndpointSet::new([endpoint(1), endpoint(2)]));
        let Replicas::Bound(all) = filtered(&set, |_| true) else {
            panic!("all are wanted");
        };
        assert!(Arc::ptr_eq(&all, &set));
        let Replicas::Bound(one) = filtered(&set, |e| *e == endpoint(2)) else {
            panic!("one is wanted");
        };
        assert_eq!(one.endpoints(), [endpoint(2)]);
        assert_eq!(filtered(&set, |_| false), Replicas::Neg);
    }
}
