//! What is known of a store's namespaces: the memory that every store writes and every reader observes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{NamespaceState, StoreStatus, VersionedDtab};
use crate::store::cell::Cell;

/// The last good dtab of each namespace, live. A store's follower writes what the store says; a failure of the store
/// changes only the status, never a namespace.
pub struct DtabTable {
    inner: Mutex<Inner>,
    names: Arc<Cell<Option<Arc<[String]>>>>,
    status: Arc<Cell<StoreStatus>>,
}

#[derive(Default)]
struct Inner {
    /// The store has said what it holds.
    synced: bool,
    known: BTreeMap<String, Known>,
    /// Cells that someone still holds, also of namespaces that do not exist.
    observed: BTreeMap<String, Weak<Cell<NamespaceState>>>,
    /// So many of them make the next one look for what nobody holds any more.
    prune_at: usize,
}

/// A namespace that exists: at least one of the two is there.
#[derive(Default)]
struct Known {
    good: Option<VersionedDtab>,
    /// Why what is stored now cannot be read.
    bad: Option<Arc<str>>,
}

/// What a store says of one namespace: a dtab, or why what it holds is none.
pub type Stored = Result<VersionedDtab, Arc<str>>;

/// So many observed names are not worth a look.
const FEW: usize = 64;

impl DtabTable {
    /// Of a store that has not answered yet: every namespace is pending.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                prune_at: FEW,
                ..Inner::default()
            }),
            names: Cell::new(None),
            status: Cell::new(StoreStatus::default()),
        })
    }

    /// Of a store that holds these and nothing else.
    pub fn holding(namespaces: impl IntoIterator<Item = (String, VersionedDtab)>) -> Arc<Self> {
        let table = Self::new();
        table.replace(namespaces.into_iter().map(|(name, dtab)| (name, Ok(dtab))));
        table
    }

    /// The store holds these and nothing else. What cannot be read keeps its last good dtab.
    pub fn replace(&self, all: impl IntoIterator<Item = (String, Stored)>) {
        let mut inner = self.inner.lock();
        let mut old = std::mem::take(&mut inner.known);
        for (name, stored) in all {
            let mut known = old.remove(&name).unwrap_or_default();
            known.take(stored);
            inner.known.insert(name, known);
        }
        inner.synced = true;
        inner.tell_all();
        self.tell(&inner);
    }

    /// One namespace has changed or appeared.
    pub fn set(&self, name: &str, stored: Stored) {
        let mut inner = self.inner.lock();
        inner.known.entry(name.to_owned()).or_default().take(stored);
        inner.tell_one(name);
        self.tell(&inner);
    }

    /// One namespace is gone.
    pub fn remove(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.known.remove(name);
        inner.tell_one(name);
        self.tell(&inner);
    }

    /// Reads and changes in one step: `change` gets what is known of the namespace now, and says what is known after it
    /// (`None`: it does not exist). An error changes nothing.
    pub fn change<R, E>(
        &self,
        name: &str,
        change: impl FnOnce(Option<&VersionedDtab>) -> Result<(Option<VersionedDtab>, R), E>,
    ) -> Result<R, E> {
        let mut inner = self.inner.lock();
        let (after, result) = change(inner.known.get(name).and_then(|known| known.good.as_ref()))?;
        match after {
            Some(dtab) => inner
                .known
                .entry(name.to_owned())
                .or_default()
                .take(Ok(dtab)),
            None => drop(inner.known.remove(name)),
        }
        inner.tell_one(name);
        self.tell(&inner);
        Ok(result)
    }

    /// The store answers: what is served is what it holds, as of `position` where positions are known.
    pub fn confirm(&self, position: Option<u64>) {
        self.confirm_seen(position, position);
    }

    /// The same of a store that has seen later versions than that of what is served, as a watch has by bookmarks.
    pub fn confirm_seen(&self, position: Option<u64>, seen: Option<u64>) {
        let _one_writer = self.inner.lock();
        let old = self.status.get();
        self.status.set(StoreStatus {
            connected: true,
            confirmed: Some(Instant::now()),
            failure: None,
            position: position.or(old.1.position),
            seen: seen.or(old.1.seen),
            ..old.1.clone()
        });
    }

    /// A write has happened, but what it replaced could not be kept for the history.
    pub fn lose_past(&self) {
        let _one_writer = self.inner.lock();
        let old = self.status.get();
        self.status.set(StoreStatus {
            unkept: old.1.unkept + 1,
            ..old.1.clone()
        });
    }

    /// The store does not answer. All that is known goes on being served.
    pub fn fail(&self, reason: impl Into<Arc<str>>) {
        let _one_writer = self.inner.lock();
        let old = self.status.get();
        self.status.set(StoreStatus {
            connected: false,
            failure: Some(reason.into()),
            failures: old.1.failures + 1,
            ..old.1.clone()
        });
    }

    /// How the store is.
    pub fn status(&self) -> Arc<Cell<StoreStatus>> {
        Arc::clone(&self.status)
    }

    /// The names of all namespaces, sorted; `None` until the store has said what it holds.
    pub fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        Arc::clone(&self.names)
    }

    /// One namespace, live. An unknown name costs memory only while someone holds the cell.
    pub fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        let mut inner = self.inner.lock();
        if let Some(cell) = inner.observed.get(name).and_then(Weak::upgrade) {
            return cell;
        }
        if inner.observed.len() >= inner.prune_at {
            inner.prune();
        }
        let cell = Cell::new(inner.state(name));
        inner
            .observed
            .insert(name.to_owned(), Arc::downgrade(&cell));
        cell
    }

    /// In the critical section of the change, so that observers see changes in order.
    fn tell(&self, inner: &Inner) {
        if inner.synced {
            self.names.set(Some(inner.known.keys().cloned().collect()));
        }
        let bad = |(name, known): (&String, &Known)| Some((name.clone(), known.bad.clone()?));
        let unreadable: Vec<_> = inner.known.iter().filter_map(bad).collect();
        let old = self.status.get();
        if old.1.unreadable != unreadable {
            self.status.set(StoreStatus {
                unreadable,
                ..old.1.clone()
            });
        }
    }
}

impl Known {
    fn take(&mut self, stored: Stored) {
        match stored {
            Ok(dtab) => (self.good, self.bad) = (Some(dtab), None),
            Err(reason) => self.bad = Some(reason),
        }
    }
}

impl Inner {
    fn state(&self, name: &str) -> NamespaceState {
        match self.known.get(name) {
            Some(Known {
                good: Some(dtab), ..
            }) => NamespaceState::Present(dtab.clone()),
            Some(Known {
                bad: Some(reason), ..
            }) => NamespaceState::Unreadable(Arc::clone(reason)),
            Some(_) | None if self.synced => NamespaceState::Absent,
            Some(_) | None => NamespaceState::Pending,
        }
    }

    fn tell_one(&self, name: &str) {
        if let Some(cell) = self.observed.get(name).and_then(Weak::upgrade) {
            cell.set(self.state(name));
        }
    }

    fn tell_all(&mut self) {
        self.prune();
        for (name, cell) in &self.observed {
            if let Some(cell) = cell.upgrade() {
                cell.set(self.state(name));
            }
        }
    }

    /// Forgets names that nobody observes.
    fn prune(&mut self) {
        self.observed.retain(|_, cell| cell.strong_count() > 0);
        self.prune_at = (self.observed.len() * 2).max(FEW);
    }
}

impl fmt::Debug for DtabTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtabTable")
            .field("names", &self.names)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DtabToken;
    use l5d_naming::Dtab;

    fn dtab(text: &str) -> VersionedDtab {
        VersionedDtab {
            dtab: Dtab::parse(text).expect("a dtab"),
            token: DtabToken(Arc::new([1])),
        }
    }

    fn stored(text: &str) -> Stored {
        Ok(dtab(text))
    }

    /// Control plane 12.2: reading an unknown name allocates nothing for ever.
    #[test]
    fn names_that_nobody_observes_are_forgotten() {
        let table = DtabTable::holding([]);
        let held: Vec<_> = (0..100)
            .map(|i| table.observe(&format!("held{i}")))
            .collect();
        for i in 0..10_000 {
            drop(table.observe(&format!("name{i}")));
        }
        let observed = table.inner.lock().observed.len();
        assert!((100..=200).contains(&observed), "{observed}");
        assert!(Arc::ptr_eq(&held[7], &table.observe("held7")));
    }

    #[test]
    fn namespaces_are_pending_until_the_store_has_answered_and_never_again() {
        let table = DtabTable::new();
        let (a, b) = (table.observe("a"), table.observe("b"));
        assert_eq!(a.value(), NamespaceState::Pending);
        table.replace([("a".to_owned(), stored("/a=>/b"))]);
        assert_eq!(a.value(), NamespaceState::Present(dtab("/a=>/b")));
        assert_eq!(b.value(), NamespaceState::Absent);
        table.fail("away");
        assert_eq!(a.value(), NamespaceState::Present(dtab("/a=>/b")));
        assert!(!table.status().value().connected);
        table.replace([]);
        assert_eq!(a.value(), NamespaceState::Absent);
    }

    /// Control plane 12.1: what cannot be read keeps the last good dtab and never affects other namespaces.
    #[test]
    fn a_bad_dtab_keeps_the_last_good_one_and_is_reported() {
        let table = DtabTable::new();
        let (a, b) = (table.observe("a"), table.observe("b"));
        let bad = || Err(Arc::from("no arrow"));
        table.replace([("a".to_owned(), stored("/a=>/b")), ("b".to_owned(), bad())]);
        table.set("a", bad());
        assert_eq!(a.value(), NamespaceState::Present(dtab("/a=>/b")));
        assert_eq!(b.value(), NamespaceState::Unreadable("no arrow".into()));
        let names = |status: StoreStatus| -> Vec<String> {
            status
                .unreadable
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(names(table.status().value()), ["a", "b"]);
        table.set("b", stored("/b=>/c"));
        table.set("a", stored("/a=>/d"));
        assert_eq!(names(table.status().value()), [""; 0]);
        assert_eq!(a.value(), NamespaceState::Present(dtab("/a=>/d")));
    }
}
