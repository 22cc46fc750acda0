//! Name trees.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::show::Exact;
use crate::{ParseError, Path, parse};

/// A branch's share in a union; finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight(f64);

/// One branch of a union.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Weighted<T> {
    /// Its share.
    pub weight: Weight,
    /// Where it leads.
    pub tree: NameTree<T>,
}

/// Where a name leads (naming 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NameTree<T> {
    /// Go here.
    Leaf(T),
    /// Try in order; the first that is not negative.
    Alt(Vec<NameTree<T>>),
    /// Spread over all branches by weight.
    Union(Vec<Weighted<T>>),
    /// Does not exist; try the next alternative.
    Neg,
    /// Does not exist; do not try further alternatives.
    Fail,
    /// Exists, but has no endpoints now.
    Empty,
}

/// What evaluating a tree gives (naming 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eval<T> {
    /// None, remembering `~`.
    Neg,
    /// None, remembering `!`.
    Fail,
    /// A set of leaves, in order, without duplicates; may be empty.
    Leaves(Vec<T>),
}

// === impl Weight ===

impl Weight {
    /// The default weight.
    pub const ONE: Weight = Weight(1.0);

    /// A weight, if the number is finite and not negative.
    pub fn new(value: f64) -> Option<Self> {
        // Adding makes -0.0 the one zero.
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

// A weight is never NaN, and there is one zero only: equality is an equivalence and agrees with the bits.
impl Eq for Weight {}

impl Hash for Weight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

// === impl NameTree ===

impl<T> NameTree<T> {
    /// Applies `f` to every leaf, keeping the shape.
    pub fn map<U>(&self, f: &mut impl FnMut(&T) -> U) -> NameTree<U> {
        match self {
            NameTree::Leaf(x) => NameTree::Leaf(f(x)),
            NameTree::Alt(trees) => NameTree::Alt(trees.iter().map(|t| t.map(f)).collect()),
            NameTree::Union(branches) => NameTree::Union(
                branches
                    .iter()
                    .map(|b| Weighted {
                        weight: b.weight,
                        tree: b.tree.map(f),
                    })
                    .collect(),
            ),
            NameTree::Neg => NameTree::Neg,
            NameTree::Fail => NameTree::Fail,
            NameTree::Empty => NameTree::Empty,
        }
    }

    /// Calls `f` on every leaf in order.
    pub fn for_each_leaf<'a>(&'a self, f: &mut impl FnMut(&'a T)) {
        match self {
            NameTree::Leaf(x) => f(x),
            NameTree::Alt(trees) => trees.iter().for_each(|t| t.for_each_leaf(f)),
            NameTree::Union(branches) => branches.iter().for_each(|b| b.tree.for_each_leaf(f)),
            NameTree::Neg | NameTree::Fail | NameTree::Empty => {}
        }
    }
}

impl<T: Clone> NameTree<T> {
    /// The simplified tree (naming 2.3). Doing it twice changes nothing.
    #[must_use]
    pub fn simplify(&self) -> NameTree<T> {
        match self {
            NameTree::Alt(trees) => {
                let mut kept = Vec::with_capacity(trees.len());
                for tree in trees {
                    let tree = tree.simplify();
                    let is_last = matches!(tree, NameTree::Fail);
                    if !matches!(tree, NameTree::Neg) {
                        kept.push(tree);
                    }
                    if is_last {
                        break;
                    }
                }
                match kept.len() {
                    0 => NameTree::Neg,
                    1 => kept.swap_remove(0),
                    _ => NameTree::Alt(kept),
                }
            }
            // So that a lone Fail stays one, where a branch among others is dropped.
            NameTree::Union(branches) if branches.len() == 1 => branches[0].tree.simplify(),
            NameTree::Union(branches) => {
                let branches = branches.iter().map(|b| Weighted {
                    weight: b.weight,
                    tree: b.tree.simplify(),
                });
                let mut kept: Vec<_> = branches
                    .filter(|b| !matches!(b.tree, NameTree::Neg | NameTree::Fail))
                    .collect();
                match kept.len() {
                    0 => NameTree::Neg,
                    1 => kept.swap_remove(0).tree,
                    _ => NameTree::Union(kept),
                }
            }
            other => other.clone(),
        }
    }
}

impl<T: Clone + PartialEq> NameTree<T> {
    /// Whether both simplify to the same (naming 2.5).
    pub fn is_equivalent(&self, other: &NameTree<T>) -> bool {
        self == other || self.simplify() == other.simplify()
    }
}

impl<T: Clone + Eq + Hash> NameTree<T> {
    /// Evaluates to a set of leaves (naming 2.2).
    pub fn eval(&self) -> Eval<T> {
        let mut leaves = Leaves {
            seen: HashSet::new(),
            in_order: Vec::new(),
        };
        match leaves.collect(self) {
            Found::Neg => Eval::Neg,
            Found::Fail => Eval::Fail,
            Found::Set => Eval::Leaves(leaves.in_order),
        }
    }
}

/// What evaluating a branch found; its leaves are then in [`Leaves`]. A branch that gives none adds none.
#[derive(PartialEq)]
enum Found {
    Neg,
    Fail,
    Set,
}

struct Leaves<'a, T> {
    seen: HashSet<&'a T>,
    in_order: Vec<T>,
}

impl<'a, T: Clone + Eq + Hash> Leaves<'a, T> {
    fn collect(&mut self, tree: &'a NameTree<T>) -> Found {
        match tree {
            NameTree::Leaf(leaf) => {
                if self.seen.insert(leaf) {
                    self.in_order.push(leaf.clone());
                }
                Found::Set
            }
            NameTree::Alt(trees) => {
                let mut found = trees.iter().map(|tree| self.collect(tree));
                found.find(|f| *f != Found::Neg).unwrap_or(Found::Neg)
            }
            NameTree::Union(branches) => match branches.as_slice() {
                [lone] => self.collect(&lone.tree),
                _ => branches.iter().fold(Found::Neg, |found, branch| {
                    match self.collect(&branch.tree) {
                        Found::Set => Found::Set,
                        Found::Neg | Found::Fail => found,
                    }
                }),
            },
            NameTree::Neg => Found::Neg,
            NameTree::Fail => Found::Fail,
            NameTree::Empty => Found::Set,
        }
    }
}

impl NameTree<Path> {
    /// Reads a tree (naming 2.1).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::tree(text)
    }

    /// The tree with the residual's elements behind those of every leaf (naming 3.4).
    #[must_use]
    pub fn append(&self, residual: &Path) -> Self {
        self.map(&mut |leaf| leaf.concat(residual))
    }
}

impl<T: fmt::Display> NameTree<T> {
    /// Canonical text, but weights with as many digits as read back the same double (resolver API 1).
    pub fn show_exact(&self) -> String {
        Exact(self).to_string()
    }
}

impl FromStr for NameTree<Path> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
