//! What is known of the cluster now, and which cells depend on it. One writer at a time.

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use foldhash::{HashMap, HashSet};
use tokio::time::Instant;

use super::intern::Interner;
use super::merge::{self, Facts, Merged, Part, Question};
use super::model::{Content, Kind, Meta, Node, Object, ObjectName, ServiceState, Slice};
use super::near::NearIndex;
use super::nodes::{NodeCells, PodCidrs};
use super::views::Views;
use super::{NamedPort, Policy};
use crate::store::Cell;

/// The model behind its lock.
pub(super) struct State {
    pub(super) policy: Policy,
    objects: [HashMap<ObjectName, Stored>; 3],
    synced: [bool; 3],
    entries: HashMap<ObjectName, Entry>,
    /// When held endpoints go, by service.
    holds: BTreeSet<(Instant, ObjectName)>,
    /// Services whose answers may have changed since the last publication.
    dirty: HashSet<ObjectName>,
    names: Weak<Cell<Arc<[NamedPort]>>>,
    nodes_of: HashMap<IpAddr, Weak<Cell<Option<Arc<str>>>>>,
    node_cells: NodeCells,
    service_cells: HashMap<ObjectName, Weak<Cell<ServiceState>>>,
    interner: Interner,
    /// Lookups that may be remembered before dead ones are looked for.
    sweep_at: usize,
    lookups: usize,
}

struct Stored {
    uid: Arc<str>,
    rv: u64,
    /// The last good one.
    content: Option<Content>,
    /// What came last could not be read.
    stale: bool,
}

/// One service: its slices and who asks for it. Exists also for names that only have been asked for.
#[derive(Default)]
struct Entry {
    slices: BTreeMap<Arc<str>, (u64, Arc<Slice>)>,
    held: Vec<(u64, Slice)>,
    hold: Option<Hold>,
    /// The newest resource version of a slice event, deletions included.
    newest: u64,
    views: Vec<Weak<Views>>,
    /// Of the slices and held endpoints as they are; forgotten when they change.
    near: Option<Arc<NearIndex>>,
}

#[derive(Clone, Copy)]
struct Hold {
    first: Instant,
    until: Instant,
}

impl State {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            objects: Default::default(),
            synced: [false; 3],
            entries: HashMap::default(),
            holds: BTreeSet::new(),
            dirty: HashSet::default(),
            names: Weak::new(),
            nodes_of: HashMap::default(),
            node_cells: NodeCells::default(),
            service_cells: HashMap::default(),
            interner: Interner::default(),
            sweep_at: 1024,
            lookups: 0,
        }
    }

    // --- writing

    /// Puts one object (K8S-119). `now`: removals from slices are held from then; `None`: they count at once.
    pub(super) fn put(&mut self, object: Object, now: Option<Instant>) {
        let Object { mut meta, content } = object;
        self.interner.name(&mut meta.name);
        let objects = &mut self.objects[meta.kind.index()];
        let old = objects.get(&meta.name);
        if old.is_some_and(|old| old.is_newer_than(&meta)) {
            return;
        }
        let old_content = old.and_then(|o| o.content.clone());
        let stale = content.is_none();
        let content = content.map(|c| self.interner.content(c));
        let stored = Stored {
            uid: meta.uid,
            rv: meta.rv,
            content: content.clone().or_else(|| old_content.clone()),
            stale,
        };
        objects.insert(meta.name.clone(), stored);
        if let Some(content) = content {
            self.changed(&meta.name, meta.rv, old_content, Some(content), now);
        }
    }

    /// Takes one object away. The deletion of another incarnation than the stored one comes too late and is ignored.
    pub(super) fn delete(&mut self, meta: &Meta, now: Option<Instant>) {
        let objects = &mut self.objects[meta.kind.index()];
        let known = objects.get(&meta.name);
        if known.is_none_or(|old| old.is_other_than(&meta.uid)) {
            return;
        }
        if let Some(old) = objects.remove(&meta.name) {
            self.changed(&meta.name, meta.rv, old.content, None, now);
        }
    }

    /// Makes `objects` all there is of a kind, in one Kubernetes namespace or in all (K8S-111, K8S-112). `rewound`:
    /// resource versions have gone back and it is so (K8S-118), older objects replace newer ones.
    pub(super) fn replace(
        &mut self,
        kind: Kind,
        namespace: Option<&str>,
        objects: Vec<Object>,
        rewound: bool,
    ) {
        let listed: HashSet<ObjectName> = objects.iter().map(|o| o.meta.name.clone()).collect();
        let in_scope = |name: &ObjectName| namespace.is_none_or(|n| *name.namespace == *n);
        let mut gone = Vec::new();
        for (name, stored) in &mut self.objects[kind.index()] {
            if in_scope(name) && !listed.contains(name) {
                gone.push(name.clone());
            } else if rewound && in_scope(name) {
                stored.rv = 0;
            }
        }
        for name in gone {
            if let Some(old) = self.objects[kind.index()].remove(&name) {
                self.changed(&name, old.rv, old.content, None, None);
            }
        }
        for object in objects {
            self.put(object, None);
        }
        self.interner.sweep();
    }

    /// All names of this kind are known from now on.
    pub(super) fn synced(&mut self, kind: Kind) {
        if !std::mem::replace(&mut self.synced[kind.index()], true) {
            let watched = self.entries.iter().filter(|(_, e)| !e.views.is_empty());
            let watched: Vec<_> = watched.map(|(name, _)| name.clone()).collect();
            self.dirty.extend(watched);
            if kind == Kind::Services {
                let held: Vec<_> = self.service_cells.keys().cloned().collect();
                held.iter().for_each(|name| self.feed_service(name));
            }
        }
    }

    fn changed(
        &mut self,
        name: &ObjectName,
        rv: u64,
        old: Option<Content>,
        new: Option<Content>,
        now: Option<Instant>,
    ) {
        let as_slice = |content| match content {
            Some(Content::Slice(slice)) => Some(slice),
            _ => None,
        };
        match old.as_ref().or(new.as_ref()) {
            Some(Content::Slice(_)) => {
                self.slice_changed(name, rv, as_slice(old).as_ref(), as_slice(new), now);
            }
            Some(Content::Service(_)) if old != new => {
                self.dirty.insert(name.clone());
                self.feed_service(name);
            }
            Some(Content::Node(_)) => {
                let (old, new) = (
                    old.as_ref().and_then(as_node),
                    new.as_ref().and_then(as_node),
                );
                self.node_cells.changed(&name.name, old, new);
            }
            Some(Content::Service(_)) | None => {}
        }
    }

    fn slice_changed(
        &mut self,
        name: &ObjectName,
        rv: u64,
        old: Option<&Arc<Slice>>,
        new: Option<Arc<Slice>>,
        now: Option<Instant>,
    ) {
        let same = old == new.as_ref();
        let service_of = |slice: Option<&Arc<Slice>>| {
            let service = slice?.service.clone()?;
            Some(ObjectName::new(Arc::clone(&name.namespace), service))
        };
        let (from, to) = (service_of(old), service_of(new.as_ref()));
        if let (Some(from), Some(old)) = (&from, old)
            && !same
        {
            let stays = new.as_ref().filter(|_| from.eq_some(to.as_ref()));
            let entry = self.entries.entry(from.clone()).or_default();
            entry.newest = entry.newest.max(rv);
            if stays.is_none() {
                entry.slices.remove(&name.name);
            }
            let left = now.and_then(|now| Some((now, left_behind(old, stays.map(|s| &**s))?)));
            if let Some((now, left)) = left {
                entry.held.push((rv, left));
                self.hold(from.clone(), now);
            }
            self.dirty.insert(from.clone());
        }
        if let (Some(to), Some(new)) = (to, new) {
            self.feed_nodes_of(&new);
            let entry = self.entries.entry(to.clone()).or_default();
            entry.newest = entry.newest.max(rv);
            entry.slices.insert(Arc::clone(&name.name), (rv, new));
            if !same {
                self.dirty.insert(to);
            }
        }
    }

    // --- the settle window (K8S-89)

    fn hold(&mut self, service: ObjectName, now: Instant) {
        let Some(entry) = self.entries.get_mut(&service) else {
            return;
        };
        let before = entry.hold;
        let first = before.map_or(now, |h| h.first);
        let until = (now + self.policy.settle).min(first + self.policy.settle_max);
        entry.hold = Some(Hold { first, until });
        if let Some(before) = before {
            self.holds.remove(&(before.until, service.clone()));
        }
        self.holds.insert((until, service));
    }

    /// Lets go of what has been held long enough; gives the time of the next one.
    pub(super) fn release(&mut self, now: Instant) -> Option<Instant> {
        while let Some((until, service)) = self.holds.pop_first() {
            if until > now {
                self.holds.insert((until, service));
                return Some(until);
            }
            if let Some(entry) = self.entries.get_mut(&service) {
                entry.held.clear();
                entry.hold = None;
            }
            self.dirty.insert(service);
        }
        None
    }

    // --- publication

    /// Feeds the cells of all services that have changed, each once.
    pub(super) fn publish(&mut self) {
        let nodes = &self.objects[Kind::Nodes.index()];
        self.node_cells
            .publish(|| PodCidrs::new(known_nodes(nodes)));
        if self.dirty.is_empty() {
            return;
        }
        for service in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&service) else {
                continue;
            };
            entry.near = None;
            entry.views.retain(|views| views.strong_count() > 0);
            if entry.is_empty() {
                self.entries.remove(&service);
                continue;
            }
            for views in &self.entries[&service].views {
                if let Some(views) = views.upgrade() {
                    views.refresh(&self.merge(&views));
                }
            }
        }
        if let Some(names) = self.names.upgrade() {
            names.set(self.list_names());
        }
    }

    /// The present answer to a lookup.
    pub(super) fn merge(&self, views: &Views) -> Merged<'_> {
        merge::merge(&self.question(views), &self.facts(&views.service), None)
    }

    /// The same with no more than what one node's answer depends on: costs that answer, not the service (K8S-143).
    pub(super) fn merge_near(&mut self, views: &Views, node: &str) -> Merged<'_> {
        let index = |entry: &Entry| Arc::new(NearIndex::new(&entry.parts()));
        let near = self.entries.get_mut(&views.service).map(|entry| {
            let known = entry.near.take();
            let near = known.unwrap_or_else(|| index(entry));
            Arc::clone(entry.near.insert(near))
        });
        let near = near.unwrap_or_default();
        let (question, facts) = (self.question(views), self.facts(&views.service));
        merge::merge(&question, &facts, Some(&mut near.of(node)))
    }

    fn question<'a>(&self, views: &'a Views) -> Question<'a> {
        Question {
            port: &views.port,
            label: views.label.as_ref().map(|(k, v)| (&**k, &**v)),
            family: self.policy.family,
            draining: self.policy.terminating_fallback,
            zone_hints: self.policy.zone_hints,
            traffic_policy: self.policy.traffic_policy,
        }
    }

    fn facts(&self, service: &ObjectName) -> Facts<'_> {
        let entry = self.entries.get(service);
        Facts {
            slices_known: self.synced[Kind::Slices.index()],
            services_known: self.synced[Kind::Services.index()],
            service: self.service(service),
            parts: entry.map(Entry::parts).unwrap_or_default(),
            at: entry.map_or(0, |e| e.newest),
        }
    }
}

fn as_node(content: &Content) -> Option<&Node> {
    match content {
        Content::Node(node) => Some(node),
        Content::Slice(_) | Content::Service(_) => None,
    }
}

fn known_nodes(nodes: &HashMap<ObjectName, Stored>) -> impl Iterator<Item = (&Arc<str>, &Node)> {
    let known = nodes.iter();
    known.filter_map(|(name, stored)| Some((&name.name, as_node(stored.content.as_ref()?)?)))
}

/// What has left a slice and must be held: usable endpoints that `stays` does not name.
fn left_behind(old: &Slice, stays: Option<&Slice>) -> Option<Slice> {
    let stays = stays.map_or(&[][..], |s| &s.endpoints);
    let gone = |ip: &IpAddr| stays.binary_search_by_key(ip, |e| e.ip).is_err();
    let endpoints = old.endpoints.iter();
    let left: Box<[_]> = endpoints
        .filter(|e| e.is_usable() && gone(&e.ip))
        .cloned()
        .collect();
    (!left.is_empty()).then(|| Slice {
        endpoints: left,
        ..old.clone()
    })
}

// === impl Entry ===

impl Entry {
    fn parts(&self) -> Vec<Part<'_>> {
        let part = |(rv, slice), held| Part { slice, rv, held };
        let shown = self.slices.values().map(|(rv, slice)| (*rv, &**slice));
        let held = self.held.iter().map(|(rv, slice)| (*rv, slice));
        shown
            .map(|s| part(s, false))
            .chain(held.map(|s| part(s, true)))
            .collect()
    }

    fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.held.is_empty() && self.views.is_empty()
    }
}

// === impl Stored ===

impl Stored {
    /// K8S-119: only versions of one incarnation can be compared.
    fn is_newer_than(&self, meta: &Meta) -> bool {
        !self.is_other_than(&meta.uid) && meta.rv != 0 && self.rv > meta.rv
    }

    fn is_other_than(&self, uid: &str) -> bool {
        !self.uid.is_empty() && !uid.is_empty() && *self.uid != *uid
    }
}

// === impl ObjectName ===

impl ObjectName {
    fn eq_some(&self, other: Option<&Self>) -> bool {
        other == Some(self)
    }
}
