//! Values that change: cells, the engine that recomputes what depends on them, clusters and dtabs.
//!
//! Knows no source (Kubernetes, files) and no door (gRPC, HTTP).

mod cell;
mod cluster;
mod dtab;
mod engine;
pub mod ingress;
pub mod services;

pub use cell::{Cell, Dep, Listener, Subscription, Version};
pub use cluster::{Audience, Caller, Cluster, Endpoints};
pub use dtab::{
    DtabStore, DtabTable, DtabToken, InMemoryStore, MeteredStore, Mirror, NamespaceState, PastDtab,
    StoreError, StoreStatus, Stored, VersionedDtab,
};
pub use engine::{Engine, Handle, Reads, Recompute};
