//! `io.l5d.consul` as a dtab store (control plane 12.4).
//!
//! One blocking query for everything below the prefix keeps the mirror like Consul; writes are transactions, whose answers
//! go to the mirror at once. They keep what they replace ([`history`]), unless that cannot be, for example because the ACL
//! forbids it: a dtab that cannot be written is worse than a past that is not known. The token of a dtab is the decimal text of its key's `ModifyIndex`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use l5d_naming::Dtab;
use tokio::time::sleep;

use super::client::{CallError, Client, Poll};
use super::history::{self, Present};
use super::kv::{self, Keys, Outcome, Write};
use crate::config::ConsulStorage;
use crate::dial::{Backoff, DialError};
use crate::store::{
    Cell, DtabStore, DtabToken, Mirror, NamespaceState, PastDtab, StoreError, StoreStatus,
    VersionedDtab,
};

/// A write that others keep getting in the way of is tried so often with its past.
const TRIES: usize = 3;

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
        let key = self.keys.key(name)?;
        match self
            .replace(name, &Write::new(&key, &dtab), expected)
            .await?
        {
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

    /// Writes, and keeps what was there if that can be.
    async fn replace(
        &self,
        name: &str,
        write: &Write<'_>,
        expected: Option<u64>,
    ) -> Result<Outcome, CallError> {
        for _ in 0..TRIES {
            match self.keep(name, write, expected).await {
                // Others write; the next look sees what.
                Ok(Outcome::Refused) if expected.is_none() => {}
                Err(error @ (CallError::Forbidden(_) | CallError::Status(..))) => {
                    self.lose(name, &error.to_string());
                    return kv::transact(&self.client, &write.alone(expected)).await;
                }
                other => return other,
            }
        }
        self.lose(name, "others write at the same time");
        kv::transact(&self.client, &write.alone(expected)).await
    }

    /// One write with its past.
    async fn keep(
        &self,
        name: &str,
        write: &Write<'_>,
        expected: Option<u64>,
    ) -> Result<Outcome, CallError> {
        let present = match expected {
            Some(0) => None,
            _ => Present::look(&self.client, &self.keys, name).await?,
        };
        let steps = match present {
            Some(now) if expected.is_none_or(|index| index == now.index()) => {
                let steps = now.replace(&self.keys.past_folder(name), write);
                steps.unwrap_or_else(|| {
                    self.lose(name, "it is too long for one transaction");
                    write.alone(expected)
                })
            }
            // Nothing is replaced; or Consul knows another version, and decides itself.
            _ => write.alone(expected.or(Some(0))),
        };
        kv::transact(&self.client, &steps).await
    }

    fn lose(&self, name: &str, reason: &str) {
        tracing::warn!(namespace = name, %reason, "what this dtab was before cannot be kept in Consul");
        self.mirror.table().lose_past();
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
        let key = self.keys.key(name)?;
        let steps = history::delete(&key, &self.keys.past_folder(name));
        let done = match kv::transact(&self.client, &steps).await {
            Err(CallError::Forbidden(reason)) => {
                self.lose(name, &reason);
                kv::transact(&self.client, &kv::delete(&key)).await
            }
            other => other,
        };
        if let Outcome::Refused = done? {
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

    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        self.keys.key(name)?;
        let past = history::list(&self.client, &self.keys, name).await?;
        past.ok_or_else(|| StoreError::Missing(name.to_owned()))
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
