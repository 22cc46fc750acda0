//! The resources that the double serves, and their places in the URL.

use serde_json::{Value, json};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// discovery.k8s.io/v1
    EndpointSlice,
    /// v1
    Service,
    /// v1
    Node,
    /// v1
    Namespace,
    /// v1
    ConfigMap,
    /// networking.k8s.io/v1
    Ingress,
    /// networking.k8s.io/v1
    IngressClass,
    /// l5d.io/v1alpha1, as its CustomResourceDefinition says
    DTab,
}

/// What a URL names: a collection, all of it or of one namespace, or one object of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` for all, and for kinds without.
    pub namespace: Option<String>,
    /// The object.
    pub name: Option<String>,
    /// Whether it is the object's `status` that is written.
    pub status: bool,
}

impl Kind {
    /// All that is served.
    pub const ALL: [Self; 8] = [
        Self::EndpointSlice,
        Self::Service,
        Self::Node,
        Self::Namespace,
        Self::ConfigMap,
        Self::Ingress,
        Self::IngressClass,
        Self::DTab,
    ];

    /// The kind's name, as in objects.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndpointSlice => "EndpointSlice",
            Self::Service => "Service",
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::ConfigMap => "ConfigMap",
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::DTab => "DTab",
        }
    }

    /// The resource's name, as in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Self::EndpointSlice => "endpointslices",
            Self::Service => "services",
            Self::Node => "nodes",
            Self::Namespace => "namespaces",
            Self::ConfigMap => "configmaps",
            Self::Ingress => "ingresses",
            Self::IngressClass => "ingressclasses",
            Self::DTab => "dtabs",
        }
    }

    /// The API group; empty for the core.
    pub fn group(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io",
            Self::Ingress | Self::IngressClass => "networking.k8s.io",
            Self::DTab => "l5d.io",
            _ => "",
        }
    }

    /// Group and version, as in objects.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Ingress | Self::IngressClass => "networking.k8s.io/v1",
            Self::DTab => "l5d.io/v1alpha1",
            _ => "v1",
        }
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::Node | Self::Namespace | Self::IngressClass)
    }

    /// The URL of the group and version.
    pub fn root(self) -> &'static str {
        match self {
            Self::EndpointSlice => "/apis/discovery.k8s.io/v1",
            Self::Ingress | Self::IngressClass => "/apis/networking.k8s.io/v1",
            Self::DTab => "/apis/l5d.io/v1alpha1",
            _ => "/api/v1",
        }
    }

    /// The resource as messages of the API name it: `endpointslices.discovery.k8s.io`.
    pub fn qualified(self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }

    /// The URL of a collection or, with a name, of an object.
    pub fn url(self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut url = self.root().to_owned();
        if let Some(namespace) = namespace.filter(|_| self.is_namespaced()) {
            url.push_str("/namespaces/");
            url.push_str(namespace);
        }
        for part in [Some(self.plural()), name].into_iter().flatten() {
            url.push('/');
            url.push_str(part);
        }
        url
    }

    /// What a URL path names. The deprecated `/watch/` paths name nothing, so that nobody relies on them.
    pub fn target(path: &str) -> Option<Target> {
        Self::ALL.iter().find_map(|kind| kind.target_under(path))
    }

    fn target_under(self, path: &str) -> Option<Target> {
        let rest = path.strip_prefix(self.root())?.strip_prefix('/')?;
        let parts: Vec<_> = rest.split('/').collect();
        let (parts, status) = match parts.split_last() {
            Some((&"status", object)) if self.has_status() => (object, true),
            _ => (&parts[..], false),
        };
        let (namespace, name) = match parts {
            [plural] if *plural == self.plural() => (None, None),
            [plural, name] if *plural == self.plural() && !self.is_namespaced() => {
                (None, Some(*name))
            }
            ["namespaces", ns, plural] if *plural == self.plural() && self.is_namespaced() => {
                (Some(*ns), None)
            }
            ["namespaces", ns, plural, name]
                if *plural == self.plural() && self.is_namespaced() =>
            {
                (Some(*ns), Some(*name))
            }
            _ => return None,
        };
        Some(Target {
            kind: self,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            status,
        })
    }

    /// Whether the status is written on its own, and only so.
    pub(super) fn has_status(self) -> bool {
        matches!(self, Self::DTab)
    }

    /// Fills in what the API server would, so far as anybody here reads it.
    pub(super) fn default(self, object: &mut Value) {
        match self {
            Self::EndpointSlice => {
                for list in ["endpoints", "ports"] {
                    if object[list] == json!([]) || object[list].is_null() {
                        object[list] = Value::Null;
                    }
                }
                default_ports(&mut object["ports"], |port| {
                    default(port, "name", &json!(""));
                });
            }
            Self::Service => {
                let spec = &mut object["spec"];
                if !spec.is_object() {
                    return;
                }
                default(spec, "type", &json!("ClusterIP"));
                if spec["type"] != "ExternalName" {
                    default(spec, "ipFamilies", &json!(["IPv4"]));
                    default(spec, "ipFamilyPolicy", &json!("SingleStack"));
                }
                default_ports(&mut spec["ports"], |port| {
                    let number = port["port"].clone();
                    default(port, "targetPort", &number);
                });
            }
            Self::Namespace => {
                let name = object["metadata"]["name"].clone();
                object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            }
            Self::Node | Self::ConfigMap | Self::Ingress | Self::IngressClass | Self::DTab => {}
        }
    }

    /// Objects of a bookmark show the fields that the API never leaves out.
    pub(super) fn empty(self) -> Value {
        match self {
            Self::EndpointSlice => json!({"addressType": "", "endpoints": null, "ports": null}),
            Self::Service => json!({"spec": {}, "status": {"loadBalancer": {}}}),
            Self::Node | Self::Namespace => json!({"spec": {}, "status": {}}),
            Self::Ingress => json!({"spec": {}, "status": {"loadBalancer": {}}}),
            Self::IngressClass => json!({"spec": {}}),
            Self::ConfigMap | Self::DTab => json!({}),
        }
    }
}

fn default_ports(ports: &mut Value, more: impl Fn(&mut Value)) {
    for port in ports.as_array_mut().into_iter().flatten() {
        default(port, "protocol", &json!("TCP"));
        more(port);
    }
}

fn default(object: &mut Value, field: &str, value: &Value) {
    if object.is_object() && object[field].is_null() {
        object[field] = value.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_what_it_was_made_for() {
        for kind in Kind::ALL {
            let namespace = kind.is_namespaced().then_some("shop");
            for (namespace, name) in [(None, None), (namespace, None), (namespace, Some("a"))] {
                let target = Kind::target(&kind.url(namespace, name)).unwrap();
                assert_eq!(target.kind, kind);
                assert_eq!(target.namespace.as_deref(), namespace);
                assert_eq!(target.name.as_deref(), name);
            }
        }
    }

    #[test]
    fn deprecated_watch_paths_name_nothing() {
        for path in [
            "/api/v1/watch/services",
            "/api/v1/watch/namespaces/shop/services",
            "/api/v1/watch/nodes/n1",
            "/apis/discovery.k8s.io/v1/watch/endpointslices",
        ] {
            assert_eq!(Kind::target(path), None, "{path}");
        }
    }
}
