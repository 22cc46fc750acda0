//! Where dtabs live.
//!
//! [`DtabStore`] is what bindings and doors see; [`DtabTable`] is the memory of every store: the last good dtab of each
//! namespace, whoever observes it, and how the store is. [`Mirror`] feeds it where versions have one order.

mod memory;
mod metered;
mod mirror;
mod table;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use l5d_naming::Dtab;
use tokio::time::Instant;

use super::cell::Cell;

pub use memory::InMemoryStore;
pub use metered::MeteredStore;
pub use mirror::Mirror;
pub use table::{DtabTable, Stored};

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
    /// It exists, but cannot be read, and no good dtab is known from before: why. Names in it cannot be bound, which
    /// takes nothing from those who hold good trees (RES-6), as an empty dtab would.
    Unreadable(Arc<str>),
}

/// One version of a namespace, for its history.
#[derive(Clone, Debug, PartialEq)]
pub struct PastDtab {
    /// What it was, with the token of that time.
    pub version: VersionedDtab,
    /// When it was written, if the store knows.
    pub written: Option<SystemTime>,
}

/// How a store is, for metrics, logs and pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStatus {
    /// Whether the store answers now. What is served does not depend on it.
    pub connected: bool,
    /// When the store last said what it holds, or that nothing has changed.
    pub confirmed: Option<Instant>,
    /// The last failure, until the store answers again.
    pub failure: Option<Arc<str>>,
    /// Failures so far.
    pub failures: u64,
    /// Writes that happened although what they replaced could not be kept for the history.
    pub unkept: u64,
    /// Namespaces whose stored dtab cannot be read, with the reason, sorted; the last good one serves, if there is one.
    pub unreadable: Vec<(String, Arc<str>)>,
    /// The store's version of what is served, if its versions can be compared as numbers.
    pub position: Option<u64>,
    /// The newest version that the store has told of, whether or not it changed what is served (resolver API 2).
    pub seen: Option<u64>,
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
    /// What is stored cannot be read.
    #[error("dtab namespace {name} cannot be read: {reason}")]
    Unreadable {
        /// The name.
        name: String,
        /// Why.
        reason: Arc<str>,
    },
    /// The store does not keep what was asked for.
    #[error("the dtab store {0} keeps no history")]
    NoHistory(&'static str),
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
    /// How the store is.
    fn status(&self) -> Arc<Cell<StoreStatus>>;
    /// The last versions of a namespace, newest first, the present one included; as many as the store keeps.
    async fn history(&self, name: &str) -> Result<Vec<PastDtab>, StoreError> {
        let _ = name;
        Err(StoreError::NoHistory(self.kind()))
    }
}
