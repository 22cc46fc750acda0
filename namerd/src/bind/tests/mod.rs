//! Binding as a whole, over files, a dtab store in memory and hand-made namers. Nothing waits: the engine is run dry.

mod binding;
mod delegation;
mod external;
mod kubernetes;
mod live;
mod model;
mod transformers;
mod vectors;

use std::net::IpAddr;
use std::sync::Arc;

use l5d_naming::{Dtab, NameTree, Path, Replicas, TransformerSpec};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::dns::Hosts;
use super::dns::tests::Scripted;
use super::namers::{FsNamer, System};
use super::*;
use crate::store::{Caller, Cell, Cluster, DtabStore, Engine, InMemoryStore, Reads};
use crate::transform::Transforms;

/// A namerd without doors: one `io.l5d.fs` namer, other namers, one dtab namespace `default`.
struct World {
    dir: TempDir,
    engine: Engine,
    store: Arc<InMemoryStore>,
    /// All over the same directory; the first is at the default prefix.
    files: Arc<Mutex<Vec<Arc<FsNamer>>>>,
    dns: Arc<Scripted>,
    binder: Binder,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| Vec::new())
    }

    fn with(files: &[(&str, &str)], more: impl FnOnce(&Parts) -> Vec<Arc<dyn Namer>>) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let engine = Engine::new();
        let dns = Arc::new(Scripted::default());
        let hosts = Hosts::new(Arc::clone(&dns) as _);
        let store = InMemoryStore::new([]);
        let system = System::new(engine.clone(), hosts.clone());
        let parts = Parts {
            engine: engine.clone(),
            hosts,
            system,
            transforms: Transforms::new(engine.clone(), None),
            root: dir.path().to_owned(),
            files: Arc::default(),
        };
        let fs = parts.fs("/io.l5d.fs");
        let mut namers: Vec<Arc<dyn Namer>> = vec![fs];
        namers.extend(more(&parts));
        let binder = Binder::with_system(
            engine.clone(),
            Arc::clone(&store) as Arc<dyn DtabStore>,
            namers,
            parts.transforms,
            parts.system,
        );
        Self {
            files: parts.files,
            dir,
            engine,
            store,
            dns,
            binder,
        }
    }

    fn write(&self, name: &str, content: &str) {
        // A file put in place by a rename, as editors and volumes do.
        let next = self.dir.path().join(".next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, self.dir.path().join(name)).unwrap();
        self.settle();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join(name)).unwrap();
        self.settle();
    }

    fn settle(&self) {
        self.files.lock().iter().for_each(|fs| fs.refresh());
        self.engine.settle();
    }

    fn ask(&self, key: &BindKey) -> Arc<Binding> {
        self.binder.bind(key, &Caller::default()).unwrap()
    }

    fn bind(&self, dtab: &str, path: &str) -> Arc<Binding> {
        self.ask(&local(dtab, path))
    }

    /// What a path comes to, as text.
    fn told(&self, dtab: &str, path: &str) -> String {
        show(&self.bind(dtab, path))
    }
}

/// What namers are made of.
struct Parts {
    engine: Engine,
    hosts: Hosts,
    system: Arc<System>,
    transforms: Transforms,
    root: std::path::PathBuf,
    files: Arc<Mutex<Vec<Arc<FsNamer>>>>,
}

impl Parts {
    fn fs(&self, prefix: &str) -> Arc<FsNamer> {
        let prefix = Path::parse(prefix).unwrap();
        let made = FsNamer::new(&prefix, &self.root, self.engine.clone(), self.hosts.clone());
        let made = made.unwrap();
        self.files.lock().push(Arc::clone(&made));
        made
    }
}

/// A namer whose answers the test sets, by the first element.
struct Fake {
    prefix: Path,
    answers: Mutex<std::collections::BTreeMap<String, Arc<Cell<Told>>>>,
    asked: std::sync::atomic::AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Pending,
    Failed,
    Neg,
    Leaf,
}

impl Fake {
    fn new(prefix: &str) -> Arc<Self> {
        Arc::new(Self {
            prefix: Path::parse(prefix).unwrap(),
            answers: Mutex::default(),
            asked: Default::default(),
        })
    }

    fn cell(&self, name: &str) -> Arc<Cell<Told>> {
        let mut answers = self.answers.lock();
        let cell = answers
            .entry(name.to_owned())
            .or_insert_with(|| Cell::new(Told::Neg));
        Arc::clone(cell)
    }

    fn tell(&self, name: &str, told: Told) {
        self.cell(name).set(told);
    }

    fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Namer for Fake {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        "fake"
    }

    fn look_up(&self, rest: &Path, _caller: &Caller, reads: &mut Reads) -> Answer {
        self.asked
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Some(name) = rest.elems().first() else {
            return Answer::neg();
        };
        match reads.read(&self.cell(&name.to_text())).1 {
            Told::Pending => Answer::Pending,
            Told::Failed => Answer::Failed(format!("{name} is broken").into()),
            Told::Neg => Answer::neg(),
            Told::Leaf => Answer::bound(
                Cluster {
                    id: l5d_naming::ClusterId(self.prefix.child(name.clone())),
                    endpoints: Arc::new(Cell::new(Replicas::Neg)),
                },
                rest.skip(1),
            ),
        }
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn dtab(text: &str) -> Dtab {
    Dtab::parse(text).unwrap()
}

/// A question with nothing but an override.
fn local(rules: &str, asked: &str) -> BindKey {
    BindKey {
        root: None,
        router: Dtab::empty(),
        local: dtab(rules),
        path: path(asked),
        transformers: Transformers::default(),
    }
}

/// The same in the namespace `default`.
fn stored(rules: &str, asked: &str) -> BindKey {
    BindKey {
        root: Some("default".into()),
        ..local(rules, asked)
    }
}

fn transformed(key: BindKey, specs: &[TransformerSpec]) -> BindKey {
    BindKey {
        transformers: specs.into(),
        ..key
    }
}

fn spec(kind: &str) -> TransformerSpec {
    TransformerSpec {
        kind: kind.to_owned(),
        ..TransformerSpec::default()
    }
}

fn show(binding: &Binding) -> String {
    match &binding.state.get().1 {
        BindState::Pending => "pending".to_owned(),
        BindState::Failed(BindError::Depth(_)) => "depth".to_owned(),
        BindState::Failed(BindError::Width(_)) => "width".to_owned(),
        BindState::Failed(error) => format!("failed: {error}"),
        BindState::Tree(tree) => show_tree(tree),
    }
}

fn show_tree(tree: &NameTree<BoundLeaf>) -> String {
    tree.map(&mut |leaf| match leaf.residual.is_empty() {
        true => leaf.cluster.id.to_string(),
        false => format!("{} + {}", leaf.cluster.id, leaf.residual),
    })
    .to_string()
}

fn leaves(binding: &Binding) -> Vec<BoundLeaf> {
    let mut leaves = Vec::new();
    if let BindState::Tree(tree) = &binding.state.get().1 {
        tree.for_each_leaf(&mut |leaf: &BoundLeaf| leaves.push(leaf.clone()));
    }
    leaves
}

fn show_replicas(replicas: &Replicas) -> String {
    match replicas {
        Replicas::Pending => "pending".to_owned(),
        Replicas::Neg => "neg".to_owned(),
        Replicas::Failed(why) => format!("failed: {why}"),
        Replicas::Bound(set) => {
            let shown = set.endpoints().iter().map(|e| match e.weight.to_f64() {
                1.0 => e.addr.to_string(),
                weight => format!("{} * {weight}", e.addr),
            });
            format!("[{}]", shown.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The endpoints of the only leaf.
fn endpoints(binding: &Binding) -> String {
    match leaves(binding).as_slice() {
        [leaf] => show_replicas(&leaf.cluster.replicas.get().1),
        other => panic!("one leaf expected, found {other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
