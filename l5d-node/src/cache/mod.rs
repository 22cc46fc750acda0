//! What namerd said last: names with their bound trees, clusters with their endpoints.
//!
//! In: requests ask [`Table`] for a [`Name`]; [`crate::control`] and the [`warm`] file's loader write what it is. Out:
//! workers read values without a lock, [`FollowSet`] tells the control client which names are wanted. It must never wait,
//! and never turn a good value into pending or failed (resolver API 6, RES-6).
//!
//! ```text
//! request -> Table (one a process) -> Name --tree--> Cluster <- Clusters (one a namerd)
//!                    | begins, ends     ^ set           ^ set
//!                    v                  |               |
//!                FollowSet (one a namerd) <--- control --+
//! ```

mod cluster;
mod contact;
mod explain;
mod follow;
mod name;
mod rules;
mod table;
#[cfg(test)]
mod tests;
pub mod warm;

pub use cluster::{Cluster, ClusterState, Clusters};
pub use contact::{Contact, ContactCounts, StreamState};
pub use explain::{Explain, Unexplained};
pub use follow::{Changes, FollowSet};
pub use name::{Failure, Leaf, Name, NameState};
pub use rules::Rules;
pub use table::{Counts, Table, TableRouter};

use std::sync::Arc;

use l5d_naming::{Dtab, Path};

/// The names that routers use. Shared by workers and the control client.
pub trait Names: Send + Sync {
    /// The entry for a name, made and followed if it is new. Never waits. A full cache gives an entry that works for its
    /// holders only (node-proxy 12.4). Called once for each request: a hit takes no lock that writers hold for long.
    fn name(&self, router: usize, path: &Path, local: &Dtab) -> Arc<Name>;

    /// For messages when a name of this router stays pending: "no namerd reachable since ..., last error ..." or "namerd
    /// has not answered".
    fn why_pending(&self, router: usize) -> String;

    /// The Ingress rules for a router that wants them.
    fn rules(&self, _router: usize) -> Arc<Rules> {
        Arc::default()
    }
}
