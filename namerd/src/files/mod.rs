//! `io.l5d.fs` as a dtab store: a directory of files, each of them a namespace; or one file, the namespace `default`.
//!
//! Files are looked at again and again, off the runtime's threads, and go to the table that readers see. An editor may
//! write a file in steps, so a change by others counts when two rounds have seen the same; our own writes replace a file in
//! one step and count at once. What cannot be read keeps its last good dtab. The token of a dtab is a hash of its file's
//! content. What namerd replaces is kept in a hidden folder beside the files, in a directory only. Writers on this host, also of several processes, take turns by a lock; a directory that several hosts write
//! needs another store.

mod history;
mod place;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use l5d_naming::Dtab;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use self::place::{Changed, Found, Place};
use crate::config::FilesStorage;
use crate::store::{
    Cell, DtabStore, DtabTable, DtabToken, NamespaceState, PastDtab, StoreError, StoreStatus,
};

const KIND: &str = "io.l5d.fs";
/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(250);

/// Dtabs in files.
pub struct FilesStore {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    table: Arc<DtabTable>,
    /// Held while files are read or replaced and the table is told, so that both tell of the same in one order.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    is_first_over: bool,
    /// What the table was told.
    told: BTreeMap<String, DtabToken>,
    /// What the last round saw.
    last: BTreeMap<String, DtabToken>,
}

impl FilesStore {
    /// A store that knows nothing before its first round.
    pub fn new(config: &FilesStorage) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(Inner {
                place: Place::new(config),
                table: DtabTable::new(),
                seen: Mutex::default(),
            }),
        })
    }

    /// Looks at the files for ever. Cancel safe.
    pub async fn run(self: Arc<Self>) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let inner = Arc::clone(&self.inner);
            if tokio::task::spawn_blocking(move || inner.round())
                .await
                .is_err()
            {
                tracing::error!("a round of looking at dtab files ended early");
            }
        }
    }

    /// One round of looking at the files. Blocks.
    pub fn refresh(&self) {
        self.inner.round();
    }

    async fn change(
        &self,
        name: &str,
        dtab: Option<Dtab>,
        allow: impl FnOnce(Option<&DtabToken>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Option<DtabToken>, StoreError> {
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        let change = move || inner.change(&name, dtab.as_ref(), allow);
        match tokio::task::spawn_blocking(change).await {
            Ok(changed) => changed,
            Err(e) => Err(StoreError::Unavailable(e.to_string())),
        }
    }

    async fn write(
        &self,
        name: &str,
        dtab: Dtab,
        allow: impl FnOnce(Option<&DtabToken>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<DtabToken, StoreError> {
        let written = self.change(name, Some(dtab), allow).await?;
        Ok(written.expect("what was written is there"))
    }
}

impl Inner {
    fn round(&self) {
        let mut seen = self.seen.lock();
        match self.place.scan() {
            Ok(found) => {
                seen.take(&found, &self.table);
                self.table.confirm(None);
            }
            Err(error) => {
                tracing::warn!(%error, place = ?self.place, "dtab files cannot be listed");
                self.table.fail(error.to_string());
            }
        }
    }

    fn change(
        &self,
        name: &str,
        dtab: Option<&Dtab>,
        allow: impl FnOnce(Option<&DtabToken>) -> Result<(), StoreError>,
    ) -> Result<Option<DtabToken>, StoreError> {
        let mut seen = self.seen.lock();
        let Changed { found, unkept } = self.place.change(name, dtab, allow)?;
        if let Some(error) = unkept {
            tracing::warn!(%error, namespace = name, "what this dtab was before cannot be kept in the folder .history");
            self.table.lose_past();
        }
        seen.tell(name, found.as_ref(), &self.table);
        match &found {
            Some(found) => seen.last.insert(name.to_owned(), found.print.clone()),
            None => seen.last.remove(name),
        };
        Ok(found.map(|found| found.print))
    }
}

impl Seen {
    /// What a round has found: everything the first time, later what is as it was in the round before.
    fn take(&mut self, found: &BTreeMap<String, Found>, table: &DtabTable) {
        if !self.is_first_over {
            self.is_first_over = true;
            let all = found.iter();
            table.replace(all.map(|(name, found)| (name.clone(), found.stored.clone())));
            self.told = prints(found);
        } else {
            let names: Vec<String> = found.keys().chain(self.told.keys()).cloned().collect();
            for name in names {
                let now = found.get(&name);
                let print = now.map(|found| &found.print);
                if print != self.told.get(&name) && print == self.last.get(&name) {
                    self.tell(&name, now, table);
                }
            }
        }
        self.last = prints(found);
    }

    fn tell(&mut self, name: &str, found: Option<&Found>, table: &DtabTable) {
        match found {
            Some(found) => {
                if let Err(reason) = &found.stored {
                    tracing::warn!(namespace = name, %reason, "this dtab file cannot be read");
                }
                table.set(name, found.stored.clone());
                self.told.insert(name.to_owned(), found.print.clone());
            }
            None => {
                table.remove(name);
                self.told.remove(name);
            }
        }
    }
}

fn prints(found: &BTreeMap<String, Found>) -> BTreeMap<String, DtabToken> {
    let prints = found.iter();
    prints
        .map(|(name, found)| (name.clone(), found.print.clone()))
        .collect()
}

#[async_trait]
impl DtabStore for FilesStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.inner.table.list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.inner.table.observe(name)
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        let exists = StoreError::Exists(name.to_owned());
        let allow = |now: Option<&DtabToken>| now.map_or(Ok(()), |_| Err(exists));
        self.write(name, dtab, allow).await
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.write(name, dtab, |_| Ok(())).await
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        let (name_of, expected) = (name.to_owned(), expected.clone());
        let allow = move |now: Option<&DtabToken>| match now {
            Some(now) if *now == expected => Ok(()),
            Some(_) => Err(StoreError::VersionMismatch(name_of)),
            None => Err(StoreError::Missing(name_of)),
        };
        self.write(name, dtab, allow).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let missing = StoreError::Missing(name.to_owned());
        let allow = |now: Option<&DtabToken>| now.map(drop).ok_or(missing);
        self.change(name, None, allow).await.map(drop)
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.inner.table.status()
    }

    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        let history = move || inner.place.history(&name);
        match tokio::task::spawn_blocking(history).await {
            Ok(history) => history,
            Err(e) => Err(StoreError::Unavailable(e.to_string())),
        }
    }
}

impl fmt::Debug for FilesStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesStore({:?})", self.inner.place)
    }
}

#[cfg(test)]
mod tests;
