//! What finds paths under one prefix in one source of truth.

use std::sync::Arc;

use l5d_naming::{ClusterId, NameTree, Path};

use crate::store::{Caller, Cell, Cluster, Reads};
use crate::transform::CallerClass;

/// A leaf of a namer's answer.
#[derive(Clone, Debug)]
pub enum Found {
    /// Another path, to be looked up in the dtab again.
    Path(Path),
    /// A cluster and what the namer did not use of the path.
    Bound {
        /// The cluster.
        cluster: Cluster,
        /// The unused rest.
        residual: Path,
    },
}

/// What a namer says of a path now.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The source has not answered yet.
    Pending,
    /// An error: fails the whole name unless it stands in a union beside a good branch.
    Failed(Arc<str>),
    /// A tree.
    Tree(NameTree<Found>),
}

/// Finds paths under one prefix.
pub trait Namer: Send + Sync {
    /// The prefix it answers under, with `/#` or `/$` in front.
    fn prefix(&self) -> &Path;

    /// The configuration's kind, for pages and messages.
    fn kind(&self) -> &str;

    /// Answers for the path behind the prefix. Whatever it looks at that can change is read through `reads`; the answer
    /// tells existence only, addresses are in the cluster's cells. Never waits.
    ///
    /// Law: as long as somebody holds a cell of a cluster, it is fed, and the same id gives that cell or one that shows
    /// the same (K8S-2), for callers that agree in [`Namer::classes`].
    fn look_up(&self, rest: &Path, caller: &Caller, reads: &mut Reads) -> Answer;

    /// Which parts of the caller its answers depend on: those of per-caller transformers on the namer (K8S-68).
    fn classes(&self) -> &[CallerClass] {
        &[]
    }

    /// The names it can enumerate, for the names listing.
    fn names(&self) -> Option<Arc<Cell<Arc<[ClusterId]>>>> {
        None
    }
}

impl Answer {
    /// A negative tree.
    pub fn neg() -> Self {
        Answer::Tree(NameTree::Neg)
    }

    /// One cluster.
    pub fn bound(cluster: Cluster, residual: Path) -> Self {
        Answer::Tree(NameTree::Leaf(Found::Bound { cluster, residual }))
    }

    /// One path to look up again.
    pub fn path(path: Path) -> Self {
        Answer::Tree(NameTree::Leaf(Found::Path(path)))
    }
}
