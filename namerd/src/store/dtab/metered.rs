//! A store whose writes are counted, timed and traced, whichever door they came through.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use l5d_naming::Dtab;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{DtabStore, DtabToken, NamespaceState, PastDtab, StoreError, StoreStatus};
use crate::meter::Meter;
use crate::store::cell::Cell;

/// Passes everything on to a store and notes its writes.
pub struct MeteredStore {
    store: Arc<dyn DtabStore>,
    meter: Arc<Meter>,
}

impl MeteredStore {
    /// Notes in this meter.
    pub fn new(store: Arc<dyn DtabStore>, meter: Arc<Meter>) -> Arc<Self> {
        Arc::new(Self { store, meter })
    }

    async fn note<T>(
        &self,
        operation: &'static str,
        name: &str,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let kind = self.store.kind();
        let span = tracing::info_span!(target: "trace", "store write", otel.name = format!("store {operation}"),
            otel.kind = "client", store = kind, namespace = name, outcome = tracing::field::Empty);
        let began = Instant::now();
        let result = write.instrument(span.clone()).await;
        let outcome = outcome(&result);
        span.record("outcome", outcome);
        self.meter.store_writes.count([operation, outcome]);
        self.meter.store_seconds.record(operation, began.elapsed());
        if let Err(error @ StoreError::Unavailable(_)) = &result {
            tracing::warn!(%error, store = kind, operation, "a write to the dtab store failed");
        }
        result
    }
}

fn outcome<T>(result: &Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(StoreError::Exists(_)) => "exists",
        Err(StoreError::Missing(_)) => "missing",
        Err(StoreError::VersionMismatch(_)) => "mismatch",
        Err(StoreError::BadName { .. }) => "bad_name",
        Err(StoreError::Unreadable { .. }) => "unreadable",
        Err(StoreError::NoHistory(_)) => "no_history",
        Err(StoreError::Forbidden(_)) => "forbidden",
        Err(StoreError::Unavailable(_)) => "unavailable",
    }
}

#[async_trait]
impl DtabStore for MeteredStore {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn list(&self) -> Arc<Cell<Option<Arc<[String]>>>> {
        self.store.list()
    }

    fn observe(&self, name: &str) -> Arc<Cell<NamespaceState>> {
        self.store.observe(name)
    }

    async fn create(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.note("create", name, self.store.create(name, dtab))
            .await
    }

    async fn put(&self, name: &str, dtab: Dtab) -> Result<DtabToken, StoreError> {
        self.note("put", name, self.store.put(name, dtab)).await
    }

    async fn update(
        &self,
        name: &str,
        dtab: Dtab,
        token: &DtabToken,
    ) -> Result<DtabToken, StoreError> {
        self.note("update", name, self.store.update(name, dtab, token))
            .await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.note("delete", name, self.store.delete(name)).await
    }

    fn status(&self) -> Arc<Cell<StoreStatus>> {
        self.store.status()
    }

    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        self.store.history(name).await
    }
}

impl std::fmt::Debug for MeteredStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MeteredStore").field(&self.kind()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::InMemoryStore;

    #[tokio::test]
    async fn writes_are_counted_by_how_they_ended() {
        let meter = Arc::new(Meter::default());
        let store = MeteredStore::new(InMemoryStore::new([]), Arc::clone(&meter));
        store.create("a", Dtab::empty()).await.expect("is created");
        store
            .create("a", Dtab::empty())
            .await
            .expect_err("is there");
        store.delete("b").await.expect_err("is not there");
        let counts = meter.store_writes.all();
        let counts: Vec<_> = counts
            .iter()
            .map(|([a, b], n)| (a.as_str(), b.as_str(), *n))
            .collect();
        assert_eq!(
            counts,
            [
                ("create", "exists", 1),
                ("create", "ok", 1),
                ("delete", "missing", 1)
            ]
        );
        assert_eq!(meter.store_seconds.all().len(), 2);
    }
}
