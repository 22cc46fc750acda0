//! Clusters as a namer gives them: an id and views of its endpoints.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use l5d_naming::{ClusterId, Replicas};

use super::cell::Cell;

/// Who asks: what localnode, localhost and zone rules depend on. Empty for calls that name no node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The node's name, `NODE_NAME`.
    pub node: Option<Arc<str>>,
    /// The proxy's own pod address, `POD_IP`.
    pub pod_ip: Option<IpAddr>,
    /// All addresses of interfaces that are up, sorted.
    pub addresses: Arc<[IpAddr]>,
}

/// The callers that get one and the same answer of a cluster that tells callers apart (K8S-101); by default everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Audience {
    /// Those in this zone.
    pub zone: Option<Arc<str>>,
    /// Those on this node.
    pub node: Option<Arc<str>>,
}

/// Views of one cluster's endpoints. Which endpoints are usable depends on the scope (K8S-95); sources that know no
/// readiness give the same for all.
pub trait Endpoints: Send + Sync {
    /// Usable endpoints, judged over the whole cluster.
    fn whole(&self) -> Arc<Cell<Replicas>>;

    /// Usable endpoints of all nodes, judged for each node on its own (gateways, K8S-57).
    fn each_node(&self) -> Arc<Cell<Replicas>> {
        self.whole()
    }

    /// Usable endpoints with this node name, judged for this node alone (localnode, K8S-63), if the source keeps an index
    /// by node: a change elsewhere does not wake this cell. Endpoints without a node name are included, since rules
    /// behind the name (K8S-61) still have to look at them. `None`: filter [`Endpoints::whole`].
    fn on_node(&self, node: &str) -> Option<Arc<Cell<Replicas>>> {
        let _ = node;
        None
    }

    /// Whom [`Endpoints::whole`] is for.
    fn audience(&self) -> Audience {
        Audience::default()
    }
}

/// A bound cluster before any transformer. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    /// Its lasting name.
    pub id: ClusterId,
    /// Its endpoints.
    pub endpoints: Arc<dyn Endpoints>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The plain case: one cell serves all views.
impl Endpoints for Arc<Cell<Replicas>> {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        Arc::clone(self)
    }
}
