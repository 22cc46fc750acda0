//! What each interface wants to be shown, and who checks it.

use std::sync::Arc;

use super::build::{BuildError, address};
use crate::auth::{CallerGuard, NodeGuard, Reviews};
use crate::config::{CallerProof, Config, Interface, NodeProof, Storage, TokenCheck};
use crate::k8s::Reviewer;

/// The Kubernetes namespace in which callers need rights to dtabs, where the store has none.
const NAMESPACE: &str = "default";

/// What one interface wants.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) nodes: Arc<NodeGuard>,
    reviews: Option<Arc<dyn Reviews>>,
}

/// One for each interface. Contacts nobody.
pub(super) fn build(config: &Config) -> Result<Vec<Guard>, BuildError> {
    let namespace = namespace(&config.storage);
    let interfaces = config.interfaces.iter();
    interfaces.map(|one| guard(one, namespace)).collect()
}

/// Where callers need rights to dtabs: where the dtabs are.
fn namespace(storage: &Storage) -> &str {
    match storage {
        Storage::K8s(k8s) => &k8s.namespace,
        _ => NAMESPACE,
    }
}

fn guard(interface: &Interface, namespace: &str) -> Result<Guard, BuildError> {
    let (nodes, callers) = (&interface.nodes, &interface.callers);
    let mut proofs = callers.writes.iter().chain(&callers.reads);
    let has_tokens = nodes.proofs.contains(&NodeProof::ServiceAccount)
        || nodes.tools.contains(&CallerProof::Token);
    let reviews = if has_tokens {
        Some(reviewer(&nodes.tokens, namespace)?)
    } else if proofs.any(|proof| *proof == CallerProof::Token) {
        Some(reviewer(&callers.tokens, namespace)?)
    } else {
        None
    };
    Ok(Guard {
        nodes: Arc::new(NodeGuard::new(nodes, reviews.clone())),
        reviews,
    })
}

fn reviewer(check: &TokenCheck, namespace: &str) -> Result<Arc<dyn Reviews>, BuildError> {
    let reviewer = Reviewer::new(address(&check.api), namespace.to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_asked_for_where_the_dtabs_are() {
        for (storage, expected) in [
            ("kind: io.l5d.inMemory", NAMESPACE),
            (
                "kind: io.l5d.k8s, host: localhost, port: 8001, namespace: mesh",
                "mesh",
            ),
        ] {
            let text = format!("storage: {{{storage}}}\ninterfaces: [{{kind: io.l5d.mesh}}]\n");
            let (config, _) = Config::read("namerd.yml", &text, &|_| None).expect("good");
            assert_eq!(namespace(&config.storage), expected);
        }
    }
}
