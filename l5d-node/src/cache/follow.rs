//! What the control client of one namerd shall follow, and whether it can.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use l5d_naming::{Dtab, Path};
use l5d_resolver::gateways::Gateways;
use l5d_resolver::ingress::Table;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::{Clusters, Contact, Name, Rules};

/// The names wanted from one namerd, the clusters it told, and how well it is reached. Written by requests (begin, end),
/// read by the control client; changes are gathered as a set, so that its size is bounded by the names alive.
#[derive(Debug)]
pub struct FollowSet {
    /// What this namerd told.
    pub clusters: Clusters,
    names: Mutex<Wanted>,
    notify: Notify,
    touched: Notify,
    contact: Mutex<Contact>,
    /// The Ingress rules that it told.
    pub rules: Arc<Rules>,
    ingress: Mutex<Ingress>,
    wants_gateways: AtomicBool,
    /// Nothing until this namerd has said that it tells them.
    gateways: ArcSwapOption<Gateways>,
    gateways_told: Notify,
    start: Instant,
}

/// Which Ingress rules are wanted.
#[derive(Debug, Default)]
struct Ingress {
    class: Option<Arc<str>>,
    /// From the warm file, until rules of its class are wanted.
    warm: Option<(Arc<str>, Table)>,
}

#[derive(Debug, Default)]
struct Wanted {
    next_id: u64,
    alive: HashMap<u64, Weak<Name>>,
    /// Begun and not yet taken by [`FollowSet::take`].
    begun: BTreeSet<u64>,
    /// Ended after they were taken.
    ended: BTreeSet<u64>,
}

/// What has changed since the last [`FollowSet::take`].
#[derive(Debug, Default)]
pub struct Changes {
    /// To be followed from now on, or again.
    pub begun: Vec<(u64, Arc<Name>)>,
    /// No longer.
    pub ended: Vec<u64>,
}

impl Ingress {
    fn warm_up(&mut self, rules: &Rules) {
        let is_wanted = |(class, _): &mut (Arc<str>, Table)| Some(&*class) == self.class.as_ref();
        if rules.table().is_none()
            && let Some((_, table)) = self.warm.take_if(is_wanted)
        {
            rules.set(Ok(table));
        }
    }
}

impl FollowSet {
    /// An empty set, not connected since now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            clusters: Clusters::default(),
            names: Mutex::default(),
            notify: Notify::new(),
            touched: Notify::new(),
            contact: Mutex::new(Contact::new()),
            rules: Arc::default(),
            ingress: Mutex::default(),
            wants_gateways: AtomicBool::new(false),
            gateways: ArcSwapOption::empty(),
            gateways_told: Notify::new(),
            start: Instant::now(),
        })
    }

    /// A new name, followed until its last holder lets go.
    pub fn begin(self: &Arc<Self>, router: usize, path: Path, local: Dtab) -> Arc<Name> {
        let mut names = self.names.lock();
        names.next_id += 1;
        let id = names.next_id;
        let name = Name::followed(router, path, local, id, self.clone());
        names.alive.insert(id, Arc::downgrade(&name));
        names.begun.insert(id);
        drop(names);
        self.notify.notify_one();
        name
    }

    pub(super) fn end(&self, id: u64) {
        let mut names = self.names.lock();
        names.alive.remove(&id);
        if !names.begun.remove(&id) {
            names.ended.insert(id);
        }
        drop(names);
        self.notify.notify_one();
    }

    pub(super) fn want_again(&self, id: u64) {
        self.names.lock().begun.insert(id);
        self.notify.notify_one();
    }

    /// Waits until [`FollowSet::take`] has something to give. For one task. Cancel safe.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }

    /// What has changed since the last call.
    pub fn take(&self) -> Changes {
        let mut names = self.names.lock();
        let begun = std::mem::take(&mut names.begun);
        Changes {
            begun: begun
                .into_iter()
                .filter_map(|id| Some((id, names.alive.get(&id)?.upgrade()?)))
                .collect(),
            ended: std::mem::take(&mut names.ended).into_iter().collect(),
        }
    }

    /// All names alive, oldest first.
    pub fn names(&self) -> Vec<(u64, Arc<Name>)> {
        let names = self.names.lock();
        let mut all: Vec<_> = names
            .alive
            .iter()
            .filter_map(|(id, name)| Some((*id, name.upgrade()?)))
            .collect();
        drop(names);
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// Streams that are opened from now on ask for the Ingress rules of this class (`io.l5d.ingress`).
    pub fn want_ingress(&self, class: &str) {
        let mut ingress = self.ingress.lock();
        ingress.class = Some(class.into());
        ingress.warm_up(&self.rules);
    }

    /// The table of a class as the warm file has it. Used if that class is wanted, before or after this, and no newer one
    /// has come; namerd confirms or replaces it.
    pub fn warm_ingress(&self, class: Arc<str>, table: Table) {
        let mut ingress = self.ingress.lock();
        ingress.warm = Some((class, table));
        ingress.warm_up(&self.rules);
    }

    /// The class whose rules are asked for.
    pub fn ingress_class(&self) -> Option<Arc<str>> {
        self.ingress.lock().class.clone()
    }

    /// The last good table of Ingress rules. `None`: none has come yet, so requests wait.
    pub fn ingress(&self) -> Option<Table> {
        self.rules.table().map(|table| Table::clone(&table))
    }

    /// Why namerd serves no rules, if it last said so.
    pub fn ingress_error(&self) -> Option<Arc<str>> {
        self.rules.error()
    }

    /// A table has come, or the reason why none will; then the last good one stays.
    pub fn set_ingress(&self, told: Result<Table, Arc<str>>) {
        self.rules.set(told);
        self.touch();
    }

    /// Streams that are opened from now on ask which node stands at which gateway.
    pub fn want_gateways(&self) {
        self.wants_gateways.store(true, Ordering::Relaxed);
    }

    /// Whether that is asked.
    pub fn wants_gateways(&self) -> bool {
        self.wants_gateways.load(Ordering::Relaxed)
    }

    /// Which node stands at which gateway, as last told. `None`: this namerd does not tell, or has not been reached.
    pub fn gateways(&self) -> Option<Arc<Gateways>> {
        self.gateways.load_full()
    }

    /// Names have come, or a namerd that does not tell any.
    pub fn set_gateways(&self, told: Option<Gateways>) {
        self.gateways.store(told.map(Arc::new));
        self.gateways_told.notify_waiters();
    }

    /// When [`FollowSet::gateways`] changes next, from this call on. Cancel safe.
    pub fn gateways_change(&self) -> Notified<'_> {
        self.gateways_told.notified()
    }

    /// How well namerd is reached, now.
    pub fn contact(&self) -> Contact {
        self.contact.lock().clone()
    }

    /// Changes what is said of the contact.
    pub fn set_contact(&self, change: impl FnOnce(&mut Contact)) {
        change(&mut self.contact.lock());
    }

    /// Something that was told has changed.
    pub fn touch(&self) {
        self.touched.notify_one();
    }

    /// Waits until something told has changed since the last call. For one task. Cancel safe.
    pub async fn touched(&self) {
        self.touched.notified().await;
    }

    /// All that is known becomes stale: the stream that stood behind it is gone.
    pub fn mark_stale(&self) {
        for (_, name) in self.names() {
            name.set_stale(true);
        }
        for cluster in self.clusters.live() {
            cluster.set_stale(true);
        }
    }

    /// Milliseconds since this set was made.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}
