//! `io.l5d.k8s.localnode`: endpoints on the caller's own node (Kubernetes 4.2).

use std::sync::{Arc, Weak};

use l5d_naming::{ClusterId, Endpoint, Path, Replicas};
use parking_lot::Mutex;

use super::derive::{derived, filtered};
use super::filter::failed;
use super::locate::Locator;
use super::subnet::Netmask;
use super::{CallerClass, Gateways, LeafTransformer, check};
use crate::store::{Caller, Cell, Cluster, Endpoints, Engine, Reads};

pub(super) struct Localnode {
    pub(super) engine: Engine,
    /// The configured one.
    pub(super) prefix: Option<Path>,
    pub(super) netmask: Netmask,
    pub(super) host_network: bool,
    pub(super) gateways: Option<Arc<dyn Gateways>>,
    /// Stands in for calls that name no node (K8S-68).
    pub(super) own: Arc<Caller>,
}

impl LeafTransformer for Localnode {
    fn class(&self) -> CallerClass {
        CallerClass::Node
    }

    /// K8S-52: the pod's address, with `hostNetwork` the node's name; the other one if that is unknown.
    fn id_prefix(&self, caller: &Caller) -> Path {
        if let Some(prefix) = &self.prefix {
            return prefix.clone();
        }
        let caller = self.stand_in(caller);
        let ip = caller.pod_ip.map(|ip| ip.to_string());
        let node = caller.node.as_deref().map(str::to_owned);
        let place = if self.host_network {
            node.or(ip)
        } else {
            ip.or(node)
        };
        check::id_prefix(["io.l5d.k8s.localnode", place.as_deref().unwrap_or("")])
    }

    fn transform(&self, cluster: &Cluster, caller: &Caller) -> Cluster {
        let id = ClusterId(self.id_prefix(caller).concat(&cluster.id.0));
        let caller = self.stand_in(caller);
        let endpoints: Arc<dyn Endpoints> = if caller.node.is_none() && caller.pod_ip.is_none() {
            failed("localnode: the call names no node, and namerd has neither POD_IP nor NODE_NAME")
        } else {
            let learned = match (&caller.node, caller.pod_ip, &self.gateways) {
                (None, Some(ip), Some(gateways)) => gateways.node_of(ip),
                _ => None,
            };
            Arc::new(Local {
                engine: self.engine.clone(),
                place: Place {
                    caller: caller.clone(),
                    learned,
                    locator: Locator::new(self.gateways.as_deref()),
                    netmask: (!self.host_network).then_some(self.netmask),
                },
                base: Arc::clone(&cluster.endpoints),
                whole: Mutex::default(),
            })
        };
        Cluster { id, endpoints }
    }
}

impl Localnode {
    fn stand_in<'a>(&'a self, caller: &'a Caller) -> &'a Caller {
        match caller {
            Caller {
                node: None,
                pod_ip: None,
                ..
            } => &self.own,
            named => named,
        }
    }
}

/// A cluster's endpoints on one node.
struct Local {
    engine: Engine,
    place: Place,
    base: Arc<dyn Endpoints>,
    whole: Mutex<Weak<Cell<Replicas>>>,
}

/// Where the caller is.
#[derive(Clone)]
struct Place {
    caller: Caller,
    /// Its node as learned from an endpoint with its address, if it did not say (K8S-60).
    learned: Option<Arc<Cell<Option<Arc<str>>>>>,
    /// Where endpoints without a node name are.
    locator: Locator,
    /// `None` with `hostNetwork`: no subnet rule.
    netmask: Option<Netmask>,
}

impl Endpoints for Local {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        let mut whole = self.whole.lock();
        if let Some(cell) = whole.upgrade() {
            return cell;
        }
        let (base, place) = (Arc::clone(&self.base), self.place.clone());
        let cell = derived(&self.engine, Replicas::Pending, move |reads| {
            place.local(&*base, reads)
        });
        *whole = Arc::downgrade(&cell);
        cell
    }
}

impl Place {
    fn local(&self, base: &dyn Endpoints, reads: &mut Reads) -> Replicas {
        let node = self.node(reads);
        if node.is_none() && self.netmask.is_none() {
            return Replicas::Failed(
                "localnode with hostNetwork needs the node's name: set NODE_NAME".into(),
            );
        }
        // Judged for this node alone where the source can (K8S-63).
        let indexed = node.as_deref().and_then(|node| base.on_node(node));
        let cell = indexed.unwrap_or_else(|| base.whole());
        let here = reads.read(&cell);
        let Replicas::Bound(set) = &here.1 else {
            return here.1.clone();
        };
        let located = self.locator.locate(set, reads);
        let is_here = |e: &Endpoint| self.is_here(e, located.node(e), node.as_deref());
        filtered(set, is_here)
    }

    fn node(&self, reads: &mut Reads) -> Option<Arc<str>> {
        let told = self.caller.node.clone();
        told.or_else(|| reads.read(self.learned.as_ref()?).1.clone())
    }

    /// K8S-61: by node where both are known, else by subnet.
    fn is_here(&self, endpoint: &Endpoint, of: Option<&Arc<str>>, node: Option<&str>) -> bool {
        if let (Some(of_endpoint), Some(node)) = (of, node) {
            return **of_endpoint == *node;
        }
        match (self.netmask, self.caller.pod_ip) {
            (Some(mask), Some(ip)) => mask.subnet(endpoint.addr.ip()) == mask.subnet(ip),
            _ => false,
        }
    }
}
