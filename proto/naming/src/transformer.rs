//! What a configuration says of one transformer. What it does stands in namerd.

/// One entry of a `transformers` list, checked for its kind's keys. Keys that a kind does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransformerSpec {
    /// `io.l5d.k8s.daemonset`, `io.l5d.port`, ...
    pub kind: String,
    /// Replaces the kind's default prefix (a path), if not empty.
    pub prefix: String,
    /// Kubernetes namespace (daemonset).
    pub namespace: String,
    /// Kubernetes service (daemonset).
    pub service: String,
    /// Port number or name (daemonset, port).
    pub port: String,
    /// An IP (specificHost).
    pub host: String,
    /// A path (const, replace).
    pub path: String,
    /// Subnet rule's mask (daemonset, localnode).
    pub netmask: String,
    /// Match by node only (daemonset, localnode).
    pub host_network: bool,
    /// What becomes of endpoints whose node has no gateway (daemonset): dropped, or `direct` for their own address.
    pub missing_gateway: String,
}
