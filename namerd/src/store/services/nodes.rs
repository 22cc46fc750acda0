//! What lookups ask of Nodes: the zone of one, and whose pods have an address.

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use foldhash::HashMap;

use super::model::{Cidr, Node};
use crate::store::Cell;

/// A node's zone, if it is known.
type Zone = Option<Arc<str>>;

/// The cells that somebody holds.
#[derive(Default)]
pub(super) struct NodeCells {
    zones: HashMap<Arc<str>, Weak<Cell<Zone>>>,
    cidrs: Weak<Cell<Arc<PodCidrs>>>,
    cidrs_changed: bool,
}

/// Which node's pods have an address, by `spec.podCIDRs` (K8S-55).
#[derive(Debug, Default, PartialEq)]
pub struct PodCidrs {
    /// By network; `None` where more than one node has it.
    owners: HashMap<Cidr, Option<Arc<str>>>,
    /// The lengths there are of each family, longest first.
    lengths: [Vec<u8>; 2],
}

// === impl NodeCells ===

impl NodeCells {
    pub(super) fn zone(&mut self, node: &str, zone: impl FnOnce() -> Zone) -> Arc<Cell<Zone>> {
        if let Some(cell) = self.zones.get(node).and_then(Weak::upgrade) {
            return cell;
        }
        let cell = Cell::new(zone());
        self.zones.insert(node.into(), Arc::downgrade(&cell));
        cell
    }

    pub(super) fn cidrs(&mut self, cidrs: impl FnOnce() -> PodCidrs) -> Arc<Cell<Arc<PodCidrs>>> {
        self.cidrs.upgrade().unwrap_or_else(|| {
            let cell = Cell::new(Arc::new(cidrs()));
            self.cidrs = Arc::downgrade(&cell);
            cell
        })
    }

    /// A node is another than before, or gone.
    pub(super) fn changed(&mut self, name: &str, old: Option<&Node>, new: Option<&Node>) {
        if let Some(cell) = self.zones.get(name).and_then(Weak::upgrade) {
            cell.set(new.and_then(|n| n.zone.clone()));
        }
        let cidrs = |node: Option<&Node>| node.map(|n| n.pod_cidrs.clone()).unwrap_or_default();
        self.cidrs_changed |= cidrs(old) != cidrs(new);
    }

    /// Feeds what could not be fed node by node.
    pub(super) fn publish(&mut self, cidrs: impl FnOnce() -> PodCidrs) {
        let changed = std::mem::take(&mut self.cidrs_changed);
        if let Some(cell) = self.cidrs.upgrade().filter(|_| changed) {
            cell.set(Arc::new(cidrs()));
        }
    }

    pub(super) fn sweep(&mut self) {
        self.zones.retain(|_, cell| cell.strong_count() > 0);
    }
}

// === impl PodCidrs ===

impl PodCidrs {
    pub(super) fn new<'a>(nodes: impl Iterator<Item = (&'a Arc<str>, &'a Node)>) -> Self {
        let mut cidrs = Self::default();
        for (name, node) in nodes {
            for cidr in &node.pod_cidrs {
                let owner = cidrs.owners.entry(*cidr);
                owner
                    .and_modify(|owner| {
                        *owner = owner.take_if(|other| *other == *name);
                    })
                    .or_insert_with(|| Some(Arc::clone(name)));
            }
        }
        for cidr in cidrs.owners.keys() {
            cidrs.lengths[usize::from(cidr.ip.is_ipv6())].push(cidr.len);
        }
        for lengths in &mut cidrs.lengths {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        cidrs
    }

    /// The one node whose networks have this address; the longest network counts. `None` also if it is not one alone.
    pub fn node_of(&self, ip: IpAddr) -> Option<&Arc<str>> {
        let lengths = &self.lengths[usize::from(ip.is_ipv6())];
        let mut networks = lengths.iter().filter_map(|len| Cidr::new(ip, *len));
        let owner = networks.find_map(|network| self.owners.get(&network));
        owner?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(nodes: &[(&str, &str)]) -> PodCidrs {
        let nodes: Vec<(Arc<str>, Node)> = nodes
            .iter()
            .map(|(name, cidrs)| {
                let pod_cidrs = cidrs.split(' ').map(|c| c.parse().expect("a CIDR"));
                let node = Node {
                    pod_cidrs: pod_cidrs.collect(),
                    ..Node::default()
                };
                ((*name).into(), node)
            })
            .collect();
        PodCidrs::new(nodes.iter().map(|(name, node)| (name, node)))
    }

    #[test]
    fn k8s_55_rule_2_the_longest_network_of_exactly_one_node() {
        let cidrs = cidrs(&[
            ("n1", "10.1.0.0/16 fd00:1::/64"),
            ("n2", "10.1.2.0/24"),
            ("n3", "10.3.0.0/24"),
            ("n4", "10.3.0.0/24"),
        ]);
        let node = |ip: &str| cidrs.node_of(ip.parse().expect("an address")).map(|n| &**n);
        assert_eq!(node("10.1.1.7"), Some("n1"));
        assert_eq!(node("10.1.2.7"), Some("n2"));
        assert_eq!(node("10.3.0.7"), None, "two nodes claim it");
        assert_eq!(node("10.4.0.7"), None);
        assert_eq!(node("fd00:1::9"), Some("n1"));
        assert_eq!(node("fd00:2::9"), None);
    }

    #[test]
    fn networks_are_read_and_others_are_not() {
        let read = |text: &str| text.parse::<Cidr>().ok();
        assert_eq!(read("10.1.2.3/16"), read("10.1.0.0/16"));
        for bad in ["10.1.0.0", "10.1.0.0/33", "10.1.0.0/-1", "x/8", "::/129"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(read("0.0.0.0/0").is_some() && read("::/0").is_some());
    }
}
