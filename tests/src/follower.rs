//! A node's side of `Follow` and nothing else: for counting what a node is told, with many of them in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use l5d_naming::{EndpointSet, Replicas, TransformerSpec};
use l5d_resolver::change::apply_delta;
use l5d_resolver::page::Assembly;
use l5d_resolver::v1;
use l5d_resolver::v1::down::Message;
use l5d_resolver::v1::resolver_client::ResolverClient;
use l5d_resolver::v1::up;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

const PATIENCE: Duration = Duration::from_secs(180);
/// Between two acknowledgements.
const ACKS: Duration = Duration::from_secs(1);

/// A router of the node: its label, its transformers, and the paths that are followed through it.
pub type Followed<'a> = (&'a str, Vec<TransformerSpec>, Vec<&'a str>);

/// An open stream. Dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    state: Arc<Mutex<State>>,
    changed: watch::Receiver<()>,
    reads: watch::Sender<bool>,
    _reader: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    clusters: BTreeMap<u32, Known>,
    assembly: Assembly,
    /// Interests that have a tree.
    answered: BTreeSet<u32>,
    /// Without heartbeats.
    frames: u64,
    /// What was told to be nothing: sets without an endpoint, trees without a leaf.
    nothings: Vec<String>,
    end: Option<String>,
}

#[derive(Debug)]
struct Known {
    id: String,
    replicas: Replicas,
    hash: u64,
}

impl Follower {
    /// Follows as a node whose routers have the dtab `default`.
    pub async fn start(channel: Channel, node: &str, routers: &[Followed<'_>]) -> Result<Self> {
        Self::start_in(channel, node, "default", routers).await
    }

    /// Follows as a node whose routers have the dtab `root`.
    pub async fn start_in(
        channel: Channel,
        node: &str,
        root: &str,
        routers: &[Followed<'_>],
    ) -> Result<Self> {
        let (up, messages) = mpsc::channel(4);
        let wire = |(label, specs, _): &Followed<'_>| v1::Router {
            label: (*label).to_owned(),
            root: root.to_owned(),
            transformers: specs.iter().map(transformer).collect(),
            ..v1::Router::default()
        };
        let hello = v1::Hello {
            node: node.to_owned(),
            version: "test".to_owned(),
            routers: routers.iter().map(wire).collect(),
            ..v1::Hello::default()
        };
        let mut interests = Vec::new();
        for (router, (_, _, paths)) in (0..).zip(routers) {
            for path in paths {
                interests.push(v1::Interest {
                    id: u32::try_from(interests.len())? + 1,
                    router,
                    path: (*path).to_owned(),
                    ..v1::Interest::default()
                });
            }
        }
        for message in [
            up::Message::Hello(hello),
            up::Message::Want(v1::Want { interests }),
        ] {
            let message = v1::Up {
                message: Some(message),
            };
            up.send(message)
                .await
                .context("the stream takes messages")?;
        }
        let down = ResolverClient::new(channel)
            .follow(ReceiverStream::new(messages))
            .await?;
        let state = Arc::new(Mutex::new(State::default()));
        let (told, changed) = watch::channel(());
        let (reads, may_read) = watch::channel(true);
        let reader = read(down.into_inner(), up, Arc::clone(&state), told, may_read);
        let reader = tokio::spawn(reader);
        Ok(Self {
            state,
            changed,
            reads,
            _reader: AbortOnDropHandle::new(reader),
        })
    }

    /// Reads on, or not: then what namerd sends stays in the windows and buffers between.
    pub fn read(&self, on: bool) {
        self.reads.send_replace(on);
    }

    /// Messages so far, heartbeats left out.
    pub fn frames(&self) -> u64 {
        self.state.lock().frames
    }

    /// What was ever told to be nothing: sets without an endpoint, trees without a leaf. The first hundred.
    pub fn nothings(&self) -> Vec<String> {
        self.state.lock().nothings.clone()
    }

    /// Waits until the set whose id ends like this has this hash.
    pub async fn until_hash(&self, id: &str, wanted: u64) {
        let is = |known: &Known| known.id.ends_with(id) && known.hash == wanted;
        self.until(|state| state.clusters.values().any(is)).await;
    }

    /// Why the stream has ended, as soon as it has.
    pub async fn end(&self) -> String {
        let mut changed = self.changed.clone();
        loop {
            if let Some(end) = &self.state.lock().end {
                return end.clone();
            }
            if changed.changed().await.is_err() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until the cluster whose id ends like this has these addresses.
    pub async fn until_addresses(&self, id: &str, wanted: &[SocketAddr]) {
        let has = |state: &State| {
            let known = state.clusters.values().find(|known| known.id.ends_with(id));
            known.is_some_and(|known| match &known.replicas {
                Replicas::Bound(set) => set
                    .endpoints()
                    .iter()
                    .map(|e| e.addr)
                    .eq(wanted.iter().copied()),
                _ => false,
            })
        };
        self.until(has).await;
    }

    /// Waits until so many interests have been answered, with all that their trees name.
    pub async fn until_answered(&self, interests: usize) {
        self.until(|state| state.answered.len() == interests).await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                {
                    let state = self.state.lock();
                    if holds(&state) {
                        return;
                    }
                    assert!(state.end.is_none(), "the stream has ended: {state:?}");
                }
                if changed.changed().await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("not in {PATIENCE:?}: {:?}", self.state.lock());
        }
    }
}

/// Reads for as long as the stream lasts, and acknowledges what was applied, as a node does.
async fn read(
    mut down: tonic::Streaming<v1::Down>,
    up: mpsc::Sender<v1::Up>,
    state: Arc<Mutex<State>>,
    told: watch::Sender<()>,
    mut may_read: watch::Receiver<bool>,
) {
    let (mut messages, mut acknowledged) = (0, 0);
    let mut acks = tokio::time::interval(ACKS);
    loop {
        if may_read.wait_for(|on| *on).await.is_err() {
            return;
        }
        let message = tokio::select! {
            message = down.message() => message,
            _ = acks.tick() => {
                let ack = up::Message::Ack(v1::Ack { messages });
                // Where there is no room the next one says as much.
                if messages > acknowledged && up.try_send(v1::Up { message: Some(ack) }).is_ok() {
                    acknowledged = messages;
                }
                continue;
            }
        };
        messages += 1;
        {
            let mut state = state.lock();
            match message {
                Ok(Some(message)) => {
                    if let Err(error) = state.apply(message) {
                        state.end = Some(format!("{error:#}"));
                    }
                }
                Ok(None) => state.end = Some("closed".to_owned()),
                Err(status) => state.end = Some(status.to_string()),
            }
        }
        told.send_replace(());
        if state.lock().end.is_some() {
            return;
        }
    }
}

impl State {
    fn apply(&mut self, down: v1::Down) -> Result<()> {
        let message = down.message.context("a message of a known kind")?;
        if matches!(message, Message::Heartbeat(_)) {
            return Ok(());
        }
        self.frames += 1;
        match message {
            Message::Cluster(page) => {
                if let Some(whole) = self.assembly.push(page)? {
                    self.note_nothing(&whole.id.to_string(), &whole.replicas);
                    let known = Known {
                        id: whole.id.to_string(),
                        replicas: whole.replicas,
                        hash: whole.hash,
                    };
                    self.clusters.insert(whole.number, known);
                }
            }
            Message::Delta(delta) => {
                let known = self
                    .clusters
                    .get_mut(&delta.number)
                    .context("a told cluster")?;
                let empty = Arc::new(EndpointSet::default());
                let set = match &known.replicas {
                    Replicas::Bound(set) => set,
                    _ => &empty,
                };
                let (next, hash) = apply_delta(&delta, set, known.hash)?;
                (known.replicas, known.hash) = (Replicas::Bound(next.into()), hash);
                let (id, replicas) = (known.id.clone(), known.replicas.clone());
                self.note_nothing(&id, &replicas);
            }
            Message::Tree(tree) => {
                if let Some(v1::tree::State::Root(node)) = &tree.state
                    && !has_leaf(node)
                {
                    self.note(format!("{node:?}"));
                }
            }
            Message::Forget(forget) => {
                self.clusters
                    .retain(|number, _| !forget.numbers.contains(number));
            }
            Message::Answer(answer) => self.answered.extend(answer.interests),
            Message::Refuse(refuse) => anyhow::bail!("refused: {refuse:?}"),
            _ => {}
        }
        Ok(())
    }

    fn note_nothing(&mut self, id: &str, replicas: &Replicas) {
        let is_nothing = match replicas {
            Replicas::Bound(set) => set.endpoints().is_empty(),
            Replicas::Neg => true,
            Replicas::Pending | Replicas::Failed(_) => false,
        };
        if is_nothing {
            self.note(format!("{id}: {replicas:?}"));
        }
    }

    fn note(&mut self, nothing: String) {
        if self.nothings.len() < 100 {
            self.nothings.push(nothing);
        }
    }
}

fn has_leaf(node: &v1::Node) -> bool {
    match &node.node {
        Some(v1::node::Node::Leaf(_)) => true,
        Some(v1::node::Node::Union(union)) => {
            let mut nodes = union.branches.iter().filter_map(|b| b.node.as_ref());
            nodes.any(has_leaf)
        }
        _ => false,
    }
}

fn transformer(spec: &TransformerSpec) -> v1::Transformer {
    spec.into()
}
