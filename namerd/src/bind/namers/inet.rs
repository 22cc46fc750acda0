//! Clusters of hosts and ports: `/$/inet`, `/$/fixedinet`, `/$/io.buoyant.rinet` (naming 4.5, 5.2).

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use l5d_naming::{ClusterId, Endpoint, EndpointSet, Path, Replicas};

use crate::bind::dns::{HostState, Hosts};
use crate::bind::table::WeakTable;
use crate::store::{Cell, Cluster, Engine, Reads, Recompute};

/// Gives one cluster for each id, as long as somebody holds it.
pub(super) struct Inet {
    engine: Engine,
    hosts: Hosts,
    cells: WeakTable<Path, Cell<Replicas>>,
}

/// A host's addresses with a port.
struct HostPort {
    host: Arc<Cell<HostState>>,
    port: u16,
    out: Weak<Cell<Replicas>>,
}

impl Inet {
    pub(super) fn new(engine: Engine, hosts: Hosts) -> Self {
        Self {
            engine,
            hosts,
            cells: WeakTable::new(),
        }
    }

    /// The cluster of this id. The host is looked up by and by; the answer does not wait for it.
    pub(super) fn cluster(&self, id: &Path, host: &str, port: u16, fixed: bool) -> Cluster {
        let cell = self.cells.get_or(id.clone(), || {
            let host = self.hosts.get(host, fixed);
            self.engine
                .computed(Replicas::Pending, |out| HostPort { host, port, out })
        });
        Cluster {
            id: ClusterId(id.clone()),
            endpoints: Arc::new(cell),
        }
    }

    pub(super) fn sweep(&self) {
        self.cells.sweep();
        self.hosts.sweep();
    }
}

impl Recompute for HostPort {
    fn recompute(&self, reads: &mut Reads) {
        let replicas = match &reads.read(&self.host).1 {
            HostState::Pending => Replicas::Pending,
            HostState::Unknown => Replicas::Neg,
            HostState::Failed(message) => Replicas::Failed(Arc::clone(message)),
            HostState::Known(ips) => Replicas::Bound(Arc::new(EndpointSet::new(
                ips.iter()
                    .map(|ip| Endpoint::new(SocketAddr::new(*ip, self.port))),
            ))),
        };
        if let Some(out) = self.out.upgrade() {
            out.set(replicas);
        }
    }
}

impl fmt::Debug for Inet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inet").finish_non_exhaustive()
    }
}
