//! A follower of `l5d.resolver.v1`: applies what it is told, checks hashes and digests, keeps what it holds for a resume.
//!
//! Equal versions are one object for all followers of a server: each delta is applied and checked once from each version it
//! begins at, and a follower holds a reference. So thousands of them fit beside the server that they measure.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use l5d_naming::{EndpointSet, Replicas};
use l5d_resolver::change::apply_delta;
use l5d_resolver::hash::{Digest, h8};
use l5d_resolver::page::Assembly;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::up;
use prost::Message as _;

use super::tally::{Marks, Tally, put};
use super::wire::{Wire, alone};
use crate::plan::{Followed, Sizes};

const PATH: &str = "/l5d.resolver.v1.Resolver/Follow";
/// Versions that are kept of a cluster: more than namerd composes deltas from.
const VERSIONS: usize = 130;

/// One version of a cluster.
#[derive(Debug)]
pub(super) struct Version {
    id: u64,
    hash: u64,
    set: Arc<EndpointSet>,
    marks: Marks,
    /// Versions from which a delta has led here.
    from: RefCell<Vec<u64>>,
}

/// What the followers of one server have been told, by number; newest last.
pub(super) type Known = HashMap<u32, VecDeque<Rc<Version>>>;

/// One follower.
#[derive(Debug)]
pub(super) struct Follower {
    followed: Rc<Followed>,
    clusters: HashMap<u32, Rc<Version>>,
    trees: HashMap<u32, u64>,
    /// For each interest the number of its tree; 0: none yet.
    answers: Vec<u32>,
    held: Vec<Rc<Version>>,
    held_trees: Vec<u64>,
    digest: Digest,
    assembly: Assembly,
    /// The cluster of which pages are coming in, its hash, and whether they are known already.
    open: Option<(u32, u64, bool)>,
    marks: Marks,
}

impl Follower {
    /// One that holds nothing yet.
    pub(super) fn new(followed: Rc<Followed>) -> Self {
        let interests = followed.outgoing.len() + followed.incoming.len();
        Self {
            followed,
            clusters: HashMap::new(),
            trees: HashMap::new(),
            answers: vec![0; interests],
            held: Vec::new(),
            held_trees: Vec::new(),
            digest: Digest::default(),
            assembly: Assembly::default(),
            open: None,
            marks: Marks::default(),
        }
    }

    /// The same for another connection, with what it holds, or still holds from before if it has not come that far.
    pub(super) fn resume(self) -> Self {
        if !self.is_ready() && !self.held.is_empty() {
            return Self {
                held: self.held,
                held_trees: self.held_trees,
                marks: self.marks,
                ..Self::new(self.followed)
            };
        }
        let tree = |number| self.trees.get(number).copied().unwrap_or(0);
        let held_trees = self.answers.iter().map(tree).collect();
        Self {
            held: self.clusters.into_values().collect(),
            held_trees,
            marks: self.marks,
            ..Self::new(self.followed)
        }
    }

    /// Says hello and what it wants.
    pub(super) fn open(&self, wire: &mut Wire, authority: &str) {
        let held = self.held.iter().flat_map(|v| [v.id, v.hash]);
        let router = |label: &str, transformer| v1::Router {
            label: label.to_owned(),
            root: "default".to_owned(),
            dtab: String::new(),
            transformers: vec![transformer],
        };
        let hello = v1::Hello {
            node: self.followed.node.clone(),
            version: "bench".to_owned(),
            routers: vec![
                router("outgoing", daemonset()),
                router("incoming", localnode()),
            ],
            held_clusters: held.collect(),
            ..v1::Hello::default()
        };
        let (outgoing, incoming) = (self.followed.outgoing.iter(), self.followed.incoming.iter());
        let wanted = outgoing.map(|s| (0, s)).chain(incoming.map(|s| (1, s)));
        let interests = wanted
            .enumerate()
            .map(|(at, (router, service))| v1::Interest {
                id: at as u32 + 1,
                router,
                path: format!("/svc/{}", Sizes::service(*service)),
                dtab: String::new(),
                held_tree: self.held_trees.get(at).copied().filter(|hash| *hash != 0),
            });
        let want = v1::Want {
            interests: interests.collect(),
        };
        let ups = [up::Message::Hello(hello), up::Message::Want(want)];
        let ups = ups.map(|message| v1::Up {
            message: Some(message),
        });
        wire.call(PATH, authority, &ups);
    }

    /// Whether everything that it wants has been answered.
    pub(super) fn is_ready(&self) -> bool {
        self.answers.iter().all(|tree| *tree != 0)
    }

    /// Takes a message that came in at this moment.
    pub(super) fn take(&mut self, bytes: &Bytes, at: u64, known: &mut Known, tally: &mut Tally) {
        let Ok(down) = v1::Down::decode(bytes.clone()) else {
            tally.fail("a message does not decode");
            return;
        };
        tally.report.messages += 1;
        match down.message {
            Some(Message::Cluster(page)) => self.cluster(page, at, known, tally),
            Some(Message::Delta(delta)) => self.delta(&delta, at, known, tally),
            Some(Message::Tree(tree)) => {
                tally.report.whole += 1;
                self.tree(tree.number, tree.hash);
            }
            Some(Message::Answer(answer)) => self.answer(&answer.interests, &answer.trees),
            Some(Message::Confirm(confirm)) => self.confirm(&confirm, at, known, tally),
            Some(Message::Forget(forget)) => forget.numbers.iter().for_each(|n| self.forget(*n)),
            Some(Message::Refuse(refuse)) => tally.fail(&format!("refused: {refuse:?}")),
            Some(Message::Heartbeat(heartbeat)) => {
                tally.report.messages -= 1;
                tally.report.bytes_idle += alone(bytes);
                tally.report.wrong += u64::from(heartbeat.digest != self.digest.value());
            }
            Some(
                Message::Welcome(_)
                | Message::Goodbye(_)
                | Message::Ingress(_)
                | Message::Gateways(_),
            )
            | None => {}
        }
    }

    fn cluster(&mut self, page: v1::Cluster, at: u64, known: &mut Known, tally: &mut Tally) {
        let (number, more) = (page.number, page.more);
        let (_, hash, skip) = *self.open.get_or_insert_with(|| {
            tally.report.whole += 1;
            let versions = known.get(&number);
            let is_known = versions.is_some_and(|v| v.iter().any(|v| v.hash == page.hash));
            (number, page.hash, is_known)
        });
        if !skip {
            match self.assembly.push(page) {
                Ok(Some(whole)) => {
                    let set = match whole.replicas {
                        Replicas::Bound(set) => set,
                        _ => Arc::default(),
                    };
                    let id = h8(whole.id.to_string().as_bytes());
                    learn(known, number, id, whole.hash, set);
                }
                Ok(None) => {}
                Err(error) => {
                    tally.report.wrong += 1;
                    tally.fail(&error.to_string());
                }
            }
        }
        if !more {
            self.open = None;
            self.reach(number, hash, at, known, tally);
        }
    }

    fn delta(&mut self, delta: &v1::Delta, at: u64, known: &mut Known, tally: &mut Tally) {
        let number = delta.number;
        let Some(before) = self.clusters.get(&number).cloned() else {
            tally.fail("a delta for a cluster that was not told");
            return;
        };
        let versions = known.get(&number);
        let after = versions.and_then(|v| v.iter().rev().find(|v| v.hash == delta.hash));
        let checked = after.is_some_and(|after| after.from.borrow().contains(&before.hash));
        if !checked {
            match apply_delta(delta, &before.set, before.hash) {
                Ok((set, hash)) => {
                    let after = learn(known, number, before.id, hash, set.into());
                    after.from.borrow_mut().push(before.hash);
                }
                Err(error) => {
                    tally.report.wrong += 1;
                    tally.fail(&error.to_string());
                }
            }
        }
        self.reach(number, delta.hash, at, known, tally);
    }

    /// The cluster is at this version now.
    fn reach(&mut self, number: u32, hash: u64, at: u64, known: &Known, tally: &mut Tally) {
        let versions = known.get(&number);
        let version = versions.and_then(|v| v.iter().rev().find(|v| v.hash == hash));
        let Some(version) = version.cloned() else {
            tally.fail("a version that could not be applied");
            return;
        };
        tally.arrive(&mut self.marks, &version.marks, at);
        self.digest.add(number, hash);
        if let Some(before) = self.clusters.insert(number, version) {
            self.digest.remove(number, before.hash);
        }
    }

    fn tree(&mut self, number: u32, hash: u64) {
        self.digest.add(number, hash);
        if let Some(before) = self.trees.insert(number, hash) {
            self.digest.remove(number, before);
        }
    }

    fn answer(&mut self, interests: &[u32], trees: &[u32]) {
        for (interest, tree) in interests.iter().zip(trees) {
            if let Some(answer) = self.answers.get_mut(*interest as usize - 1) {
                *answer = *tree;
            }
        }
    }

    fn confirm(&mut self, confirm: &v1::Confirm, at: u64, known: &mut Known, tally: &mut Tally) {
        tally.report.confirmed += (confirm.interests.len() + confirm.held.len()) as u64;
        for (interest, tree) in confirm.interests.iter().zip(&confirm.trees) {
            let held = self.held_trees.get(*interest as usize - 1);
            self.tree(*tree, held.copied().unwrap_or(0));
        }
        self.answer(&confirm.interests, &confirm.trees);
        for (held, number) in confirm.held.iter().zip(&confirm.clusters) {
            if let Some(held) = self.held.get(*held as usize).cloned() {
                learn(known, *number, held.id, held.hash, Arc::clone(&held.set));
                self.reach(*number, held.hash, at, known, tally);
            }
        }
    }

    fn forget(&mut self, number: u32) {
        if let Some(version) = self.clusters.remove(&number) {
            self.digest.remove(number, version.hash);
        }
        if let Some(hash) = self.trees.remove(&number) {
            self.digest.remove(number, hash);
        }
    }
}

/// Notes a version, unless it is known.
fn learn(known: &mut Known, number: u32, id: u64, hash: u64, set: Arc<EndpointSet>) -> Rc<Version> {
    let versions = known.entry(number).or_default();
    if let Some(version) = versions.iter().rev().find(|v| v.hash == hash) {
        return Rc::clone(version);
    }
    let mut marks = Marks::default();
    for endpoint in set.endpoints() {
        if let IpAddr::V4(ip) = endpoint.addr.ip()
            && let Some(mark) = Sizes::mark_of(ip)
        {
            put(&mut marks, mark);
        }
    }
    let version = Rc::new(Version {
        id,
        hash,
        set,
        marks,
        from: RefCell::default(),
    });
    versions.push_back(Rc::clone(&version));
    if versions.len() > VERSIONS {
        versions.pop_front();
    }
    version
}

fn daemonset() -> v1::Transformer {
    v1::Transformer {
        kind: "io.l5d.k8s.daemonset".to_owned(),
        namespace: "linkerd".to_owned(),
        port: "incoming".to_owned(),
        service: "l5d".to_owned(),
        ..v1::Transformer::default()
    }
}

fn localnode() -> v1::Transformer {
    v1::Transformer {
        kind: "io.l5d.k8s.localnode".to_owned(),
        ..v1::Transformer::default()
    }
}
