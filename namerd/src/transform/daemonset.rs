//! `io.l5d.k8s.daemonset`: each endpoint becomes the gateway on its node, and what falls together adds up (Kubernetes
//! 4.1, 5).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use foldhash::{HashMap, HashSet};
use l5d_naming::{
    ClusterId, Endpoint, EndpointSet, EndpointWeight, Path, Replicas, TransformerSpec,
};
use parking_lot::Mutex;

use super::check;
use super::derive::{derived, like, summed};
use super::gateways::{
    GatewayIndex, GatewayIndexes, GatewayKey, GatewayState, Group, MissingGateways,
};
use super::locate::{Located, Locator};
use super::{CallerClass, LeafTransformer};
use crate::store::{Audience, Caller, Cell, Cluster, Endpoints};

pub(super) struct Daemonset {
    prefix: Path,
    key: GatewayKey,
    indexes: Arc<GatewayIndexes>,
    missing: Arc<MissingGateways>,
    /// Endpoints without a gateway stay as they are.
    direct: bool,
}

/// The namespace, port and service, as configured (K8S-52).
pub(super) fn default_prefix(spec: &TransformerSpec) -> Result<Vec<&str>, String> {
    Ok(vec![
        spec.kind.as_str(),
        check::required("namespace", &spec.namespace)?,
        check::required("port", &spec.port)?,
        check::required("service", &spec.service)?,
    ])
}

impl Daemonset {
    pub(super) fn new(
        prefix: Path,
        indexes: &Arc<GatewayIndexes>,
        spec: &TransformerSpec,
        missing: Arc<MissingGateways>,
    ) -> Result<Self, String> {
        let folded = |text: &str| text.to_lowercase().into();
        let key = GatewayKey {
            namespace: folded(&spec.namespace),
            port: folded(&spec.port),
            service: folded(&spec.service),
            host_network: spec.host_network,
            netmask: check::netmask(spec)?,
        };
        Ok(Self {
            prefix,
            key,
            indexes: Arc::clone(indexes),
            missing,
            direct: check::missing_gateway(spec)?,
        })
    }
}

impl LeafTransformer for Daemonset {
    fn class(&self) -> CallerClass {
        CallerClass::Anyone
    }

    fn id_prefix(&self, _: &Caller) -> Path {
        self.prefix.clone()
    }

    fn transform(&self, cluster: &Cluster, _: &Caller) -> Cluster {
        let collapsed = Collapsed {
            base: Arc::clone(&cluster.endpoints),
            key: self.key.clone(),
            indexes: Arc::clone(&self.indexes),
            missing: Arc::clone(&self.missing),
            direct: self.direct,
            whole: Mutex::default(),
        };
        Cluster {
            id: ClusterId(self.prefix.concat(&cluster.id.0)),
            endpoints: Arc::new(collapsed),
        }
    }
}

/// Gateways in place of a cluster's endpoints.
struct Collapsed {
    base: Arc<dyn Endpoints>,
    key: GatewayKey,
    indexes: Arc<GatewayIndexes>,
    missing: Arc<MissingGateways>,
    direct: bool,
    whole: Mutex<Weak<Cell<Replicas>>>,
}

impl Endpoints for Collapsed {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        let mut whole = self.whole.lock();
        if let Some(cell) = whole.upgrade() {
            return cell;
        }
        let (base, gateways) = (self.base.whole(), self.indexes.index(&self.key));
        let locator = Locator::new(Some(&*self.indexes.source()));
        let counted = Counted::new(Arc::clone(&self.missing));
        let direct = self.direct;
        let cell = derived(self.indexes.engine(), Replicas::Pending, move |reads| {
            let before = reads.read(&base);
            let Replicas::Bound(set) = &before.1 else {
                return before.1.clone();
            };
            match &reads.read(&gateways).1 {
                GatewayState::Pending => Replicas::Pending,
                GatewayState::Missing => Replicas::Neg,
                GatewayState::Failed(why) => Replicas::Failed(Arc::clone(why)),
                GatewayState::Known(index) => {
                    let located = locator.locate(set, reads);
                    let (collapsed, without) = collapse(set, index, &located, direct);
                    counted.update(&without);
                    collapsed
                }
            }
        });
        *whole = Arc::downgrade(&cell);
        cell
    }

    fn audience(&self) -> Audience {
        self.base.audience()
    }
}

/// K8S-70: each node's weight is the sum of its endpoints', split between its gateways. Endpoints without a gateway stay
/// (`direct`) or count nowhere (K8S-71); a set that loses all of them is `Neg` (K8S-51). Also gives how many have none.
fn collapse(
    set: &EndpointSet,
    index: &GatewayIndex,
    located: &Located,
    direct: bool,
) -> (Replicas, Without) {
    let mut weights: BTreeMap<Group, u64> = BTreeMap::new();
    let mut without = Without::default();
    let mut stay = Vec::new();
    for endpoint in set.endpoints() {
        let node = located.node(endpoint);
        let Some(group) = index.group(endpoint, node) else {
            *without
                .entry(node.cloned().unwrap_or_default())
                .or_default() += 1;
            stay.extend(direct.then(|| endpoint.clone()));
            continue;
        };
        *weights.entry(group).or_default() += u64::from(endpoint.weight.0);
    }
    if weights.is_empty() && stay.is_empty() {
        return (Replicas::Neg, without);
    }
    let gateways = weights.iter().flat_map(|(group, weight)| {
        let gateways = index.gateways(group);
        let weight = share(*weight, gateways.len() as u64);
        gateways.iter().map(move |gateway| Endpoint {
            weight,
            ..gateway.clone()
        })
    });
    let collapsed = summed(gateways.chain(stay));
    let at = set.at().max(index.at);
    let bound = Replicas::Bound(Arc::new(like(set, collapsed).with_at(at)));
    (bound, without)
}

/// `weight / parts`, half up; never 0 unless the weight is, and cut at the largest (resolver API 1).
fn share(weight: u64, parts: u64) -> EndpointWeight {
    let rounded = (2 * weight + parts) / (2 * parts.max(1));
    let least = u64::from(weight > 0);
    EndpointWeight(u32::try_from(rounded.max(least)).unwrap_or(u32::MAX))
}

/// Endpoints without a gateway, by node; empty where that is unknown.
type Without = HashMap<Arc<str>, u64>;

/// Counts a node when it begins to have no gateway, not at every computation.
struct Counted {
    missing: Arc<MissingGateways>,
    nodes: Mutex<HashSet<Arc<str>>>,
}

impl Counted {
    fn new(missing: Arc<MissingGateways>) -> Self {
        Self {
            missing,
            nodes: Mutex::default(),
        }
    }

    fn update(&self, without: &Without) {
        let mut nodes = self.nodes.lock();
        for (node, endpoints) in without {
            if !nodes.contains(node) {
                self.missing.count(node, *endpoints);
            }
        }
        *nodes = without.keys().cloned().collect();
    }
}
