//! What is asked of the server for a kind.

use crate::store::services::Kind;

/// A collection of the API, and how it is asked for.
#[derive(Debug)]
pub(super) struct Target {
    path: String,
    selector: Option<&'static str>,
    pub(super) accept_list: &'static str,
    pub(super) accept_watch: &'static str,
}

// === impl Target ===

impl Target {
    /// `whole_nodes`: Nodes with all they say instead of their metadata (K8S-82).
    pub(super) fn of(kind: Kind, namespace: Option<&str>, whole_nodes: bool) -> Self {
        const JSON: &str = "application/json";
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
            selector: (kind == Kind::Slices).then_some("kubernetes.io%2Fservice-name"),
            accept_list,
            accept_watch,
        }
    }

    /// The path of the collection with this query.
    pub(super) fn path(&self, query: &str) -> String {
        let path = &self.path;
        match self.selector {
            Some(selector) => format!("{path}?labelSelector={selector}&{query}"),
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
