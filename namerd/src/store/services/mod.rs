//! Kubernetes services as lookups see them: one model of slices, Services and Nodes, and cells of the names asked for.
//!
//! Objects come in by kind, in the order of their watch, from one writer a kind; a list replaces all of a kind at once.
//! Answers go out through [`ServicePort`]: a cell that tells whether the name exists, and cells of its endpoints. A
//! change is computed once per service from all its slices, only for names that someone holds, and touches only cells
//! whose value differs. What leaves a slice is held for a moment, so that a move between slices is invisible (K8S-89).
//! Must never: empty itself because a watch is unwell, go back to pending, or know the API's wire form.

mod intern;
mod merge;
mod model;
mod narrow;
mod near;
mod nodes;
mod seen;
mod status;
mod table;
mod views;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use l5d_naming::Replicas;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::model::{
    Balancer, Cidr, Content, Family, Hints, Kind, Labels, Meta, Node, NotACidr, Object, ObjectName,
    Port, Service, ServiceState, Slice, SliceEndpoint, SlicePort,
};
pub use self::nodes::PodCidrs;
pub use self::status::{Source, WatchState, WatchStatus};
use self::table::State;
use self::views::Views;
use crate::store::{Cell, Endpoints};

/// The port segment of a name (K8S-13).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortRef {
    /// The Service port's name.
    Name(Arc<str>),
    /// The Service port's number; never a target port.
    Number(u16),
}

/// Whether a name exists. Stays while its endpoints come and go (K8S-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Existence {
    /// Kinds that this name needs have never been known. Never again once they were (K8S-4).
    Pending,
    /// It does not.
    Absent,
    /// It does.
    Present,
}

/// Which address family answers (K8S-65).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FamilyChoice {
    /// The Service's first one.
    #[default]
    Primary,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// What may be configured of the rules.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a removal is held after the last one of its service (K8S-89).
    pub settle: Duration,
    /// How long at most after the first one.
    pub settle_max: Duration,
    /// The address family.
    pub family: FamilyChoice,
    /// Whether endpoints that end but still answer are used where none is ready (K8S-96).
    pub terminating_fallback: bool,
    /// Whether an endpoint without a node name is on the node whose `podCIDRs` have its address (K8S-55).
    pub pod_cidrs: bool,
    /// Whether hints of slices narrow what callers of a zone or node get (K8S-99).
    pub zone_hints: bool,
    /// Whether `internalTrafficPolicy: Local` narrows what callers get to their own node (K8S-100).
    pub traffic_policy: bool,
}

/// A name that lookups can find.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedPort {
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The port's name, or its number if it has no name.
    pub port: PortRef,
    /// The Service.
    pub service: Arc<str>,
}

/// The model. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Services {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Rings when a time to release held endpoints may have come nearer.
    bell: Notify,
    watches: Box<[Watch]>,
    newest: [Arc<Cell<u64>>; 3],
    ready: Arc<Cell<bool>>,
    tells_callers_apart: bool,
}

/// One watch that feeds the model.
struct Watch {
    kind: Kind,
    /// `None`: the whole cluster.
    namespace: Option<Arc<str>>,
    status: Mutex<WatchStatus>,
}

/// One port of one service. Its cells are fed as long as anybody holds them, with or without this.
pub struct ServicePort {
    /// Whether the name exists.
    pub existence: Arc<Cell<Existence>>,
    services: Services,
    views: Arc<Views>,
}

// === impl PortRef ===

impl PortRef {
    /// Reads a path segment, already folded: only decimal digits are a number (K8S-13). A number that no port can have
    /// becomes 0, which does not exist.
    pub fn parse(segment: &str) -> Self {
        let digits = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
        if digits {
            return PortRef::Number(segment.parse().unwrap_or(0));
        }
        PortRef::Name(segment.into())
    }
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortRef::Name(name) => f.write_str(name),
            PortRef::Number(number) => number.fmt(f),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(50),
            settle_max: Duration::from_millis(200),
            family: FamilyChoice::Primary,
            terminating_fallback: true,
            pod_cidrs: false,
            zone_hints: false,
            traffic_policy: false,
        }
    }
}

// === impl Services: reading ===

impl Services {
    /// An empty model of a whole cluster in which no kind has been listed yet.
    pub fn new(policy: Policy) -> Self {
        Self::of(policy, &[])
    }

    /// An empty model of some Kubernetes namespaces only: slices and Services are listed for each on its own (K8S-81).
    pub fn of(policy: Policy, namespaces: &[String]) -> Self {
        let watch = |kind, namespace: Option<&String>| Watch {
            kind,
            namespace: namespace.map(|n| n.as_str().into()),
            status: Mutex::default(),
        };
        let watches = Kind::ALL.into_iter().flat_map(|kind| {
            let narrowed = kind != Kind::Nodes && !namespaces.is_empty();
            let one = (!narrowed).then(|| watch(kind, None));
            let each = namespaces.iter().filter(move |_| narrowed);
            one.into_iter()
                .chain(each.map(move |n| watch(kind, Some(n))))
        });
        Self {
            shared: Arc::new(Shared {
                tells_callers_apart: policy.zone_hints || policy.traffic_policy,
                state: Mutex::new(State::new(policy)),
                bell: Notify::new(),
                watches: watches.collect(),
                newest: std::array::from_fn(|_| Cell::new(0)),
                ready: Cell::new(false),
            }),
        }
    }

    /// The lookup of one name, shared with all who hold the same. `label`: key and value that the Service must carry
    /// (K8S-29). Names and label value are compared as given: folding them is the namer's part.
    pub fn port(
        &self,
        namespace: &str,
        port: PortRef,
        service: &str,
        label: Option<(&str, &str)>,
    ) -> Arc<ServicePort> {
        let label = label.map(|(key, value)| (key.into(), value.into()));
        let mut state = self.shared.state.lock();
        let views = state.views(ObjectName::new(namespace, service), port, label);
        let existence = views.existence(|| state.merge(&views));
        Arc::new(ServicePort {
            existence,
            services: self.clone(),
            views,
        })
    }

    /// The names that lookups can find, sorted; kept up to date while held.
    pub fn names(&self) -> Arc<Cell<Arc<[NamedPort]>>> {
        self.shared.state.lock().names()
    }

    /// One Service as it is, live; for what does not go by its endpoints. Names are compared as given.
    pub fn service(&self, namespace: &str, name: &str) -> Arc<Cell<ServiceState>> {
        let name = ObjectName::new(namespace, name);
        self.shared.state.lock().service_cell(name)
    }

    /// The zone of a node, as long as both are known (Kubernetes 4.5).
    pub fn zone(&self, node: &str) -> Arc<Cell<Option<Arc<str>>>> {
        self.shared.state.lock().zone(node)
    }

    /// Whose pods have which addresses, if endpoints without a node name are found that way (K8S-55).
    pub fn pod_cidrs(&self) -> Option<Arc<Cell<Arc<PodCidrs>>>> {
        self.shared.state.lock().pod_cidrs()
    }

    /// Whether an answer may depend on the caller's node or its zone (K8S-101).
    pub fn tells_callers_apart(&self) -> bool {
        self.shared.tells_callers_apart
    }

    /// The node of an endpoint with this address, once one has been seen (K8S-60).
    pub fn node_of(&self, ip: IpAddr) -> Arc<Cell<Option<Arc<str>>>> {
        self.shared.state.lock().node_of(ip)
    }

    /// True after the first list of every kind; never false again (K8S-129). Nodes that the server forbids do not hold
    /// it up (K8S-83).
    pub fn ready(&self) -> Arc<Cell<bool>> {
        Arc::clone(&self.shared.ready)
    }

    /// The newest version of an object of this kind that the model shows or has seen go.
    pub fn newest(&self, kind: Kind) -> Arc<Cell<u64>> {
        Arc::clone(&self.shared.newest[kind.index()])
    }

    /// Version and age of each kind, for heartbeats.
    pub fn sources(&self, now: Instant) -> [Source; 3] {
        Kind::ALL.map(|kind| Source {
            kind,
            rv: self.shared.newest[kind.index()].value(),
            age: self.status(kind).age(now),
        })
    }

    /// How a kind's watch is; of several, the one that is worst off, with the counts of all.
    pub fn status(&self, kind: Kind) -> WatchStatus {
        let mut status = self.watch_status(kind);
        (status.objects, status.stale_objects) = self.shared.state.lock().count(kind);
        status
    }

    /// The same without the counts of objects, which take a look at each of them: for every heartbeat of every session.
    pub fn watch_status(&self, kind: Kind) -> WatchStatus {
        let of_kind = self.of_kind(kind).map(|w| w.status.lock().clone());
        of_kind.reduce(WatchStatus::worse).unwrap_or_default()
    }

    /// The watches that feed this model: a kind, and a Kubernetes namespace unless it is the whole cluster.
    pub fn watches(&self) -> Vec<(Kind, Option<Arc<str>>)> {
        let watches = self.shared.watches.iter();
        watches.map(|w| (w.kind, w.namespace.clone())).collect()
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Watch> {
        self.shared.watches.iter().filter(move |w| w.kind == kind)
    }
}

// === impl Services: writing ===

impl Services {
    /// An object was added or has changed.
    pub fn apply(&self, object: Object, now: Instant) {
        self.advance(object.meta.kind, object.meta.rv);
        self.change(|state| state.put(object, Some(now)));
    }

    /// An object was deleted.
    pub fn delete(&self, meta: &Meta, now: Instant) {
        self.advance(meta.kind, meta.rv);
        self.change(|state| state.delete(meta, Some(now)));
    }

    /// A complete list: what is not in it is gone. Published as one batch (K8S-111). `rewound`: the list is known to be
    /// older than what was seen before, and it stands (K8S-118).
    pub fn replace(&self, kind: Kind, objects: Vec<Object>, rewound: bool) {
        self.replace_in(kind, None, objects, rewound);
    }

    /// A complete list of one Kubernetes namespace, if the model is narrowed to some (K8S-81).
    pub fn replace_in(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        objects: Vec<Object>,
        rewound: bool,
    ) {
        let newest = objects.iter().map(|o| o.meta.rv).max().unwrap_or(0);
        if rewound {
            self.shared.newest[kind.index()].set(newest);
        } else {
            self.advance(kind, newest);
        }
        self.note(kind, namespace, |status| status.synced = true);
        let synced = self.of_kind(kind).all(|w| w.status.lock().synced);
        self.change(|state| {
            state.replace(kind, namespace, objects, rewound);
            if synced {
                state.synced(kind);
            }
        });
        self.check_ready();
    }

    /// Writes down how a watch is.
    pub fn note(&self, kind: Kind, namespace: Option<&str>, note: impl FnOnce(&mut WatchStatus)) {
        let mut of_kind = self.of_kind(kind);
        let Some(watch) = of_kind.find(|w| w.namespace.as_deref() == namespace) else {
            return;
        };
        let forbidden = {
            let mut status = watch.status.lock();
            note(&mut status);
            status.state == WatchState::Forbidden
        };
        if forbidden {
            self.check_ready();
        }
    }

    /// Lets go of removals that have been held long enough; gives the time of the next.
    pub fn release(&self, now: Instant) -> Option<Instant> {
        let mut state = self.shared.state.lock();
        let next = state.release(now);
        state.publish();
        next
    }

    /// Releases held removals in time until cancelled; spawned once.
    pub async fn run(self, token: CancellationToken) {
        loop {
            let next = self.release(Instant::now());
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.shared.bell.notified() => {}
                () = token.cancelled() => return,
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.shared.state.lock();
        change(&mut state);
        state.publish();
        drop(state);
        self.shared.bell.notify_one();
    }

    fn advance(&self, kind: Kind, rv: u64) {
        let newest = &self.shared.newest[kind.index()];
        if newest.value() < rv {
            newest.set(rv);
        }
    }

    fn check_ready(&self) {
        let is_done = |watch: &Watch| {
            let status = watch.status.lock();
            status.synced || (watch.kind == Kind::Nodes && status.state == WatchState::Forbidden)
        };
        if self.shared.watches.iter().all(is_done) {
            self.shared.ready.set(true);
        }
    }
}

// === impl ServicePort ===

impl Endpoints for ServicePort {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        let state = self.services.shared.state.lock();
        self.views.whole(|| state.merge(&self.views))
    }

    fn each_node(&self) -> Arc<Cell<Replicas>> {
        let state = self.services.shared.state.lock();
        self.views.each_node(|| state.merge(&self.views))
    }

    fn on_node(&self, node: &str) -> Option<Arc<Cell<Replicas>>> {
        let state = &mut *self.services.shared.state.lock();
        let cell = self
            .views
            .on_node(move || state.merge_near(&self.views, node), node);
        Some(cell)
    }
}

impl fmt::Debug for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Views { service, port, .. } = &*self.views;
        write!(f, "ServicePort({service}:{port})")
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}
