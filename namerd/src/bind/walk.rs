//! The walk through all alternatives of a name (naming 7.2). It recurses, so its nesting is bounded besides its lookups
//! and its steps.

use std::sync::Arc;

use l5d_naming::limits::{BIND_DEPTH, BIND_STEPS};
use l5d_naming::{NameTree, Path, Replicas};

use super::binder::Core;
use super::chain::Chain;
use super::delegate::{alt, delegate, node, union};
use super::outcome::BaseLeaf;
use super::rules::{Match, Rules};
use super::transformed::{Leaf, bound_cluster};
use super::{Answer, BindError, BoundLeaf, Delegation, DelegationKind, Found, Rule};
use crate::store::{Caller, Cluster, Reads};
use crate::transform::Effect;

/// Deepest nesting of nodes while a delegation is made: rules of the depth that a name may take, and half as many
/// alternatives in alternatives.
const MOST_NESTED: usize = 150;

/// What is done with the leaves of a tree.
type OnLeaf<'f, W, T> = dyn FnMut(&mut W, &T, Option<Rule>) -> Result<Delegation, Stop> + 'f;

/// One attempt.
pub(super) struct Walk<'a, 'r> {
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

impl<'a, 'r> Walk<'a, 'r> {
    /// `stages` are the lists of the first none, one, two, ... transformers.
    pub(super) fn new(
        core: &'a Core,
        rules: Rules<'a>,
        caller: &'a Caller,
        stages: &'a [Arc<Chain>],
        reads: &'r mut Reads,
    ) -> Self {
        Self {
            core,
            rules,
            caller,
            stages,
            reads,
            steps: 0,
            nested: 0,
            pending: false,
        }
    }

    /// The delegation of a path, or of a tree of paths that nothing but the question led to, unless something that it
    /// needs is pending.
    pub(super) fn answer(mut self, tree: &NameTree<Path>) -> Option<Result<Delegation, BindError>> {
        let mut of_path = |walk: &mut Self, path: &Path, rule| walk.path(path, rule, 0);
        let root = Path::root();
        let (path, answer) = match tree {
            NameTree::Leaf(path) => (path, self.path(path, None, 0)),
            tree => {
                let answer = self.tree(&root, tree, &None, Literal::Shown, &mut of_path);
                (&root, answer)
            }
        };
        (!self.pending).then(|| answer.map_err(|stop| stop.error(path)))
    }

    /// Resolves a path that came from a rule (naming 7.2).
    fn path(&mut self, path: &Path, rule: Option<Rule>, depth: usize) -> Result<Delegation, Stop> {
        if depth > BIND_DEPTH {
            return Err(Stop::TooDeep);
        }
        let bytes: usize = path.elems().iter().map(|e| e.as_bytes().len()).sum();
        self.charge(path.len() / 8 + bytes / 256)?;
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
        leaf: &mut OnLeaf<'_, Self, T>,
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
        leaf: &mut OnLeaf<'_, Self, T>,
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
        let (leaf, replicas) = bound;
        let last = node(shown, None, DelegationKind::Leaf { leaf, replicas });
        let top = befores.into_iter().rev();
        let top = top.fold(last, |after, (path, name, before)| {
            let after = Box::new(after);
            let kind = DelegationKind::Transformation {
                name,
                before,
                after,
            };
            node(path, None, kind)
        });
        // The rule led to the name, and what transformers made of it has none.
        Delegation { rule, ..top }
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
