//! Measures one namerd with thousands of followers, beside its peers: what the two programs of this package share. [`proxy`] is a
//! measurement by itself, of the node proxy beside others.
//!
//! `l5d-bench` has the cluster (the double of `l5d-tests`), starts the servers and prints the tables; `l5d-load` holds the
//! followers in a process of its own. Both compute the same [`plan`] from the same sizes, so that little is told between them
//! ([`orders`]). Nothing here is linked into `namerd` or `l5d-node`, and nothing here judges a time.

pub mod load;
pub mod orders;
pub mod plan;
pub mod process;
pub mod proxy;
