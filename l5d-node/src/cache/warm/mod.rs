//! The warm file (node-proxy 12.6): a restarted process serves at once, before it has reached any namerd.
//!
//! In: the names and clusters of a [`super::Table`]. Out: the same after a restart, marked stale until namerd confirms or
//! replaces them. It holds no request data and no credentials, and it must never make a start fail: whatever is wrong
//! with it, it is ignored. Reading and writing block; keep them off the request path.

mod format;
mod load;
mod save;
#[cfg(test)]
mod tests;

pub use format::Damage;
pub use load::{LoadError, Loaded, load};
pub use save::{Snapshot, snapshot};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use l5d_resolver::hash::h8;
use l5d_resolver::ingress::Table;
use l5d_resolver::v1;
use prost::Message as _;

use super::FollowSet;
use crate::config::{Config, Identity, Router};

/// What the file is about: this process, as it was configured.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Changes with each start of the machine.
    pub boot_id: String,
    /// `NODE_NAME`, or nothing.
    pub node_name: String,
    /// `POD_IP`, or nothing.
    pub pod_ip: String,
    /// In the order of the configuration.
    pub routers: Vec<ScopeRouter>,
    /// One limit for the age of all clusters; `None`: an hour for plain pod addresses, none behind a daemonset transformer.
    pub max_stale: Option<Duration>,
}

/// One router's part in it.
#[derive(Clone, Debug)]
pub struct ScopeRouter {
    label: String,
    fingerprint: u64,
    /// Addresses are those of gateways, which check a name again.
    has_gateways: bool,
}

/// What is known of one namerd besides names and clusters.
#[derive(Clone, Debug)]
pub struct NamerdMemory {
    /// As configured.
    pub dst: Vec<(String, u16)>,
    /// Object versions told, by source.
    pub position: Vec<(String, u64)>,
    /// Addresses that worked.
    pub worked: Vec<SocketAddr>,
    /// The Ingress rules that it told, with their class. They name Services and no addresses, so they have no age limit.
    pub ingress: Option<(Arc<str>, Table)>,
}

const GATEWAYS: &str = "io.l5d.k8s.daemonset";

impl Scope {
    /// The scope of this process.
    pub fn new(config: &Config, identity: &Identity) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self {
            boot_id: boot_id.unwrap_or_default().trim().to_owned(),
            node_name: identity.node_name.clone().unwrap_or_default(),
            pod_ip: identity.pod_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            routers: config.routers.iter().map(|r| ScopeRouter::new(r)).collect(),
            max_stale: config.max_stale,
        }
    }
}

impl ScopeRouter {
    fn new(router: &Router) -> Self {
        let interpreter = &router.interpreter;
        let told = v1::Router {
            label: String::new(),
            root: interpreter.root.clone().unwrap_or_default(),
            dtab: router.dtab.show_exact(),
            transformers: interpreter.transformers.iter().map(Into::into).collect(),
        };
        Self {
            label: router.label.clone(),
            fingerprint: h8(&told.encode_to_vec()),
            has_gateways: interpreter.transformers.iter().any(|t| t.kind == GATEWAYS),
        }
    }
}

impl NamerdMemory {
    /// What to keep of a namerd.
    pub fn of(set: &Arc<FollowSet>) -> Self {
        let contact = set.contact();
        Self {
            dst: contact.candidates,
            position: contact.position.into_iter().collect(),
            worked: contact.worked,
            ingress: set.ingress_class().zip(set.ingress()),
        }
    }
}
