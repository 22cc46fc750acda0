//! Name trees.

use std::fmt;
use std::str::FromStr;

use crate::{ParseError, Path};

/// A branch's share in a union; finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight(f64);

/// One branch of a union.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted<T> {
    /// Its share.
    pub weight: Weight,
    /// Where it leads.
    pub tree: NameTree<T>,
}

/// Where a name leads (naming 2).
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// Two decimals, rounded half up on the shortest decimal form (naming 2.4).
impl fmt::Display for Weight {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
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
        unimplemented!()
    }
}

impl<T: Clone + PartialEq> NameTree<T> {
    /// Evaluates to a set of leaves (naming 2.2).
    pub fn eval(&self) -> Eval<T> {
        unimplemented!()
    }
}

impl NameTree<Path> {
    /// Reads a tree (naming 2.1).
    pub fn parse(_text: &str) -> Result<Self, ParseError> {
        unimplemented!()
    }

    /// Canonical text, but weights with as many digits as read back the same double (resolver API 1).
    pub fn show_exact(&self) -> String {
        unimplemented!()
    }
}

/// Canonical text (naming 2.4); weights are rounded to two decimals.
impl<T: fmt::Display> fmt::Display for NameTree<T> {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}

impl FromStr for NameTree<Path> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
