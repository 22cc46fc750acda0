//! Generators of every value of the vocabulary.

use l5d_naming::{Dentry, Dtab, Elem, NameTree, Path, Prefix, PrefixElem, Weight, Weighted};
use proptest::collection::vec;
use proptest::prelude::*;

/// Few different ones, so that paths and prefixes meet; some that need escapes, some long.
pub(crate) fn elem() -> impl Strategy<Value = Elem> {
    prop_oneof![
        6 => "[ab#$%*]".prop_map(String::into_bytes),
        2 => "[a-zA-Z0-9_:.#$%-]{1,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..30),
    ]
    .prop_map(|bytes| Elem::new(bytes).expect("some bytes"))
}

pub(crate) fn path() -> impl Strategy<Value = Path> {
    vec(elem(), 0..5).prop_map(Path::from_elems)
}

pub(crate) fn prefix() -> impl Strategy<Value = Prefix> {
    let elem = prop_oneof![
        1 => Just(PrefixElem::Any),
        3 => elem().prop_map(PrefixElem::Is),
    ];
    vec(elem, 0..3).prop_map(Prefix::from_elems)
}

pub(crate) fn weight() -> impl Strategy<Value = Weight> {
    prop_oneof![
        3 => Just(1.0),
        1 => Just(0.0),
        3 => (0u32..1000).prop_map(|n| f64::from(n) / 100.0),
        3 => any::<f64>().prop_map(f64::abs),
    ]
    .prop_filter_map("not a weight", Weight::new)
}

/// Any tree, also those that no text gives: nodes with one branch or none.
pub(crate) fn any_tree() -> impl Strategy<Value = NameTree<Path>> {
    tree(0)
}

/// A tree that some text gives.
pub(crate) fn written_tree() -> impl Strategy<Value = NameTree<Path>> {
    tree(2)
}

fn tree(fewest: usize) -> impl Strategy<Value = NameTree<Path>> {
    let simple = prop_oneof![
        4 => path().prop_map(NameTree::Leaf),
        1 => Just(NameTree::Neg),
        1 => Just(NameTree::Fail),
        1 => Just(NameTree::Empty),
    ];
    simple.prop_recursive(5, 40, 4, move |tree| {
        let branch = (weight(), tree.clone()).prop_map(|(weight, tree)| Weighted { weight, tree });
        prop_oneof![
            vec(tree, fewest..5).prop_map(NameTree::Alt),
            vec(branch, fewest..5).prop_map(NameTree::Union),
        ]
    })
}

pub(crate) fn any_dtab() -> impl Strategy<Value = Dtab> {
    dtab(any_tree().boxed())
}

pub(crate) fn written_dtab() -> impl Strategy<Value = Dtab> {
    dtab(written_tree().boxed())
}

fn dtab(tree: BoxedStrategy<NameTree<Path>>) -> impl Strategy<Value = Dtab> {
    let dentry = (prefix(), tree).prop_map(|(prefix, dst)| Dentry { prefix, dst });
    vec(dentry, 0..6).prop_map(Dtab::from_entries)
}
