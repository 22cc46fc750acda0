//! Cluster to endpoint: who gets a request, who is set aside, how often one may be sent again (node-proxy 13; K8S-74).
//!
//! A cluster's live state comes in, a [`Lease`] on one endpoint goes out; while it is held the endpoint's load counts it, and
//! what became of the request is told to it. Balancers belong to one worker: no lock, no atomics but the counters. A changed
//! set is taken over when the next request comes: endpoints that stay keep their load and their connections. Nothing here
//! knows names or HTTP, and sending never stops merely because all endpoints look dead.
//!
//! ```text
//!   cluster (one client) -> set -> choose -> endpoint -> load, accrual, pool
//!         |                  |  \-> aperture     \-> background (reconnect, fill)
//!         +-> budget         +-- a new version of the endpoints
//! ```

mod accrual;
mod aperture;
mod background;
mod backoff;
mod budget;
mod choose;
mod cluster;
mod endpoint;
mod lease;
mod load;
mod set;
#[cfg(test)]
mod tests;

pub use backoff::Waits;
pub use budget::Budget;
pub use cluster::{Balancer, Balancers, ClientStats, Place, Unavailable};
pub use endpoint::{Endpoint, EndpointView, Health};
pub use lease::Lease;
pub use load::PeakEwma;

/// What stands below, for the layers above.
pub use crate::connect::{NoSession, Registry, RequestCounts, Session};
