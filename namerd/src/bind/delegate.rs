//! Delegation trees: every step from a path to its clusters, for humans (naming 7).
//!
//! Unlike a binding, a delegation follows all alternatives, and it is made once: when nothing that it needs is pending
//! any more.

use std::sync::{Arc, Weak};

use l5d_naming::{Dentry, Dtab, NameTree, Path, Replicas, Weight};

use super::base::{NoRules, with_rules};
use super::binder::Core;
use super::chain::Chain;
use super::walk::Walk;
use super::{BindError, BindKey, Binder, BoundLeaf, Transformers};
use crate::store::{Caller, Cell, NamespaceState, Reads, Recompute};

/// Which part of the full dtab a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    pub rule: Option<Rule>,
    /// What came of it.
    pub kind: DelegationKind,
}

/// A rule, where it comes from and its index there.
pub type Rule = (Arc<Dentry>, RuleSource, usize);

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
    /// Every step of a name (naming 7), once nothing that it needs is pending: the caller bounds the wait. A router's
    /// const or replace cannot be shown (naming 6.5): an error. Cancel safe.
    pub async fn delegate(&self, key: &BindKey, caller: &Caller) -> Result<Delegation, BindError> {
        let tree = NameTree::Leaf(key.path.clone());
        self.delegate_tree(key, &tree, caller).await
    }

    /// The same for a tree of names instead of the key's one.
    pub async fn delegate_tree(
        &self,
        key: &BindKey,
        tree: &NameTree<Path>,
        caller: &Caller,
    ) -> Result<Delegation, BindError> {
        let core = &self.core;
        let chain = core
            .chain(&key.transformers)
            .map_err(|refused| BindError::Namer(refused.0.into()))?;
        if let Some(opaque) = chain.opaque() {
            let kind = &opaque.spec.kind;
            let message = format!("this interpreter cannot show delegations: it has {kind}");
            return Err(BindError::Namer(message.into()));
        }
        // One for each part of the list, to show what each transformer does.
        let stages = (0..=key.transformers.len())
            .map(|n| core.chain(&Transformers::from(&key.transformers[..n])))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|refused| BindError::Namer(refused.0.into()))?;
        let answer = core.engine.computed(None, |out| Delegating {
            core: Arc::downgrade(core),
            stored: key.root.as_ref().map(|root| core.store.observe(root)),
            key: key.clone(),
            tree: tree.clone(),
            caller: core.project(caller, &chain),
            stages,
            out,
        });
        let done = answer.wait_for(Option::is_some).await;
        match &done.1 {
            Some(answer) => answer.clone(),
            None => unreachable!("waited for it"),
        }
    }
}

type Answered = Option<Result<Delegation, BindError>>;

/// Tries again when something that it needs has changed, until nothing is pending.
struct Delegating {
    core: Weak<Core>,
    stored: Option<Arc<Cell<NamespaceState>>>,
    key: BindKey,
    tree: NameTree<Path>,
    caller: Caller,
    stages: Vec<Arc<Chain>>,
    out: Weak<Cell<Answered>>,
}

impl Recompute for Delegating {
    fn recompute(&self, reads: &mut Reads) {
        let (Some(core), Some(out)) = (self.core.upgrade(), self.out.upgrade()) else {
            return;
        };
        if out.get().1.is_some() {
            return;
        }
        let rules: (&Dtab, &Dtab) = (&self.key.router, &self.key.local);
        let answer = with_rules(self.stored.as_ref(), rules, reads, |rules, reads| {
            Walk::new(&core, rules, &self.caller, &self.stages, reads).answer(&self.tree)
        });
        let answer = answer.unwrap_or_else(|unknown| match unknown {
            NoRules::Pending => None,
            NoRules::Unreadable(reason) => Some(Err(BindError::Store(reason))),
        });
        if answer.is_some() {
            out.replace(answer);
        }
    }
}

// === simplified nodes (naming 7.2, end) ===

pub(super) fn node(path: String, rule: Option<Rule>, kind: DelegationKind) -> Delegation {
    Delegation { path, rule, kind }
}

/// A child with the same path takes the place of its delegate, unless there is nothing more to it.
pub(super) fn delegate(path: String, rule: Option<Rule>, child: Delegation) -> Delegation {
    use DelegationKind::{Empty, Fail, Neg};
    if child.path == path && !matches!(child.kind, Neg | Fail | Empty) {
        return Delegation { rule, ..child };
    }
    node(path, rule, DelegationKind::Delegate(Box::new(child)))
}

/// An alternative of alternatives of the same path is one; one alternative is a delegate.
pub(super) fn alt(path: String, rule: Option<Rule>, children: Vec<Delegation>) -> Delegation {
    let mut merged = Vec::with_capacity(children.len());
    for child in children {
        match child.kind {
            DelegationKind::Alt(inner) if child.path == path => merged.extend(inner),
            _ => merged.push(child),
        }
    }
    match <[Delegation; 1]>::try_from(merged) {
        Ok([only]) => delegate(path, rule, only),
        Err(several) if several.is_empty() => node(path, rule, DelegationKind::Neg),
        Err(several) => node(path, rule, DelegationKind::Alt(several)),
    }
}

pub(super) fn union(
    path: String,
    rule: Option<Rule>,
    children: Vec<(Weight, Delegation)>,
) -> Delegation {
    match <[(Weight, Delegation); 1]>::try_from(children) {
        Ok([(_, only)]) => delegate(path, rule, only),
        Err(several) if several.is_empty() => node(path, rule, DelegationKind::Neg),
        Err(several) => node(path, rule, DelegationKind::Union(several)),
    }
}
