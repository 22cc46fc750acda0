//! `io.l5d.consul` as a dtab store (control plane 12.4).
//!
//! One blocking query for everything below the prefix keeps the mirror like Consul; writes are transactions, whose answers
//! go to the mirror at once. The token of a dtab is the decimal text of its key's `ModifyIndex`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use l5d_naming::Dtab;
use tokio::time::sleep;

use super::client::{CallError, Client, Poll};
use super::kv::{self, Keys, Outcome};
use crate::config::ConsulStorage;
use crate::dial::{Backoff, DialError};
use crate::store::{
    Cell, DtabStore, DtabToken, Mirror, NamespaceState, StoreError, StoreStatus, VersionedDtab,
};

/// Dtabs in Consul.
pub struct ConsulStore {
    client: Client,
    keys: Keys,
    mirror: Mirror,
}

impl ConsulStore {
    /// A store that knows nothing before [`ConsulStore::run`] has asked Consul. The error is that certificates or keys
    /// cannot be used.
    pub fn new(config: &ConsulStorage) -> Result<Arc<Self>, DialError> {
        Ok(Arc::new(Self {
            client: Client::new(&config.access)?,
            keys: Keys::below(&config.path_prefix),
            mirror: Mirror::new(),
        }))
    }

    /// Follows for ever. Cancel safe.
    pub async fn run(self: Arc<Self>) {
        let mut poll = self.client.poll(self.keys.all());
        let mut backoff = Backoff::default();
        loop {
            match self.step(&mut poll).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::warn!(%error, "dtabs in Consul are not followed; the last known ones are served");
                    self.mirror.table().fail(error.to_string());
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    async fn step(&self, poll: &mut Poll) -> Result<(), CallError> {
        let news = poll.next().await?;
        let all = kv::entries(&news.answer)?;
        if news.went_back {
            tracing::warn!(
                index = news.answer.index,
                "Consul's index has gone back; its dtabs of now are served"
            );
            self.mirror.forget_order();
        }
        let all = all.iter().filter_map(|entry| {
            let name = self.keys.namespace(entry)?;
            Some((name.to_owned(), entry.modify_index, entry.read()))
        });
        self.mirror.replace(news.answer.index, all);
        self.mirror.reached(news.answer.index);
        Ok(())
    }

    async fn write(
        &self,
        name: &str,
        dtab: Dtab,
        expected: Option<u64>,
    ) -> Result<Option<DtabToken>, StoreError> {
        let steps = kv::write(&self.keys.key(name)?, &dtab, expected);
        match kv::transact(&self.client, &steps).await? {
            Outcome::Refused => Ok(None),
            Outcome::Done(None) => {
                let what = "Consul has not said the new version".to_owned();
                Err(StoreError::Unavailable(what))
            }
            Outcome::Done(Some(index)) => {
                let token = kv::token(index);
                let version = VersionedDtab {
                    dtab,
                    token: token.clone(),
                };
                self.mirror.set(name, index, Ok(version));
                Ok(Some(token))
            }
        }
    }

    async fn is_there(&self, name: &str) -> Result<bool, StoreError> {
        let answer = self.client.get(&self.keys.one(name)).await?;
        Ok(answer.status != StatusCode::NOT_FOUND)
    }
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Forbidden(_) => StoreError::Forbidden(error.to_string()),
            _ => StoreError::Unavailable(error.to_string()),
        }
    }
}

#[async_trait]
impl DtabStore for ConsulStore {
    fn kind(&self) -> &'static str {
        "io.l5d.consul"
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.mirror.table().list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.mirror.table().observe(name)
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        let written = self.write(name, dtab, Some(0)).await?;
        written.ok_or_else(|| StoreError::Exists(name.to_owned()))
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        let written = self.write(name, dtab, None).await?;
        let refused = || StoreError::Unavailable("Consul has refused a plain write".to_owned());
        written.ok_or_else(refused)
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        self.keys.key(name)?;
        // What is not an index fits nothing.
        if let Some(index) = kv::index(expected)
            && let Some(token) = self.write(name, dtab, Some(index)).await?
        {
            return Ok(token);
        }
        Err(match self.is_there(name).await? {
            true => StoreError::VersionMismatch(name.to_owned()),
            false => StoreError::Missing(name.to_owned()),
        })
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let steps = kv::delete(&self.keys.key(name)?);
        if let Outcome::Refused = kv::transact(&self.client, &steps).await? {
            return Err(StoreError::Missing(name.to_owned()));
        }
        // The answer does not say as of which index it is gone; a look at what is not there does.
        let look = self.client.get(&self.keys.one(name)).await?;
        if look.status == StatusCode::NOT_FOUND {
            self.mirror.remove(name, look.index);
        }
        Ok(())
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.mirror.table().status()
    }
}

impl fmt::Debug for ConsulStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulStore")
            .field("client", &self.client)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
