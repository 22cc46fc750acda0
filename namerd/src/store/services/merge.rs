//! From a service's slices to the endpoints of one of its ports. Pure: always computed from all slices (K8S-87).

use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use l5d_naming::{Endpoint, EndpointSet, EndpointWeight, Replicas};

use super::model::{Family, Service, Slice, SliceEndpoint};
use super::near::Place;
use super::{FamilyChoice, PortRef};

/// A slice, as it takes part.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) slice: &'a Slice,
    pub(super) rv: u64,
    /// What has left its slice moments ago; counts only where no slice has the address (K8S-89).
    pub(super) held: bool,
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) port: &'a PortRef,
    pub(super) label: Option<(&'a str, &'a str)>,
    pub(super) family: FamilyChoice,
    pub(super) draining: bool,
    /// Whether hints count (K8S-99).
    pub(super) zone_hints: bool,
    /// Whether the Service's own policy counts (K8S-100).
    pub(super) traffic_policy: bool,
}

/// What is known of the service.
pub(super) struct Facts<'a> {
    pub(super) slices_known: bool,
    pub(super) services_known: bool,
    pub(super) service: Option<&'a Service>,
    pub(super) parts: Vec<Part<'a>>,
    /// The newest resource version of a slice event of this service.
    pub(super) at: u64,
}

/// The answer before any view is cut from it.
pub(super) enum Merged<'a> {
    Pending,
    Absent,
    Present(Pool<'a>),
}

/// The endpoints of a port that exists: one for each address and port, sorted, also those that cannot be used.
pub(super) struct Pool<'a> {
    pub(super) candidates: Vec<Candidate<'a>>,
    pub(super) draining: bool,
    /// Whether callers get what is on their own node only.
    pub(super) local: bool,
    /// Whether hints count.
    pub(super) hinted: bool,
    at: u64,
}

pub(super) struct Candidate<'a> {
    addr: SocketAddr,
    pub(super) endpoint: &'a SliceEndpoint,
    rv: u64,
    held: bool,
}

/// Which port of the slices, and the number where a slice says "all ports" (K8S-27).
struct Wanted<'a> {
    name: &'a str,
    all_ports: Option<u16>,
    /// The port exists even if no slice has it (K8S-24).
    exists: bool,
}

/// Merges (K8S 2.4, 2.5, 2.6, 6.2). `near`: no more than these endpoints are wanted.
pub(super) fn merge<'a>(
    question: &Question<'_>,
    facts: &Facts<'a>,
    near: Option<&mut dyn Iterator<Item = Place>>,
) -> Merged<'a> {
    let by_number = matches!(question.port, PortRef::Number(_));
    let needs_services = by_number || question.label.is_some();
    if !facts.slices_known || (needs_services && !facts.services_known) {
        return Merged::Pending;
    }
    if facts.service.is_some_and(|s| s.external_name) || !has_label(question, facts) {
        return Merged::Absent;
    }
    let wanted = match (question.port, facts.service) {
        (PortRef::Name(name), _) if !name.is_empty() => Wanted {
            name,
            all_ports: None,
            exists: false,
        },
        (PortRef::Number(number), Some(service)) => {
            match service.ports.iter().find(|p| p.number == *number) {
                Some(port) => Wanted {
                    name: &port.name,
                    all_ports: Some(port.target.unwrap_or(port.number)),
                    exists: port.target.is_some(),
                },
                None => return Merged::Absent,
            }
        }
        _ => return Merged::Absent,
    };
    collect(&wanted, question, facts, near)
}

fn collect<'a>(
    wanted: &Wanted<'_>,
    question: &Question<'_>,
    facts: &Facts<'a>,
    near: Option<&mut dyn Iterator<Item = Place>>,
) -> Merged<'a> {
    let family = family(question.family, facts);
    let number = |part: &Part<'a>| {
        let mut ports = part.slice.ports.iter();
        let port = ports.find(|p| *p.name == *wanted.name)?;
        let number = port.number.or(wanted.all_ports)?;
        (part.slice.family == Some(family)).then_some(number)
    };
    let numbers: Vec<Option<u16>> = facts.parts.iter().map(number).collect();
    if !wanted.exists && numbers.iter().all(Option::is_none) {
        return Merged::Absent;
    }
    let candidate = |part: &Part<'a>, number, endpoint: &'a SliceEndpoint| Candidate {
        addr: SocketAddr::new(endpoint.ip, number),
        endpoint,
        rv: part.rv,
        held: part.held,
    };
    let mut candidates = Vec::new();
    match near {
        Some(near) => candidates.extend(near.filter_map(|place| {
            let part = &facts.parts[place.part as usize];
            let number = numbers[place.part as usize]?;
            let slice: &'a Slice = part.slice;
            Some(candidate(part, number, &slice.endpoints[place.at as usize]))
        })),
        None => {
            for (part, number) in facts.parts.iter().zip(&numbers) {
                let (slice, Some(number)) = (part.slice, *number) else {
                    continue;
                };
                let endpoints = slice.endpoints.iter();
                candidates.extend(endpoints.map(|e| candidate(part, number, e)));
            }
        }
    }
    candidates.sort_by(Candidate::better_first);
    candidates.dedup_by_key(|c| c.addr);
    Merged::Present(Pool {
        candidates,
        draining: question.draining,
        local: question.traffic_policy && facts.service.is_some_and(|s| s.local),
        hinted: question.zone_hints,
        at: facts.at,
    })
}

/// K8S-29: the Service's label, or the slices' if there is no Service; without regard to case.
fn has_label(question: &Question<'_>, facts: &Facts<'_>) -> bool {
    let Some((key, value)) = question.label else {
        return true;
    };
    let matches = |labels: &[(Arc<str>, Arc<str>)]| {
        let mut of_key = labels.iter().filter(|(k, _)| **k == *key);
        of_key.any(|(_, v)| v.eq_ignore_ascii_case(value))
    };
    match facts.service {
        Some(service) => matches(&service.labels),
        None => facts.parts.iter().any(|p| matches(&p.slice.labels)),
    }
}

/// K8S-65: one family, the Service's first one; never both (K8S-66).
fn family(choice: FamilyChoice, facts: &Facts<'_>) -> Family {
    let has = |family, with_endpoints: bool| {
        let mut of_family = facts
            .parts
            .iter()
            .filter(|p| p.slice.family == Some(family));
        of_family.any(|p| !with_endpoints || !p.slice.endpoints.is_empty())
    };
    match choice {
        FamilyChoice::V4 => Family::V4,
        FamilyChoice::V6 => Family::V6,
        FamilyChoice::Primary => match facts.service.and_then(|s| s.family) {
            Some(family) => family,
            None if has(Family::V4, true) || !has(Family::V6, false) => Family::V4,
            None => Family::V6,
        },
    }
}

// === impl Candidate ===

impl<'a> Candidate<'a> {
    /// K8S-86: usable before unusable, then with a node name, then from the newer slice.
    fn better_first(&self, other: &Self) -> std::cmp::Ordering {
        let key = |c: &Candidate<'a>| {
            (
                c.addr,
                c.held,
                !c.endpoint.ready,
                !c.endpoint.is_usable(),
                c.endpoint.node.is_none(),
                u64::MAX - c.rv,
            )
        };
        key(self).cmp(&key(other))
    }

    fn node(&self) -> Option<&'a str> {
        self.endpoint.node.as_deref()
    }

    fn to_endpoint(&self) -> Endpoint {
        Endpoint {
            addr: self.addr,
            weight: EndpointWeight::ONE,
            node: self.endpoint.node.clone(),
            zone: self.endpoint.zone.clone(),
            metadata: None,
        }
    }
}

// === impl Pool ===

impl<'a> Pool<'a> {
    /// K8S-94 over the whole service.
    pub(super) fn whole(&self) -> Replicas {
        self.bound(usable(self.candidates.iter().collect(), self.draining))
    }

    /// K8S-94 over each node on its own (K8S-57). Endpoints without a node name are judged together. What is held counts
    /// only on a node that has no ready one now: a gateway that is replaced in one event is one change (K8S-58).
    pub(super) fn each_node(&self) -> Replicas {
        let now_ready = |c: &&Candidate<'a>| c.endpoint.ready && !c.held;
        let ready = self.candidates.iter().filter(now_ready);
        let ready: HashSet<Option<&str>> = ready.map(Candidate::node).collect();
        self.bound(self.candidates.iter().filter(|c| {
            let alone = !ready.contains(&c.node());
            match (c.endpoint.ready, c.held) {
                (true, held) => !held || alone,
                (false, _) => alone && self.draining && c.endpoint.is_usable(),
            }
        }))
    }

    /// The candidates by node, for [`Pool::on_node`].
    pub(super) fn by_node(&self) -> HashMap<Option<&'a str>, Vec<&Candidate<'a>>> {
        let mut nodes: HashMap<_, Vec<_>> = HashMap::default();
        for candidate in &self.candidates {
            nodes.entry(candidate.node()).or_default().push(candidate);
        }
        nodes
    }

    /// K8S-94 over one node (K8S-63), and over the endpoints without a node name.
    pub(super) fn on_node(
        &self,
        by_node: &HashMap<Option<&'a str>, Vec<&Candidate<'a>>>,
        node: &str,
    ) -> Replicas {
        let group = |node| {
            let candidates = by_node.get(&node).cloned().unwrap_or_default();
            usable(candidates, self.draining)
        };
        self.bound(group(Some(node)).chain(group(None)))
    }

    pub(super) fn bound<'b>(&self, candidates: impl Iterator<Item = &'b Candidate<'a>>) -> Replicas
    where
        'a: 'b,
    {
        let endpoints = candidates.map(Candidate::to_endpoint);
        Replicas::Bound(Arc::new(EndpointSet::new(endpoints).with_at(self.at)))
    }
}

/// The ready ones; if there are none, those that still answer while they end (K8S-94, K8S-96).
pub(super) fn usable<'b, 'a: 'b>(
    candidates: Vec<&'b Candidate<'a>>,
    draining: bool,
) -> impl Iterator<Item = &'b Candidate<'a>> {
    let any_ready = candidates.iter().any(|c| c.endpoint.ready);
    candidates
        .into_iter()
        .filter(move |c| c.endpoint.ready || (!any_ready && draining && c.endpoint.is_usable()))
}
