//! Kubernetes objects as their controllers write them. Plain JSON, since what matters is what an API server would accept.

use std::net::IpAddr;

use serde_json::{Value, json};

/// The label that ties a slice to its service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label of a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// As many endpoints as the controller puts into one slice.
pub const SLICE_ENDPOINTS: usize = 100;

/// One endpoint of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The pod's name.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its node, unless unknown.
    pub node: Option<String>,
    /// Its zone, unless unknown.
    pub zone: Option<String>,
    /// Null is left out, and means true (kubernetes 6.3).
    pub ready: Option<bool>,
    /// Null is left out, and means as ready.
    pub serving: Option<bool>,
    /// Null is left out, and means false.
    pub terminating: Option<bool>,
}

/// A port of a service: the service's number, and the container's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Empty for the only port of a service.
    pub name: String,
    /// The service's number.
    pub port: u16,
    /// The container's number.
    pub target: u16,
}

// === impl Pod ===

impl Pod {
    /// A ready pod on a node.
    pub fn new(name: impl Into<String>, ip: impl Into<IpAddr>, node: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ip: ip.into(),
            node: Some(node.into()),
            zone: None,
            ready: Some(true),
            serving: Some(true),
            terminating: Some(false),
        }
    }

    /// The same in a zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The same without a node name, as in hand-made slices.
    #[must_use]
    pub fn without_node(mut self) -> Self {
        self.node = None;
        self
    }

    /// The same, started but not ready.
    #[must_use]
    pub fn unready(mut self) -> Self {
        (self.ready, self.serving) = (Some(false), Some(false));
        self
    }

    /// The same after its deletion began, while it still passes its readiness probe.
    #[must_use]
    pub fn terminating(mut self) -> Self {
        (self.ready, self.serving, self.terminating) = (Some(false), Some(true), Some(true));
        self
    }

    /// The same without any condition.
    #[must_use]
    pub fn without_conditions(mut self) -> Self {
        (self.ready, self.serving, self.terminating) = (None, None, None);
        self
    }

    fn endpoint(&self, namespace: &str) -> Value {
        let mut endpoint = json!({
            "addresses": [self.ip],
            "conditions": {},
            "targetRef": {"kind": "Pod", "namespace": namespace, "name": self.name},
        });
        let conditions = [
            ("ready", self.ready),
            ("serving", self.serving),
            ("terminating", self.terminating),
        ];
        for (name, value) in conditions {
            if let Some(value) = value {
                endpoint["conditions"][name] = json!(value);
            }
        }
        if let Some(node) = &self.node {
            endpoint["nodeName"] = json!(node);
        }
        if let Some(zone) = &self.zone {
            endpoint["zone"] = json!(zone);
        }
        endpoint
    }
}

// === impl Port ===

impl Port {
    /// A named TCP port.
    pub fn new(name: impl Into<String>, port: u16, target: u16) -> Self {
        Self {
            name: name.into(),
            port,
            target,
        }
    }
}

/// A namespace.
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A node, in a zone or not.
pub fn node(name: &str, zone: Option<&str>) -> Value {
    let mut labels = json!({"kubernetes.io/hostname": name});
    if let Some(zone) = zone {
        labels[ZONE] = json!(zone);
    }
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// A service with a selector, whose slices a controller writes.
pub fn service(namespace: &str, name: &str, ports: &[Port]) -> Value {
    let ports: Vec<_> = ports.iter().map(service_port).collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": ports},
    })
}

/// A headless service (`clusterIP: None`).
pub fn headless(namespace: &str, name: &str, ports: &[Port]) -> Value {
    let mut service = service(namespace, name, ports);
    service["spec"]["clusterIP"] = json!("None");
    service
}

fn service_port(port: &Port) -> Value {
    let mut value = json!({"protocol": "TCP", "port": port.port, "targetPort": port.target});
    if !port.name.is_empty() {
        value["name"] = json!(port.name);
    }
    value
}

/// One slice. Without pods it is the placeholder that the controller leaves for a service scaled to zero: no endpoints and
/// no ports (K8S-28).
pub fn slice(namespace: &str, service: &str, name: &str, ports: &[Port], pods: &[Pod]) -> Value {
    let v6 = pods.first().is_some_and(|pod| pod.ip.is_ipv6());
    let mut slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace, "name": name,
            "labels": {
                SERVICE_NAME: service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "app": service,
            },
        },
        "addressType": if v6 { "IPv6" } else { "IPv4" },
        "endpoints": null,
        "ports": null,
    });
    if !pods.is_empty() {
        slice["endpoints"] = pods.iter().map(|pod| pod.endpoint(namespace)).collect();
        slice["ports"] = ports
            .iter()
            .map(|port| json!({"name": port.name, "protocol": "TCP", "port": port.target}))
            .collect();
    }
    slice
}
