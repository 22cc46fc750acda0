//! What is asked and what is answered: questions, bindings, their clusters.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use l5d_naming::{ClusterId, Dtab, EndpointSet, NameTree, Path, Replicas, Weight};

use super::Transformers;
use super::table::Number;
use crate::store::{Cell, Handle};

/// A question: what does this path mean to this router and request?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BindKey {
    /// The dtab namespace; `None`: no stored dtab.
    pub root: Option<Arc<str>>,
    /// The router's own dtab, behind the stored one.
    pub router: Dtab,
    /// The request's override, last.
    pub local: Dtab,
    /// What to bind.
    pub path: Path,
    /// Applied to the result, in order.
    pub transformers: Transformers,
}

/// Why a binding has failed (a state, not an end).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// More lookups than a name may take.
    #[error("{0}")]
    Depth(Arc<str>),
    /// More steps or leaves than a name may take.
    #[error("{0}")]
    Width(Arc<str>),
    /// A namer failed.
    #[error("{0}")]
    Namer(Arc<str>),
    /// The dtab store failed and there is no good dtab from before.
    #[error("{0}")]
    Store(Arc<str>),
}

/// Why a question cannot be asked at all: an unknown or badly given transformer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BindRefused(pub String);

/// The state of one binding.
#[derive(Clone, Debug, PartialEq)]
pub enum BindState {
    /// Something it needs has never been known.
    Pending,
    /// It cannot be bound now.
    Failed(BindError),
    /// A tree: never an `Alt`, no `Neg` or `Fail` below the top.
    Tree(NameTree<BoundLeaf>),
}

/// One leaf of a bound tree. Equal to another if it follows the same cluster, with the same residual (naming 4.2) and
/// the same weight to show.
#[derive(Clone, Debug)]
pub struct BoundLeaf {
    /// Where it leads; followed as long as this is held.
    pub cluster: Arc<BoundCluster>,
    /// What was left of the path.
    pub residual: Path,
    /// Weight of the innermost union branch it was bound under (naming 9, `namer_nametree_weight`).
    pub tree_weight: Option<Weight>,
}

/// A cluster as asked for: transformed, for one class of callers, with a number of this process's space.
pub struct BoundCluster {
    /// Its number; clusters and bindings share one space, and none is given twice while somebody holds it.
    pub number: u32,
    /// Its lasting name, transformer prefixes included.
    pub id: ClusterId,
    /// Its endpoints.
    pub replicas: Arc<Cell<Replicas>>,
    pub(super) _number: Number,
}

/// A question with its live answer. Held as an `Arc` by all who ask; forgotten when nobody has held it for the idle time.
pub struct Binding {
    /// Its number; clusters and bindings share one space.
    pub number: u32,
    /// The question.
    pub key: BindKey,
    /// The answer. Its version moves too when [`Binding::is_partial`] changes.
    pub state: Arc<Cell<BindState>>,
    /// Computes the answer; begun outside of any lock by the first who asks.
    pub(super) work: OnceLock<(Arc<super::transformed::Transformed>, Handle)>,
    pub(super) _number: Number,
}

impl PartialEq for BoundLeaf {
    fn eq(&self, other: &Self) -> bool {
        self.cluster.number == other.cluster.number
            && self.residual == other.residual
            && self.tree_weight == other.tree_weight
    }
}

impl BindError {
    /// What a person reads.
    pub fn message(&self) -> &str {
        match self {
            BindError::Depth(m)
            | BindError::Width(m)
            | BindError::Namer(m)
            | BindError::Store(m) => m,
        }
    }
}

impl Binding {
    /// Whether a union of the answer leaves out a branch that is still pending (naming 4.2), so that a better tree is to
    /// be expected. Set before `state`: who sees a version sees this of it, or of a newer one.
    pub fn is_partial(&self) -> bool {
        let work = self.work.get();
        work.is_some_and(|(transformed, _)| transformed.partial.load(Ordering::Acquire))
    }
}

impl BoundCluster {
    /// The endpoints, if the cluster is bound now.
    pub fn bound(&self) -> Option<Arc<EndpointSet>> {
        match &self.replicas.get().1 {
            Replicas::Bound(set) => Some(Arc::clone(set)),
            Replicas::Pending | Replicas::Neg | Replicas::Failed(_) => None,
        }
    }
}

impl fmt::Debug for BoundCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundCluster({} {})", self.number, self.id)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({} {})", self.number, self.key.path)
    }
}
