//! Tree to leaf, drawn anew for each request (node-proxy 12.2, naming 4.7).

use l5d_naming::{NameTree, Weighted};

/// The leaf for one request; `None`: this request has no destination. A union's branches are drawn by weight, all alike if
/// the weights sum to 0; a branch without destination keeps its share.
pub fn pick<'a, T>(tree: &'a NameTree<T>, rng: &mut fastrand::Rng) -> Option<&'a T> {
    match tree {
        NameTree::Leaf(leaf) => Some(leaf),
        NameTree::Union(branches) => pick(&draw(branches, rng)?.tree, rng),
        // Bound trees have no alternatives; if one came, the first that is not negative counts.
        NameTree::Alt(trees) => trees
            .iter()
            .find(|t| !matches!(t, NameTree::Neg))
            .and_then(|t| pick(t, rng)),
        NameTree::Neg | NameTree::Fail | NameTree::Empty => None,
    }
}

fn draw<'a, T>(branches: &'a [Weighted<T>], rng: &mut fastrand::Rng) -> Option<&'a Weighted<T>> {
    if let [only] = branches {
        return Some(only);
    }
    let total: f64 = branches.iter().map(|b| b.weight.value()).sum();
    if total <= 0.0 || !total.is_finite() {
        return rng.choice(branches);
    }
    let mut place = rng.f64() * total;
    let mut last = None;
    for branch in branches.iter().filter(|b| b.weight.value() > 0.0) {
        place -= branch.weight.value();
        last = Some(branch);
        if place < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use l5d_naming::Weight;

    use super::*;

    fn union(branches: &[(f64, NameTree<char>)]) -> NameTree<char> {
        let weighted = |(w, tree): &(f64, NameTree<char>)| Weighted {
            weight: Weight::new(*w).unwrap(),
            tree: tree.clone(),
        };
        NameTree::Union(branches.iter().map(weighted).collect())
    }

    fn counts(tree: &NameTree<char>) -> [usize; 3] {
        let mut rng = fastrand::Rng::with_seed(9);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            match pick(tree, &mut rng) {
                Some('a') => counts[0] += 1,
                Some(_) => counts[1] += 1,
                None => counts[2] += 1,
            }
        }
        counts
    }

    #[test]
    fn branches_are_drawn_by_weight() {
        use NameTree::{Empty, Leaf};
        let [a, b, none] = counts(&union(&[(9.0, Leaf('a')), (1.0, Leaf('b'))]));
        assert!((8_800..9_200).contains(&a) && b > 800 && none == 0);
        let [a, b, _] = counts(&union(&[(0.0, Leaf('a')), (1.0, Leaf('b'))]));
        assert_eq!((a, b), (0, 10_000));
        let [a, b, _] = counts(&union(&[(0.0, Leaf('a')), (0.0, Leaf('b'))]));
        assert!(a > 4_700 && b > 4_700);
        // A branch without destination keeps its share.
        let [_, _, none] = counts(&union(&[(1.0, Leaf('a')), (1.0, Empty)]));
        assert!((4_700..5_300).contains(&none));
    }

    #[test]
    fn negative_trees_have_no_leaf() {
        for tree in [NameTree::Neg, NameTree::Fail, NameTree::Empty] {
            assert_eq!(counts(&tree), [0, 0, 10_000]);
        }
        assert_eq!(counts(&union(&[])), [0, 0, 10_000]);
    }
}
