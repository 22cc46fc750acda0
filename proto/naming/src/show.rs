//! Printing of weights and trees (naming 2.4), rounded or exact. Paths and prefixes print themselves.

use std::fmt;

use crate::{NameTree, Weight, Weighted};

/// Prints weights with as many digits as read back the same double, where plain `Display` rounds them.
pub(crate) struct Exact<'a, T>(pub(crate) &'a T);

/// Prints the items with a separator between them.
pub(crate) fn join<'f, T>(
    f: &mut fmt::Formatter<'f>,
    separator: &str,
    items: &[T],
    mut show: impl FnMut(&mut fmt::Formatter<'f>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        show(f, item)?;
    }
    Ok(())
}

/// Two decimals, rounded half up on the shortest decimal form (naming 2.4).
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The standard library prints the shortest form that reads back, never with an exponent, which is no syntax here.
        let text = self.value().to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let mut digits = whole.as_bytes().to_vec();
        digits.extend(decimals.bytes().chain(*b"00").take(2));
        if decimals.as_bytes().get(2).is_some_and(|d| *d >= b'5') {
            round_up(&mut digits);
        }
        let (whole, decimals) = digits.split_at(digits.len() - 2);
        for (part, sign) in [(whole, "."), (decimals, "")] {
            part.iter()
                .try_for_each(|d| write!(f, "{}", char::from(*d)))?;
            f.write_str(sign)?;
        }
        Ok(())
    }
}

/// Adds one to a number in decimal digits.
fn round_up(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// Canonical text (naming 2.4); weights are rounded to two decimals.
impl<T: fmt::Display> fmt::Display for NameTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self, f, Inside::Nothing, |w, f| write!(f, "{w}*"))
    }
}

impl<T: fmt::Display> fmt::Display for Exact<'_, NameTree<T>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, f, Inside::Nothing, |w, f| {
            write!(f, "{}*", w.value())
        })
    }
}

type ShowWeight = fn(Weight, &mut fmt::Formatter<'_>) -> fmt::Result;

/// What stands around a tree: decides whether it needs parentheses.
#[derive(Clone, Copy)]
enum Inside {
    Nothing,
    Alt,
    Union,
}

fn show<T: fmt::Display>(
    tree: &NameTree<T>,
    f: &mut fmt::Formatter<'_>,
    inside: Inside,
    weight: ShowWeight,
) -> fmt::Result {
    match tree {
        NameTree::Leaf(leaf) => leaf.fmt(f),
        NameTree::Neg => f.write_str("~"),
        NameTree::Fail => f.write_str("!"),
        NameTree::Empty => f.write_str("$"),
        NameTree::Alt(trees) => match trees.as_slice() {
            // No text stands for a node without branches; Neg means the same (naming 2.2).
            [] => f.write_str("~"),
            [lone] => show(lone, f, inside, weight),
            trees => parenthesised(f, !matches!(inside, Inside::Nothing), |f| {
                join(f, " | ", trees, |f, t| show(t, f, Inside::Alt, weight))
            }),
        },
        NameTree::Union(branches) => match branches.as_slice() {
            [] => f.write_str("~"),
            [lone] => show(&lone.tree, f, inside, weight),
            branches => parenthesised(f, matches!(inside, Inside::Union), |f| {
                join(f, " & ", branches, |f, b| branch(b, f, weight))
            }),
        },
    }
}

fn branch<T: fmt::Display>(
    branch: &Weighted<T>,
    f: &mut fmt::Formatter<'_>,
    weight: ShowWeight,
) -> fmt::Result {
    if branch.weight != Weight::ONE {
        weight(branch.weight, f)?;
    }
    show(&branch.tree, f, Inside::Union, weight)
}

fn parenthesised<'f>(
    f: &mut fmt::Formatter<'f>,
    is_needed: bool,
    show: impl FnOnce(&mut fmt::Formatter<'f>) -> fmt::Result,
) -> fmt::Result {
    if !is_needed {
        return show(f);
    }
    f.write_str("(")?;
    show(f)?;
    f.write_str(")")
}
