//! Live states for the doors of older clients: what a name is bound to, a bound name's endpoints, a dtab.
//!
//! In come bindings and cells; out go the states worth telling, the latest only: whoever is slow skips those between. A
//! state equal to the one told before is not told again.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use l5d_naming::{BoundName, BoundTree, EndpointSet, NameTree, Replicas};
use tokio::time::timeout;
use tonic::Status;

use crate::bind::{BindError, BindState, Binding, BoundCluster, BoundLeaf};
use crate::store::{Cell, NamespaceState, Version, VersionedDtab};
use crate::stream::Doors;

/// A state that changes.
pub(super) trait Live: Send + 'static {
    /// What it is at one time.
    type State: Clone + PartialEq + Send + 'static;

    /// The next state that is worth telling, or what ends it. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Self::State, Status>> + Send;
}

/// How long a call for one state waits for it.
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// Every state as it comes, until an error or the end of this process. Takes the next one only when the one before has
/// been written: one unsent state a stream (control plane 4.8).
pub(super) fn states<L: Live>(
    live: L,
    doors: &Doors,
) -> BoxStream<'static, Result<L::State, Status>> {
    let closed = doors.closed.clone();
    let start = Some((live, None::<L::State>, closed));
    Box::pin(stream::unfold(start, |state| async move {
        let (mut live, last, closed) = state?;
        if last.is_some() {
            // Lets what was told be written by itself.
            tokio::task::yield_now().await;
        }
        loop {
            let next = tokio::select! {
                () = closed.cancelled() => Err(leaving()),
                next = live.next() => next,
            };
            match next {
                Ok(next) if last.as_ref() == Some(&next) => {}
                Ok(next) => return Some((Ok(next.clone()), Some((live, Some(next), closed)))),
                Err(status) => return Some((Err(status), None)),
            }
        }
    }))
}

/// The state now, as soon as it is known.
pub(super) async fn once<L: Live>(mut live: L, what: &str) -> Result<L::State, Status> {
    match timeout(WAIT, live.next()).await {
        Ok(state) => state,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "still waiting for {what}"
        ))),
    }
}

fn leaving() -> Status {
    Status::unavailable("namerd is shutting down")
}

// === trees ===

/// The bound tree of a name. Ends with an error that no waiting mends; what a store or a namer may recover from ends only
/// a stream on which nothing has been told yet, so that the reader keeps what it has (control plane 14).
#[derive(Debug)]
pub(super) struct Trees {
    binding: Arc<Binding>,
    seen: Version,
    told: bool,
}

impl Trees {
    pub(super) fn new(binding: Arc<Binding>) -> Self {
        Self {
            binding,
            seen: Version::default(),
            told: false,
        }
    }
}

impl Live for Trees {
    type State = BoundTree;

    async fn next(&mut self) -> Result<BoundTree, Status> {
        loop {
            let now = self.binding.state.changed(self.seen).await;
            self.seen = now.0;
            match &now.1 {
                BindState::Pending => {}
                BindState::Tree(tree) => {
                    self.told = true;
                    return Ok(tree.map(&mut |leaf: &BoundLeaf| BoundName {
                        id: leaf.cluster.id.clone(),
                        residual: leaf.residual.clone(),
                    }));
                }
                BindState::Failed(error) if self.told && may_recover(error) => {
                    tracing::debug!(name = %self.binding.key.path, %error, "a binding that is followed has failed");
                }
                BindState::Failed(error) => return Err(Status::internal(error.message())),
            }
        }
    }
}

/// How the error for a name that no system namer knows begins (naming 7.2).
const UNKNOWN_NAMER: &str = "Unknown namer: ";

fn may_recover(error: &BindError) -> bool {
    match error {
        BindError::Depth(_) | BindError::Width(_) => false,
        BindError::Namer(why) => !why.starts_with(UNKNOWN_NAMER),
        BindError::Store(_) => true,
    }
}

// === sets ===

/// The endpoints of a concrete id. Pending at first, then what is known; a set once known is not replaced by pending or
/// failed again (control plane 14).
#[derive(Debug)]
pub(super) struct Sets {
    binding: Arc<Binding>,
    /// The tree that was looked at last.
    seen: Version,
    /// The cluster that it is, and what was seen of it last.
    cluster: Option<(Arc<BoundCluster>, Version)>,
    known: bool,
}

impl Sets {
    pub(super) fn new(binding: Arc<Binding>) -> Self {
        Self {
            binding,
            seen: Version::default(),
            cluster: None,
            known: false,
        }
    }

    /// A new state of the binding: something fixed, or the cluster to look at.
    fn look(&mut self, version: Version, state: &BindState) -> Option<Replicas> {
        self.seen = version;
        self.cluster = None;
        Some(match state {
            BindState::Pending => Replicas::Pending,
            BindState::Failed(error) => Replicas::Failed(error.message().into()),
            BindState::Tree(NameTree::Leaf(leaf)) => {
                self.cluster = Some((Arc::clone(&leaf.cluster), Version::default()));
                return None;
            }
            BindState::Tree(NameTree::Neg) => Replicas::Neg,
            BindState::Tree(NameTree::Empty) => Replicas::Bound(Arc::new(EndpointSet::default())),
            BindState::Tree(NameTree::Fail) => Replicas::Failed("name tree failed".into()),
            BindState::Tree(NameTree::Alt(_) | NameTree::Union(_)) => {
                let why = format!("{} is not a concrete bound id", self.binding.key.path);
                Replicas::Failed(why.into())
            }
        })
    }
}

impl Live for Sets {
    type State = Replicas;

    async fn next(&mut self) -> Result<Replicas, Status> {
        loop {
            let cluster = self.cluster.clone();
            let replicas = async move {
                match cluster {
                    Some((cluster, seen)) => cluster.replicas.changed(seen).await,
                    None => pending().await,
                }
            };
            let replicas = tokio::select! {
                biased;
                state = self.binding.state.changed(self.seen) => self.look(state.0, &state.1),
                now = replicas => {
                    if let Some((_, seen)) = &mut self.cluster {
                        *seen = now.0;
                    }
                    Some(now.1.clone())
                }
            };
            match replicas {
                None => {}
                Some(Replicas::Pending | Replicas::Failed(_)) if self.known => {}
                Some(replicas) => {
                    self.known = matches!(replicas, Replicas::Bound(_) | Replicas::Neg);
                    return Ok(replicas);
                }
            }
        }
    }
}

// === dtabs ===

/// A namespace's dtab. Ends when there is none, and when it cannot be read.
#[derive(Debug)]
pub(super) struct Dtabs {
    cell: Arc<Cell<NamespaceState>>,
    seen: Version,
}

impl Dtabs {
    pub(super) fn new(cell: Arc<Cell<NamespaceState>>) -> Self {
        Self {
            cell,
            seen: Version::default(),
        }
    }
}

impl Live for Dtabs {
    type State = VersionedDtab;

    async fn next(&mut self) -> Result<VersionedDtab, Status> {
        loop {
            let now = self.cell.changed(self.seen).await;
            self.seen = now.0;
            match &now.1 {
                NamespaceState::Pending => {}
                NamespaceState::Present(dtab) => return Ok(dtab.clone()),
                NamespaceState::Absent => return Err(Status::not_found("Root not found")),
                NamespaceState::Unreadable(why) => return Err(Status::internal(&**why)),
            }
        }
    }
}
