//! What each interface wants to be shown, and who checks it.

use std::sync::Arc;

use super::build::{BuildError, address};
use crate::auth::{CallerGuard, NodeGuard, Reviews};
use crate::config::{CallerProof, Config, Interface, NodeProof, TokenCheck};
use crate::k8s::Reviewer;

/// The Kubernetes namespace of dtabs for questions about rights, until the store says another.
const NAMESPACE: &str = "default";

/// What one interface wants.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) nodes: Arc<NodeGuard>,
    reviews: Option<Arc<dyn Reviews>>,
}

/// One for each interface. Contacts nobody.
pub(super) fn build(config: &Config) -> Result<Vec<Guard>, BuildError> {
    config.interfaces.iter().map(guard).collect()
}

fn guard(interface: &Interface) -> Result<Guard, BuildError> {
    let (nodes, callers) = (&interface.nodes, &interface.callers);
    let mut proofs = callers.writes.iter().chain(&callers.reads);
    let has_tokens = nodes.proofs.contains(&NodeProof::ServiceAccount)
        || nodes.tools.contains(&CallerProof::Token);
    let reviews = if has_tokens {
        Some(reviewer(&nodes.tokens)?)
    } else if proofs.any(|proof| *proof == CallerProof::Token) {
        Some(reviewer(&callers.tokens)?)
    } else {
        None
    };
    Ok(Guard {
        nodes: Arc::new(NodeGuard::new(nodes, reviews.clone())),
        reviews,
    })
}

fn reviewer(check: &TokenCheck) -> Result<Arc<dyn Reviews>, BuildError> {
    let reviewer = Reviewer::new(address(&check.api), NAMESPACE.to_owned());
    let reviewer = reviewer.map_err(|source| BuildError::Kubernetes {
        api: check.api.clone(),
        source,
    })?;
    Ok(Arc::new(reviewer))
}

impl Guard {
    /// For the HTTP controller.
    pub(super) fn callers(&self, interface: &Interface) -> CallerGuard {
        CallerGuard::new(&interface.callers, self.reviews.clone())
    }
}
