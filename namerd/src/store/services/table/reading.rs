//! What is asked of the table beside answers to lookups: shared views, names, nodes and zones, counts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use super::super::model::{Content, Kind, ObjectName, Service, ServiceState, Slice};
use super::super::nodes::PodCidrs;
use super::super::views::Views;
use super::super::{NamedPort, PortRef};
use super::{State, as_node, known_nodes};
use crate::store::Cell;

impl State {
    /// The shared views of a lookup.
    pub(in crate::store::services) fn views(
        &mut self,
        service: ObjectName,
        port: PortRef,
        label: Option<(Arc<str>, Arc<str>)>,
    ) -> Arc<Views> {
        let entry = self.entries.entry(service.clone()).or_default();
        let mut known = entry.views.iter().filter_map(Weak::upgrade);
        if let Some(views) = known.find(|v| v.port == port && v.label == label) {
            return views;
        }
        let views = Views::new(service, port, label);
        entry.views.push(Arc::downgrade(&views));
        self.count_lookup();
        views
    }

    fn count_lookup(&mut self) {
        self.lookups += 1;
        if self.lookups >= self.sweep_at {
            self.sweep();
        }
    }

    /// Forgets lookups that nobody holds any more (K8S-144).
    fn sweep(&mut self) {
        self.lookups = 0;
        self.entries.retain(|_, entry| {
            entry.views.retain(|views| views.strong_count() > 0);
            self.lookups += entry.views.len();
            !entry.is_empty()
        });
        self.nodes_of.retain(|_, cell| cell.strong_count() > 0);
        self.node_cells.sweep();
        self.service_cells.retain(|_, cell| cell.strong_count() > 0);
        self.lookups += self.service_cells.len();
        self.sweep_at = (2 * self.lookups).max(1024);
    }

    /// How many objects of a kind there are, and how many of them show an older content than the last one.
    pub(in crate::store::services) fn count(&self, kind: Kind) -> (usize, usize) {
        let objects = &self.objects[kind.index()];
        (objects.len(), objects.values().filter(|o| o.stale).count())
    }

    #[cfg(test)]
    pub(in crate::store::services) fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.interner.len())
    }

    /// The zone of a node.
    pub(in crate::store::services) fn zone(&mut self, node: &str) -> Arc<Cell<Option<Arc<str>>>> {
        let nodes = &self.objects[Kind::Nodes.index()];
        self.node_cells.zone(node, || {
            let stored = nodes.get(&ObjectName::new("", node))?;
            as_node(stored.content.as_ref()?)?.zone.clone()
        })
    }

    /// Whose pods have which addresses.
    pub(in crate::store::services) fn pod_cidrs(&mut self) -> Option<Arc<Cell<Arc<PodCidrs>>>> {
        let nodes = &self.objects[Kind::Nodes.index()];
        let cidrs = || PodCidrs::new(known_nodes(nodes));
        let is_wanted = self.policy.pod_cidrs;
        is_wanted.then(|| self.node_cells.cidrs(cidrs))
    }

    /// Lists the names that lookups can find, sorted; kept up to date while it is held.
    pub(in crate::store::services) fn names(&mut self) -> Arc<Cell<Arc<[NamedPort]>>> {
        self.names.upgrade().unwrap_or_else(|| {
            let cell = Cell::new(self.list_names());
            self.names = Arc::downgrade(&cell);
            cell
        })
    }

    /// The node of the endpoint with this address.
    pub(in crate::store::services) fn node_of(
        &mut self,
        ip: IpAddr,
    ) -> Arc<Cell<Option<Arc<str>>>> {
        if let Some(cell) = self.nodes_of.get(&ip).and_then(Weak::upgrade) {
            return cell;
        }
        let mut slices = self.entries.values().flat_map(|e| e.slices.values());
        let cell = Cell::new(slices.find_map(|(_, slice)| slice.node_of(ip)));
        self.nodes_of.insert(ip, Arc::downgrade(&cell));
        cell
    }

    pub(super) fn feed_nodes_of(&self, slice: &Slice) {
        if self.nodes_of.is_empty() {
            return;
        }
        for endpoint in slice.endpoints.iter().filter(|e| e.node.is_some()) {
            if let Some(cell) = self.nodes_of.get(&endpoint.ip).and_then(Weak::upgrade) {
                cell.set(endpoint.node.clone());
            }
        }
    }

    pub(super) fn service(&self, name: &ObjectName) -> Option<&Service> {
        match &self.objects[Kind::Services.index()].get(name)?.content {
            Some(Content::Service(service)) => Some(service),
            _ => None,
        }
    }

    /// One Service, live.
    pub(in crate::store::services) fn service_cell(
        &mut self,
        name: ObjectName,
    ) -> Arc<Cell<ServiceState>> {
        if let Some(cell) = self.service_cells.get(&name).and_then(Weak::upgrade) {
            return cell;
        }
        let cell = Cell::new(self.service_state(&name));
        self.service_cells.insert(name, Arc::downgrade(&cell));
        self.count_lookup();
        cell
    }

    pub(super) fn feed_service(&self, name: &ObjectName) {
        if let Some(cell) = self.service_cells.get(name).and_then(Weak::upgrade) {
            cell.set(self.service_state(name));
        }
    }

    fn service_state(&self, name: &ObjectName) -> ServiceState {
        if !self.synced[Kind::Services.index()] {
            return ServiceState::Pending;
        }
        let stored = self.objects[Kind::Services.index()].get(name);
        match stored.and_then(|stored| stored.content.as_ref()) {
            Some(Content::Service(service)) => ServiceState::Known(Arc::clone(service)),
            _ => ServiceState::Absent,
        }
    }

    /// Named ports by name, unnamed ones by number (K8S-25).
    pub(super) fn list_names(&self) -> Arc<[NamedPort]> {
        let named = |name: &ObjectName, port| NamedPort {
            namespace: Arc::clone(&name.namespace),
            service: Arc::clone(&name.name),
            port,
        };
        let mut names = BTreeSet::new();
        for (service, entry) in &self.entries {
            if self.service(service).is_some_and(|s| s.external_name) {
                continue;
            }
            let slices = entry.slices.values().filter(|(_, s)| s.family.is_some());
            let ports = slices.flat_map(|(_, slice)| slice.ports.iter());
            for port in ports.filter(|p| !p.name.is_empty() && p.number.is_some()) {
                names.insert(named(service, PortRef::Name(Arc::clone(&port.name))));
            }
        }
        for (name, stored) in &self.objects[Kind::Services.index()] {
            if let Some(Content::Service(service)) = &stored.content {
                let unnamed = service.ports.iter().filter(|p| p.name.is_empty());
                for port in unnamed.filter(|_| !service.external_name) {
                    names.insert(named(name, PortRef::Number(port.number)));
                }
            }
        }
        names.into_iter().collect()
    }
}
