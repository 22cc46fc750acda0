//! Follows namerd: the only user of gRPC clients.
//!
//! In: what is wanted ([`crate::cache::FollowSet`]), messages of namerd. Out: names and clusters in [`crate::cache`], and
//! how well namerd is reached. Besides, `certify` gets this node's certificate from it, for [`crate::tls`], and `explain` asks it for the admin pages. It runs on a thread of its own and must never make a request wait. From the outside in:
//! `follower` (when to connect where), `link` (one open stream), `session` (what was told: pure).

mod backoff;
mod certify;
mod dial;
mod explain;
mod follower;
mod interfaces;
mod link;
mod plan;
mod position;
mod secure;
mod session;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod tests;

pub use certify::Certifying;
pub use explain::Explaining;
pub use plan::Plan;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Follows the namerd of a plan until cancelled. For one task of a runtime that has nothing to do with requests.
pub async fn follow(plan: Plan, cancel: CancellationToken) {
    let rng = fastrand::Rng::new();
    let network = dial::Network {
        tls: plan.tls.clone(),
        token_file: plan.token_file.clone(),
    };
    follower::Follower::new(plan, Arc::new(network), rng)
        .run(cancel)
        .await;
}
