//! Nodes that follow both replicas: some by the node proxy's own control client, which resumes and moves, some message by
//! message from the beginning of each stream.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use l5d_naming::{Dtab, EndpointWeight, NameTree, Path, Replicas};
use l5d_node::cache::{FollowSet, Leaf, Name, StreamState};
use l5d_node::config::{Identity, read};
use l5d_node::control::{Plan, follow};
use l5d_resolver::hash::{cluster_hash, cluster_hash_of};
use l5d_resolver::record::Record;
use l5d_resolver::v1::State;
use l5d_tests::follower::Follower;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Endpoint;

use crate::ground::{Doors, PATIENCE};

/// Between two streams of a listener.
const PAUSE: Duration = Duration::from_millis(100);

/// What names are to lead to: by namespace and path.
pub(crate) type Truth = BTreeMap<(String, String), BTreeSet<SocketAddr>>;

/// What was seen to be nothing.
pub(crate) type Nothings = Arc<Mutex<Vec<String>>>;

/// A node by the control client of the node proxy.
pub(crate) struct Node {
    names: BTreeMap<(String, String), Arc<Name>>,
    set: Arc<FollowSet>,
    _stop: DropGuard,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Node {
    /// Follows these names through one router a namespace.
    pub(crate) fn start(
        wanted: &[(String, String)],
        doors: [Doors; 2],
        nothings: &Nothings,
    ) -> Result<Self> {
        let roots: BTreeSet<_> = wanted.iter().map(|(root, _)| root).collect();
        let dst = doors.map(|d| format!("/$/inet/{}/{}", d.mesh.ip(), d.mesh.port()));
        let mut text = "routers:\n".to_owned();
        for (root, port) in roots.iter().zip(4140..) {
            text += &format!(
                "- protocol: http
  label: {root}
  servers: [{{ip: 127.0.0.1, port: {port}}}]
  interpreter: {{kind: io.l5d.mesh, dst: [{}], root: /{root}, retry: {{maxSeconds: 2}}}}
",
                dst.join(", ")
            );
        }
        let config = read("node.yaml", &text)
            .map_err(|mistakes| anyhow::anyhow!("a configuration without mistakes: {mistakes}"))?;
        let identity = Identity::read(|_| None, None, None)?;
        let plan = Plan::all(&config, &identity).pop().context("one plan")?;
        let set = Arc::clone(&plan.set);
        let mut names = BTreeMap::new();
        for (root, path) in wanted {
            let router = roots.iter().position(|r| *r == root).context("a router")?;
            let name = set.begin(router, path.parse::<Path>()?, Dtab::empty());
            names.insert((root.clone(), path.clone()), name);
        }
        let stop = CancellationToken::new();
        let watch = watch(Arc::clone(&set), names.clone(), Arc::clone(nothings));
        let tasks = [
            tokio::spawn(watch),
            tokio::spawn(follow(plan, stop.clone())),
        ];
        Ok(Self {
            names,
            set,
            _stop: stop.drop_guard(),
            _tasks: tasks.map(AbortOnDropHandle::new),
        })
    }

    /// Waits until all is as it is to be, confirmed by a stream that follows, and the hashes are those of the truth.
    pub(crate) async fn until(&self, truth: &Truth) -> Result<()> {
        let began = Instant::now();
        loop {
            let differences = self.differences(truth);
            if differences.is_empty() {
                return Ok(());
            }
            let contact = self.set.contact();
            ensure!(
                began.elapsed() < PATIENCE,
                "stale: {differences:?}; {contact:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn differences(&self, truth: &Truth) -> Vec<String> {
        let mut differences = Vec::new();
        let contact = self.set.contact();
        if contact.state != StreamState::Following {
            differences.push(format!("{:?}", contact.state));
        }
        for (key, wanted) in truth {
            let Some(name) = self.names.get(key) else {
                continue;
            };
            let now = leaf(name).map(|leaf| {
                let replicas = leaf.cluster.state().replicas.clone();
                (replicas, name.is_stale() || leaf.cluster.is_stale())
            });
            let is_right = now.as_ref().is_some_and(|(replicas, is_stale)| {
                !is_stale && cluster_hash(replicas) == hash(wanted)
            });
            if !is_right {
                differences.push(format!("{key:?} is {now:?}, not {wanted:?}"));
            }
        }
        differences
    }

    /// Hashes that differed from what was told, so far.
    pub(crate) fn mismatches(&self) -> u64 {
        let counts = self.set.contact().counts;
        counts.hash_mismatches + counts.digest_mismatches + counts.unknown_numbers
    }

    /// What the last heartbeat told of each source: its name, and the time since it last said something.
    pub(crate) fn sources(&self) -> Vec<(String, Duration)> {
        self.set.contact().sources.clone()
    }

    /// Streams so far.
    pub(crate) fn streams(&self) -> u64 {
        self.set.contact().counts.streams
    }
}

/// The hash of endpoints of weight 1.
pub(crate) fn hash(addresses: &BTreeSet<SocketAddr>) -> u64 {
    let weight = EndpointWeight::ONE;
    let records = addresses.iter().map(|&addr| Record { addr, weight });
    cluster_hash_of(State::Bound, "", records)
}

fn leaf(name: &Name) -> Option<Leaf> {
    match &*name.tree()? {
        NameTree::Leaf(leaf) => Some(leaf.clone()),
        _ => None,
    }
}

/// Looks at every name whenever something was told.
async fn watch(
    set: Arc<FollowSet>,
    names: BTreeMap<(String, String), Arc<Name>>,
    nothings: Nothings,
) {
    loop {
        set.touched().await;
        for (key, name) in &names {
            let Some(tree) = name.tree() else { continue };
            let replicas = match &*tree {
                NameTree::Leaf(leaf) => leaf.cluster.state().replicas.clone(),
                other => {
                    nothings.lock().push(format!("{key:?}: {other:?}"));
                    continue;
                }
            };
            let is_nothing = match &replicas {
                Replicas::Bound(set) => set.endpoints().is_empty(),
                Replicas::Neg => true,
                Replicas::Pending | Replicas::Failed(_) => false,
            };
            if is_nothing {
                nothings.lock().push(format!("{key:?}: {replicas:?}"));
            }
        }
    }
}

/// A node that begins anew with each stream and sees every message: of one replica, and of the other when that one fails.
pub(crate) struct Listener {
    open: Arc<Mutex<Option<Arc<Follower>>>>,
    before: Nothings,
    pub(crate) task: AbortOnDropHandle<Result<()>>,
}

impl Listener {
    /// Listens to names of one namespace until dropped, beginning with the first door.
    pub(crate) fn start(root: String, paths: Vec<String>, doors: [Doors; 2]) -> Self {
        let (open, before) = (Arc::default(), Nothings::default());
        let listen = listen(root, paths, doors, Arc::clone(&open), Arc::clone(&before));
        Self {
            open,
            before,
            task: AbortOnDropHandle::new(tokio::spawn(listen)),
        }
    }

    /// What was ever told to be nothing.
    pub(crate) fn nothings(&self) -> Vec<String> {
        let open = self.open.lock().clone();
        let now = open.map(|stream| stream.nothings()).unwrap_or_default();
        [self.before.lock().clone(), now].concat()
    }
}

async fn listen(
    root: String,
    paths: Vec<String>,
    doors: [Doors; 2],
    current: Arc<Mutex<Option<Arc<Follower>>>>,
    before: Nothings,
) -> Result<()> {
    for door in doors.iter().cycle() {
        if let Ok(stream) = open(&root, &paths, *door).await {
            let stream = Arc::new(stream);
            *current.lock() = Some(Arc::clone(&stream));
            let end = stream.end().await;
            before.lock().extend(stream.nothings());
            // What the node itself finds wrong ends the stream, too.
            ensure!(!end.contains("hash"), "{door:?}: {end}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("the doors never end")
}

async fn open(root: &str, paths: &[String], door: Doors) -> Result<Follower> {
    let endpoint = Endpoint::from_shared(format!("http://{}", door.mesh))?;
    let channel = timeout(Duration::from_secs(2), endpoint.connect()).await??;
    let paths = paths.iter().map(String::as_str).collect();
    Follower::start_in(channel, "listener", root, &[("r", Vec::new(), paths)]).await
}

/// Waits until a new stream to a replica tells the truth, in hashes.
pub(crate) async fn ask_anew(root: &str, truth: &Truth, door: Doors) -> Result<()> {
    let of_root = || truth.iter().filter(|((r, _), _)| r == root);
    let paths: Vec<_> = of_root().map(|((_, path), _)| path.clone()).collect();
    let stream = open(root, &paths, door).await?;
    for ((_, path), wanted) in of_root() {
        let id = match path.strip_prefix("/svc/") {
            Some(service) => format!("/{service}"),
            None => format!("/{}", wanted.first().context("an address")?.port()),
        };
        stream.until_hash(&id, hash(wanted)).await;
    }
    let nothings = stream.nothings();
    ensure!(nothings.is_empty(), "{door:?}: {nothings:?}");
    Ok(())
}
