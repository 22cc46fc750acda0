//! On which node an endpoint is (K8S-55, K8S-61).

use std::sync::Arc;

use l5d_naming::{Endpoint, EndpointSet};

use super::Gateways;
use crate::store::services::PodCidrs;
use crate::store::{Cell, Reads, Version};

/// Finds nodes of endpoints that do not name theirs.
#[derive(Clone)]
pub(super) struct Locator(Option<Arc<Cell<Arc<PodCidrs>>>>);

/// The nodes of one set's endpoints.
pub(super) struct Located(Option<Arc<(Version, Arc<PodCidrs>)>>);

impl Locator {
    pub(super) fn new(gateways: Option<&dyn Gateways>) -> Self {
        Self(gateways.and_then(Gateways::pod_cidrs))
    }

    /// Looks at Nodes only if any endpoint needs it, so that others are not computed again when Nodes change.
    pub(super) fn locate(&self, set: &EndpointSet, reads: &mut Reads) -> Located {
        let is_wanted = set.endpoints().iter().any(|e| e.node.is_none());
        let cidrs = self.0.as_ref().filter(|_| is_wanted);
        Located(cidrs.map(|cidrs| reads.read(cidrs)))
    }
}

impl Located {
    /// The node that the endpoint names, else the one whose pods have its address.
    pub(super) fn node<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a Arc<str>> {
        let by_ip = || self.0.as_ref()?.1.node_of(endpoint.addr.ip());
        endpoint.node.as_ref().or_else(by_ip)
    }
}
