//! Laws of the vocabulary, each for values made at random.

mod arbitrary;

use std::hash::{BuildHasher, RandomState};

use arbitrary::{any_dtab, any_tree, elem, path, prefix, weight, written_dtab, written_tree};
use l5d_naming::{
    Dentry, Dtab, Elem, Eval, NameTree, Path, Prefix, PrefixElem, Weight, Weighted, limits,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_element_keeps_its_bytes(bytes in proptest::collection::vec(any::<u8>(), 1..60)) {
        let elem = Elem::new(&bytes).unwrap();
        prop_assert_eq!(elem.as_bytes(), &bytes[..]);
        prop_assert_eq!(Elem::new(elem.as_bytes()), Some(elem));
    }

    /// Naming 1.4: elements compare as bytes, also where they are stored in different ways.
    #[test]
    fn elements_compare_as_bytes(a in elem(), b in elem()) {
        prop_assert_eq!(a == b, a.as_bytes() == b.as_bytes());
        prop_assert_eq!(a.cmp(&b), a.as_bytes().cmp(b.as_bytes()));
    }

    /// Naming 1.2.
    #[test]
    fn a_printed_path_reads_back(path in path()) {
        prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
    }

    /// Naming 3.1.
    #[test]
    fn a_printed_prefix_reads_back(prefix in prefix()) {
        prop_assert_eq!(Prefix::parse(&prefix.to_string()), Ok(prefix));
    }

    /// Naming 1.4.
    #[test]
    fn concatenation_is_undone_by_the_prefix(a in path(), b in path()) {
        let both = a.concat(&b);
        prop_assert!(both.starts_with(&a));
        prop_assert_eq!(both.take(a.len()), a.clone());
        prop_assert_eq!(both.skip(a.len()), b.clone());
        prop_assert_eq!(both.strip_prefix(&a), Some(b));
    }

    #[test]
    fn equal_paths_hash_equally(a in path(), b in path()) {
        let hasher = RandomState::new();
        let parts = a.child(Elem::new("x").unwrap()).concat(&b);
        let again = Path::parse(&parts.to_string()).unwrap();
        prop_assert_eq!(hasher.hash_one(&parts), hasher.hash_one(&again));
    }

    /// Naming 2.4: two decimals, and never further from the number than half a hundredth.
    #[test]
    fn a_printed_weight_has_two_decimals(weight in weight()) {
        let text = weight.to_string();
        prop_assert_eq!(text.len() - text.find('.').unwrap(), 3, "{}", text);
        let shown: f64 = text.parse().unwrap();
        let slack = weight.value() * f64::EPSILON;
        prop_assert!((shown - weight.value()).abs() <= 0.005 + slack, "{}", text);
    }

    /// Naming 2.4: half up on the decimal form, which thousandths have exactly.
    #[test]
    fn thousandths_round_half_up(n in 0u64..10_000_000) {
        let weight = Weight::new(format!("{}.{:03}", n / 1000, n % 1000).parse().unwrap()).unwrap();
        let up = (n + 5) / 10;
        prop_assert_eq!(weight.to_string(), format!("{}.{:02}", up / 100, up % 100));
    }

    /// Resolver API 1: exact text reads back the same, weights included.
    #[test]
    fn an_exact_tree_reads_back(tree in written_tree()) {
        prop_assert_eq!(NameTree::parse(&tree.show_exact()), Ok(tree));
    }

    /// Resolver API 1.
    #[test]
    fn an_exact_dtab_reads_back(dtab in written_dtab()) {
        prop_assert_eq!(Dtab::parse(&dtab.show_exact()), Ok(dtab));
    }

    /// Naming conventions: canonical text reads back, except for rounded weights.
    #[test]
    fn a_printed_tree_reads_back_rounded(tree in written_tree()) {
        prop_assert_eq!(NameTree::parse(&tree.to_string()), Ok(rounded(&tree)));
    }

    /// The same with the entries of a dtab. Nodes of one branch or none are printed as what they mean.
    #[test]
    fn a_printed_dtab_reads_back_rounded(dtab in any_dtab()) {
        let again = Dtab::parse(&dtab.to_string()).unwrap();
        let entries = dtab.entries().iter().map(|d| Dentry {
            prefix: d.prefix.clone(),
            dst: rounded(&d.dst),
        });
        prop_assert!(again.is_equivalent(&Dtab::from_entries(entries)), "{}", dtab);
    }

    /// Naming 2.3.
    #[test]
    fn simplifying_twice_changes_nothing(tree in any_tree()) {
        let once = tree.simplify();
        prop_assert_eq!(once.simplify(), once);
    }

    /// Naming 2.3.
    #[test]
    fn a_simplified_tree_evaluates_the_same(tree in any_tree()) {
        prop_assert_eq!(tree.simplify().eval(), tree.eval());
        prop_assert!(tree.is_equivalent(&tree.simplify()));
    }

    /// Naming 2.2.
    #[test]
    fn evaluation_is_as_the_table_says(tree in any_tree()) {
        prop_assert_eq!(tree.eval(), eval(&tree));
    }

    /// Naming 3.4.
    #[test]
    fn lookup_is_as_the_rule_says(dtab in any_dtab(), path in path()) {
        prop_assert_eq!(dtab.lookup(&path), lookup(&dtab, &path));
    }

    /// Naming 3.5.
    #[test]
    fn a_concatenated_dtab_tries_the_later_first(base in any_dtab(), local in any_dtab(), path in path()) {
        let both = base.concat(&local);
        let trees = |dtab: &Dtab| dtab.matches(&path).map(|(_, _, t)| t).collect::<Vec<_>>();
        prop_assert_eq!(trees(&both), [trees(&local), trees(&base)].concat());
        prop_assert_eq!(both.strip_prefix(&base), local);
    }

    /// Naming 3.5.
    #[test]
    fn a_simplified_dtab_has_simple_trees(dtab in any_dtab()) {
        let simple = dtab.simplify();
        prop_assert_eq!(simple.simplify(), simple.clone());
        prop_assert!(simple.entries().iter().all(|d| d.dst != NameTree::Neg));
        prop_assert!(dtab.is_equivalent(&dtab));
    }

    /// Any text gives a value or an error that tells a place in it.
    #[test]
    fn any_text_is_answered(text in "([/ab|&~!$();=>*0-9.# \\\\x\n]|=>|\\\\x[0-9a-fA-F]{2}|\\PC){0,40}") {
        let errors = [
            Path::parse(&text).err(),
            Prefix::parse(&text).err(),
            NameTree::parse(&text).err(),
            Dtab::parse(&text).err(),
        ];
        for error in errors.into_iter().flatten() {
            prop_assert!(text.is_char_boundary(error.offset));
            prop_assert_eq!(error.line, text[..error.offset].split('\n').count());
            let line = text[..error.offset].rsplit('\n').next().unwrap();
            prop_assert_eq!(error.column, line.chars().count() + 1);
            prop_assert!(error.message.contains('['));
        }
    }
}

/// The tree with the weights that its text shows.
fn rounded(tree: &NameTree<Path>) -> NameTree<Path> {
    match tree {
        NameTree::Alt(trees) => NameTree::Alt(trees.iter().map(rounded).collect()),
        NameTree::Union(branches) => {
            let branches = branches.iter().map(|b| Weighted {
                weight: b
                    .weight
                    .to_string()
                    .parse()
                    .ok()
                    .and_then(Weight::new)
                    .expect("a weight"),
                tree: rounded(&b.tree),
            });
            NameTree::Union(branches.collect())
        }
        other => other.clone(),
    }
}

/// Naming 2.2, row by row.
fn eval(tree: &NameTree<Path>) -> Eval<Path> {
    match tree {
        NameTree::Leaf(leaf) => Eval::Leaves(vec![leaf.clone()]),
        NameTree::Empty => Eval::Leaves(vec![]),
        NameTree::Neg => Eval::Neg,
        NameTree::Fail => Eval::Fail,
        NameTree::Alt(trees) => {
            let mut values = trees.iter().map(eval);
            values.find(|v| *v != Eval::Neg).unwrap_or(Eval::Neg)
        }
        NameTree::Union(branches) if branches.len() == 1 => eval(&branches[0].tree),
        NameTree::Union(branches) => {
            let mut all: Option<Vec<Path>> = None;
            for Weighted { tree, .. } in branches {
                if let Eval::Leaves(leaves) = eval(tree) {
                    let all = all.get_or_insert_default();
                    for leaf in leaves {
                        if !all.contains(&leaf) {
                            all.push(leaf);
                        }
                    }
                }
            }
            all.map_or(Eval::Neg, Eval::Leaves)
        }
    }
}

/// Naming 3.4, rule by rule.
fn lookup(dtab: &Dtab, path: &Path) -> NameTree<Path> {
    let mut trees = Vec::new();
    for dentry in dtab.entries() {
        let elems = dentry.prefix.elems();
        let fits =
            |(p, e): (&PrefixElem, &Elem)| *p == PrefixElem::Any || *p == PrefixElem::Is(e.clone());
        if elems.len() <= path.len() && elems.iter().zip(path.elems()).all(fits) {
            trees.insert(0, dentry.dst.append(&path.skip(elems.len())));
        }
    }
    match trees.len() {
        0 => NameTree::Neg,
        1 => trees.remove(0),
        _ => NameTree::Alt(trees),
    }
}

/// Hostile texts end in an error that names the limit, not in a full stack or memory.
#[test]
fn limits_have_their_own_errors() {
    let deep = "(".repeat(1_000_000);
    let wide = "~&".repeat(limits::DTAB_LEAVES + 1);
    let wide_dtab = "/=>~;".repeat(limits::DTAB_LEAVES + 1);
    let long = format!("/{}", "a".repeat(limits::DTAB_BYTES));
    let long_path = format!("/a=>/{}", "a".repeat(limits::PATH_BYTES));
    let cases = [
        (
            NameTree::parse(&deep).err(),
            "at most 64 levels of parentheses expected but '(' found",
        ),
        (
            NameTree::parse(&wide).err(),
            "at most 100000 leaves expected but '~' found",
        ),
        (
            Dtab::parse(&wide_dtab).err(),
            "at most 100000 leaves expected but '~' found",
        ),
        (
            Dtab::parse(&long).err(),
            "at most 1048576 bytes expected but 1048577 bytes found",
        ),
        (
            Path::parse(&long).err(),
            "at most 65536 bytes expected but 1048577 bytes found",
        ),
        (
            Dtab::parse(&long_path).err(),
            "a path of at most 65536 bytes expected but '/' found",
        ),
    ];
    for (error, message) in cases {
        let error = error.unwrap();
        assert!(error.message.starts_with(message), "{}", error.message);
        assert!(error.message.len() < 300, "{}", error.message);
    }
}

#[test]
fn the_deepest_tree_is_usable() {
    let (open, close) = (
        "~|/a&(".repeat(limits::TREE_DEPTH),
        ")".repeat(limits::TREE_DEPTH),
    );
    let tree = NameTree::parse(&format!("{open}/x{close}")).unwrap();
    assert_eq!(NameTree::parse(&tree.to_string()), Ok(tree.clone()));
    assert_eq!(tree.eval(), tree.simplify().eval());
}

#[test]
fn a_weight_is_finite_and_not_negative() {
    assert_eq!(Weight::new(f64::NAN), None);
    assert_eq!(Weight::new(f64::INFINITY), None);
    assert_eq!(Weight::new(-0.1), None);
    let zero = Weight::new(-0.0).unwrap();
    assert_eq!(zero.value().to_bits(), 0);
    for (number, exact, rounded) in [
        (5e-324, 326, "0.00"),
        (0.1 + 0.2, 19, "0.30"),
        (9.995, 5, "10.00"),
        (99.999, 6, "100.00"),
    ] {
        let weight = Weight::new(number).unwrap();
        assert_eq!(weight.to_string(), rounded);
        let branches = [weight, Weight::ONE].map(|weight| Weighted {
            weight,
            tree: NameTree::<Path>::Neg,
        });
        let tree = NameTree::Union(branches.to_vec());
        assert_eq!(tree.show_exact().len(), exact + "*~ & ~".len());
    }
}
