//! `io.l5d.specificHost` and `io.l5d.localhost`: endpoints on certain addresses only.

use std::net::IpAddr;
use std::sync::Arc;

use l5d_naming::{ClusterId, Path, Replicas};

use super::derive::{Mapped, filtered};
use super::{CallerClass, LeafTransformer};
use crate::store::{Caller, Cell, Cluster, Endpoints, Engine};

pub(super) struct SpecificHost {
    pub(super) engine: Engine,
    pub(super) prefix: Path,
    pub(super) host: IpAddr,
}

pub(super) struct Localhost {
    pub(super) engine: Engine,
    pub(super) prefix: Path,
    /// Stands in for calls that name no node (K8S-68).
    pub(super) own: Arc<Caller>,
}

impl LeafTransformer for SpecificHost {
    fn class(&self) -> CallerClass {
        CallerClass::Anyone
    }

    fn id_prefix(&self, _: &Caller) -> Path {
        self.prefix.clone()
    }

    fn transform(&self, cluster: &Cluster, _: &Caller) -> Cluster {
        let host = self.host;
        let endpoints = Mapped::views(&self.engine, &cluster.endpoints, move |set| {
            filtered(set, |e| e.addr.ip() == host)
        });
        let id = ClusterId(self.prefix.concat(&cluster.id.0));
        Cluster { id, endpoints }
    }
}

impl LeafTransformer for Localhost {
    fn class(&self) -> CallerClass {
        CallerClass::Addresses
    }

    fn id_prefix(&self, _: &Caller) -> Path {
        self.prefix.clone()
    }

    fn transform(&self, cluster: &Cluster, caller: &Caller) -> Cluster {
        let addresses = [&caller.addresses, &self.own.addresses];
        let endpoints = match addresses.into_iter().find(|a| !a.is_empty()) {
            Some(addresses) => {
                let addresses = Arc::clone(addresses);
                Mapped::views(&self.engine, &cluster.endpoints, move |set| {
                    filtered(set, |e| addresses.contains(&e.addr.ip()))
                })
            }
            None => {
                failed("localhost: the call names no node, and namerd's own addresses are unknown")
            }
        };
        let id = ClusterId(self.prefix.concat(&cluster.id.0));
        Cluster { id, endpoints }
    }
}

/// A cluster that cannot be known, and why.
pub(super) fn failed(why: &str) -> Arc<dyn Endpoints> {
    Arc::new(Cell::new(Replicas::Failed(why.into())))
}
