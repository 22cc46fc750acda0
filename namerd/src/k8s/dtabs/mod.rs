//! `io.l5d.k8s`, the dtab store: one object of `dtabs.l5d.io` is one dtab namespace (Kubernetes 10, control plane 12.3).
//!
//! Reads come from one permanent watch by the state machine of all watches ([`crate::k8s::watch`]); writes are single
//! requests whose answers go into the same memory at once (K8S-161). Labels and annotations of others stay as they are.
//! Must never: empty itself because the API server is unwell, or let one bad object hide the others.

pub mod crd;
mod history;
mod memory;
mod status;
mod wire;
mod writes;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use l5d_naming::Dtab;

use self::memory::{DtabSink, Memory};
use self::writes::{Writer, check_name};
use super::transport::{ApiServer, Transport};
use super::watch::ApiWatch;
use super::{Address, K8sError};
use crate::store::{Cell, DtabStore, DtabToken, NamespaceState, PastDtab, StoreError, StoreStatus};

/// Where the objects are.
#[derive(Clone, Debug)]
pub struct DtabSource {
    /// The API server.
    pub address: Address,
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The first list waits a random time up to this (K8S-116).
    pub startup_jitter: Duration,
    /// Whether the `status` of objects is written, where the server permits it.
    pub write_status: bool,
}

/// The store. Reads are served from memory, writes go to the API server.
pub struct K8sDtabs {
    memory: Arc<Memory>,
    writer: Writer,
}

// === impl K8sDtabs ===

impl K8sDtabs {
    /// The store, and what keeps it like the API server until it is dropped. Contacts nobody.
    pub fn new(
        source: &DtabSource,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + use<>), K8sError> {
        // Connections of their own: one that is given up is not to be shared (K8S-117).
        let watch: Arc<dyn Transport> = Arc::new(ApiServer::new(source.address.clone())?);
        let writes: Arc<dyn Transport> = Arc::new(ApiServer::new(source.address.clone())?);
        Ok(Self::over(source, watch, writes, fastrand::Rng::new()))
    }

    fn over(
        source: &DtabSource,
        watch: Arc<dyn Transport>,
        writes: Arc<dyn Transport>,
        mut random: fastrand::Rng,
    ) -> (Arc<Self>, impl Future<Output = ()> + use<>) {
        let memory = Memory::new(&source.namespace);
        let sink = DtabSink(Arc::clone(&memory));
        let watch = ApiWatch::new(sink, watch, source.startup_jitter, random.fork());
        let writer = Writer::new(writes, Arc::clone(&memory), &source.namespace);
        let status = source
            .write_status
            .then(|| status::keep(writer.clone(), random));
        let store = Arc::new(Self { memory, writer });
        let follow = async move {
            let status = async {
                match status {
                    Some(status) => status.await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(watch.run(), status);
        };
        (store, follow)
    }
}

#[async_trait]
impl DtabStore for K8sDtabs {
    fn kind(&self) -> &'static str {
        "io.l5d.k8s"
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.memory.table.list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.memory.table.observe(name)
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        check_name(name)?;
        self.writer.create(name, &dtab).await
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        check_name(name)?;
        self.writer.put(name, &dtab).await
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        expected: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        check_name(name)?;
        self.writer.update(name, &dtab, expected).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        self.writer.delete(name).await
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.memory.table.status()
    }

    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        let missing = || StoreError::Missing(name.to_owned());
        let known = self.memory.known(name).ok_or_else(missing)?;
        let now = known.versioned().ok_or_else(|| StoreError::Unreadable {
            name: name.to_owned(),
            reason: known.object.dtab.clone().err().unwrap_or_default(),
        })?;
        Ok(history::list(&now, known.object.history.as_deref()))
    }
}

impl fmt::Debug for K8sDtabs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K8sDtabs").finish_non_exhaustive()
    }
}
