//! Services of a system that is asked about each of them alone (Consul, DNS): followed while somebody holds them.
//!
//! ```text
//!   look_up -> one task for each service -> what it is told: lines of HOST PORT WEIGHT -> existence, addresses
//! ```
//!
//! Whether a name exists and which addresses it has are separate cells, so that addresses come and go without touching a
//! tree. Once something is known, a failure changes nothing.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;
use l5d_naming::{ClusterId, Path, Replicas};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Duration, sleep};

use super::addresses::{Addresses, Line, Lines, Listed};
use crate::bind::Answer;
use crate::bind::dns::Hosts;
use crate::meter::Meter;
use crate::store::{Cell, Cluster, Engine, Reads};

/// A system that tells of one service at a time.
pub(crate) trait Source: Send + Sync + 'static {
    /// What names a service there.
    type Key: Clone + Eq + Hash + Send + 'static;

    /// Tells the sink of one service, for ever. Ends when nobody wants to know any more.
    fn follow(self: Arc<Self>, key: Self::Key, sink: Sink) -> BoxFuture<'static, ()>;
}

/// Where a follower puts what it is told. Its answers say whether somebody still wants to know.
pub(crate) struct Sink {
    service: Weak<Service>,
    /// The namer's kind.
    kind: &'static str,
    meter: Arc<Meter>,
}

/// The services that somebody holds.
pub(crate) struct Followed<S: Source> {
    source: Arc<S>,
    kind: &'static str,
    engine: Engine,
    hosts: Hosts,
    meter: Arc<Meter>,
    runtime: Option<Handle>,
    services: Mutex<Services<S::Key>>,
}

struct Services<K> {
    by_key: HashMap<K, Weak<Service>>,
    /// So many of them make the next one look for those that nobody holds.
    prune_at: usize,
}

/// Kept by its `listed`, which those hold who want to know.
struct Service {
    listed: Weak<Cell<Listed>>,
    exists: Mutex<Weak<Cell<Exists>>>,
    replicas: Mutex<Weak<Cell<Replicas>>>,
    task: OnceLock<AbortHandle>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Exists {
    Pending,
    No,
    Yes,
    Failed(Arc<str>),
}

const FEW: usize = 64;
/// From the end of a name to the end of its addresses.
const PARTING: Duration = Duration::from_millis(100);

// === impl Followed ===

impl<S: Source> Followed<S> {
    /// Nothing is followed yet. Tasks run on the runtime that this is called on, else on the one that asks.
    pub(crate) fn new(
        source: S,
        kind: &'static str,
        engine: Engine,
        hosts: Hosts,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            source: Arc::new(source),
            kind,
            engine,
            hosts,
            meter,
            runtime: Handle::try_current().ok(),
            services: Mutex::new(Services {
                by_key: HashMap::new(),
                prune_at: FEW,
            }),
        }
    }

    /// The system.
    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// A namer's answer for this service.
    pub(crate) fn answer(
        &self,
        key: &S::Key,
        id: ClusterId,
        residual: Path,
        reads: &mut Reads,
    ) -> Answer {
        let Some((service, listed)) = self.service(key) else {
            return Answer::Failed("no runtime is running".into());
        };
        let exists = service.exists(&listed);
        match &reads.read(&exists).1 {
            Exists::Pending => Answer::Pending,
            Exists::No => Answer::neg(),
            Exists::Failed(why) => Answer::Failed(Arc::clone(why)),
            Exists::Yes => {
                let replicas = service.replicas(listed, self);
                let endpoints = Arc::new(replicas);
                Answer::bound(Cluster { id, endpoints }, residual)
            }
        }
    }

    fn service(&self, key: &S::Key) -> Option<(Arc<Service>, Arc<Cell<Listed>>)> {
        let mut services = self.services.lock();
        let known = services.by_key.get(key).and_then(Weak::upgrade);
        if let Some(known) = known
            && let Some(listed) = known.listed.upgrade()
        {
            return Some((known, listed));
        }
        if services.by_key.len() >= services.prune_at {
            services
                .by_key
                .retain(|_, service| service.strong_count() > 0);
            services.prune_at = (services.by_key.len() * 2).max(FEW);
            self.hosts.sweep();
        }
        let runtime = self
            .runtime
            .clone()
            .or_else(|| Handle::try_current().ok())?;
        let listed = Cell::new(Listed::Pending);
        let service = Arc::new(Service {
            listed: Arc::downgrade(&listed),
            exists: Mutex::default(),
            replicas: Mutex::default(),
            task: OnceLock::new(),
        });
        listed.keep(Arc::clone(&service) as _);
        let sink = Sink {
            service: Arc::downgrade(&service),
            kind: self.kind,
            meter: Arc::clone(&self.meter),
        };
        let follow = Arc::clone(&self.source).follow(key.clone(), sink);
        let task = runtime.spawn(follow).abort_handle();
        service.task.set(task).expect("only set here");
        let weak = Arc::downgrade(&service);
        services.by_key.insert(key.clone(), weak);
        Some((service, listed))
    }
}

impl<S: Source> fmt::Debug for Followed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("services", &self.services.lock().by_key.len())
            .finish_non_exhaustive()
    }
}

// === impl Service ===

impl Service {
    fn exists(&self, listed: &Arc<Cell<Listed>>) -> Arc<Cell<Exists>> {
        let mut exists = self.exists.lock();
        if let Some(cell) = exists.upgrade() {
            return cell;
        }
        let cell = Cell::new(Exists::of(&listed.get().1));
        cell.keep(Arc::new(Arc::clone(listed)));
        *exists = Arc::downgrade(&cell);
        cell
    }

    fn replicas<S: Source>(
        &self,
        listed: Arc<Cell<Listed>>,
        of: &Followed<S>,
    ) -> Arc<Cell<Replicas>> {
        let mut replicas = self.replicas.lock();
        if let Some(cell) = replicas.upgrade() {
            return cell;
        }
        let cell = of.engine.computed(Replicas::Pending, |out| {
            Addresses::new(listed, of.hosts.clone(), out)
        });
        *replicas = Arc::downgrade(&cell);
        cell
    }

    /// Who sees the name come finds its addresses.
    fn tell(&self, listed: Listed) -> bool {
        let Some(cell) = self.listed.upgrade() else {
            return false;
        };
        let slot = self.exists.lock();
        let exists = Exists::of(&listed);
        cell.set(listed);
        if let Some(cell) = slot.upgrade() {
            cell.set(exists);
        }
        true
    }

    /// The name goes; its addresses are still there.
    fn goes(&self) {
        let slot = self.exists.lock();
        if let Some(cell) = slot.upgrade() {
            cell.set(Exists::No);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Exists {
    fn of(listed: &Listed) -> Self {
        match listed {
            Listed::Pending => Exists::Pending,
            Listed::Gone => Exists::No,
            Listed::Bad(why) => Exists::Failed(Arc::clone(why)),
            Listed::Good(_) => Exists::Yes,
        }
    }
}

// === impl Sink ===

impl Sink {
    /// The service has these addresses; none means that it does not exist, so that a dtab can fall back. Then the name
    /// goes first and the addresses a moment later, so that who has moved on does not see them go.
    pub(crate) async fn addresses(&self, lines: Vec<Line>, authority: Option<Arc<str>>) -> bool {
        let outcome = if lines.is_empty() { "absent" } else { "found" };
        self.meter.lookups.count([self.kind, outcome]);
        let listed = match lines.is_empty() {
            true => Listed::Gone,
            false => Listed::Good(Lines {
                lines: lines.into(),
                authority,
            }),
        };
        if listed == Listed::Gone && self.is_known() {
            self.service.upgrade().iter().for_each(|s| s.goes());
            sleep(PARTING).await;
        }
        self.service.upgrade().is_some_and(|s| s.tell(listed))
    }

    /// It cannot be asked for. What is known stays.
    pub(crate) fn failed(&self, why: &str) -> bool {
        self.meter.lookups.count([self.kind, "failed"]);
        let Some(service) = self.service.upgrade() else {
            return false;
        };
        let Some(listed) = service.listed.upgrade() else {
            return false;
        };
        match listed.value() {
            Listed::Pending | Listed::Bad(_) => service.tell(Listed::Bad(why.into())),
            Listed::Good(_) | Listed::Gone => true,
        }
    }

    /// Whether anything is known yet.
    pub(crate) fn is_known(&self) -> bool {
        let listed = self
            .service
            .upgrade()
            .and_then(|service| service.listed.upgrade());
        listed.is_some_and(|listed| matches!(listed.get().1, Listed::Good(_) | Listed::Gone))
    }
}
