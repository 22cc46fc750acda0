//! Where dtabs live.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use l5d_naming::Dtab;
use parking_lot::Mutex;

use super::cell::Cell;

/// A store's compare-and-swap token: opaque bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DtabToken(pub Arc<[u8]>);

/// A dtab with its token.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionedDtab {
    /// The rules.
    pub dtab: Dtab,
    /// For compare-and-swap.
    pub token: DtabToken,
}

/// What is known of one namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceState {
    /// The store has not answered yet.
    Pending,
    /// It does not exist; it binds as an empty dtab.
    Absent,
    /// Its dtab: the last good one, whatever happened since.
    Present(VersionedDtab),
}

/// Why a write or a read did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Create: it is there already.
    #[error("dtab namespace {0} already exists")]
    Exists(String),
    /// Update, delete: it is not there.
    #[error("dtab namespace {0} does not exist")]
    Missing(String),
    /// Update: the token is not the present one.
    #[error("dtab namespace {0} has another version")]
    VersionMismatch(String),
    /// The name breaks the store's rule.
    #[error("{name} cannot be a dtab namespace: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// The rule.
        reason: String,
    },
    /// The store says no.
    #[error("the dtab store forbids it: {0}")]
    Forbidden(String),
    /// The store cannot be reached or failed; may be retried.
    #[error("the dtab store is unavailable: {0}")]
    Unavailable(String),
}

/// Where dtabs live. Reads are cells that keep the last good state; writes may wait.
#[async_trait]
pub trait DtabStore: Send + Sync {
    /// The configuration's kind, for metrics and pages.
    fn kind(&self) -> &'static str;
    /// The names of all namespaces, sorted; `None` until the store has answered.
    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>>;
    /// One namespace, live. Does not create it, and an unknown name costs memory only while someone holds the cell.
    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>>;
    /// Creates.
    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError>;
    /// Creates or replaces.
    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError>;
    /// Replaces what has this token.
    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        token: &DtabToken,
    ) -> Result<DtabToken, StoreError>;
    /// Deletes.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
}

/// `io.l5d.inMemory`: tokens are 8 bytes, a counter that starts at 1 and starts again when a namespace is created anew
/// (control plane 12.2).
pub struct InMemoryStore {
    inner: Mutex<InMemory>,
    names: Arc<Cell<Option<Arc<[String]>>>>,
}

#[derive(Default)]
struct InMemory {
    dtabs: BTreeMap<String, (Dtab, u64)>,
    /// Cells that someone still holds, also of namespaces that do not exist.
    observed: BTreeMap<String, Weak<Cell<NamespaceState>>>,
    /// So many of them make the next one look for what nobody holds any more.
    prune_at: usize,
}

/// So many observed names are not worth a look.
const FEW: usize = 64;

impl InMemoryStore {
    /// A store that begins with these namespaces.
    pub fn new(namespaces: impl IntoIterator<Item = (String, Dtab)>) -> Arc<Self> {
        let dtabs: BTreeMap<_, _> = namespaces
            .into_iter()
            .map(|(name, dtab)| (name, (dtab, 1)))
            .collect();
        let names = Cell::new(Some(dtabs.keys().cloned().collect()));
        Arc::new(Self {
            inner: Mutex::new(InMemory {
                dtabs,
                observed: BTreeMap::new(),
                prune_at: FEW,
            }),
            names,
        })
    }

    /// One change, then what observers see of it, in the same critical section so that observers see changes in order.
    fn change<R>(
        &self,
        name: &str,
        change: impl FnOnce(&mut BTreeMap<String, (Dtab, u64)>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let mut inner = self.inner.lock();
        let result = change(&mut inner.dtabs)?;
        inner.prune();
        if let Some(cell) = inner.observed.get(name).and_then(Weak::upgrade) {
            cell.set(state(inner.dtabs.get(name)));
        }
        self.names.set(Some(inner.dtabs.keys().cloned().collect()));
        Ok(result)
    }
}

impl InMemory {
    /// Forgets names that nobody observes.
    fn prune(&mut self) {
        self.observed.retain(|_, cell| cell.strong_count() > 0);
        self.prune_at = (self.observed.len() * 2).max(FEW);
    }
}

fn state(entry: Option<&(Dtab, u64)>) -> NamespaceState {
    entry.map_or(NamespaceState::Absent, |(dtab, version)| {
        NamespaceState::Present(VersionedDtab {
            dtab: dtab.clone(),
            token: token(*version),
        })
    })
}

fn token(version: u64) -> DtabToken {
    DtabToken(Arc::new(version.to_be_bytes()))
}

#[async_trait]
impl DtabStore for InMemoryStore {
    fn kind(&self) -> &'static str {
        "io.l5d.inMemory"
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        Arc::clone(&self.names)
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        let mut inner = self.inner.lock();
        if let Some(cell) = inner.observed.get(name).and_then(Weak::upgrade) {
            return cell;
        }
        if inner.observed.len() >= inner.prune_at {
            inner.prune();
        }
        let cell = Cell::new(state(inner.dtabs.get(name)));
        inner
            .observed
            .insert(name.to_owned(), Arc::downgrade(&cell));
        cell
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.change(name, |dtabs| {
            if dtabs.contains_key(name) {
                return Err(StoreError::Exists(name.to_owned()));
            }
            dtabs.insert(name.to_owned(), (dtab, 1));
            Ok(token(1))
        })
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.change(name, |dtabs| {
            let version = dtabs.get(name).map_or(1, |(_, v)| v + 1);
            dtabs.insert(name.to_owned(), (dtab, version));
            Ok(token(version))
        })
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        self.change(name, |dtabs| {
            let entry = dtabs
                .get_mut(name)
                .ok_or_else(|| StoreError::Missing(name.to_owned()))?;
            if token(entry.1) != *expected {
                return Err(StoreError::VersionMismatch(name.to_owned()));
            }
            *entry = (dtab, entry.1 + 1);
            Ok(token(entry.1))
        })
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.change(name, |dtabs| {
            dtabs
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| StoreError::Missing(name.to_owned()))
        })
    }
}

impl fmt::Debug for InMemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control plane 12.2: reading an unknown name allocates nothing for ever.
    #[test]
    fn names_that_nobody_observes_are_forgotten() {
        let store = InMemoryStore::new([]);
        let held: Vec<_> = (0..100)
            .map(|i| store.observe(&format!("held{i}")))
            .collect();
        for i in 0..10_000 {
            drop(store.observe(&format!("name{i}")));
        }
        let observed = store.inner.lock().observed.len();
        assert!((100..=200).contains(&observed), "{observed}");
        assert!(Arc::ptr_eq(&held[7], &store.observe("held7")));
    }
}
