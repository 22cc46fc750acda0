//! What paths come to, and how the branches of a union become one outcome.

use l5d_naming::{NameTree, Path, Weight, Weighted};

use super::BindError;
use crate::store::Cluster;

/// A leaf as the namers gave it.
#[derive(Clone, Debug)]
pub(super) struct BaseLeaf {
    pub(super) cluster: Cluster,
    pub(super) residual: Path,
    /// Weight of the innermost union branch.
    pub(super) weight: Option<Weight>,
}

/// What a path comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// An earlier alternative is not known yet.
    Pending,
    /// It cannot be bound now.
    Failed(BindError),
    /// Simplified, without alternatives.
    Tree {
        tree: NameTree<BaseLeaf>,
        /// A union in it leaves out a branch that is pending.
        partial: bool,
    },
}

/// The branches of a union so far.
#[derive(Default)]
pub(super) struct Collected {
    /// The branches that are Ok, negative ones too.
    known: Vec<Weighted<BaseLeaf>>,
    failure: Option<BindError>,
    pending: bool,
    partial: bool,
    branches: usize,
}

// === impl Collected ===

impl Collected {
    pub(super) fn add(&mut self, weight: Weight, outcome: Outcome) {
        self.branches += 1;
        match outcome {
            Outcome::Pending => self.pending = true,
            Outcome::Failed(error) => {
                self.failure.get_or_insert(error);
            }
            Outcome::Tree { tree, partial } => {
                self.partial |= partial;
                // The innermost weight is there already.
                let tree = tree.map(&mut |leaf: &BaseLeaf| BaseLeaf {
                    weight: leaf.weight.or(Some(weight)),
                    ..leaf.clone()
                });
                self.known.push(Weighted { weight, tree });
            }
        }
    }

    /// The simplified union of what is known (naming 2.3, 4.2). What a lone branch is, the union is, be it failing.
    pub(super) fn outcome(mut self) -> Outcome {
        if self.known.is_empty() && self.branches > 0 {
            return self.failure.map_or(Outcome::Pending, Outcome::Failed);
        }
        if self.known.len() > 1 {
            self.known
                .retain(|b| !matches!(b.tree, NameTree::Neg | NameTree::Fail));
        }
        let tree = match self.known.len() {
            0 => NameTree::Neg,
            1 => self.known.remove(0).tree,
            _ => NameTree::Union(self.known),
        };
        Outcome::Tree {
            tree,
            partial: self.partial || self.pending,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn tree(tree: NameTree<BaseLeaf>) -> Self {
        Outcome::Tree {
            tree,
            partial: false,
        }
    }

    pub(super) fn leaf(cluster: Cluster, residual: Path) -> Self {
        Self::tree(NameTree::Leaf(BaseLeaf {
            cluster,
            residual,
            weight: None,
        }))
    }

    pub(super) fn is_neg(&self) -> bool {
        matches!(
            self,
            Outcome::Tree {
                tree: NameTree::Neg,
                ..
            }
        )
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Outcome::Tree { tree, .. } => size(tree),
            Outcome::Pending | Outcome::Failed(_) => 0,
        }
    }
}

/// Leaves of a tree, and what else stands in place of one: `$` multiplies like a leaf does.
pub(super) fn size<T>(tree: &NameTree<T>) -> usize {
    match tree {
        NameTree::Alt(trees) => trees.iter().map(size).sum(),
        NameTree::Union(branches) => branches.iter().map(|b| size(&b.tree)).sum(),
        NameTree::Leaf(_) | NameTree::Neg | NameTree::Fail | NameTree::Empty => 1,
    }
}

/// How deep unions stand in unions.
pub(super) fn union_depth<T>(tree: &NameTree<T>) -> usize {
    match tree {
        NameTree::Union(branches) => {
            let deepest = branches.iter().map(|b| union_depth(&b.tree)).max();
            1 + deepest.unwrap_or(0)
        }
        _ => 0,
    }
}

/// Ids name clusters (naming 4.1), so equal ids are the same cluster.
impl PartialEq for BaseLeaf {
    fn eq(&self, other: &Self) -> bool {
        self.cluster.id == other.cluster.id
            && self.residual == other.residual
            && self.weight == other.weight
            && self.cluster.endpoints.audience() == other.cluster.endpoints.audience()
    }
}
