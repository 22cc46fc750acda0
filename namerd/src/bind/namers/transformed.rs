//! A namer with transformers of its own (naming 6, `transformers` of a namer's configuration).

use std::fmt;
use std::sync::Arc;

use l5d_naming::{ClusterId, Dtab, NameTree, Path};

use super::System;
use crate::bind::chain::classes;
use crate::bind::interpreter::Interpreter;
use crate::bind::outcome::{BaseLeaf, Outcome};
use crate::bind::rules::Rules;
use crate::bind::{Answer, Found, Namer};
use crate::store::{Caller, Cell, Cluster, Reads};
use crate::transform::{CallerClass, Effect, Transformer};

/// Applies transformers to each answer of a namer that contains only bound leaves.
pub struct TransformedNamer {
    inner: Arc<dyn Namer>,
    transformers: Vec<Transformer>,
    classes: Vec<CallerClass>,
    /// Binds the paths of const and replace: only `/$/...` is known here (naming 6.3).
    interpreter: Interpreter,
}

impl TransformedNamer {
    /// `inner` with these transformers, in order.
    pub fn new(inner: Arc<dyn Namer>, transformers: Vec<Transformer>, system: Arc<System>) -> Self {
        let mut classes = classes(&transformers);
        classes.extend(inner.classes());
        Self {
            inner,
            classes,
            transformers,
            interpreter: Interpreter {
                namers: Arc::new([]),
                system,
            },
        }
    }

    fn transform(
        &self,
        transformer: &Transformer,
        answer: Answer,
        caller: &Caller,
        reads: &mut Reads,
    ) -> Answer {
        let Answer::Tree(tree) = answer else {
            return answer;
        };
        match &transformer.effect {
            Effect::Leaves(leaves) => Answer::Tree(tree.map(&mut |found| match found {
                Found::Path(_) => found.clone(),
                Found::Bound { cluster, residual } => Found::Bound {
                    cluster: leaves.transform(cluster, caller),
                    residual: residual.clone(),
                },
            })),
            Effect::Const(path) => self.replacement(transformer, path, reads),
            Effect::Replace(path) => match self.replacement(transformer, path, reads) {
                Answer::Tree(scion) => Answer::Tree(graft(&tree, &scion)),
                answer if has_leaves(&tree) => answer,
                _ => Answer::Tree(tree),
            },
        }
    }

    /// The bound tree of a configured path, with an empty dtab.
    fn replacement(&self, transformer: &Transformer, path: &Path, reads: &mut Reads) -> Answer {
        let none = Dtab::empty();
        let rules = Rules::new(&none, &none, &none);
        let caller = Caller::default();
        match self.interpreter.evaluate(rules, path, &caller, reads) {
            Outcome::Pending => Answer::Pending,
            Outcome::Failed(error) => Answer::Failed(error.message().into()),
            Outcome::Tree { tree, .. } => {
                let id = ClusterId(transformer.prefix.concat(path));
                Answer::Tree(tree.map(&mut |leaf: &BaseLeaf| Found::Bound {
                    cluster: Cluster {
                        id: id.clone(),
                        endpoints: Arc::clone(&leaf.cluster.endpoints),
                    },
                    residual: leaf.residual.clone(),
                }))
            }
        }
    }
}

impl Namer for TransformedNamer {
    fn prefix(&self) -> &Path {
        self.inner.prefix()
    }

    fn kind(&self) -> &str {
        self.inner.kind()
    }

    fn look_up(&self, rest: &Path, caller: &Caller, reads: &mut Reads) -> Answer {
        let answer = self.inner.look_up(rest, caller, reads);
        if let Answer::Tree(tree) = &answer
            && !is_bound(tree)
        {
            return answer;
        }
        self.transformers
            .iter()
            .fold(answer, |answer, t| self.transform(t, answer, caller, reads))
    }

    fn classes(&self) -> &[CallerClass] {
        &self.classes
    }

    fn names(&self) -> Option<Arc<Cell<Arc<[ClusterId]>>>> {
        self.inner.names()
    }
}

fn is_bound(tree: &NameTree<Found>) -> bool {
    let mut bound = true;
    tree.for_each_leaf(&mut |found| bound &= matches!(found, Found::Bound { .. }));
    bound
}

fn has_leaves(tree: &NameTree<Found>) -> bool {
    let mut any = false;
    tree.for_each_leaf(&mut |_| any = true);
    any
}

/// `tree` with each leaf replaced. Namers give leaves, seldom more, so the result is not simplified here.
fn graft(tree: &NameTree<Found>, scion: &NameTree<Found>) -> NameTree<Found> {
    match tree {
        NameTree::Leaf(_) => scion.clone(),
        NameTree::Alt(trees) => NameTree::Alt(trees.iter().map(|t| graft(t, scion)).collect()),
        NameTree::Union(branches) => NameTree::Union(
            branches
                .iter()
                .map(|b| l5d_naming::Weighted {
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

impl fmt::Debug for TransformedNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransformedNamer")
            .field("prefix", self.prefix())
            .field("transformers", &self.transformers)
            .finish_non_exhaustive()
    }
}
