//! A service port as callers of one zone or node see it.

use std::sync::Arc;

use l5d_naming::Replicas;

use super::ServicePort;
use crate::store::{Audience, Cell, Endpoints, Reads};

/// One port narrowed for an audience. Only the whole is narrowed: who looks at one node, or at each, means all that is
/// there (K8S-64).
struct Seen {
    port: Arc<ServicePort>,
    audience: Audience,
}

impl ServicePort {
    /// The endpoints as a caller on this node gets them (K8S-99, K8S-100): those who see the same share its cells. Without
    /// a node, or without a configured reason, they are this port's own.
    pub fn seen_from(
        self: &Arc<Self>,
        node: Option<&Arc<str>>,
        reads: &mut Reads,
    ) -> Arc<dyn Endpoints> {
        let whole: Arc<dyn Endpoints> = Arc::clone(self) as _;
        let Some(node) = node.filter(|_| self.services.tells_callers_apart()) else {
            return whole;
        };
        let scope = {
            let state = self.services.shared.state.lock();
            self.views.scope(|| state.merge(&self.views))
        };
        let scope = reads.read(&scope).1;
        let mut audience = Audience::default();
        if scope.zone {
            let zone = self.services.zone(node);
            audience.zone.clone_from(&reads.read(&zone).1);
        }
        if scope.node {
            audience.node = Some(Arc::clone(node));
        }
        if audience == Audience::default() {
            return whole;
        }
        let port = Arc::clone(self);
        Arc::new(Seen { port, audience })
    }
}

impl Endpoints for Seen {
    fn whole(&self) -> Arc<Cell<Replicas>> {
        let ServicePort {
            services, views, ..
        } = &*self.port;
        let state = services.shared.state.lock();
        views.narrowed(|| state.merge(views), &self.audience)
    }

    fn each_node(&self) -> Arc<Cell<Replicas>> {
        self.port.each_node()
    }

    fn on_node(&self, node: &str) -> Option<Arc<Cell<Replicas>>> {
        self.port.on_node(node)
    }

    fn audience(&self) -> Audience {
        self.audience.clone()
    }
}
