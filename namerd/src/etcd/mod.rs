//! `io.l5d.etcd`: dtabs in etcd, over its gRPC API of version 3 (control plane 12.5).
//!
//! Lists and changes come in and go to the table that readers see; writes go out as transactions, whose answers go to the
//! table at once. A loss of etcd never changes what is served. The token of a dtab is the decimal text of its key's
//! `mod_revision`. Nothing but this module speaks to etcd.

mod client;
mod follow;
mod keys;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use l5d_naming::Dtab;
use tonic::{Code, Status};

use self::client::{Client, Outcome};
use self::keys::Keys;
use crate::config::EtcdStorage;
use crate::dial::{DialError, Dialer};
use crate::store::{
    Cell, DtabStore, DtabToken, Mirror, NamespaceState, PastDtab, StoreError, StoreStatus,
    VersionedDtab,
};

/// Versions of a namespace that are looked up for its history.
const KEPT: usize = 20;

/// Dtabs in etcd.
pub struct EtcdStore {
    dialer: Arc<Dialer>,
    keys: Keys,
    mirror: Mirror,
    /// Made at the first use, which is on a runtime.
    client: ArcSwapOption<Client>,
}

impl EtcdStore {
    /// A store that knows nothing before [`EtcdStore::run`] has contacted etcd. The error is that certificates or keys
    /// cannot be used.
    pub fn new(config: &EtcdStorage) -> Result<Arc<Self>, DialError> {
        Ok(Arc::new(Self {
            dialer: Arc::new(Dialer::new(config.hosts.clone(), config.tls.as_ref())?),
            keys: Keys::below(&config.path_prefix),
            mirror: Mirror::new(),
            client: ArcSwapOption::empty(),
        }))
    }

    fn client(&self) -> Arc<Client> {
        if let Some(client) = self.client.load_full() {
            return client;
        }
        let client = Arc::new(Client::new(&self.dialer));
        self.client.store(Some(Arc::clone(&client)));
        client
    }

    /// Gives up the channel; the next one goes to another host, if there is one.
    fn renew(&self) {
        self.dialer.skip();
        self.client.store(None);
    }

    /// What was written is seen at once.
    fn written(&self, name: &str, dtab: Dtab, revision: i64) -> DtabToken {
        let token = keys::token(revision);
        let version = VersionedDtab {
            dtab,
            token: token.clone(),
        };
        self.mirror.set(name, revision.unsigned_abs(), Ok(version));
        token
    }
}

fn value(dtab: &Dtab) -> Bytes {
    Bytes::from(dtab.show_exact())
}

/// etcd's words, in one line.
fn describe(status: &Status) -> String {
    let mut text = format!("etcd: {}", status.message());
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = error.source();
    }
    text
}

impl From<Status> for StoreError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => {
                StoreError::Forbidden(describe(&status))
            }
            _ => StoreError::Unavailable(describe(&status)),
        }
    }
}

#[async_trait]
impl DtabStore for EtcdStore {
    fn kind(&self) -> &'static str {
        "io.l5d.etcd"
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.mirror.table().list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.mirror.table().observe(name)
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        let key = self.keys.key(name)?;
        match self.client().put_if(key, value(&dtab), None).await? {
            Outcome::Written(revision) => Ok(self.written(name, dtab, revision)),
            Outcome::Refused(_) => Err(StoreError::Exists(name.to_owned())),
        }
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        let key = self.keys.key(name)?;
        let revision = self.client().put(key, value(&dtab)).await?;
        Ok(self.written(name, dtab, revision))
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        let key = self.keys.key(name)?;
        // No key was ever written as the greatest revision: what is not a revision fits nothing.
        let expected = keys::revision(expected).unwrap_or(i64::MAX);
        match self
            .client()
            .put_if(key, value(&dtab), Some(expected))
            .await?
        {
            Outcome::Written(revision) => Ok(self.written(name, dtab, revision)),
            Outcome::Refused(Some(_)) => Err(StoreError::VersionMismatch(name.to_owned())),
            Outcome::Refused(None) => Err(StoreError::Missing(name.to_owned())),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let deleted = self.client().delete(self.keys.key(name)?).await?;
        let revision = deleted.ok_or_else(|| StoreError::Missing(name.to_owned()))?;
        self.mirror.remove(name, revision.unsigned_abs());
        Ok(())
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.mirror.table().status()
    }

    /// Since the namespace was last created, as far as etcd has not compacted it. etcd does not know when.
    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        let (client, key) = (self.client(), self.keys.key(name)?);
        let mut kv = client.get(key.clone(), 0).await?;
        if kv.is_none() {
            return Err(StoreError::Missing(name.to_owned()));
        }
        let mut past = Vec::new();
        for _ in 0..KEPT {
            let Some(now) = kv.take() else { break };
            // One that cannot be read could not be restored either.
            past.extend(keys::read(&now).ok().map(|version| PastDtab {
                version,
                written: None,
            }));
            if now.version <= 1 {
                break;
            }
            kv = match client.get(key.clone(), now.mod_revision - 1).await {
                Err(status) if status.code() == Code::OutOfRange => break,
                other => other?,
            };
        }
        Ok(past)
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore")
            .field("dialer", &self.dialer)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
