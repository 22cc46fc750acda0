//! `io.l5d.inMemory`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use l5d_naming::Dtab;
use parking_lot::Mutex;

use super::{
    DtabStore, DtabTable, DtabToken, NamespaceState, PastDtab, StoreError, StoreStatus,
    VersionedDtab,
};
use crate::store::cell::Cell;

/// `io.l5d.inMemory`: tokens are 8 bytes, a counter that starts at 1 and starts again when a namespace is created anew
/// (control plane 12.2).
pub struct InMemoryStore {
    table: Arc<DtabTable>,
    /// Of namespaces that exist, oldest first.
    past: Mutex<BTreeMap<String, VecDeque<PastDtab>>>,
}

/// So many versions of a namespace are kept.
const KEPT: usize = 20;

impl InMemoryStore {
    /// A store that begins with these namespaces.
    pub fn new(namespaces: impl IntoIterator<Item = (String, Dtab)>) -> Arc<Self> {
        let store = Self {
            table: DtabTable::holding([]),
            past: Mutex::default(),
        };
        store.table.confirm(None);
        for (name, dtab) in namespaces {
            let first = |_: Option<&VersionedDtab>| Ok::<_, StoreError>((Some(dtab), 1));
            store
                .change(&name, first)
                .expect("a first version is never refused");
        }
        Arc::new(store)
    }

    /// One change: what is there (with its counter) to what is to be there.
    fn change(
        &self,
        name: &str,
        change: impl FnOnce(Option<&VersionedDtab>) -> Result<(Option<Dtab>, u64), StoreError>,
    ) -> Result<DtabToken, StoreError> {
        // Held while the table changes, so that both tell of the same changes in the same order.
        let mut past = self.past.lock();
        self.table.change(name, |now| {
            let (dtab, counter) = change(now)?;
            let token = DtabToken(Arc::new(counter.to_be_bytes()));
            let Some(dtab) = dtab else {
                past.remove(name);
                return Ok((None, token));
            };
            let version = VersionedDtab {
                dtab,
                token: token.clone(),
            };
            let kept = past.entry(name.to_owned()).or_default();
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(PastDtab {
                version: version.clone(),
                written: Some(SystemTime::now()),
            });
            Ok((Some(version), token))
        })
    }
}

/// The counter of a version that this store has made.
fn counter(version: &VersionedDtab) -> u64 {
    let bytes = <[u8; 8]>::try_from(&*version.token.0);
    u64::from_be_bytes(bytes.expect("tokens of this store have 8 bytes"))
}

#[async_trait]
impl DtabStore for InMemoryStore {
    fn kind(&self) -> &'static str {
        "io.l5d.inMemory"
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.table.list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.table.observe(name)
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.change(name, |now| match now {
            Some(_) => Err(StoreError::Exists(name.to_owned())),
            None => Ok((Some(dtab), 1)),
        })
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.change(name, |now| {
            Ok((Some(dtab), now.map_or(1, |version| counter(version) + 1)))
        })
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        self.change(name, |now| {
            let now = now.ok_or_else(|| StoreError::Missing(name.to_owned()))?;
            if now.token != *expected {
                return Err(StoreError::VersionMismatch(name.to_owned()));
            }
            Ok((Some(dtab), counter(now) + 1))
        })
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let deleted = self.change(name, |now| {
            let now = now.ok_or_else(|| StoreError::Missing(name.to_owned()))?;
            Ok((None, counter(now)))
        });
        deleted.map(drop)
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.table.status()
    }

    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        let past = self.past.lock();
        let kept = past
            .get(name)
            .ok_or_else(|| StoreError::Missing(name.to_owned()))?;
        Ok(kept.iter().rev().cloned().collect())
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

    #[tokio::test]
    async fn the_last_versions_can_be_listed_newest_first() {
        let store = InMemoryStore::new([]);
        let dtab = |i: usize| Dtab::parse(&format!("/a=>/b{i}")).expect("a dtab");
        for i in 0..KEPT + 5 {
            store.put("a", dtab(i)).await.expect("is put");
        }
        let history = store.history("a").await.expect("is kept");
        let dtabs: Vec<_> = history.iter().map(|past| &past.version.dtab).collect();
        let wanted: Vec<_> = (5..KEPT + 5).rev().map(dtab).collect();
        assert_eq!(dtabs, wanted.iter().collect::<Vec<_>>());
        store.delete("a").await.expect("is deleted");
        let gone = store.history("a").await;
        assert_eq!(gone, Err(StoreError::Missing("a".to_owned())));
    }
}
