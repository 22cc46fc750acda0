//! What is known of the objects: in come lists, events and the answers to our own writes, in any order; out goes the newest
//! of each object into the [`DtabTable`].
//!
//! A write's answer may be ahead of the watch or behind it. Versions of one object grow, so the newer one stays (K8S-119,
//! K8S-161); an object that we have deleted does not come back by an older event.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::history::token;
use super::wire::{self, Stored};
use crate::k8s::decode::Decoded;
use crate::k8s::failure::Failure;
use crate::k8s::sink::Sink;
use crate::k8s::target::Target;
use crate::store::services::WatchStatus;
use crate::store::{self, DtabTable, VersionedDtab};

/// So many versions of one content are remembered as equal.
const ALIASES: usize = 16;

/// The objects of one Kubernetes namespace.
pub(super) struct Memory {
    namespace: String,
    pub(super) table: Arc<DtabTable>,
    state: Mutex<State>,
    watch: Mutex<WatchStatus>,
    /// Rings when objects have changed.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    known: BTreeMap<String, Known>,
    /// Deleted by us, not yet by the watch: name and uid.
    gone: BTreeMap<String, Arc<str>>,
    /// The newest object's version.
    newest: u64,
}

/// One object.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) object: Stored,
    /// Versions with the table that it has now, oldest first: changes of labels, annotations and status change the version
    /// too. The first one is the token, so that they do not break anybody's compare-and-swap.
    versions: Vec<Arc<str>>,
}

/// The watch's side of it.
pub(super) struct DtabSink(pub(super) Arc<Memory>);

// === impl Memory ===

impl Memory {
    pub(super) fn new(namespace: &str) -> Arc<Self> {
        Arc::new(Self {
            namespace: namespace.to_owned(),
            table: DtabTable::new(),
            state: Mutex::default(),
            watch: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// One object.
    pub(super) fn known(&self, name: &str) -> Option<Known> {
        self.state.lock().known.get(name).cloned()
    }

    /// All objects whose status is not what it is to be.
    pub(super) fn without_status(&self) -> Vec<Stored> {
        let state = self.state.lock();
        let objects = state.known.values().map(|known| &known.object);
        let lack = objects.filter(|o| o.status.as_ref() != Some(&o.wanted_status()));
        lack.cloned().collect()
    }

    /// Takes an object in, if it is news.
    pub(super) fn apply(&self, object: Stored) {
        let mut state = self.state.lock();
        if !state.is_news(&object) {
            return;
        }
        state.newest = state.newest.max(object.order);
        let known = state.merged(object, false);
        let name = known.object.name.clone();
        self.table.set(&name, known.shown());
        state.known.insert(name, known);
        drop(state);
        self.changed.notify_one();
    }

    /// We have deleted this one; the watch will say so too.
    pub(super) fn deleted(&self, name: &str, uid: Option<&str>) {
        let mut state = self.state.lock();
        let Some(known) = state.known.get(name) else {
            return;
        };
        let uid: Arc<str> = uid.map_or_else(|| known.object.uid.clone(), Into::into);
        if uid != known.object.uid {
            return;
        }
        state.known.remove(name);
        state.gone.insert(name.to_owned(), uid);
        self.table.remove(name);
    }

    fn delete(&self, object: &Stored) {
        let mut state = self.state.lock();
        state.newest = state.newest.max(object.order);
        if state.gone.get(&object.name) == Some(&object.uid) {
            state.gone.remove(&object.name);
        }
        let same = |known: &Known| known.object.uid == object.uid;
        // A successor is younger than its predecessor's end.
        let older = |known: &Known| known.object.order <= object.order;
        if state
            .known
            .get(&object.name)
            .is_some_and(|known| same(known) || older(known))
        {
            state.known.remove(&object.name);
            self.table.remove(&object.name);
        }
    }

    fn replace(&self, objects: Vec<Stored>, version: u64, rewound: bool) {
        let mut state = self.state.lock();
        if rewound {
            state.gone.clear();
            state.newest = 0;
        }
        let mut next = BTreeMap::new();
        for object in objects {
            if state.gone.get(&object.name) == Some(&object.uid) {
                continue;
            }
            state.newest = state.newest.max(object.order);
            let known = state.merged(object, rewound);
            next.insert(known.object.name.clone(), known);
        }
        for (name, known) in std::mem::take(&mut state.known) {
            // Written by us after the server made the list.
            if !rewound && version > 0 && known.object.order > version {
                next.entry(name).or_insert(known);
            }
        }
        state.known = next;
        let shown = state
            .known
            .iter()
            .map(|(n, known)| (n.clone(), known.shown()));
        self.table.replace(shown);
        drop(state);
        self.changed.notify_one();
    }
}

impl State {
    /// Not deleted by us, and newer than what is known.
    fn is_news(&self, object: &Stored) -> bool {
        if self.gone.get(&object.name) == Some(&object.uid) {
            return false;
        }
        let Some(known) = self.known.get(&object.name) else {
            return true;
        };
        let known = &known.object;
        let ordered = object.order > 0 && known.order > 0;
        known.uid != object.uid || !ordered || object.order > known.order
    }

    /// An object beside what is known of it: the newer one, with the versions that have its table.
    fn merged(&self, object: Stored, rewound: bool) -> Known {
        let fresh = |object: Stored| Known {
            versions: vec![object.version.clone()],
            object,
        };
        let Some(known) = self.known.get(&object.name) else {
            return fresh(object);
        };
        if rewound || known.object.uid != object.uid {
            return fresh(object);
        }
        if known.object.order > object.order && object.order > 0 {
            return known.clone();
        }
        let same = matches!((&known.object.dtab, &object.dtab), (Ok(a), Ok(b)) if a == b);
        if !same {
            return fresh(object);
        }
        let mut versions = known.versions.clone();
        if !versions.contains(&object.version) {
            versions.push(object.version.clone());
        }
        if versions.len() > ALIASES {
            versions.remove(1);
        }
        Known { object, versions }
    }
}

impl Known {
    /// The table with its token.
    pub(super) fn versioned(&self) -> Option<VersionedDtab> {
        let dtab = self.object.dtab.clone().ok()?;
        let token = token(self.token());
        Some(VersionedDtab { dtab, token })
    }

    /// The version that stands for the table.
    pub(super) fn token(&self) -> &str {
        self.versions.first().unwrap_or(&self.object.version)
    }

    /// Whether the table has been what it is since this version.
    pub(super) fn is_as_of(&self, version: &[u8]) -> bool {
        self.versions.iter().any(|v| v.as_bytes() == version)
    }

    fn shown(&self) -> store::Stored {
        match &self.object.dtab {
            Ok(_) => Ok(self.versioned().expect("a good dtab has a version")),
            Err(reason) => Err(Arc::clone(reason)),
        }
    }
}

impl Sink for DtabSink {
    type Object = Stored;

    fn target(&self) -> Target {
        Target::custom("/apis/l5d.io/v1alpha1", &self.0.namespace, "dtabs")
    }

    fn source(&self) -> &str {
        "store/io.l5d.k8s"
    }

    fn decode(&self, raw: &str) -> Result<Decoded<Stored>, String> {
        wire::read(raw)
    }

    fn replace(&self, objects: Vec<Stored>, version: u64, rewound: bool) {
        self.0.replace(objects, version, rewound);
    }

    fn apply(&self, object: Stored, _now: Instant) {
        self.0.apply(object);
    }

    fn delete(&self, object: Stored, _now: Instant) {
        self.0.delete(&object);
    }

    fn note(&self, note: impl FnOnce(&mut WatchStatus)) {
        note(&mut self.0.watch.lock());
    }

    fn reached(&self, version: u64) {
        let newest = self.0.state.lock().newest;
        let known = |version: u64| (version > 0).then_some(version);
        self.0
            .table
            .confirm_seen(known(newest), known(newest.max(version)));
    }

    /// Control plane 12.3: without the CustomResourceDefinition there is nothing, unless there was something before.
    fn failed(&self, failure: &Failure) {
        if let Failure::Refused { status: 404, .. } = failure
            && self.0.table.list().value().is_none()
        {
            tracing::warn!(
                namespace = self.0.namespace,
                "the API server does not know dtabs.l5d.io: no dtabs until its CustomResourceDefinition is applied \
                 (`namerd --crd | kubectl apply -f -`)"
            );
            self.0.table.replace([]);
        }
        self.0.table.fail(failure.to_string());
    }
}
