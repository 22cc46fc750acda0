//! What is known of the objects now, and the table made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use l5d_resolver::ingress::Table;
use parking_lot::Mutex;

use super::compile::{Compiled, Skip, compile, table};
use super::{Claim, Ingress};
use crate::store::Cell;
use crate::store::services::{ObjectName, WatchStatus};

/// The Ingresses of one API server, and the table of those that are ours. Cheap to clone.
#[derive(Clone)]
pub struct Ingresses(Arc<Inner>);

struct Inner {
    /// What the API server is called on pages.
    api: String,
    claim: Claim,
    state: Mutex<State>,
    table: Arc<Cell<Option<Table>>>,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngressKind {
    /// Ingresses.
    Ingresses,
    /// IngressClasses, where it matters which one is the default.
    Classes,
}

#[derive(Default)]
struct State {
    known: BTreeMap<ObjectName, Known>,
    is_listed: bool,
    /// The newest version of an object that is known or was seen go.
    newest: u64,
    /// Names of the default classes; `None`: not listed yet.
    defaults: Option<BTreeSet<Arc<str>>>,
    watches: [WatchStatus; 2],
    /// What is left out now: a thing is logged when it is not here yet.
    skipped: BTreeMap<Skip, BTreeSet<(ObjectName, String)>>,
    too_many: usize,
}

struct Known {
    compiled: Compiled,
    /// What it was compiled from.
    source: Ingress,
}

// === impl IngressKind ===

impl IngressKind {
    /// Both, in the order of their place here.
    pub const ALL: [Self; 2] = [Self::Ingresses, Self::Classes];

    /// The name of the source in positions, logs and pages.
    pub fn source(self) -> &'static str {
        match self {
            IngressKind::Ingresses => "k8s/ingresses",
            IngressKind::Classes => "k8s/ingressclasses",
        }
    }
}

// === impl Ingresses ===

impl Ingresses {
    /// Nothing known yet. `api`: what the API server is called on pages.
    pub fn new(api: impl Into<String>, claim: Claim) -> Self {
        Self(Arc::new(Inner {
            api: api.into(),
            claim,
            state: Mutex::default(),
            table: Cell::new(None),
        }))
    }

    /// What the API server is called on pages.
    pub fn api(&self) -> &str {
        &self.0.api
    }

    /// Which Ingresses are ours.
    pub fn claim(&self) -> &Claim {
        &self.0.claim
    }

    /// The table. `None` until all that it depends on has been listed once; never again after (K8S-4).
    pub fn table(&self) -> &Arc<Cell<Option<Table>>> {
        &self.0.table
    }

    /// What has to be watched.
    pub fn watches(&self) -> &'static [IngressKind] {
        match self.0.claim.unclassed {
            // Which class is the default one changes nothing.
            true => &[IngressKind::Ingresses],
            false => &IngressKind::ALL,
        }
    }

    /// A complete list: what is not in it is gone (K8S-111). An object without content could not be read; its last good
    /// content stays (K8S-125).
    pub fn replace(&self, objects: Vec<(ObjectName, Option<Ingress>)>) {
        self.change(|state| {
            let mut before = std::mem::take(&mut state.known);
            for (name, object) in objects {
                let known = before.remove(&name);
                let known = match object {
                    Some(object) => known
                        .filter(|known| known.source == object)
                        .or_else(|| Some(Known::of(object))),
                    None => known,
                };
                state.known.extend(known.map(|known| (name, known)));
            }
            state.is_listed = true;
            true
        });
    }

    /// An object was added or has changed.
    pub fn apply(&self, object: Ingress) {
        self.change(|state| {
            let known = state.known.get(&object.name);
            // Most changes are of the status, which is not kept.
            let is_news = known.is_none_or(|known| known.source != object);
            if is_news {
                state.known.insert(object.name.clone(), Known::of(object));
            }
            is_news
        });
    }

    /// An object was deleted.
    pub fn delete(&self, name: &ObjectName) {
        self.change(|state| state.known.remove(name).is_some());
    }

    /// The names of all IngressClasses that are marked as the default.
    pub fn replace_defaults(&self, names: BTreeSet<Arc<str>>) {
        self.change(|state| {
            let is_news = state.defaults.as_ref() != Some(&names);
            state.defaults = Some(names);
            is_news
        });
    }

    /// One IngressClass is, or is no longer, marked as the default.
    pub fn set_default(&self, name: &Arc<str>, is_default: bool) {
        self.change(|state| {
            let defaults = state.defaults.get_or_insert_default();
            match is_default {
                true => defaults.insert(Arc::clone(name)),
                false => defaults.remove(name),
            }
        });
    }

    /// The newest version of an object that the table shows or that was seen go (0: versions cannot be compared); told to
    /// nodes as the position `k8s/ingresses`.
    pub fn newest(&self) -> u64 {
        self.0.state.lock().newest
    }

    /// An object of this version has been applied. `rewound`: the server's history has gone back, and so does the version
    /// (K8S-118).
    pub fn reached(&self, version: u64, rewound: bool) {
        let mut state = self.0.state.lock();
        state.newest = match rewound {
            true => version,
            false => state.newest.max(version),
        };
    }

    /// Writes down how a watch is.
    pub fn note(&self, kind: IngressKind, note: impl FnOnce(&mut WatchStatus)) {
        note(&mut self.0.state.lock().watches[kind as usize]);
    }

    /// How a watch is.
    pub fn status(&self, kind: IngressKind) -> WatchStatus {
        self.0.state.lock().watches[kind as usize].clone()
    }

    /// How many rules are left out now, by reason.
    pub fn skipped(&self) -> Vec<(Skip, usize)> {
        let state = self.0.state.lock();
        let count = |skip| match skip {
            Skip::Limit => state.too_many,
            _ => state.skipped.get(&skip).map_or(0, BTreeSet::len),
        };
        Skip::ALL.map(|skip| (skip, count(skip))).to_vec()
    }

    /// Changes what is known; where that matters, makes the table anew.
    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        // The lock is held until the table is set: tables come in the order of changes.
        let mut state = self.0.state.lock();
        if !change(&mut state) {
            return;
        }
        let claim = &self.0.claim;
        if !state.is_listed || (!claim.unclassed && state.defaults.is_none()) {
            return;
        }
        let (table, skipped, too_many) = state.table(claim);
        state.tell(skipped, too_many);
        self.0.table.set(Some(table));
    }
}

type Skipped = BTreeMap<Skip, BTreeSet<(ObjectName, String)>>;

impl State {
    fn table(&self, claim: &Claim) -> (Table, Skipped, usize) {
        let is_default = || {
            self.defaults
                .as_ref()
                .is_some_and(|d| d.contains(&claim.class))
        };
        let takes_unclassed = claim.unclassed || is_default();
        let mut ours: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| match &known.source.class {
                Some(class) => *class == claim.class,
                None => takes_unclassed,
            })
            .collect();
        ours.sort_by_key(|(name, known)| (known.source.created, *name));
        let mut skipped = Skipped::new();
        for (name, known) in &ours {
            for (skip, what) in &known.compiled.skipped {
                let of_kind = skipped.entry(*skip).or_default();
                of_kind.insert(((*name).clone(), what.clone()));
            }
        }
        let (table, too_many) = table(ours.iter().map(|(_, known)| &known.compiled));
        (table, skipped, too_many)
    }

    /// Logs what is left out for the first time.
    fn tell(&mut self, skipped: Skipped, too_many: usize) {
        for (skip, what) in &skipped {
            let before = self.skipped.get(skip);
            let news = what
                .iter()
                .filter(|w| before.is_none_or(|b| !b.contains(w)));
            for (ingress, what) in news {
                tracing::warn!(%ingress, "a rule of this Ingress is left out: {what}");
            }
        }
        if too_many > 0 && self.too_many == 0 {
            tracing::error!(
                too_many,
                "more Ingress rules than a table holds; the last ones are left out"
            );
        }
        (self.skipped, self.too_many) = (skipped, too_many);
    }
}

impl Known {
    fn of(source: Ingress) -> Self {
        Self {
            compiled: compile(&source),
            source,
        }
    }
}

impl fmt::Debug for Ingresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.0.table.value().map(|table| table.rules().len());
        f.debug_struct("Ingresses")
            .field("claim", &self.0.claim)
            .field("rules", &rules)
            .finish()
    }
}
