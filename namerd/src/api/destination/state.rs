//! What a destination is at one time, and what tells one state after another.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use l5d_destination::destination as v2;
use l5d_destination::destination::update::Update as Kind;
use l5d_naming::{EndpointSet, NameTree, Replicas};
use tokio::sync::Notify;
use tonic::Status;

use crate::api::live::Live;
use crate::bind::{BindState, Binding, BoundCluster, BoundLeaf};
use crate::store::{Dep as _, Listener, Subscription};

/// The weight of an ordinary endpoint, as Linkerd 2 has it.
const ORDINARY: f64 = 10_000.0;

/// A destination.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// There is none.
    Absent,
    /// Its endpoints with their weights.
    Present(BTreeMap<SocketAddr, u32>),
}

/// A destination's endpoints, live: of all branches of the tree that its name is bound to.
#[derive(Debug)]
pub(super) struct Endpoints {
    binding: Arc<Binding>,
    bell: Arc<Bell>,
    _binding: Subscription,
    clusters: HashMap<u32, (Arc<BoundCluster>, Subscription)>,
    looked: bool,
    known: bool,
}

#[derive(Debug, Default)]
struct Bell(Notify);

impl Listener for Bell {
    fn notify(&self, _token: u64) {
        self.0.notify_one();
    }
}

fn listener(bell: &Arc<Bell>) -> Weak<dyn Listener> {
    let listener: Arc<dyn Listener> = Arc::clone(bell) as _;
    Arc::downgrade(&listener)
}

// === impl Endpoints ===

impl Endpoints {
    pub(super) fn new(binding: Arc<Binding>) -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            _binding: binding.state.listen(listener(&bell), 0),
            binding,
            bell,
            clusters: HashMap::new(),
            looked: false,
            known: false,
        }
    }

    /// The state now; `None` while it is not known. What was known stays true when a store or namer fails.
    fn look(&mut self) -> Option<State> {
        let now = self.binding.state.get();
        match &now.1 {
            BindState::Pending => None,
            BindState::Failed(_) if self.known => None,
            BindState::Failed(_) => Some(State::Absent),
            BindState::Tree(tree) => {
                self.follow(tree);
                state(tree)
            }
        }
    }

    fn follow(&mut self, tree: &NameTree<BoundLeaf>) {
        let mut followed = HashMap::new();
        tree.for_each_leaf(&mut |leaf| {
            let cluster = &leaf.cluster;
            let before = self.clusters.remove(&cluster.number);
            let entry = before.unwrap_or_else(|| {
                let bell = listener(&self.bell);
                (Arc::clone(cluster), cluster.replicas.listen(bell, 0))
            });
            followed.entry(cluster.number).or_insert(entry);
        });
        self.clusters = followed;
    }
}

impl Live for Endpoints {
    type State = State;

    async fn next(&mut self) -> Result<State, Status> {
        loop {
            if self.looked {
                self.bell.0.notified().await;
            }
            self.looked = true;
            if let Some(state) = self.look() {
                self.known = true;
                return Ok(state);
            }
        }
    }
}

// === weights ===

/// `None`: nothing is known yet of what it leads to.
fn state(tree: &NameTree<BoundLeaf>) -> Option<State> {
    let mut sets = Vec::new();
    match tree {
        NameTree::Neg | NameTree::Fail => return Some(State::Absent),
        NameTree::Empty => return Some(State::Present(BTreeMap::new())),
        tree => branches(tree, 1.0, &mut sets),
    }
    let known = || sets.iter().filter(|(_, r)| !matches!(r, Replicas::Pending));
    known().next()?;
    let bound: Vec<(f64, &EndpointSet)> = known()
        .filter_map(|(share, replicas)| match replicas {
            Replicas::Bound(set) => Some((*share, &**set)),
            Replicas::Pending | Replicas::Neg | Replicas::Failed(_) => None,
        })
        .collect();
    if bound.is_empty() {
        return Some(State::Absent);
    }
    Some(State::Present(weigh(&bound)))
}

/// Each leaf with its share of the requests.
fn branches(tree: &NameTree<BoundLeaf>, share: f64, out: &mut Vec<(f64, Replicas)>) {
    match tree {
        NameTree::Leaf(leaf) => out.push((share, leaf.cluster.replicas.get().1.clone())),
        NameTree::Union(union) => {
            let total: f64 = union.iter().map(|b| b.weight.value()).sum();
            for branch in union {
                let part = branch.weight.value() / total;
                // A union whose weights are all zero has no order of its own.
                let part = if part.is_finite() { part } else { 1.0 };
                branches(&branch.tree, share * part, out);
            }
        }
        // A bound tree has no alternatives; their first would be it.
        NameTree::Alt(trees) => {
            if let Some(first) = trees.first() {
                branches(first, share, out);
            }
        }
        NameTree::Neg | NameTree::Fail | NameTree::Empty => {}
    }
}

/// One set's endpoints keep the weights they have. Of several, each gets its share in all, whatever its size.
fn weigh(sets: &[(f64, &EndpointSet)]) -> BTreeMap<SocketAddr, u32> {
    let mut weights = BTreeMap::<SocketAddr, f64>::new();
    let all: usize = sets.iter().map(|(_, set)| set.len()).sum();
    for (share, set) in sets {
        let total: f64 = set.endpoints().iter().map(|e| e.weight.to_f64()).sum();
        for endpoint in set.endpoints() {
            let weight = endpoint.weight.to_f64();
            let weight = match sets.len() {
                1 => weight,
                _ if total > 0.0 => share * all as f64 * weight / total,
                _ => 0.0,
            };
            *weights.entry(endpoint.addr).or_default() += weight;
        }
    }
    let number = |weight: f64| match weight {
        0.0 => 0,
        weight => (weight * ORDINARY).round().max(1.0) as u32,
    };
    weights.into_iter().map(|(a, w)| (a, number(w))).collect()
}

// === updates ===

/// What tells a state to a reader who knows the one before.
pub(super) fn differences(before: Option<&State>, now: &State) -> Vec<v2::Update> {
    let nothing = BTreeMap::new();
    let had = match before {
        Some(State::Present(had)) => had,
        Some(State::Absent) | None => &nothing,
    };
    let has = match now {
        State::Present(has) if !has.is_empty() => has,
        none => {
            let exists = matches!(none, State::Present(_));
            let none = Kind::NoEndpoints(v2::NoEndpoints { exists });
            return vec![update(none)];
        }
    };
    let new = has
        .iter()
        .filter(|(addr, weight)| had.get(addr) != Some(weight));
    let new: Vec<_> = new
        .map(|(addr, weight)| v2::WeightedAddr {
            addr: Some((*addr).into()),
            weight: *weight,
            ..v2::WeightedAddr::default()
        })
        .collect();
    let gone = had.keys().filter(|addr| !has.contains_key(addr));
    let gone: Vec<_> = gone.map(|addr| (*addr).into()).collect();
    let mut updates = Vec::new();
    if !new.is_empty() {
        let set = v2::WeightedAddrSet {
            addrs: new,
            ..v2::WeightedAddrSet::default()
        };
        updates.push(update(Kind::Add(set)));
    }
    if !gone.is_empty() {
        updates.push(update(Kind::Remove(v2::AddrSet { addrs: gone })));
    }
    updates
}

fn update(kind: Kind) -> v2::Update {
    v2::Update { update: Some(kind) }
}
