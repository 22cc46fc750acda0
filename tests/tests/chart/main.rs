//! The Helm chart: what it renders, that a real API server takes it, and that it works.

mod applied;
mod kubelet;
mod load;
mod meshes;
mod rendered;
mod sidecars;

/// The variants of the chart, by what is set for them.
const VARIANTS: [(&str, &[&str]); 6] = [
    ("default", &[]),
    ("host network", &["hostNetwork=true"]),
    ("local service", &["node.hostPort=false"]),
    ("sidecar", &["mode=\"sidecar\""]),
    (
        "without identity",
        &[
            "identity.enabled=false",
            "namerd.http={\"reads\":\"none\",\"writes\":\"none\"}",
        ],
    ),
    (
        "everything",
        &[
            "routers.h2.enabled=true",
            "namerd.ingress.enabled=true",
            "namerd.namespaces=[\"default\",\"l5d\"]",
            "namerd.http.reads=\"token\"",
            "namerd.tls.secretName=\"namerd-tls\"",
            "namerd.networkPolicy.admin=[{\"namespaceSelector\":{}}]",
            "node.warm.kind=\"hostPath\"",
            "node.resources={\"limits\":{\"cpu\":\"2\"}}",
            "images={\"registry\":\"registry.example.org/\",\"tag\":\"1.2.3\",\"pullSecrets\":[\"pull\"]}",
            "size={\"nodes\":5000,\"endpoints\":150000}",
            "listen=\"::\"",
        ],
    ),
];
