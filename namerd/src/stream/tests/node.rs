//! A model of a node: applies messages as resolver API 6 says and checks what must hold at every step.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use l5d_naming::{BoundName, BoundTree, ClusterId, NameTree, Replicas};
use l5d_resolver::change::apply_delta;
use l5d_resolver::convert::{BadNode, read_path, tree_of};
use l5d_resolver::hash::{
    Digest, cluster_hash, failed_tree_hash, h8, pending_tree_hash, tree_hash,
};
use l5d_resolver::page::Assembly;
use l5d_resolver::v1::down::Message;
use l5d_resolver::{gateways, v1};

use super::messages;

#[derive(Clone, Debug)]
pub(super) struct KnownCluster {
    pub(super) id: ClusterId,
    /// As told last.
    pub(super) told: Replicas,
    pub(super) hash: u64,
    /// What requests are served with: the last that was not pending or failed.
    pub(super) good: Option<Replicas>,
}

#[derive(Clone, Debug)]
pub(super) struct KnownTree {
    pub(super) hash: u64,
    pub(super) good: Option<BoundTree>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) clusters: BTreeMap<u32, KnownCluster>,
    pub(super) trees: BTreeMap<u32, KnownTree>,
    /// Interests and the tree that answers each.
    pub(super) interests: BTreeMap<u32, Option<u32>>,
    pub(super) refused: BTreeMap<u32, v1::Error>,
    pub(super) welcomes: u32,
    pub(super) goodbyes: u32,
    /// The kinds of all messages so far.
    pub(super) log: Vec<&'static str>,
    pub(super) bytes: usize,
    pub(super) messages: u64,
    /// Kept from the stream before, in the order of hello: clusters; trees by the interest that asks for them again.
    kept_clusters: Vec<KnownCluster>,
    pub(super) kept_trees: BTreeMap<u32, KnownTree>,
    forgotten: BTreeSet<u32>,
    digest: Digest,
    assembly: Assembly,
    pub(super) gateways: gateways::Gateways,
    gateways_pages: gateways::Assembly,
}

impl Node {
    /// One that knows names of nodes at gateways from a stream before.
    pub(super) fn holding(gateways: gateways::Gateways) -> Self {
        Self {
            gateways,
            ..Self::default()
        }
    }

    pub(super) fn asked(&mut self, interest: u32) {
        self.interests.insert(interest, None);
    }

    pub(super) fn dropped(&mut self, interest: u32) {
        self.interests.remove(&interest);
    }

    pub(super) fn read(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len();
        for down in messages(bytes) {
            self.messages += 1;
            self.apply(down.message.expect("a known message"));
        }
    }

    fn apply(&mut self, message: Message) {
        let open = self.assembly.is_open();
        assert!(
            !open || matches!(message, Message::Cluster(_)),
            "pages follow at once"
        );
        let kind = match message {
            Message::Welcome(_) => {
                self.welcomes += 1;
                "welcome"
            }
            Message::Cluster(page) => {
                if let Some(whole) = self.assembly.push(page).expect("hash and pages fit") {
                    self.set_cluster(whole.number, whole.id, whole.replicas, whole.hash);
                }
                "cluster"
            }
            Message::Delta(delta) => {
                self.delta(&delta);
                "delta"
            }
            Message::Tree(tree) => {
                self.tree(tree);
                "tree"
            }
            Message::Answer(answer) => {
                for (interest, tree) in answer.interests.iter().zip(&answer.trees) {
                    assert!(self.trees.contains_key(tree), "an answer names a told tree");
                    if let Some(mine) = self.interests.get_mut(interest) {
                        *mine = Some(*tree);
                    }
                }
                "answer"
            }
            Message::Confirm(confirm) => {
                self.confirm(&confirm);
                "confirm"
            }
            Message::Forget(forget) => {
                forget.numbers.iter().for_each(|n| self.forget(*n));
                "forget"
            }
            Message::Refuse(refuse) => {
                self.interests.remove(&refuse.interest);
                let error = refuse.error.expect("a refusal says why");
                self.refused.insert(refuse.interest, error);
                "refuse"
            }
            Message::Heartbeat(heartbeat) => {
                assert_eq!(heartbeat.digest, self.digest.value(), "RES-3: digest");
                "heartbeat"
            }
            Message::Ingress(_) => "ingress",
            Message::Gateways(page) => {
                if !page.held {
                    let whole = self.gateways_pages.push(&self.gateways, &page);
                    if let Some(names) = whole.expect("good names") {
                        self.gateways = names;
                    }
                }
                assert!(page.more || page.hash == self.gateways.hash());
                "gateways"
            }
            Message::Goodbye(_) => {
                self.goodbyes += 1;
                "goodbye"
            }
        };
        self.log.push(kind);
    }

    fn set_cluster(&mut self, number: u32, id: ClusterId, told: Replicas, hash: u64) {
        if let Some(old) = self.clusters.get(&number) {
            self.digest.remove(number, old.hash);
        }
        self.digest.add(number, hash);
        let before = self.clusters.remove(&number).and_then(|c| c.good);
        let good = match told {
            Replicas::Pending | Replicas::Failed(_) => before,
            Replicas::Neg | Replicas::Bound(_) => Some(told.clone()),
        };
        self.forgotten.remove(&number);
        self.clusters.insert(
            number,
            KnownCluster {
                id,
                told,
                hash,
                good,
            },
        );
    }

    fn delta(&mut self, delta: &v1::Delta) {
        let number = delta.number;
        assert!(!self.forgotten.contains(&number), "RES-12");
        let known = self
            .clusters
            .get(&number)
            .expect("a delta is for a told set");
        let Replicas::Bound(set) = &known.told else {
            panic!("a delta is for a bound set");
        };
        let (next, hash) = apply_delta(delta, set, known.hash).expect("the hash fits");
        let id = known.id.clone();
        self.set_cluster(number, id, Replicas::Bound(next.into()), hash);
    }

    fn tree(&mut self, tree: v1::Tree) {
        let (told, hash) = match tree.state.expect("a state") {
            v1::tree::State::Pending(_) => (None, pending_tree_hash()),
            v1::tree::State::Failed(_) => (None, failed_tree_hash()),
            v1::tree::State::Root(root) => {
                let id = |n| self.clusters.get(&n).map(|c| c.id.clone());
                let leaf = &mut |leaf: &v1::Leaf| {
                    Ok(BoundName {
                        id: id(leaf.cluster).ok_or(BadNode::Cluster(leaf.cluster))?,
                        residual: read_path("residual", &leaf.residual)?,
                    })
                };
                let tree = tree_of(&root, leaf).expect("RES-2: only told clusters");
                let hash = tree_hash(&tree);
                (Some(tree), hash)
            }
        };
        assert_eq!(tree.hash, hash);
        self.set_tree(tree.number, told, hash);
    }

    fn set_tree(&mut self, number: u32, told: Option<BoundTree>, hash: u64) {
        let old = self.trees.remove(&number);
        if let Some(old) = &old {
            self.digest.remove(number, old.hash);
        }
        self.digest.add(number, hash);
        self.forgotten.remove(&number);
        let good = told.or(old.and_then(|old| old.good));
        self.trees.insert(number, KnownTree { hash, good });
    }

    fn confirm(&mut self, confirm: &v1::Confirm) {
        for (index, number) in confirm.held.iter().zip(&confirm.clusters) {
            let kept = self.kept_clusters[*index as usize].clone();
            self.set_cluster(*number, kept.id, kept.told, kept.hash);
        }
        for (interest, number) in confirm.interests.iter().zip(&confirm.trees) {
            let kept = self.kept_trees.get(interest).expect("held").clone();
            let tree = kept.good.expect("only good trees are held");
            let known: Vec<_> = self.clusters.values().map(|c| c.id.clone()).collect();
            tree.for_each_leaf(&mut |leaf| assert!(known.contains(&leaf.id), "RES-2"));
            self.set_tree(*number, Some(tree), kept.hash);
            if let Some(mine) = self.interests.get_mut(interest) {
                *mine = Some(*number);
            }
        }
    }

    fn forget(&mut self, number: u32) {
        let tree = self.trees.remove(&number).map(|t| t.hash);
        let cluster = self.clusters.remove(&number).map(|c| c.hash);
        let hash = tree.or(cluster).expect("only told numbers are forgotten");
        self.digest.remove(number, hash);
        self.forgotten.insert(number);
        let answers = || self.interests.values().flatten();
        assert!(!answers().any(|n| *n == number), "forgotten while in use");
    }

    /// The tree that requests of this interest are served with.
    pub(super) fn serves(&self, interest: u32) -> Option<&BoundTree> {
        let told = self.interests.get(&interest).copied().flatten();
        let told = told.and_then(|n| self.trees.get(&n)?.good.as_ref());
        told.or_else(|| self.kept_trees.get(&interest)?.good.as_ref())
    }

    /// The leaf ids of that tree, or what it is else.
    pub(super) fn shows(&self, interest: u32) -> String {
        match self.serves(interest) {
            None => "nothing".to_owned(),
            Some(NameTree::Neg) => "neg".to_owned(),
            Some(tree) => {
                let mut ids = Vec::new();
                tree.for_each_leaf(&mut |leaf| ids.push(leaf.id.to_string()));
                ids.join(" ")
            }
        }
    }

    /// The endpoints of a cluster that requests are served with.
    pub(super) fn endpoints(&self, id: &str) -> Vec<String> {
        let cluster = self.clusters.values().find(|c| c.id.to_string() == id);
        match cluster.and_then(|c| c.good.as_ref()) {
            Some(Replicas::Bound(set)) => {
                set.endpoints().iter().map(|e| e.addr.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Clusters worth keeping: those with a good state, as that state.
    fn keep(&self) -> Vec<KnownCluster> {
        let good = self.clusters.values().filter_map(|c| {
            let good = c.good.clone()?;
            Some(KnownCluster {
                hash: cluster_hash(&good),
                told: good.clone(),
                good: Some(good),
                id: c.id.clone(),
            })
        });
        good.collect()
    }

    pub(super) fn held(&self) -> Vec<u64> {
        let pair = |c: &KnownCluster| [h8(c.id.to_string().as_bytes()), c.hash];
        self.keep().iter().flat_map(pair).collect()
    }

    /// The node before its next stream: what it kept, by interest.
    pub(super) fn reconnecting(&self) -> Node {
        let kept = self.interests.keys().filter_map(|id| {
            let good = self.serves(*id)?.clone();
            let hash = tree_hash(&good);
            Some((
                *id,
                KnownTree {
                    hash,
                    good: Some(good),
                },
            ))
        });
        Node {
            kept_clusters: self.keep(),
            kept_trees: kept.collect(),
            ..Node::default()
        }
    }
}
