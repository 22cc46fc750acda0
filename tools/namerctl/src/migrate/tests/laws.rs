//! Writing and reading again gives the same, for trees of all shapes.

use proptest::prelude::*;

use crate::migrate::tree::{Node, Slot};
use crate::migrate::{emit, input, parse};

use super::examples;

fn again(node: &Node) -> Node {
    let text = emit::document(node, &[]).text();
    let mut read = parse::documents(&text, 1).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(read.len(), 1, "{text}");
    read.remove(0).root
}

#[test]
fn examples_are_the_same_when_written_again() {
    for file in examples() {
        for document in input::read(&file).expect("it is YAML").documents {
            assert!(again(&document.root).is_same(&document.root), "{file}");
        }
    }
}

/// Texts that YAML would take for something else, or cut.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z/#:$%{}*&!|>'\"@`,\\[\\]? -]{1,12}",
        "(true|no|~|null|1|0x1f|1e3|-|---|\\.\\.\\.| lead|tail | # c|a # b|a: b)",
        "([a-z #]{0,6}\n){1,3}[a-z]{0,3}",
        "\\PC{0,6}",
    ]
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = text().prop_map(|t| Node::text(&t));
    leaf.prop_recursive(4, 40, 5, |inner| {
        let keys = proptest::collection::btree_map("[a-zA-Z0-9./_-]{1,8}", inner.clone(), 0..5);
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(Node::list),
            keys.prop_map(|all| {
                let set = |node: Node, (key, value): (String, Node)| node.with(&key, value);
                all.into_iter().fold(Node::map(), set)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn trees_are_the_same_when_written_again(node in tree()) {
        prop_assert!(again(&node).is_same(&node), "{}", emit::document(&node, &[]).text());
    }

    #[test]
    fn what_is_off_is_a_comment(node in tree(), other in tree()) {
        let mut slot = Slot::new(Some("off"), node);
        slot.turn_off("not now");
        let mut root = Node::map().with("first", other.clone());
        root.slots_mut().expect("a map").insert(0, slot.clone());
        root.slots_mut().expect("a map").push(slot);
        prop_assert!(again(&root).is_same(&Node::map().with("first", other)), "{}", emit::document(&root, &[]).text());
    }
}
