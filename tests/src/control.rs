//! namerd's own parts in this process, on either cluster: watches, model, binder, transformers and the resolver API, with
//! their counters at hand. What the whole program adds is tested with the program.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Result;
use l5d_naming::{Dtab, NameTree, Path, Replicas, TransformerSpec};
use namerd::api::{Api, serve};
use namerd::auth::{NodeGuard, Reviews};
use namerd::bind::namers::K8sNamer;
use namerd::bind::{BindKey, BindState, Binder, Binding, BoundLeaf};
use namerd::ca::Ca;
use namerd::config::SocketOptions;
use namerd::k8s::{Address, K8sSource, Kubernetes, Reviewer};
use namerd::store::services::Services;
use namerd::store::{Caller, Cell, Dep as _, Engine, InMemoryStore, Listener, Subscription};
use namerd::stream::{Hub, Limits, NoSources};
use namerd::tls::Gate;
use namerd::transform::Transforms;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Backing, Cluster};
use crate::port::HeldPort;
use crate::real::NAMERD;

/// Generous: an answer takes milliseconds, an API server's restart some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane of parts. Its tasks end with it.
pub struct ControlPlane {
    /// The model of the watched cluster.
    pub services: Services,
    /// Binds names; counts evaluations.
    pub binder: Binder,
    /// Sessions; counts frames and encodings.
    pub hub: Arc<Hub>,
    token: CancellationToken,
    tasks: TaskTracker,
}

/// A question and its live answer.
#[derive(Debug)]
pub struct Question {
    binding: Arc<Binding>,
}

/// What an answer looks like now.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// The tree is pending or has failed.
    NotBound(String),
    /// The tree is no leaf: `~`, `!`, `$`.
    Nothing(String),
    /// A leaf whose set is pending, negative or failed.
    Cell(Replicas),
    /// A leaf with these addresses and their weights.
    Addresses(BTreeMap<SocketAddr, f64>),
}

/// Everything that the set of a leaf has been since the record began, without gaps.
pub struct Record {
    recorder: Arc<Recorder>,
    _subscription: Subscription,
}

struct Recorder {
    cell: Arc<Cell<Replicas>>,
    seen: Mutex<Vec<Seen>>,
}

impl ControlPlane {
    /// Begins to watch a cluster, as the service account that namerd has, or on the double as nobody.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        Self::start_as(cluster, NAMERD)
    }

    /// The same with one of the real API server's tokens.
    pub fn start_as(cluster: &Cluster, user: &str) -> Result<Self> {
        Self::start_with(cluster, user, Limits::default())
    }

    /// The same with other bounds of sessions.
    pub fn start_with(cluster: &Cluster, user: &str, limits: Limits) -> Result<Self> {
        let mut source = K8sSource::new(address(cluster, user)?);
        source.startup_jitter = Duration::ZERO;
        let (token, tasks) = (CancellationToken::new(), TaskTracker::new());
        let services = Kubernetes::start(source, &tasks, &token)?.services;
        let engine = Engine::new();
        tasks.spawn(
            token
                .clone()
                .run_until_cancelled_owned(engine.clone().run()),
        );
        let dtab: Dtab = "/svc => /#/io.l5d.k8s/default/http".parse()?;
        let store = InMemoryStore::new([("default".to_owned(), dtab)]);
        let prefix: Path = "/io.l5d.k8s".parse()?;
        let namer = K8sNamer::new(&prefix, None, services.clone(), engine.clone());
        let transforms = Transforms::new(engine.clone(), Some(Arc::new(services.clone())));
        let binder = Binder::new(engine, store, vec![Arc::new(namer)], transforms);
        let hub = Hub::new(binder.clone(), Arc::new(NoSources), limits, Arc::default());
        Ok(Self {
            services,
            binder,
            hub,
            token,
            tasks,
        })
    }

    /// Waits until every kind has been listed.
    pub async fn ready(&self) {
        let ready = self.services.ready();
        let ready = tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready));
        ready.await.expect("every kind is listed in time");
    }

    /// Serves the resolver API on a loopback port until this ends.
    pub fn serve(&self) -> Result<SocketAddr> {
        self.serve_guarded(NodeGuard::open())
    }

    /// Who checks tokens: the API server of the cluster, asked as the service account that namerd has.
    pub fn reviews(&self, cluster: &Cluster) -> Result<Arc<dyn Reviews>> {
        reviews(cluster, "default")
    }

    /// The same to nodes that prove themselves.
    pub fn serve_guarded(&self, nodes: Arc<NodeGuard>) -> Result<SocketAddr> {
        self.serve_certifying(nodes, None)
    }

    /// The same with an authority that certifies them.
    pub fn serve_certifying(
        &self,
        nodes: Arc<NodeGuard>,
        ca: Option<Arc<Ca>>,
    ) -> Result<SocketAddr> {
        let port = HeldPort::take([127, 0, 0, 1].into())?;
        let api = Api {
            hub: Arc::clone(&self.hub),
            limits: Arc::clone(self.hub.limits()),
            ready: self.services.ready(),
            grace: Duration::ZERO,
            connections: 1000,
            gate: Gate::plain(SocketOptions::default()),
            nodes,
            ca,
            connection_age: None,
            access_log: None,
            meter: Arc::default(),
        };
        let serve = serve(port.listen()?, api, self.token.clone());
        self.tasks.spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the resolver API has ended");
            }
        });
        Ok(port.addr())
    }

    /// Asks for a path in the namespace `default`, through transformers, from a node.
    pub fn ask(
        &self,
        path: &str,
        through: &[TransformerSpec],
        node: Option<&str>,
    ) -> Result<Question> {
        let key = BindKey {
            root: Some("default".into()),
            router: Dtab::empty(),
            local: Dtab::empty(),
            path: path.parse()?,
            transformers: through.into(),
        };
        let caller = Caller {
            node: node.map(Into::into),
            ..Caller::default()
        };
        let binding = self.binder.bind(&key, &caller)?;
        Ok(Question { binding })
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").finish_non_exhaustive()
    }
}

/// `io.l5d.k8s.daemonset` as the incoming port of the DaemonSet `l5d` in `namespace`.
pub fn daemonset(namespace: &str) -> TransformerSpec {
    TransformerSpec {
        kind: "io.l5d.k8s.daemonset".to_owned(),
        namespace: namespace.to_owned(),
        service: "l5d".to_owned(),
        port: "incoming".to_owned(),
        ..TransformerSpec::default()
    }
}

/// `io.l5d.k8s.localnode`.
pub fn localnode() -> TransformerSpec {
    TransformerSpec {
        kind: "io.l5d.k8s.localnode".to_owned(),
        ..TransformerSpec::default()
    }
}

/// Where a cluster's API is, for the service account that namerd has.
pub fn api_address(cluster: &Cluster) -> Result<Address> {
    address(cluster, NAMERD)
}

/// Who checks tokens, and rights to the dtabs in this Kubernetes namespace.
pub fn reviews(cluster: &Cluster, namespace: &str) -> Result<Arc<dyn Reviews>> {
    let address = address(cluster, NAMERD)?;
    Ok(Arc::new(Reviewer::new(address, namespace.to_owned())?))
}

fn address(cluster: &Cluster, user: &str) -> Result<Address> {
    Ok(match cluster.backing() {
        Backing::Double(double) => Address::Plain {
            host: double.addr().ip().to_string(),
            port: double.addr().port(),
        },
        Backing::Real(real) => {
            let account = real.service_account(user)?;
            let file = |name: &str| -> Option<PathBuf> { Some(account.join(name)) };
            Address::Url {
                url: format!("https://{}", real.addr()),
                token_file: file("token"),
                ca_file: file("ca.crt"),
            }
        }
    })
}

// === impl Question ===

impl Question {
    /// The answer now.
    pub fn now(&self) -> Seen {
        match &self.binding.state.get().1 {
            BindState::Tree(NameTree::Leaf(leaf)) => Seen::of(&leaf.cluster.replicas.get().1),
            BindState::Tree(tree) => Seen::Nothing(kind_of(tree).to_owned()),
            state => Seen::NotBound(format!("{state:?}")),
        }
    }

    /// Waits until the answer is like this. Panics with what it was instead when that takes too long.
    pub async fn until(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let found = tokio::time::timeout(PATIENCE, self.wait(wanted)).await;
        found.unwrap_or_else(|_| panic!("{}: still {:?}", self.binding.key.path, self.now()))
    }

    /// Waits for these addresses and weights.
    pub async fn until_addresses(&self, wanted: &[(SocketAddr, f64)]) {
        let wanted = Seen::Addresses(wanted.iter().copied().collect());
        let found = tokio::time::timeout(PATIENCE, self.wait(|seen| *seen == wanted)).await;
        if found.is_err() {
            let path = &self.binding.key.path;
            panic!("{path}: still {:?}, wanted {wanted:?}", self.now());
        }
    }

    /// The id of the leaf.
    pub fn id(&self) -> Option<String> {
        Some(self.leaf()?.cluster.id.to_string())
    }

    /// Begins to write down everything that the leaf's set becomes.
    pub fn record(&self) -> Record {
        let leaf = self.leaf().expect("a bound leaf");
        let recorder = Arc::new(Recorder {
            cell: Arc::clone(&leaf.cluster.replicas),
            seen: Mutex::default(),
        });
        let listener: Arc<dyn Listener> = Arc::clone(&recorder) as _;
        let listener: Weak<dyn Listener> = Arc::downgrade(&listener);
        Record {
            _subscription: recorder.cell.listen(listener, 0),
            recorder,
        }
    }

    /// How often the tree has changed.
    pub fn tree_version(&self) -> u64 {
        self.binding.state.get().0.0
    }

    fn leaf(&self) -> Option<BoundLeaf> {
        match &self.binding.state.get().1 {
            BindState::Tree(NameTree::Leaf(leaf)) => Some(leaf.clone()),
            _ => None,
        }
    }

    async fn wait(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let tree = self.binding.state.get();
            let leaf = self.leaf();
            let set = leaf.as_ref().map(|leaf| &leaf.cluster.replicas);
            let version = set.map(|cell| cell.get().0);
            let now = self.now();
            if wanted(&now) {
                return now;
            }
            let set_changes = async {
                match (set, version) {
                    (Some(cell), Some(version)) => cell.changed(version).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.binding.state.changed(tree.0) => {}
                _ = set_changes => {}
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    fn of(replicas: &Replicas) -> Self {
        match replicas {
            Replicas::Bound(set) => {
                let all = set.endpoints().iter();
                Self::Addresses(all.map(|e| (e.addr, e.weight.to_f64())).collect())
            }
            other => Self::Cell(other.clone()),
        }
    }

    /// How many addresses there are; none unless it is bound.
    pub fn len(&self) -> usize {
        match self {
            Self::Addresses(all) => all.len(),
            _ => 0,
        }
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the tree says that there is no such name.
    pub fn is_neg(&self) -> bool {
        *self == Self::Nothing("Neg".to_owned())
    }
}

fn kind_of<T>(tree: &NameTree<T>) -> &'static str {
    match tree {
        NameTree::Leaf(_) => "Leaf",
        NameTree::Alt(_) => "Alt",
        NameTree::Union(_) => "Union",
        NameTree::Neg => "Neg",
        NameTree::Fail => "Fail",
        NameTree::Empty => "Empty",
    }
}

// === impl Record ===

impl Record {
    /// What it has been, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.recorder.seen.lock().clone()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.seen()).finish()
    }
}

impl Listener for Recorder {
    fn notify(&self, _: u64) {
        let now = Seen::of(&self.cell.get().1);
        self.seen.lock().push(now);
    }
}
