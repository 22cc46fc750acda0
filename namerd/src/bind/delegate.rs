//! Delegation trees: every step from a path to its clusters, for humans (naming 7).

use l5d_naming::{Dentry, Replicas, Weight};

use super::{BindError, BindKey, Binder, BoundLeaf};
use crate::store::Caller;

/// Which part of the full dtab a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// The namespace's stored dtab.
    Store,
    /// The router's own.
    Router,
    /// The request's override.
    Request,
}

/// One node: the path that was looked up, the rule that led there, what came of it.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// As shown: `~`, `!` for literal trees (naming 7.1).
    pub path: String,
    /// The rule, where it comes from and its index there; `None` at the top.
    pub rule: Option<(Dentry, RuleSource, usize)>,
    /// What came of it.
    pub kind: DelegationKind,
}

/// What came of a path.
#[derive(Clone, Debug)]
pub enum DelegationKind {
    /// `$`.
    Empty,
    /// `!`.
    Fail,
    /// `~`, or nothing found.
    Neg,
    /// An error.
    Exception(String),
    /// One rule applied.
    Delegate(Box<Delegation>),
    /// Several rules or alternatives.
    Alt(Vec<Delegation>),
    /// Weighted branches.
    Union(Vec<(Weight, Delegation)>),
    /// A cluster and its state when the answer was made.
    Leaf {
        /// The bound leaf.
        leaf: BoundLeaf,
        /// Its state.
        replicas: Replicas,
    },
    /// A transformer of the interpreter was applied to the leaf below.
    Transformation {
        /// The transformer's kind.
        name: String,
        /// The leaf before.
        before: (BoundLeaf, Replicas),
        /// The leaf after.
        after: Box<Delegation>,
    },
}

impl Binder {
    /// Every step of a name (naming 7). `stored` tells whether the root's stored dtab takes part.
    pub async fn delegate(
        &self,
        _key: &BindKey,
        _caller: &Caller,
    ) -> Result<Delegation, BindError> {
        unimplemented!()
    }
}
