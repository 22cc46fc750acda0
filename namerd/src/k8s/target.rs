//! What is asked of the server for a kind.

use crate::store::services::Kind;

pub(super) const JSON: &str = "application/json";

/// A collection of the API, and how it is asked for.
#[derive(Debug)]
pub(super) struct Target {
    path: String,
    selector: Option<String>,
    pub(super) accept_list: &'static str,
    pub(super) accept_watch: &'static str,
}

// === impl Target ===

impl Target {
    /// `whole_nodes`: Nodes with all they say instead of their metadata (K8S-82).
    pub(super) fn of(kind: Kind, namespace: Option<&str>, whole_nodes: bool) -> Self {
        let (group, resource) = match kind {
            Kind::Slices => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Services => ("/api/v1", "services"),
            Kind::Nodes => ("/api/v1", "nodes"),
        };
        let path = match namespace {
            Some(namespace) => format!("{group}/namespaces/{}/{resource}", escape(namespace)),
            None => format!("{group}/{resource}"),
        };
        let (accept_list, accept_watch) = match kind {
            Kind::Nodes if !whole_nodes => (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json",
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json",
            ),
            _ => (JSON, JSON),
        };
        Self {
            path,
            // Also those of headless services (K8S-105). The label's slash is escaped.
            selector: (kind == Kind::Slices)
                .then(|| "labelSelector=kubernetes.io%2Fservice-name".to_owned()),
            accept_list,
            accept_watch,
        }
    }

    /// All objects of a resource in one Kubernetes namespace; `group` is the path of its group and version.
    pub(super) fn custom(group: &str, namespace: &str, resource: &str) -> Self {
        Self::of_cluster(
            group,
            &format!("namespaces/{}/{resource}", escape(namespace)),
        )
    }

    /// All objects of a resource in the whole cluster.
    pub(super) fn of_cluster(group: &str, resource: &str) -> Self {
        Self {
            path: format!("{group}/{resource}"),
            selector: None,
            accept_list: JSON,
            accept_watch: JSON,
        }
    }

    /// The same with only what a selector chooses: a part of a query.
    pub(super) fn selecting(mut self, selector: String) -> Self {
        self.selector = Some(selector);
        self
    }

    /// The path of one object, or with no name that of the collection.
    pub(super) fn object(&self, name: Option<&str>) -> String {
        match name {
            Some(name) => format!("{}/{}", self.path, escape(name)),
            None => self.path.clone(),
        }
    }

    /// The path of the collection with this query.
    pub(super) fn path(&self, query: &str) -> String {
        let path = &self.path;
        match &self.selector {
            Some(selector) => format!("{path}?{selector}&{query}"),
            None => format!("{path}?{query}"),
        }
    }
}

/// A query value with everything escaped that is not plain.
pub(super) fn escape(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let escaped = value.bytes().map(|b| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_are_escaped() {
        assert_eq!(escape("eyJ2+/=&a~"), "eyJ2%2B%2F%3D%26a~");
    }
}
