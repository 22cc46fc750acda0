//! Trees of rules and of namers' answers, opened one node at a time, so that what is never looked at costs nothing.

use std::{slice, vec};

use l5d_naming::{NameTree, Path, Weight, Weighted};

use super::Found;
use crate::store::Cluster;

/// Something to be evaluated. `Rule` and `Found` are closed; [`Todo::open`] shows what is in them.
#[derive(Debug)]
pub(super) enum Todo<'a> {
    /// A rule's tree, with the residual that goes behind each of its leaves.
    Rule(&'a NameTree<Path>, Path),
    /// A namer's answer.
    Found(NameTree<Found>),
    Path(Path),
    Bound(Cluster, Path),
    Alt(Branches<'a>),
    Union(Branches<'a>),
    Neg,
    Fail,
    Empty,
}

/// The branches of one node that have not been visited yet; alternatives have weight 1.
#[derive(Debug)]
pub(super) enum Branches<'a> {
    RuleAlt(slice::Iter<'a, NameTree<Path>>, Path),
    RuleUnion(slice::Iter<'a, Weighted<Path>>, Path),
    FoundAlt(vec::IntoIter<NameTree<Found>>),
    FoundUnion(vec::IntoIter<Weighted<Found>>),
}

impl<'a> Todo<'a> {
    /// The node at the top.
    pub(super) fn open(self) -> Self {
        match self {
            Todo::Rule(tree, residual) => match tree {
                NameTree::Leaf(path) => Todo::Path(path.concat(&residual)),
                NameTree::Alt(trees) => Todo::Alt(Branches::RuleAlt(trees.iter(), residual)),
                NameTree::Union(branches) => {
                    Todo::Union(Branches::RuleUnion(branches.iter(), residual))
                }
                NameTree::Neg => Todo::Neg,
                NameTree::Fail => Todo::Fail,
                NameTree::Empty => Todo::Empty,
            },
            Todo::Found(tree) => match tree {
                NameTree::Leaf(Found::Path(path)) => Todo::Path(path),
                NameTree::Leaf(Found::Bound { cluster, residual }) => {
                    Todo::Bound(cluster, residual)
                }
                NameTree::Alt(trees) => Todo::Alt(Branches::FoundAlt(trees.into_iter())),
                NameTree::Union(branches) => {
                    Todo::Union(Branches::FoundUnion(branches.into_iter()))
                }
                NameTree::Neg => Todo::Neg,
                NameTree::Fail => Todo::Fail,
                NameTree::Empty => Todo::Empty,
            },
            open => open,
        }
    }
}

impl<'a> Iterator for Branches<'a> {
    type Item = (Weight, Todo<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Branches::RuleAlt(trees, residual) => trees
                .next()
                .map(|tree| (Weight::ONE, Todo::Rule(tree, residual.clone()))),
            Branches::RuleUnion(branches, residual) => branches
                .next()
                .map(|b| (b.weight, Todo::Rule(&b.tree, residual.clone()))),
            Branches::FoundAlt(trees) => trees.next().map(|tree| (Weight::ONE, Todo::Found(tree))),
            Branches::FoundUnion(branches) => {
                branches.next().map(|b| (b.weight, Todo::Found(b.tree)))
            }
        }
    }
}
