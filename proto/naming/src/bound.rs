//! What binding gives.

use std::fmt;

use crate::{NameTree, Path};

/// The path that a namer gives to a bound cluster: a key, also on the wire. Two bound names are the same thing if and only
/// if their ids are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub Path);

/// A bound cluster and the part of the path that its namer did not use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BoundName {
    /// The cluster.
    pub id: ClusterId,
    /// What was left of the path.
    pub residual: Path,
}

/// A tree of bound names: never an `Alt`, no `Neg` or `Fail` below the top.
pub type BoundTree = NameTree<BoundName>;

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
