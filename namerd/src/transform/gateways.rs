//! The gateways of a DaemonSet's Service, indexed once for all who collapse onto them (K8S-56).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use foldhash::HashMap;
use l5d_naming::{Endpoint, EndpointSet, Replicas};
use l5d_resolver::gateways::Gateways;
use parking_lot::Mutex;

use super::derive::derived;
use super::standing::Standing;
use super::subnet::Netmask;
use crate::store::{Cell, Engine};

/// Nodes that the counter tells apart; more are counted as `other`.
const MAX_NODES: usize = 10_000;

/// Which gateways: all that the index depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GatewayKey {
    pub(super) namespace: Arc<str>,
    pub(super) port: Arc<str>,
    pub(super) service: Arc<str>,
    pub(super) host_network: bool,
    pub(super) netmask: Netmask,
}

/// What is known of the gateways.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum GatewayState {
    Pending,
    /// Their Service or its port does not exist.
    Missing,
    Failed(Arc<str>),
    /// Perhaps none that is usable.
    Known(Arc<GatewayIndex>),
}

/// Gateways by what endpoints are matched with.
#[derive(Debug, Default)]
pub(super) struct GatewayIndex {
    by_node: HashMap<Arc<str>, Vec<Endpoint>>,
    /// Empty with `hostNetwork`: that rule does not exist there (K8S-55).
    by_subnet: HashMap<IpAddr, Vec<Endpoint>>,
    netmask: Netmask,
    pub(super) at: u64,
}

/// The group of gateways that an endpoint belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Group {
    Node(Arc<str>),
    Subnet(IpAddr),
}

/// One shared index a key, as long as it is in use.
pub(super) struct GatewayIndexes {
    engine: Engine,
    source: Arc<dyn super::Gateways>,
    cells: Mutex<HashMap<GatewayKey, Weak<Cell<GatewayState>>>>,
    standing: Arc<Standing>,
}

/// How often endpoints had no gateway on their node, by node (empty: no node name known).
#[derive(Default)]
pub struct MissingGateways {
    by_node: Mutex<BTreeMap<Arc<str>, u64>>,
}

// === impl GatewayIndexes ===

impl GatewayIndexes {
    pub(super) fn new(engine: Engine, source: Arc<dyn super::Gateways>) -> Self {
        Self {
            engine,
            source,
            cells: Mutex::default(),
            standing: Standing::new(),
        }
    }

    /// Which node stands at which gateway.
    pub(super) fn standing(&self) -> &Arc<Cell<Gateways>> {
        self.standing.cell()
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn source(&self) -> Arc<dyn super::Gateways> {
        Arc::clone(&self.source)
    }

    /// The index of these gateways.
    pub(super) fn index(&self, key: &GatewayKey) -> Arc<Cell<GatewayState>> {
        let mut cells = self.cells.lock();
        if let Some(cell) = cells.get(key).and_then(Weak::upgrade) {
            return cell;
        }
        cells.retain(|_, cell| cell.strong_count() > 0);
        let cell = self.compute(key.clone());
        cells.insert(key.clone(), Arc::downgrade(&cell));
        cell
    }

    fn compute(&self, key: GatewayKey) -> Arc<Cell<GatewayState>> {
        let found = self
            .source
            .gateways(&key.namespace, &key.port, &key.service);
        let gateways = found.each_node();
        let was_missing = AtomicBool::new(false);
        let part = self.standing.part();
        derived(&self.engine, GatewayState::Pending, move |reads| {
            let state = GatewayState::of(&reads.read(&gateways).1, &key);
            let is_missing = state.is_missing();
            if is_missing && !was_missing.swap(is_missing, Ordering::Relaxed) {
                tracing::error!(
                    namespace = %key.namespace, port = %key.port, service = %key.service,
                    "no gateway: nothing can be reached through this daemonset; check its Service and pods"
                );
            }
            was_missing.store(is_missing, Ordering::Relaxed);
            part.update(&state);
            state
        })
    }
}

// === impl GatewayState ===

impl GatewayState {
    fn of(replicas: &Replicas, key: &GatewayKey) -> Self {
        match replicas {
            Replicas::Pending => GatewayState::Pending,
            Replicas::Failed(why) => GatewayState::Failed(Arc::clone(why)),
            Replicas::Bound(set) => GatewayState::Known(Arc::new(GatewayIndex::new(set, key))),
            Replicas::Neg => GatewayState::Missing,
        }
    }

    fn is_missing(&self) -> bool {
        match self {
            GatewayState::Pending | GatewayState::Failed(_) => false,
            GatewayState::Missing => true,
            GatewayState::Known(index) => index.is_empty(),
        }
    }
}

// === impl GatewayIndex ===

impl GatewayIndex {
    fn new(set: &EndpointSet, key: &GatewayKey) -> Self {
        let mut index = Self {
            netmask: key.netmask,
            at: set.at(),
            ..Self::default()
        };
        for gateway in set.endpoints() {
            if let Some(node) = &gateway.node {
                let of_node = index.by_node.entry(Arc::clone(node)).or_default();
                of_node.push(gateway.clone());
            }
            if !key.host_network {
                let subnet = key.netmask.subnet(gateway.addr.ip());
                let of_subnet = index.by_subnet.entry(subnet).or_default();
                of_subnet.push(gateway.clone());
            }
        }
        index
    }

    /// No gateway is usable at all.
    pub(super) fn is_empty(&self) -> bool {
        self.by_node.is_empty() && self.by_subnet.is_empty()
    }

    /// Who stands at the gateways whose node is known.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (IpAddr, Arc<str>)> + '_ {
        self.by_node.iter().flat_map(|(node, gateways)| {
            let at = |gateway: &Endpoint| (gateway.addr.ip(), Arc::clone(node));
            gateways.iter().map(at)
        })
    }

    /// K8S-55: by the endpoint's node if that is known and any gateway's is, else by subnet.
    pub(super) fn group(&self, endpoint: &Endpoint, node: Option<&Arc<str>>) -> Option<Group> {
        match node {
            Some(node) if !self.by_node.is_empty() => {
                let known = self.by_node.contains_key(node);
                known.then(|| Group::Node(Arc::clone(node)))
            }
            _ => {
                let subnet = self.netmask.subnet(endpoint.addr.ip());
                let known = self.by_subnet.contains_key(&subnet);
                known.then_some(Group::Subnet(subnet))
            }
        }
    }

    /// The gateways of a group; never none.
    pub(super) fn gateways(&self, group: &Group) -> &[Endpoint] {
        let found = match group {
            Group::Node(node) => self.by_node.get(node),
            Group::Subnet(subnet) => self.by_subnet.get(subnet),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

impl PartialEq for GatewayIndex {
    fn eq(&self, other: &Self) -> bool {
        (&self.by_node, &self.by_subnet) == (&other.by_node, &other.by_subnet)
    }
}

// === impl MissingGateways ===

impl MissingGateways {
    /// The counts, by node.
    pub fn by_node(&self) -> Vec<(Arc<str>, u64)> {
        let by_node = self.by_node.lock();
        by_node.iter().map(|(n, c)| (Arc::clone(n), *c)).collect()
    }

    pub(super) fn count(&self, node: &Arc<str>, endpoints: u64) {
        let mut by_node = self.by_node.lock();
        let full = by_node.len() >= MAX_NODES && !by_node.contains_key(node);
        let node = if full {
            "other".into()
        } else {
            Arc::clone(node)
        };
        *by_node.entry(node).or_default() += endpoints;
    }
}

impl fmt::Debug for MissingGateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MissingGateways").finish_non_exhaustive()
    }
}
