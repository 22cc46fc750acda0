//! The live states that can be watched or asked for once.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use l5d_naming::{ClusterId, EndpointSet, NameTree, Replicas};
use tokio::time::{Instant, sleep_until};

use super::dtab_forms::Form;
use super::dtabs::json_names;
use super::watch::{Next, Source};
use crate::bind::{BindError, BindState, Binding, BoundCluster, BoundLeaf};
use crate::store::{Cell, Dep as _, NamespaceState, Version};
use crate::web::{addr, bound_tree};

/// How long a new tree of a watch may wait for its leaves' first addresses before it is told without them.
const LEAF_WAIT: Duration = Duration::from_secs(1);

/// How the error for an unknown `/$/` name begins (naming 7.2 gives the text).
const UNKNOWN_NAMER: &str = "Unknown namer: ";

// === namespaces ===

/// The names of all namespaces.
pub(super) struct Names {
    cell: Arc<Cell<Option<Arc<[String]>>>>,
    seen: Version,
}

impl Names {
    pub(super) fn new(cell: Arc<Cell<Option<Arc<[String]>>>>) -> Self {
        let seen = Version::default();
        Self { cell, seen }
    }
}

impl Source for Names {
    async fn next(&mut self) -> Next {
        loop {
            let now = self.cell.changed(self.seen).await;
            self.seen = now.0;
            if let Some(names) = &now.1 {
                return Next::Document(json_names(names.iter()));
            }
        }
    }
}

/// One namespace's dtab. Silent while there is none.
pub(super) struct Dtabs {
    cell: Arc<Cell<NamespaceState>>,
    form: Form,
    seen: Version,
}

impl Dtabs {
    pub(super) fn new(cell: Arc<Cell<NamespaceState>>, form: Form) -> Self {
        let seen = Version::default();
        Self { cell, form, seen }
    }
}

impl Source for Dtabs {
    async fn next(&mut self) -> Next {
        loop {
            let now = self.cell.changed(self.seen).await;
            self.seen = now.0;
            if let NamespaceState::Present(dtab) = &now.1 {
                return Next::Document(self.form.show(&dtab.dtab));
            }
        }
    }
}

/// The names that namers enumerate.
pub(super) struct BoundNames {
    cell: Arc<Cell<Arc<[ClusterId]>>>,
    seen: Version,
}

impl BoundNames {
    pub(super) fn new(cell: Arc<Cell<Arc<[ClusterId]>>>) -> Self {
        let seen = Version::default();
        Self { cell, seen }
    }
}

impl Source for BoundNames {
    async fn next(&mut self) -> Next {
        let now = self.cell.changed(self.seen).await;
        self.seen = now.0;
        Next::Document(json_names(now.1.iter().map(ToString::to_string)))
    }
}

// === trees ===

/// The bound tree of a name, with the addresses of the moment it is told.
pub(super) struct Trees {
    binding: Arc<Binding>,
    seen: Version,
    /// When to stop waiting for what is missing; `None`: a while after each change.
    deadline: Option<Instant>,
}

impl Trees {
    /// For a watch.
    pub(super) fn watched(binding: Arc<Binding>) -> Self {
        let seen = Version::default();
        Self {
            binding,
            seen,
            deadline: None,
        }
    }

    /// For one answer, as complete as it can be at the deadline.
    pub(super) fn once(binding: Arc<Binding>, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..Self::watched(binding)
        }
    }

    /// Waits until all names and leaves are known.
    async fn complete(&self, tree: &NameTree<BoundLeaf>) {
        if self.deadline.is_some() {
            let is_whole = |_: &BindState| !self.binding.is_partial();
            self.binding.state.wait_for(is_whole).await;
        }
        let mut clusters = Vec::new();
        tree.for_each_leaf(&mut |leaf| clusters.push(Arc::clone(&leaf.cluster)));
        for cluster in clusters {
            let is_known = |replicas: &Replicas| *replicas != Replicas::Pending;
            cluster.replicas.wait_for(is_known).await;
        }
    }
}

impl Source for Trees {
    async fn next(&mut self) -> Next {
        loop {
            let now = self.binding.state.changed(self.seen).await;
            let tree = match &now.1 {
                BindState::Tree(tree) => tree,
                BindState::Failed(e) => return Next::Failed(e.message().to_owned()),
                BindState::Pending => {
                    self.seen = now.0;
                    continue;
                }
            };
            let tell_by = self.deadline.unwrap_or_else(|| Instant::now() + LEAF_WAIT);
            tokio::select! {
                () = self.complete(tree) => {}
                () = sleep_until(tell_by) => {}
                _ = self.binding.state.changed(now.0) => {}
            }
            // A newer tree takes its place.
            if self.binding.state.version() == now.0 {
                self.seen = now.0;
                return Next::Document(bound_tree(tree));
            }
        }
    }
}

// === addresses ===

/// The addresses of one name: of a concrete id, or of one leaf picked from a bound tree.
pub(super) struct Addresses {
    binding: Arc<Binding>,
    choose: Choose,
    is_id: bool,
    /// The tree that was looked at last.
    seen: Version,
    /// The cluster that was chosen in it, and what was told of it last.
    chosen: Option<(Arc<BoundCluster>, Version)>,
}

/// What a bound tree means to a call for addresses.
type Choose = fn(&Binding, &NameTree<BoundLeaf>) -> Chosen;

/// One cluster's addresses, or a fixed answer.
enum Chosen {
    Cluster(Arc<BoundCluster>),
    Fixed(Replicas),
}

impl Addresses {
    /// Of a concrete id.
    pub(super) fn of_id(binding: Arc<Binding>) -> Self {
        Self::new(binding, the_one, true)
    }

    /// Of any name.
    pub(super) fn of_name(binding: Arc<Binding>) -> Self {
        Self::new(binding, any_one, false)
    }

    fn new(binding: Arc<Binding>, choose: Choose, is_id: bool) -> Self {
        Self {
            binding,
            choose,
            is_id,
            seen: Version::default(),
            chosen: None,
        }
    }

    /// Whether a cluster was found and only its addresses are missing.
    pub(super) fn waits_for_addresses(&self) -> bool {
        self.chosen.is_some()
    }

    /// A new state of the binding: something to tell, or nothing yet.
    fn look(&mut self, version: Version, state: &BindState) -> Option<Next> {
        self.seen = version;
        self.chosen = None;
        match state {
            // For a concrete id nobody knows, whatever tree it stands in, the answer is a plain no (control plane 7.5).
            BindState::Failed(BindError::Namer(why))
                if self.is_id && why.starts_with(UNKNOWN_NAMER) =>
            {
                Some(Next::Document(addr(&Replicas::Neg, None)))
            }
            BindState::Pending => None,
            BindState::Failed(e) => Some(Next::Failed(e.message().to_owned())),
            BindState::Tree(tree) => match (self.choose)(&self.binding, tree) {
                Chosen::Fixed(replicas) => Some(Next::Document(addr(&replicas, None))),
                Chosen::Cluster(cluster) => {
                    self.chosen = Some((cluster, Version::default()));
                    None
                }
            },
        }
    }
}

impl Source for Addresses {
    async fn next(&mut self) -> Next {
        loop {
            let chosen = self.chosen.clone();
            let replicas = async move {
                match chosen {
                    Some((cluster, seen)) => cluster.replicas.changed(seen).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                state = self.binding.state.changed(self.seen) => {
                    if let Some(next) = self.look(state.0, &state.1) {
                        return next;
                    }
                }
                now = replicas => {
                    if let Some((_, seen)) = &mut self.chosen {
                        *seen = now.0;
                    }
                    if now.1 != Replicas::Pending {
                        return Next::Document(addr(&now.1, None));
                    }
                }
            }
        }
    }

    fn failure(&self, cause: &str) -> String {
        addr(&Replicas::Failed(cause.into()), None)
    }
}

/// The tree of a concrete id is one leaf, or a fixed answer (control plane 7.5, naming 10).
fn the_one(binding: &Binding, tree: &NameTree<BoundLeaf>) -> Chosen {
    match tree {
        NameTree::Leaf(leaf) => Chosen::Cluster(Arc::clone(&leaf.cluster)),
        NameTree::Neg => Chosen::Fixed(Replicas::Neg),
        NameTree::Empty => Chosen::Fixed(Replicas::Bound(Arc::new(EndpointSet::default()))),
        NameTree::Fail => Chosen::Fixed(Replicas::Failed("name tree failed".into())),
        NameTree::Alt(_) | NameTree::Union(_) => {
            let cause = format!("{} is not a concrete bound id", binding.key.path);
            Chosen::Fixed(Replicas::Failed(cause.into()))
        }
    }
}

/// One leaf of a tree: the first usable alternative, a branch of a union by weight.
fn any_one(_: &Binding, tree: &NameTree<BoundLeaf>) -> Chosen {
    match pick(tree) {
        Some(leaf) => Chosen::Cluster(Arc::clone(&leaf.cluster)),
        None => Chosen::Fixed(Replicas::Neg),
    }
}

fn pick(tree: &NameTree<BoundLeaf>) -> Option<&BoundLeaf> {
    match tree {
        NameTree::Leaf(leaf) => Some(leaf),
        NameTree::Alt(trees) => trees.iter().find_map(pick),
        NameTree::Union(branches) => {
            let usable: Vec<_> = branches
                .iter()
                .filter_map(|b| Some((b.weight.value(), pick(&b.tree)?)))
                .collect();
            let total: f64 = usable.iter().map(|(weight, _)| weight).sum();
            let mut at = fastrand::f64() * total;
            let by_weight = usable.iter().find(|(weight, _)| {
                at -= weight;
                at < 0.0
            });
            by_weight.or(usable.first()).map(|(_, leaf)| *leaf)
        }
        NameTree::Neg | NameTree::Fail | NameTree::Empty => None,
    }
}
