//! Binding against the rules of naming 4.2 written down as they stand there: recursive, without any care for cost.

use l5d_naming::{Dentry, Elem, Prefix, PrefixElem, Weight, Weighted};
use proptest::prelude::*;

use super::*;

/// What the rules say; `None` where following them takes too long.
#[derive(Clone, Debug, PartialEq)]
enum Result_ {
    Pending,
    Failed(String),
    Tree(NameTree<(Path, Path, Option<Weight>)>, bool),
}

struct Model<'a> {
    dtab: &'a Dtab,
    fake: &'a Fake,
    steps: usize,
}

impl Model<'_> {
    fn path(&mut self, path: &Path, d: usize, w: Option<Weight>) -> Option<Result_> {
        match self.dtab.lookup(path) {
            NameTree::Neg => {}
            tree => return self.step(&tree, d + 1, w),
        }
        let Some(rest) = path.strip_prefix(&self.fake.prefix) else {
            return self.step(&NameTree::Neg, d + 1, w);
        };
        let Some(name) = rest.elems().first() else {
            return self.step(&NameTree::Neg, d + 1, w);
        };
        match self.fake.cell(&name.to_text()).value() {
            Told::Pending => Some(Result_::Pending),
            Told::Failed => Some(Result_::Failed(format!("failed: {name} is broken"))),
            Told::Neg => self.step(&NameTree::Neg, d + 1, w),
            Told::Leaf if d + 1 > 100 => Some(Result_::Failed("depth".to_owned())),
            Told::Leaf => {
                let id = self.fake.prefix.child(name.clone());
                Some(Result_::Tree(NameTree::Leaf((id, rest.skip(1), w)), false))
            }
        }
    }

    fn step(&mut self, tree: &NameTree<Path>, d: usize, w: Option<Weight>) -> Option<Result_> {
        self.steps += 1;
        if self.steps > 5_000 {
            return None;
        }
        if d > 100 {
            return Some(Result_::Failed("depth".to_owned()));
        }
        Some(match tree {
            NameTree::Leaf(path) => return self.path(path, d, w),
            NameTree::Neg => Result_::Tree(NameTree::Neg, false),
            NameTree::Fail => Result_::Tree(NameTree::Fail, false),
            NameTree::Empty => Result_::Tree(NameTree::Empty, false),
            NameTree::Alt(trees) => {
                let mut last = Result_::Tree(NameTree::Neg, false);
                for tree in trees {
                    last = self.step(tree, d, w)?;
                    if !matches!(last, Result_::Tree(NameTree::Neg, _)) {
                        break;
                    }
                }
                last
            }
            NameTree::Union(branches) => {
                let results = branches
                    .iter()
                    .map(|b| Some((b.weight, self.step(&b.tree, d, Some(b.weight))?)))
                    .collect::<Option<Vec<_>>>()?;
                union(&results)
            }
        })
    }
}

fn union(results: &[(Weight, Result_)]) -> Result_ {
    let mut ok = Vec::new();
    let mut partial = false;
    for (weight, result) in results {
        match result {
            Result_::Tree(tree, inner) => {
                let tree = tree.clone();
                ok.push(Weighted {
                    weight: *weight,
                    tree,
                });
                partial |= inner;
            }
            Result_::Pending => partial = true,
            Result_::Failed(_) => {}
        }
    }
    if !ok.is_empty() {
        return Result_::Tree(NameTree::Union(ok).simplify(), partial);
    }
    let failed = results.iter().map(|(_, r)| r);
    failed
        .clone()
        .find(|r| matches!(r, Result_::Failed(_)))
        .unwrap_or(&Result_::Pending)
        .clone()
}

fn elem() -> impl Strategy<Value = Elem> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(|e| Elem::new(e).unwrap())
}

fn path_strategy() -> impl Strategy<Value = Path> {
    let plain = prop::collection::vec(elem(), 0..3).prop_map(Path::from_elems);
    (any::<bool>(), plain).prop_map(|(named, rest)| match named {
        true => path("/#/fake").concat(&rest),
        false => rest,
    })
}

fn tree() -> impl Strategy<Value = NameTree<Path>> {
    let leaf = prop_oneof![
        6 => path_strategy().prop_map(NameTree::Leaf),
        1 => Just(NameTree::Neg),
        1 => Just(NameTree::Fail),
        1 => Just(NameTree::Empty),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let weighted = (0u8..4, inner.clone()).prop_map(|(w, tree)| Weighted {
            weight: Weight::new(f64::from(w) / 2.0).unwrap(),
            tree,
        });
        prop_oneof![
            prop::collection::vec(inner, 2..4).prop_map(NameTree::Alt),
            prop::collection::vec(weighted, 2..4).prop_map(NameTree::Union),
        ]
    })
}

fn dtab_strategy() -> impl Strategy<Value = Dtab> {
    let any_elem = prop_oneof![
        4 => elem().prop_map(PrefixElem::Is),
        1 => Just(PrefixElem::Any),
    ];
    let prefix = prop::collection::vec(any_elem, 0..3).prop_map(Prefix::from_elems);
    let dentry = (prefix, tree()).prop_map(|(prefix, dst)| Dentry { prefix, dst });
    prop::collection::vec(dentry, 0..5).prop_map(Dtab::from_entries)
}

fn told() -> impl Strategy<Value = Told> {
    prop::sample::select(vec![
        Told::Pending,
        Told::Failed,
        Told::Neg,
        Told::Leaf,
        Told::Leaf,
    ])
}

fn found(binding: &Binding) -> Result_ {
    match &binding.state.get().1 {
        BindState::Pending => Result_::Pending,
        BindState::Failed(_) => Result_::Failed(show(binding)),
        BindState::Tree(tree) => Result_::Tree(
            tree.map(&mut |l| (l.cluster.id.0.clone(), l.residual.clone(), l.tree_weight)),
            binding.is_partial(),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any dtab, any answers of a namer, any change of them: the live binding is what the rules say.
    #[test]
    fn binding_is_what_the_rules_say(
        parts in (dtab_strategy(), dtab_strategy()),
        asked in path_strategy(),
        before in prop::collection::vec(told(), 3),
        after in prop::collection::vec(told(), 3),
    ) {
        let (world, fake) = super::live::with_fake();
        let names = ["a", "b", "c"];
        names.iter().zip(&before).for_each(|(name, told)| fake.tell(name, *told));
        let key = BindKey {
            router: parts.0.clone(),
            local: parts.1.clone(),
            path: asked.clone(),
            ..local("", "/")
        };
        let binding = world.ask(&key);
        let full = parts.0.concat(&parts.1);
        for told in [before, after] {
            names.iter().zip(&told).for_each(|(name, told)| fake.tell(name, *told));
            world.engine.settle();
            let mut model = Model { dtab: &full, fake: &fake, steps: 0 };
            let expected = model.step(&NameTree::Leaf(asked.clone()), 0, None);
            let now = found(&binding);
            let too_wide = now == Result_::Failed("width".to_owned());
            if let Some(expected) = expected && !too_wide {
                prop_assert_eq!(now, expected);
            }
        }
    }
}
