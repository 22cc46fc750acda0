//! A replica of namerd, small enough to be obviously right: paths lead to trees of clusters, numbers are fixed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use l5d_naming::{
    BoundName, BoundTree, ClusterId, Elem, Endpoint, EndpointSet, EndpointWeight, NameTree, Path,
    Replicas, Weight, Weighted,
};
use l5d_resolver::change::Change;
use l5d_resolver::convert::node_of;
use l5d_resolver::hash::{Digest, cluster_hash, pending_tree_hash, tree_hash};
use l5d_resolver::page::{held, pages};
use l5d_resolver::v1::down::Message;
use l5d_resolver::{hash, v1};

pub(crate) const CLUSTERS: usize = 4;
pub(crate) const PATHS: usize = 4;

/// What is so, and what one stream was told of it.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) clusters: Vec<Replicas>,
    pub(crate) trees: Vec<Option<BoundTree>>,
    told: BTreeMap<usize, Replicas>,
    told_trees: BTreeMap<usize, u64>,
    interests: BTreeMap<u32, (usize, bool)>,
    held: Vec<(u64, u64)>,
    held_trees: BTreeMap<u32, u64>,
    refetch: Vec<u32>,
    pub(crate) corrupt_next: bool,
}

pub(crate) fn id(cluster: usize) -> ClusterId {
    ClusterId(Path::from_elems(
        ["#", "io.l5d.fs"]
            .into_iter()
            .chain([["a", "b", "c", "d"][cluster]])
            .filter_map(Elem::new),
    ))
}

pub(crate) fn path(index: usize) -> Path {
    Path::from_elems(
        ["svc", ["w", "x", "y", "z"][index]]
            .into_iter()
            .filter_map(Elem::new),
    )
}

pub(crate) fn bound(ports: &[(u16, u32)]) -> Replicas {
    let endpoint = |(port, weight): &(u16, u32)| Endpoint {
        weight: EndpointWeight(*weight),
        ..Endpoint::new(([10, 0, 0, 1], *port).into())
    };
    let set = EndpointSet::new(ports.iter().map(endpoint)).merged();
    Replicas::Bound(Arc::new(set))
}

/// An even union of these clusters; a leaf if there is one, negative if none.
pub(crate) fn tree(clusters: &[usize]) -> BoundTree {
    let leaf = |cluster: &usize| {
        NameTree::Leaf(BoundName {
            id: id(*cluster),
            residual: Path::root(),
        })
    };
    match clusters {
        [] => NameTree::Neg,
        [one] => leaf(one),
        many => NameTree::Union(
            many.iter()
                .map(|c| Weighted {
                    weight: Weight::ONE,
                    tree: leaf(c),
                })
                .collect(),
        ),
    }
}

fn number(cluster: usize) -> u32 {
    10 + cluster as u32
}

fn tree_number(path: usize) -> u32 {
    100 + path as u32
}

fn index(id: &ClusterId) -> usize {
    (0..CLUSTERS)
        .find(|i| self::id(*i) == *id)
        .expect("one of ours")
}

impl Replica {
    pub(crate) fn new() -> Self {
        Self {
            clusters: vec![Replicas::Pending; CLUSTERS],
            trees: vec![None; PATHS],
            told: BTreeMap::new(),
            told_trees: BTreeMap::new(),
            interests: BTreeMap::new(),
            held: Vec::new(),
            held_trees: BTreeMap::new(),
            refetch: Vec::new(),
            corrupt_next: false,
        }
    }

    /// The same world, seen by a new stream.
    pub(crate) fn next_stream(&self) -> Self {
        Self {
            clusters: self.clusters.clone(),
            trees: self.trees.clone(),
            ..Self::new()
        }
    }

    /// Takes in a message; gives the first answer to a Hello.
    pub(crate) fn take(&mut self, up: v1::Up) -> Option<v1::Down> {
        use v1::up::Message as Up;
        match up.message.expect("every message has a kind") {
            Up::Hello(hello) => {
                let pairs = hello.held_clusters.chunks(2);
                self.held = pairs.map(|pair| (pair[0], pair[1])).collect();
                return Some(down(Message::Welcome(v1::Welcome::default())));
            }
            Up::Want(want) => {
                for interest in want.interests {
                    let wanted = Path::parse(&interest.path).expect("a path");
                    let index = (0..PATHS)
                        .find(|i| path(*i) == wanted)
                        .expect("one of ours");
                    self.interests.insert(interest.id, (index, false));
                    if let Some(hash) = interest.held_tree {
                        self.held_trees.insert(interest.id, hash);
                    }
                }
            }
            Up::Drop(drop) => {
                for interest in drop.interests {
                    assert!(self.interests.remove(&interest).is_some(), "dropped once");
                }
            }
            Up::Refetch(refetch) => self.refetch.extend(refetch.numbers),
            Up::Ack(_) => {}
        }
        None
    }

    /// All that the stream must be told now, in the order of resolver API 5.1.
    pub(crate) fn write(&mut self) -> Vec<v1::Down> {
        let mut out = Vec::new();
        let mut confirm = v1::Confirm::default();
        let paths: Vec<usize> = self.interests.values().map(|(path, _)| *path).collect();
        let used: Vec<usize> = (0..CLUSTERS)
            .filter(|c| {
                let leads = |t: &BoundTree| {
                    let mut found = false;
                    t.for_each_leaf(&mut |leaf| found |= leaf.id == id(*c));
                    found
                };
                paths
                    .iter()
                    .any(|p| self.trees[*p].as_ref().is_some_and(leads))
            })
            .collect();
        for cluster in &used {
            self.write_cluster(*cluster, &mut out, &mut confirm);
        }
        // Before the trees that lead there (RES-2).
        if !confirm.held.is_empty() {
            out.push(down(Message::Confirm(std::mem::take(&mut confirm))));
        }
        let mut answer = v1::Answer::default();
        self.write_trees(&mut out, &mut answer, &mut confirm);
        if !confirm.interests.is_empty() {
            out.push(down(Message::Confirm(confirm)));
        }
        if !answer.interests.is_empty() {
            out.push(down(Message::Answer(answer)));
        }
        let mut numbers: Vec<u32> = Vec::new();
        self.told.retain(|c, _| {
            used.contains(c) || {
                numbers.push(number(*c));
                false
            }
        });
        self.told_trees.retain(|p, _| {
            paths.contains(p) || {
                numbers.push(tree_number(*p));
                false
            }
        });
        if !numbers.is_empty() {
            out.push(down(Message::Forget(v1::Forget { numbers })));
        }
        out
    }

    fn write_cluster(
        &mut self,
        cluster: usize,
        out: &mut Vec<v1::Down>,
        confirm: &mut v1::Confirm,
    ) {
        let now = self.clusters[cluster].clone();
        let number = number(cluster);
        let hash = cluster_hash(&now);
        let is_refetched = take(&mut self.refetch, number);
        let was = self.told.insert(cluster, now.clone());
        if was.as_ref() == Some(&now) && !is_refetched {
            return;
        }
        let [key, held_hash] = held(&id(cluster), hash);
        if was.is_none()
            && let Some(at) = self.held.iter().position(|h| *h == (key, held_hash))
        {
            confirm.held.push(at as u32);
            confirm.clusters.push(number);
            return;
        }
        let change = match (&was, &now) {
            (Some(Replicas::Bound(was)), Replicas::Bound(now)) if !is_refetched => {
                Change::between(was, now).and_then(|c| c.to_delta(number, hash, 7))
            }
            _ => None,
        };
        let corrupt = std::mem::take(&mut self.corrupt_next);
        if let Some(mut delta) = change {
            if corrupt {
                (delta.put4, delta.del4) = (flip(&delta.put4), flip(&delta.del4));
            }
            out.push(down(Message::Delta(delta)));
            return;
        }
        for mut page in pages(number, &id(cluster), &now, hash) {
            if corrupt {
                page.put4 = flip(&page.put4);
            }
            out.push(down(Message::Cluster(page)));
        }
    }

    fn write_trees(
        &mut self,
        out: &mut Vec<v1::Down>,
        answer: &mut v1::Answer,
        confirm: &mut v1::Confirm,
    ) {
        let interests: Vec<_> = self.interests.iter().map(|(i, (p, _))| (*i, *p)).collect();
        for (interest, path) in interests {
            let tree = self.trees[path].clone();
            let hash = tree.as_ref().map_or(pending_tree_hash(), tree_hash);
            let number = tree_number(path);
            let is_new = !self.told_trees.contains_key(&path);
            let is_held = self.held_trees.remove(&interest) == Some(hash) && tree.is_some();
            if is_new && is_held {
                confirm.interests.push(interest);
                confirm.trees.push(number);
                self.told_trees.insert(path, hash);
                self.interests.insert(interest, (path, true));
                continue;
            }
            let is_refetched = take(&mut self.refetch, number);
            if self.told_trees.insert(path, hash) != Some(hash) || is_refetched {
                let mut state = tree.map_or(v1::tree::State::Pending(v1::Nothing {}), |t| {
                    let node = node_of(&t, &mut |name: &BoundName| v1::Leaf {
                        cluster: self::number(index(&name.id)),
                        residual: name.residual.to_string(),
                        id: String::new(),
                    });
                    v1::tree::State::Root(node.expect("no alternatives"))
                });
                if let (true, v1::tree::State::Root(root)) = (self.corrupt_next, &mut state) {
                    self.corrupt_next = false;
                    root.node = Some(v1::node::Node::Fail(v1::Nothing {}));
                }
                out.push(down(Message::Tree(v1::Tree {
                    number,
                    hash,
                    state: Some(state),
                })));
            }
            if !self
                .interests
                .insert(interest, (path, true))
                .is_some_and(|(_, told)| told)
            {
                answer.interests.push(interest);
                answer.trees.push(number);
            }
        }
    }

    pub(crate) fn heartbeat(&self) -> v1::Down {
        let mut digest = Digest::default();
        for (cluster, replicas) in &self.told {
            digest.add(number(*cluster), hash::cluster_hash(replicas));
        }
        for (path, hash) in &self.told_trees {
            digest.add(tree_number(*path), *hash);
        }
        down(Message::Heartbeat(v1::Heartbeat {
            digest: digest.value(),
            ..v1::Heartbeat::default()
        }))
    }
}

fn take(numbers: &mut Vec<u32>, number: u32) -> bool {
    let before = numbers.len();
    numbers.retain(|n| *n != number);
    numbers.len() < before
}

fn flip(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = bytes.first_mut() {
        *byte ^= 1;
    }
    bytes.into()
}

pub(crate) fn down(message: Message) -> v1::Down {
    v1::Down {
        message: Some(message),
    }
}
