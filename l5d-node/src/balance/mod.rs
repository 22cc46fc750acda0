//! Cluster to endpoint: power of two choices on peak EWMA, honouring weights (node-proxy 13.1, 13.2; K8S-74).
//!
//! A cluster's live state comes in, a [`Lease`] on one endpoint goes out; while it is held the endpoint's load counts it.
//! Balancers belong to one worker: no lock, no atomics but the counters. A changed set is taken over when the next request
//! comes: endpoints that stay keep their load and their connections. Nothing here knows names or HTTP, and sending never
//! stops merely because all endpoints look dead.

mod budget;
mod choose;
mod cluster;
mod load;
mod set;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use cluster::{Balancer, Balancers, ClientStats, Unavailable};
pub use load::PeakEwma;
pub use set::{Endpoint, EndpointView, Lease};

/// The counters, for the layers above.
pub use crate::connect::{Registry, RequestCounts};
