//! The door to bindings: one for each distinct question, whoever asks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use l5d_naming::{ClusterId, Dtab, Path};
use parking_lot::Mutex;

use super::base::{Base, BaseKey};
use super::chain::{Chain, project};
use super::dns::Hosts;
use super::interpreter::Interpreter;
use super::listing::Listing;
use super::namers::System;
use super::table::{Bindings, Numbers, WeakTable};
use super::transformed::{ClusterKey, Transformed};
use super::{BindKey, BindRefused, BindState, Binding, BoundCluster, Namer, Transformers};
use crate::store::{Caller, Cell, Cluster, DtabStore, Engine, Handle};
use crate::transform::{CallerClass, Effect, Transforms};

/// How long a binding that nobody holds is kept.
pub const IDLE_TIME: Duration = Duration::from_secs(600);

/// Binds names. Cheap to clone.
#[derive(Clone)]
pub struct Binder {
    pub(super) core: Arc<Core>,
}

/// What bindings share.
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) store: Arc<dyn DtabStore>,
    pub(super) interpreter: Interpreter,
    pub(super) numbers: Numbers,
    pub(super) clusters: WeakTable<ClusterKey, BoundCluster>,
    transforms: Transforms,
    /// Of all namers: bindings are told apart by these parts of the caller.
    namer_classes: Vec<CallerClass>,
    chains: WeakTable<Transformers, Chain>,
    bases: WeakTable<BaseKey, Base>,
    bindings: Bindings,
    evaluations: AtomicU64,
    names: Mutex<Weak<Cell<Arc<[ClusterId]>>>>,
}

impl Binder {
    /// A binder over these sources, with system namers that look up hosts as the system does. `namers` are the
    /// configured ones, in order.
    pub fn new(
        engine: Engine,
        store: Arc<dyn DtabStore>,
        namers: Vec<Arc<dyn Namer>>,
        transforms: Transforms,
    ) -> Self {
        let system = System::new(engine.clone(), Hosts::system());
        Self::with_system(engine, store, namers, transforms, system)
    }

    /// The same with these system and utility namers (`/$/...`).
    pub fn with_system(
        engine: Engine,
        store: Arc<dyn DtabStore>,
        namers: Vec<Arc<dyn Namer>>,
        transforms: Transforms,
        system: Arc<System>,
    ) -> Self {
        let mut namer_classes = Vec::new();
        for class in namers.iter().flat_map(|n| n.classes()) {
            if !namer_classes.contains(class) {
                namer_classes.push(*class);
            }
        }
        let core = Core {
            names: Mutex::default(),
            store,
            interpreter: Interpreter {
                namers: namers.into(),
                system,
            },
            numbers: Numbers::default(),
            clusters: WeakTable::new(),
            transforms,
            namer_classes,
            chains: WeakTable::new(),
            bases: WeakTable::new(),
            bindings: Bindings::new(IDLE_TIME),
            evaluations: AtomicU64::new(0),
            engine,
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// Which node stands at which gateway of a daemonset transformer; `None`: there is no Kubernetes API.
    pub fn gateways(&self) -> Option<Arc<Cell<l5d_resolver::gateways::Gateways>>> {
        self.core.transforms.gateways()
    }

    /// The shared binding for this question and the caller's class. Never waits: the state may be pending. But it is not
    /// behind what was written to the store before the call.
    pub fn bind(&self, key: &BindKey, caller: &Caller) -> Result<Arc<Binding>, BindRefused> {
        let core = &self.core;
        let chain = core.chain(&key.transformers)?;
        let caller = core.project(caller, &chain);
        let binding = core.bindings.get_or(key, &caller, || {
            let number = core.numbers.next();
            Binding {
                number: number.value(),
                key: key.clone(),
                state: Cell::new(BindState::Pending),
                work: OnceLock::new(),
                _number: number,
            }
        });
        let (transformed, handle) = binding
            .work
            .get_or_init(|| core.begin(&binding, chain, caller));
        transformed.base.catch_up();
        handle.catch_up();
        Ok(binding)
    }

    /// The list that equal ones share: for who asks for many names through one. A list that would be refused comes back as
    /// it is.
    pub fn list(&self, list: &Transformers) -> Transformers {
        let chain = self.core.chain(list);
        chain.map_or_else(|_| list.clone(), |chain| chain.specs.clone())
    }

    /// A concrete id (`/#/...`, `/$/...`, or those behind `/%/...`, naming 6.1) bound with an empty dtab.
    pub fn bind_id(&self, id: &Path, caller: &Caller) -> Result<Arc<Binding>, BindRefused> {
        let key = BindKey {
            root: None,
            router: Dtab::empty(),
            local: Dtab::empty(),
            path: untransformed(id),
            transformers: Transformers::default(),
        };
        self.bind(&key, caller)
    }

    /// Where stored dtabs come from.
    pub fn store(&self) -> &Arc<dyn DtabStore> {
        &self.core.store
    }

    /// The names that enumerating namers know, sorted.
    pub fn names(&self) -> Vec<ClusterId> {
        self.names_cell().get().1.to_vec()
    }

    /// The same, live while the cell is held.
    pub fn names_cell(&self) -> Arc<Cell<Arc<[ClusterId]>>> {
        let mut names = self.core.names.lock();
        names.upgrade().unwrap_or_else(|| {
            let cell = Listing::follow(&self.core.interpreter.namers, &self.core.engine);
            *names = Arc::downgrade(&cell);
            cell
        })
    }

    /// Evaluations of bindings so far.
    pub fn evaluations(&self) -> u64 {
        self.core.evaluations.load(Ordering::Relaxed)
    }

    /// The bindings that are kept now, for the state page, by number.
    pub fn bindings(&self) -> Vec<Arc<Binding>> {
        self.core.bindings.all()
    }

    /// Forgets what nobody has held for [`IDLE_TIME`]; called by a timer of the app, every few seconds.
    pub fn sweep(&self) {
        self.core.bindings.sweep();
        self.core.bases.sweep();
        self.core.clusters.sweep();
        self.core.chains.sweep();
        self.core.interpreter.system.sweep();
    }
}

impl Core {
    pub(super) fn count_evaluation(&self) {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
    }

    /// The checked list of transformers.
    pub(super) fn chain(&self, specs: &Transformers) -> Result<Arc<Chain>, BindRefused> {
        if let Some(chain) = self.chains.get(specs) {
            return Ok(chain);
        }
        let chain = Arc::new(Chain::build(specs, &self.transforms)?);
        Ok(self.chains.get_or(specs.clone(), || chain))
    }

    /// What of the caller a question's answer depends on.
    pub(super) fn project(&self, caller: &Caller, chain: &Chain) -> Caller {
        project(caller, chain.classes.iter().chain(&self.namer_classes))
    }

    /// What of the caller a cluster depends on: only a namer with transformers of its own gives ids with `/%`.
    pub(super) fn cluster_caller(
        &self,
        caller: &Caller,
        origin: &Cluster,
        chain: &Chain,
    ) -> Caller {
        if is_transformed(&origin.id.0) {
            self.project(caller, chain)
        } else {
            project(caller, &chain.classes)
        }
    }

    fn base(self: &Arc<Self>, key: BaseKey) -> Arc<Base> {
        let base = self
            .bases
            .get_or(key.clone(), || Arc::new(Base::new(key, self)));
        base.start(self);
        base
    }

    fn begin(
        self: &Arc<Self>,
        binding: &Binding,
        chain: Arc<Chain>,
        caller: Caller,
    ) -> (Arc<Transformed>, Handle) {
        let key = &binding.key;
        let namers_see = project(&caller, &self.namer_classes);
        let base = self.base(BaseKey {
            root: key.root.clone(),
            router: key.router.clone(),
            local: key.local.clone(),
            path: key.path.clone(),
            caller: namers_see.clone(),
        });
        let replacements = chain
            .transformers
            .iter()
            .map(|transformer| match &transformer.effect {
                Effect::Leaves(_) => None,
                Effect::Const(path) | Effect::Replace(path) => {
                    Some(self.base(BaseKey::bare(path.clone(), namers_see.clone())))
                }
            })
            .collect();
        let transformed = Arc::new(Transformed {
            core: Arc::downgrade(self),
            base,
            chain,
            replacements,
            caller,
            state: Arc::clone(&binding.state),
            partial: AtomicBool::new(false),
        });
        let weak: Weak<Transformed> = Arc::downgrade(&transformed);
        let handle = self.engine.add(weak);
        (transformed, handle)
    }
}

fn is_transformed(id: &Path) -> bool {
    id.elems().first().is_some_and(|e| e.as_bytes() == b"%")
}

/// The id without the prefixes of transformers: from the first `#` or `$` on (naming 6.1).
fn untransformed(id: &Path) -> Path {
    if !is_transformed(id) {
        return id.clone();
    }
    let prefixes = id
        .elems()
        .iter()
        .take_while(|e| !matches!(e.as_bytes(), b"#" | b"$"))
        .count();
    id.skip(prefixes)
}

impl fmt::Debug for Binder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binder")
            .field("interpreter", &self.core.interpreter)
            .field("evaluations", &self.evaluations())
            .finish_non_exhaustive()
    }
}
