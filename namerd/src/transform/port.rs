//! `io.l5d.port`: another port for every endpoint.

use std::sync::Arc;

use l5d_naming::{ClusterId, Endpoint, Path, Replicas};

use super::derive::{Mapped, like, summed};
use super::{CallerClass, LeafTransformer};
use crate::store::{Caller, Cluster, Engine};

pub(super) struct Port {
    pub(super) engine: Engine,
    pub(super) prefix: Path,
    pub(super) to: u16,
}

impl LeafTransformer for Port {
    fn class(&self) -> CallerClass {
        CallerClass::Anyone
    }

    fn id_prefix(&self, _: &Caller) -> Path {
        self.prefix.clone()
    }

    fn transform(&self, cluster: &Cluster, _: &Caller) -> Cluster {
        let to = self.to;
        let endpoints = Mapped::views(&self.engine, &cluster.endpoints, move |set| {
            let moved = set.endpoints().iter().map(|e| {
                let mut moved: Endpoint = e.clone();
                moved.addr.set_port(to);
                moved
            });
            Replicas::Bound(Arc::new(like(set, summed(moved))))
        });
        let id = ClusterId(self.prefix.concat(&cluster.id.0));
        Cluster { id, endpoints }
    }
}
