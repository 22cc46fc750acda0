//! What the README shows is what the programs take.

use l5d_naming::Dtab;

const README: &str = include_str!("../../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README
        .split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

#[test]
fn its_configurations_are_good() {
    let blocks = blocks("yaml");
    let [namerd, node] = blocks[..] else {
        panic!("one configuration for each program, not {}", blocks.len());
    };
    let nothing = |_: &str| None;
    namerd::config::Config::read("namerd.yaml", namerd, &nothing).expect("namerd takes it");
    l5d_node::config::read("node.yaml", node).expect("l5d-node takes it");
}

#[test]
fn its_dtab_reads() {
    let [dtab] = blocks("dtab")[..] else {
        panic!("one dtab");
    };
    assert_eq!(Dtab::parse(dtab).expect("reads").entries().len(), 4);
}
