//! A binding as a router asked for it: the base's tree with the router's transformers applied (naming 6, resolver
//! API 3).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use l5d_naming::limits::BIND_LEAVES;
use l5d_naming::{ClusterId, NameTree, Path, Weight, Weighted};

use super::base::Base;
use super::binder::Core;
use super::chain::Chain;
use super::outcome::{BaseLeaf, Outcome, size};
use super::{BindError, BindState, BoundCluster, BoundLeaf, Transformers};
use crate::store::{Audience, Caller, Cell, Cluster, Reads, Recompute};
use crate::transform::{Effect, Transformer};

/// What a cluster with a number is shared by: where it comes from, the list that changed it, the class of callers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClusterKey {
    pub(super) id: ClusterId,
    origin: ClusterId,
    specs: Transformers,
    caller: Caller,
    /// Of the origin: who is in it gets the same (K8S-149).
    audience: Audience,
}

/// Feeds a binding's cell from its base.
pub(super) struct Transformed {
    pub(super) core: Weak<Core>,
    pub(super) base: Arc<Base>,
    pub(super) chain: Arc<Chain>,
    /// For each transformer, what its path is bound to (const, replace).
    pub(super) replacements: Vec<Option<Arc<Base>>>,
    /// Nothing but what the answer depends on.
    pub(super) caller: Caller,
    pub(super) state: Arc<Cell<BindState>>,
    /// Kept beside the state: there is one for each name of each node, and it is nearly always false.
    pub(super) partial: AtomicBool,
}

/// A leaf on its way through the list.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) origin: Cluster,
    /// The transformers from here on are for this cluster.
    from: usize,
    pub(super) id: Path,
    pub(super) residual: Path,
    weight: Option<Weight>,
}

type Tree = (NameTree<Leaf>, bool);

// === impl Transformed ===

impl Recompute for Transformed {
    fn recompute(&self, reads: &mut Reads) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let (state, partial) = match self.apply(reads) {
            Ok((tree, partial)) => {
                let tree = tree.map(&mut |leaf| self.bound(leaf, &core));
                (BindState::Tree(tree), partial)
            }
            Err(state) => (state, false),
        };
        // Before the state, which wakes who waits for either.
        if self.partial.swap(partial, Ordering::AcqRel) == partial {
            self.state.set(state);
        } else {
            self.state.replace(state);
        }
    }
}

impl Transformed {
    fn apply(&self, reads: &mut Reads) -> Result<Tree, BindState> {
        let (mut tree, mut partial) = outcome_of(&self.base, reads)?;
        for (index, transformer) in self.chain.transformers.iter().enumerate() {
            match (&transformer.effect, &self.replacements[index]) {
                (Effect::Leaves(leaves), _) => {
                    let prefix = leaves.id_prefix(&self.caller);
                    tree = tree.map(&mut |leaf: &Leaf| Leaf {
                        id: prefix.concat(&leaf.id),
                        ..leaf.clone()
                    });
                }
                (Effect::Const(path), Some(base)) => {
                    let (bound, waits) = replacement(base, transformer, path, index, reads)?;
                    partial = waits;
                    tree = bound;
                }
                (Effect::Replace(path), Some(base)) => {
                    if has_leaves(&tree) {
                        let (bound, waits) = replacement(base, transformer, path, index, reads)?;
                        partial |= waits;
                        tree = graft(&tree, &bound).simplify();
                        check_width(&tree)?;
                    }
                }
                (Effect::Const(_) | Effect::Replace(_), None) => {
                    unreachable!("a base is made for each of these")
                }
            }
        }
        Ok((tree, partial))
    }

    fn bound(&self, leaf: &Leaf, core: &Core) -> BoundLeaf {
        BoundLeaf {
            cluster: bound_cluster(leaf, &self.chain, &self.caller, core),
            residual: leaf.residual.clone(),
            tree_weight: leaf.weight,
        }
    }
}

/// The shared cluster of a leaf that has been through the whole list.
pub(super) fn bound_cluster(
    leaf: &Leaf,
    chain: &Chain,
    caller: &Caller,
    core: &Core,
) -> Arc<BoundCluster> {
    let key = ClusterKey {
        id: ClusterId(leaf.id.clone()),
        origin: leaf.origin.id.clone(),
        specs: chain.specs.clone(),
        caller: core.cluster_caller(caller, &leaf.origin, chain),
        audience: leaf.origin.endpoints.audience(),
    };
    let id = key.id.clone();
    core.clusters.get_or(key, || {
        let cluster =
            chain.transformers[leaf.from..]
                .iter()
                .fold(leaf.origin.clone(), |cluster, t| match &t.effect {
                    Effect::Leaves(leaves) => leaves.transform(&cluster, caller),
                    Effect::Const(_) | Effect::Replace(_) => cluster,
                });
        let number = core.numbers.next();
        Arc::new(BoundCluster {
            number: number.value(),
            id,
            replicas: cluster.endpoints.whole(),
            _number: number,
        })
    })
}

impl Leaf {
    /// A leaf before the list.
    pub(super) fn new(leaf: &BaseLeaf) -> Self {
        Self {
            id: leaf.cluster.id.0.clone(),
            origin: leaf.cluster.clone(),
            from: 0,
            residual: leaf.residual.clone(),
            weight: leaf.weight,
        }
    }

    /// The same with an id that one more transformer gave.
    pub(super) fn with_id(&self, id: Path) -> Self {
        Self { id, ..self.clone() }
    }
}

fn outcome_of(base: &Base, reads: &mut Reads) -> Result<Tree, BindState> {
    match &reads.read(&base.out).1 {
        Outcome::Pending => Err(BindState::Pending),
        Outcome::Failed(error) => Err(BindState::Failed(error.clone())),
        Outcome::Tree { tree, partial } => Ok((tree.map(&mut Leaf::new), *partial)),
    }
}

/// The bound tree of a const's or replace's path: ids are the prefix and the whole configured path (naming 6.3).
fn replacement(
    base: &Base,
    transformer: &Transformer,
    path: &Path,
    index: usize,
    reads: &mut Reads,
) -> Result<Tree, BindState> {
    let id = transformer.prefix.concat(path);
    let (tree, partial) = outcome_of(base, reads)?;
    let tree = tree.map(&mut |leaf: &Leaf| Leaf {
        id: id.clone(),
        from: index + 1,
        ..leaf.clone()
    });
    Ok((tree, partial))
}

fn has_leaves<T>(tree: &NameTree<T>) -> bool {
    let mut any = false;
    tree.for_each_leaf(&mut |_| any = true);
    any
}

/// `tree` with each leaf replaced; a leaf keeps the weight that it was bound under.
fn graft(tree: &NameTree<Leaf>, scion: &NameTree<Leaf>) -> NameTree<Leaf> {
    match tree {
        NameTree::Leaf(old) => scion.map(&mut |new: &Leaf| Leaf {
            weight: new.weight.or(old.weight),
            ..new.clone()
        }),
        NameTree::Alt(trees) => NameTree::Alt(trees.iter().map(|t| graft(t, scion)).collect()),
        NameTree::Union(branches) => NameTree::Union(
            branches
                .iter()
                .map(|b| Weighted {
                    weight: b.weight,
                    tree: graft(&b.tree, scion),
                })
                .collect(),
        ),
        NameTree::Neg => NameTree::Neg,
        NameTree::Fail => NameTree::Fail,
        NameTree::Empty => NameTree::Empty,
    }
}

fn check_width(tree: &NameTree<Leaf>) -> Result<(), BindState> {
    if size(tree) <= BIND_LEAVES {
        return Ok(());
    }
    let message = format!("replace makes a tree of more than {BIND_LEAVES} leaves");
    Err(BindState::Failed(BindError::Width(message.into())))
}

impl std::fmt::Debug for Transformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transformed({:?})", self.base)
    }
}
