//! `io.l5d.k8s.external`: the load balancers of Kubernetes services, for callers outside of the cluster (Kubernetes 2.3).

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use l5d_naming::{ClusterId, Endpoint, EndpointSet, Path, Replicas};

use super::under_hash;
use crate::bind::dns::{HostState, Hosts};
use crate::bind::table::WeakTable;
use crate::bind::{Answer, Namer};
use crate::store::services::{Balancer, PortRef, Service, ServiceState, Services};
use crate::store::{Caller, Cell, Cluster, Engine, Reads, Recompute};

/// Answers `/<namespace>/<port>/<service>[/<label value>]`.
pub struct K8sExternalNamer {
    prefix: Path,
    /// A label's key: the path has one more segment, its value.
    label: Option<Arc<str>>,
    services: Services,
    engine: Engine,
    hosts: Hosts,
    cells: WeakTable<Wanted, Cell<Replicas>>,
    made: AtomicUsize,
}

/// So many new cells make the next one look for what nobody holds any more.
const SWEEP_EVERY: usize = 256;

/// What is looked up; name and port are folded, the label's value is not (K8S-29).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    namespace: String,
    port: PortRef,
    service: String,
    label: Option<(Arc<str>, String)>,
}

/// Feeds the addresses of one of them.
struct External {
    wanted: Wanted,
    service: Arc<Cell<ServiceState>>,
    hosts: Hosts,
    out: Weak<Cell<Replicas>>,
}

impl K8sExternalNamer {
    /// The namer under `/#` and `prefix`.
    pub fn new(
        prefix: &Path,
        label: Option<&str>,
        services: Services,
        engine: Engine,
        hosts: Hosts,
    ) -> Self {
        Self {
            prefix: under_hash(prefix),
            label: label.map(Into::into),
            services,
            engine,
            hosts,
            cells: WeakTable::new(),
            made: AtomicUsize::new(0),
        }
    }

    fn replicas(&self, wanted: &Wanted, service: &Arc<Cell<ServiceState>>) -> Arc<Cell<Replicas>> {
        self.cells.get_or(wanted.clone(), || {
            if self.made.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
                self.cells.sweep();
            }
            self.engine.computed(Replicas::Pending, |out| External {
                wanted: wanted.clone(),
                service: Arc::clone(service),
                hosts: self.hosts.clone(),
                out,
            })
        })
    }
}

impl Namer for K8sExternalNamer {
    fn prefix(&self) -> &Path {
        &self.prefix
    }

    fn kind(&self) -> &str {
        "io.l5d.k8s.external"
    }

    fn look_up(&self, rest: &Path, _caller: &Caller, reads: &mut Reads) -> Answer {
        let used = 3 + usize::from(self.label.is_some());
        if rest.len() < used {
            return Answer::neg();
        }
        let text = |at: usize| rest.elems()[at].to_text();
        let wanted = Wanted {
            namespace: text(0).to_lowercase(),
            port: PortRef::parse(&text(1).to_lowercase()),
            service: text(2).to_lowercase(),
            label: self.label.clone().map(|key| (key, text(3).into_owned())),
        };
        let service = self.services.service(&wanted.namespace, &wanted.service);
        match &reads.read(&service).1 {
            ServiceState::Pending => Answer::Pending,
            ServiceState::Known(known) if wanted.port_of(known).is_some() => {
                // K8S-15: the id has the segments as they were given.
                let cluster = Cluster {
                    id: ClusterId(self.prefix.concat(&rest.take(used))),
                    endpoints: Arc::new(self.replicas(&wanted, &service)),
                };
                Answer::bound(cluster, rest.skip(used))
            }
            ServiceState::Known(_) | ServiceState::Absent => Answer::neg(),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// The Service's own port (K8S-19), if there is all that an answer needs (K8S-16, K8S-29).
    fn port_of(&self, service: &Service) -> Option<u16> {
        let has_label = |(key, value): &(Arc<str>, String)| {
            let mut labels = service.labels.iter();
            labels.any(|(k, v)| k == key && **v == **value)
        };
        if service.balancers.is_empty() || !self.label.as_ref().is_none_or(has_label) {
            return None;
        }
        let mut ports = service.ports.iter();
        let port = ports.find(|port| match &self.port {
            PortRef::Name(name) => port.name == *name,
            PortRef::Number(number) => port.number == *number,
        });
        port.map(|port| port.number)
    }
}

// === impl External ===

impl External {
    /// All entries (K8S-18). Hosts that do not resolve are left out; pending only while none is known and one may still be.
    fn addresses(&self, service: &Service, port: u16, reads: &mut Reads) -> Replicas {
        let mut endpoints = Vec::new();
        let mut waits = false;
        let mut add = |ip| endpoints.push(Endpoint::new(SocketAddr::new(ip, port)));
        for balancer in &service.balancers {
            match balancer {
                Balancer::Ip(ip) => add(*ip),
                Balancer::Host(host) => match &reads.read(&self.hosts.get(host, false)).1 {
                    HostState::Known(ips) => ips.iter().copied().for_each(&mut add),
                    HostState::Pending => waits = true,
                    HostState::Unknown | HostState::Failed(_) => {}
                },
            }
        }
        if endpoints.is_empty() && waits {
            return Replicas::Pending;
        }
        Replicas::Bound(Arc::new(EndpointSet::new(endpoints)))
    }
}

impl Recompute for External {
    fn recompute(&self, reads: &mut Reads) {
        let service = reads.read(&self.service);
        let replicas = match &service.1 {
            ServiceState::Pending => Replicas::Pending,
            ServiceState::Absent => Replicas::Neg,
            ServiceState::Known(known) => match self.wanted.port_of(known) {
                Some(port) => self.addresses(known, port, reads),
                None => Replicas::Neg,
            },
        };
        if let Some(out) = self.out.upgrade() {
            out.set(replicas);
        }
    }
}

impl fmt::Debug for K8sExternalNamer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K8sExternalNamer")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
