//! Delegation trees: every step from a path to its clusters, for humans (naming 7).
//!
//! Unlike a binding, a delegation follows all alternatives, and it is made once: when nothing that it needs is pending
//! any more. It recurses, so its nesting is bounded besides its lookups and its steps.

use std::sync::{Arc, Weak};

use l5d_naming::limits::{BIND_DEPTH, BIND_STEPS};
use l5d_naming::{Dentry, Dtab, NameTree, Path, Replicas, Weight};

use super::base::with_rules;
use super::binder::Core;
use super::chain::Chain;
use super::interpreter::BaseLeaf;
use super::rules::{Match, Rules};
use super::transformed::{Leaf, bound_cluster};
use super::{Answer, BindError, BindKey, Binder, BoundLeaf, Found};
use crate::store::{Caller, Cell, Cluster, NamespaceState, Reads, Recompute};
use crate::transform::Effect;

/// Deepest nesting of nodes while a delegation is made: rules of the depth that a name may take, and half as many
/// alternatives in alternatives.
const MOST_NESTED: usize = 150;

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
            .map(|n| core.chain(&key.transformers[..n].into()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|refused| BindError::Namer(refused.0.into()))?;
        let answer = core.engine.computed(None, |out| Delegating {
            core: Arc::downgrade(core),
            stored: key.root.as_ref().map(|root| core.store.observe(root)),
            key: key.clone(),
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
            let mut walk = Walk {
                core: &core,
                rules,
                caller: &self.caller,
                stages: &self.stages,
                reads,
                steps: 0,
                nested: 0,
                pending: false,
            };
            let answer = walk.path(&self.key.path, None, 0);
            (!walk.pending).then(|| answer.map_err(|stop| stop.error(&self.key.path)))
        });
        if let Some(Some(answer)) = answer {
            out.replace(Some(answer));
        }
    }
}

/// One attempt.
struct Walk<'a, 'r> {
    core: &'a Core,
    rules: Rules<'a>,
    caller: &'a Caller,
    /// The lists of the first none, one, two, ... transformers.
    stages: &'a [Arc<Chain>],
    reads: &'r mut Reads,
    steps: usize,
    nested: usize,
    /// Something is not known yet: the result is to be thrown away.
    pending: bool,
}

/// Why a part cannot be shown.
enum Stop {
    /// An exception of the nearest branch above.
    TooDeep,
    /// The whole delegation is too much.
    TooWide,
}

impl<'a> Walk<'a, '_> {
    /// Resolves a path that came from a rule (naming 7.2).
    fn path(&mut self, path: &Path, rule: Option<Rule>, depth: usize) -> Result<Delegation, Stop> {
        if depth > BIND_DEPTH {
            return Err(Stop::TooDeep);
        }
        let mut below = self.rules.len();
        let mut matches = Vec::new();
        while let Some(found) = self.last_match(path, below)? {
            below = found.at;
            matches.push(found);
        }
        match matches.as_slice() {
            [] => self.namers(path, rule, depth),
            [only] => {
                let child = self.rule_tree(path, only, depth)?;
                Ok(delegate(path.to_string(), rule, child))
            }
            several => {
                let children = several
                    .iter()
                    .map(|m| {
                        let child = self.rule_tree(path, m, depth);
                        self.or_exception(child, path, &rule)
                    })
                    .collect::<Result<_, _>>()?;
                Ok(alt(path.to_string(), rule, children))
            }
        }
    }

    fn rule_tree(
        &mut self,
        path: &Path,
        found: &Match<'a>,
        depth: usize,
    ) -> Result<Delegation, Stop> {
        let (source, index) = self.rules.source(found.at);
        let rule = (Arc::new(found.dentry.clone()), source, index);
        let residual = path.skip(found.dentry.prefix.len());
        let mut leaf = |walk: &mut Self, to: &Path, rule: Option<Rule>| {
            walk.path(&to.concat(&residual), rule, depth + 1)
        };
        self.tree(
            path,
            &found.dentry.dst,
            &Some(rule),
            Literal::Shown,
            &mut leaf,
        )
    }

    /// Nothing in the dtab: namers and system namers.
    fn namers(
        &mut self,
        path: &Path,
        rule: Option<Rule>,
        depth: usize,
    ) -> Result<Delegation, Stop> {
        match self
            .core
            .interpreter
            .ask_namers(path, self.caller, self.reads)
        {
            Answer::Pending => {
                self.pending = true;
                Ok(node(path.to_string(), rule, DelegationKind::Neg))
            }
            Answer::Failed(message) => {
                let kind = DelegationKind::Exception(message.to_string());
                Ok(node(path.to_string(), rule, kind))
            }
            Answer::Tree(tree) => {
                let mut leaf = |walk: &mut Self, found: &Found, rule: Option<Rule>| match found {
                    // The rewriting leaves no node (trap 36).
                    Found::Path(to) => walk.path(to, rule, depth + 1),
                    Found::Bound { cluster, residual } => {
                        Ok(walk.leaf(path, cluster, residual, rule))
                    }
                };
                self.tree(path, &tree, &rule, Literal::Path, &mut leaf)
            }
        }
    }

    /// A tree whose nodes all carry `path` and `rule`.
    fn tree<T>(
        &mut self,
        path: &Path,
        tree: &NameTree<T>,
        rule: &Option<Rule>,
        literal: Literal,
        leaf: &mut dyn FnMut(&mut Self, &T, Option<Rule>) -> Result<Delegation, Stop>,
    ) -> Result<Delegation, Stop> {
        self.enter(rule)?;
        let made = self.tree_node(path, tree, rule, literal, leaf);
        self.nested -= 1;
        made
    }

    fn tree_node<T>(
        &mut self,
        path: &Path,
        tree: &NameTree<T>,
        rule: &Option<Rule>,
        literal: Literal,
        leaf: &mut dyn FnMut(&mut Self, &T, Option<Rule>) -> Result<Delegation, Stop>,
    ) -> Result<Delegation, Stop> {
        let shown = path.to_string();
        Ok(match tree {
            NameTree::Leaf(to) => leaf(self, to, rule.clone())?,
            NameTree::Alt(trees) => {
                let children = trees
                    .iter()
                    .map(|t| {
                        let child = self.tree(path, t, rule, literal, leaf);
                        self.or_exception(child, path, rule)
                    })
                    .collect::<Result<_, _>>()?;
                alt(shown, rule.clone(), children)
            }
            NameTree::Union(branches) => {
                let children = branches
                    .iter()
                    .map(|b| {
                        let child = self.tree(path, &b.tree, rule, literal, leaf);
                        Ok((b.weight, self.or_exception(child, path, rule)?))
                    })
                    .collect::<Result<_, _>>()?;
                union(shown, rule.clone(), children)
            }
            NameTree::Neg => node(literal.neg(shown), rule.clone(), DelegationKind::Neg),
            NameTree::Fail => node(literal.fail(shown), rule.clone(), DelegationKind::Fail),
            NameTree::Empty => node(shown, rule.clone(), DelegationKind::Empty),
        })
    }

    /// A bound leaf, behind one node for each transformer.
    fn leaf(
        &mut self,
        path: &Path,
        cluster: &Cluster,
        residual: &Path,
        rule: Option<Rule>,
    ) -> Delegation {
        let [first, ..] = self.stages else {
            unreachable!("the empty list is one of them");
        };
        let mut leaf = Leaf::new(&BaseLeaf {
            cluster: cluster.clone(),
            residual: residual.clone(),
            weight: None,
        });
        let mut bound = self.bound(&leaf, first);
        let mut shown = path.to_string();
        let mut befores = Vec::new();
        for stage in &self.stages[1..] {
            let Some(last) = stage.transformers.last() else {
                continue;
            };
            if let Effect::Leaves(leaves) = &last.effect {
                leaf = leaf.with_id(leaves.id_prefix(self.caller).concat(&leaf.id));
            }
            let after = self.bound(&leaf, stage);
            let name = last.spec.kind.clone();
            befores.push((std::mem::take(&mut shown), name, bound));
            shown = leaf.id.to_string();
            bound = after;
        }
        let rule = if befores.is_empty() { rule } else { None };
        let (leaf, replicas) = bound;
        let last = node(shown, rule, DelegationKind::Leaf { leaf, replicas });
        befores
            .into_iter()
            .rev()
            .fold(last, |after, (path, name, before)| {
                let after = Box::new(after);
                node(
                    path,
                    None,
                    DelegationKind::Transformation {
                        name,
                        before,
                        after,
                    },
                )
            })
    }

    fn bound(&mut self, leaf: &Leaf, chain: &Chain) -> (BoundLeaf, Replicas) {
        let cluster = bound_cluster(leaf, chain, self.caller, self.core);
        let replicas = self.reads.read(&cluster.replicas).1.clone();
        self.pending |= replicas == Replicas::Pending;
        let leaf = BoundLeaf {
            cluster,
            residual: leaf.residual.clone(),
            tree_weight: None,
        };
        (leaf, replicas)
    }

    fn last_match(&mut self, path: &Path, below: usize) -> Result<Option<Match<'a>>, Stop> {
        let found = self.rules.last_match(path, below);
        self.charge(1 + found.map_or(below, |m| m.compared) / 256)?;
        Ok(found)
    }

    fn enter(&mut self, rule: &Option<Rule>) -> Result<(), Stop> {
        let mut leaves = 0;
        if let Some((dentry, ..)) = rule {
            dentry.dst.for_each_leaf(&mut |_| leaves += 1);
        }
        // A node shows its whole rule.
        self.charge(1 + leaves / 16)?;
        if self.nested >= MOST_NESTED {
            return Err(Stop::TooDeep);
        }
        self.nested += 1;
        Ok(())
    }

    fn charge(&mut self, steps: usize) -> Result<(), Stop> {
        self.steps += steps;
        if self.steps <= BIND_STEPS {
            Ok(())
        } else {
            Err(Stop::TooWide)
        }
    }

    /// An error below an alternative or a branch becomes a node there.
    fn or_exception(
        &mut self,
        made: Result<Delegation, Stop>,
        path: &Path,
        rule: &Option<Rule>,
    ) -> Result<Delegation, Stop> {
        match made {
            Err(Stop::TooDeep) => {
                let kind = DelegationKind::Exception(TOO_DEEP.to_owned());
                Ok(node(path.to_string(), rule.clone(), kind))
            }
            other => other,
        }
    }
}

const TOO_DEEP: &str = "Max recursion level reached.";

impl Stop {
    fn error(self, path: &Path) -> BindError {
        match self {
            Stop::TooDeep => BindError::Depth(TOO_DEEP.into()),
            Stop::TooWide => BindError::Width(
                format!("the delegation of {path} takes more than {BIND_STEPS} steps").into(),
            ),
        }
    }
}

/// Whether a negative or failing tree is written in a rule, and so is shown as itself.
#[derive(Clone, Copy)]
enum Literal {
    Shown,
    Path,
}

impl Literal {
    fn neg(self, path: String) -> String {
        match self {
            Literal::Shown => "~".to_owned(),
            Literal::Path => path,
        }
    }

    fn fail(self, path: String) -> String {
        match self {
            Literal::Path if path == "/$/fail" || path.starts_with("/$/fail/") => path,
            Literal::Path | Literal::Shown => "!".to_owned(),
        }
    }
}

// === simplified nodes (naming 7.2, end) ===

fn node(path: String, rule: Option<Rule>, kind: DelegationKind) -> Delegation {
    Delegation { path, rule, kind }
}

/// A child with the same path takes the place of its delegate, unless there is nothing more to it.
fn delegate(path: String, rule: Option<Rule>, child: Delegation) -> Delegation {
    use DelegationKind::{Empty, Fail, Neg};
    if child.path == path && !matches!(child.kind, Neg | Fail | Empty) {
        return Delegation { rule, ..child };
    }
    node(path, rule, DelegationKind::Delegate(Box::new(child)))
}

/// An alternative of alternatives of the same path is one; one alternative is a delegate.
fn alt(path: String, rule: Option<Rule>, children: Vec<Delegation>) -> Delegation {
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

fn union(path: String, rule: Option<Rule>, children: Vec<(Weight, Delegation)>) -> Delegation {
    match <[(Weight, Delegation); 1]>::try_from(children) {
        Ok([(_, only)]) => delegate(path, rule, only),
        Err(several) if several.is_empty() => node(path, rule, DelegationKind::Neg),
        Err(several) => node(path, rule, DelegationKind::Union(several)),
    }
}
