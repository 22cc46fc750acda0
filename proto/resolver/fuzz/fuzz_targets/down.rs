//! Any message of namerd, at a node: a cluster, change, tree or table that is taken is what its hash says, and is written as
//! what reads back.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/change.rs"]
mod change;
#[path = "../../src/convert.rs"]
mod convert;
#[path = "../../src/hash.rs"]
mod hash;
#[path = "../../src/ingress.rs"]
mod ingress;
#[path = "../../src/ingress_page.rs"]
mod ingress_page;
#[path = "../../src/page.rs"]
mod page;
#[path = "../../src/record.rs"]
mod record;

#[allow(clippy::all)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/l5d.resolver.v1.rs"));
}

const MESSAGE_BYTES: usize = 16 << 10;
const ENVELOPE: usize = 4;

use change::apply_delta;
use convert::{node_of, read_path, tree_of};
use hash::{cluster_hash, tree_hash};
use ingress_page::TableAssembly;
use l5d_naming::{BoundName, ClusterId, EndpointSet, Replicas};
use page::Assembly;
use prost::Message as _;
use v1::down::Message;

fn cluster(assembly: &mut Assembly, page: v1::Cluster) {
    let Ok(Some(whole)) = assembly.push(page) else {
        return;
    };
    assert_eq!(cluster_hash(&whole.replicas), whole.hash);
    let mut again = Assembly::default();
    let mut pages = page::pages(whole.number, &whole.id, &whole.replicas, whole.hash).into_iter();
    let last = pages.next_back().expect("at least one page");
    for page in pages {
        assert!(again.push(page).expect("reads back").is_none());
    }
    let back = again.push(last).expect("reads back").expect("is whole");
    assert_eq!((back.id, back.replicas), (whole.id, whole.replicas));
}

/// Whatever the change is, telling what came of it as a whole gives the same.
fn delta(delta: &v1::Delta) {
    let empty = EndpointSet::new([]);
    let before = cluster_hash(&Replicas::Bound(empty.clone().into()));
    if let Ok((set, hash)) = apply_delta(delta, &empty, before) {
        assert_eq!(cluster_hash(&Replicas::Bound(set.into())), hash);
    }
    if let Ok(change) = change::Change::from_delta(delta) {
        let (set, hash) = change.apply(&empty, before);
        assert_eq!(cluster_hash(&Replicas::Bound(set.into())), hash);
        if let Some(again) = change.to_delta(1, hash, 0) {
            let again = change::Change::from_delta(&again).expect("reads back");
            assert_eq!(again.apply(&empty, before).1, hash);
        }
    }
}

fn tree(tree: &v1::Tree) {
    let Some(v1::tree::State::Root(root)) = &tree.state else {
        return;
    };
    let read = tree_of(root, &mut |leaf| {
        Ok(BoundName {
            id: ClusterId(read_path("id", &leaf.id)?),
            residual: read_path("residual", &leaf.residual)?,
        })
    });
    let Ok(read) = read else { return };
    let hash = tree_hash(&read);
    let leaf = |name: &BoundName| v1::Leaf {
        cluster: 0,
        id: name.id.to_string(),
        residual: name.residual.to_string(),
    };
    if let Ok(node) = node_of(&read, &mut |name| leaf(name)) {
        let again = tree_of(&node, &mut |leaf| {
            Ok(BoundName {
                id: ClusterId(read_path("id", &leaf.id)?),
                residual: read_path("residual", &leaf.residual)?,
            })
        });
        assert_eq!(tree_hash(&again.expect("reads back")), hash);
    }
}

fn rules(assembly: &mut TableAssembly, page: &v1::Ingress) {
    if let Ok(Some(table)) = assembly.push(page) {
        let _ = table.find("a.example:80", "/x?y", None, true);
        let mut again = TableAssembly::default();
        let back = ingress_page::pages(&table)
            .iter()
            .filter_map(|page| again.push(page).expect("reads back"))
            .last();
        assert_eq!(back.expect("is whole"), table);
    }
}

/// The messages of a stream, each behind its length in two bytes.
fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (message, rest) = rest.split_at(len);
        messages.push(message);
        bytes = rest;
    }
    messages
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut clusters, mut tables) = (Assembly::default(), TableAssembly::default());
    for bytes in split(bytes) {
        let Ok(down) = v1::Down::decode(bytes) else {
            continue;
        };
        match down.message {
            Some(Message::Cluster(page)) => cluster(&mut clusters, page),
            Some(Message::Delta(change)) => delta(&change),
            Some(Message::Tree(told)) => tree(&told),
            Some(Message::Ingress(page)) => rules(&mut tables, &page),
            _ => {}
        }
    }
});
