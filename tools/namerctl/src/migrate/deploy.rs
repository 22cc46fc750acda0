//! The Kubernetes objects of a namerd, for inputs that had none.

use super::emit;
use super::rbac;
use super::tree::{Node, Slot};

/// What is chosen for them.
#[derive(Debug)]
pub(crate) struct Deployment<'a> {
    /// The Kubernetes namespace; `None`: whatever `kubectl apply -n` says.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) image: &'a str,
    /// namerd's configuration.
    pub(crate) config: &'a str,
}

/// Everything that namerd needs, as one manifest.
pub(crate) fn namerd(deployment: &Deployment<'_>) -> String {
    let namespace = deployment.namespace;
    let metadata = || named("namerd", namespace);
    let data = Node::map().with("config.yaml", Node::text(deployment.config));
    let config = object("v1", "ConfigMap", named("namerd-config", namespace)).with("data", data);
    let account = object("v1", "ServiceAccount", metadata());
    let workload =
        object("apps/v1", "Deployment", metadata()).with("spec", workload(deployment.image));
    let service = object("v1", "Service", metadata()).with("spec", service());
    let all = [account, config, workload, service];
    let mut text: String = all.iter().map(document).collect();
    text.push_str(&access("namerd", namespace));
    text
}

/// The role that namerd needs, bound to a service account.
pub(crate) fn access(account: &str, namespace: Option<&str>) -> String {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let rules = rbac::rules().map(|(group, resources, verbs)| {
        Node::map()
            .with("apiGroups", Node::words(&[group]))
            .with("resources", Node::words(resources))
            .with("verbs", Node::words(verbs))
    });
    let role = object(&format!("{GROUP}/v1"), "ClusterRole", named("namerd", None))
        .with("rules", Node::list(rules.into()));
    let subject = Node::map()
        .with("kind", Node::text("ServiceAccount"))
        .with("name", Node::text(account))
        .with("namespace", Node::text(namespace.unwrap_or("default")));
    let reference = Node::map()
        .with("apiGroup", Node::text(GROUP))
        .with("kind", Node::text("ClusterRole"))
        .with("name", Node::text("namerd"));
    let binding = object(
        &format!("{GROUP}/v1"),
        "ClusterRoleBinding",
        named("namerd", None),
    )
    .with("roleRef", reference)
    .with("subjects", Node::list(vec![subject]));
    [role, binding].iter().map(document).collect()
}

fn document(object: &Node) -> String {
    format!("---\n{}", emit::document(object, &[]).text())
}

fn object(version: &str, kind: &str, metadata: Node) -> Node {
    Node::map()
        .with("apiVersion", Node::text(version))
        .with("kind", Node::text(kind))
        .with("metadata", metadata)
}

fn named(name: &str, namespace: Option<&str>) -> Node {
    let mut metadata = Node::map().with("name", Node::text(name));
    if let Some(namespace) = namespace {
        metadata.set("namespace", Node::text(namespace));
    }
    metadata
}

fn labels() -> Node {
    Node::map().with("app", Node::text("namerd"))
}

fn workload(image: &str) -> Node {
    let mount = Node::map()
        .with("name", Node::text("config"))
        .with("mountPath", Node::text("/etc/namerd"))
        .with("readOnly", Node::plain("true"));
    let get = Node::map()
        .with("path", Node::text("/ready"))
        .with("port", Node::text("admin"));
    let port = |(name, port): (&str, &str)| {
        Node::map()
            .with("name", Node::text(name))
            .with("containerPort", Node::plain(port))
    };
    let container = Node::map()
        .with("name", Node::text("namerd"))
        .with("image", Node::text(image))
        .with(
            "args",
            Node::list(vec![Node::text("/etc/namerd/config.yaml")]),
        )
        .with("ports", Node::list(PORTS.map(port).into()))
        .with("readinessProbe", Node::map().with("httpGet", get))
        .with("volumeMounts", Node::list(vec![mount]));
    let map = Node::map().with("name", Node::text("namerd-config"));
    let volume = Node::map()
        .with("name", Node::text("config"))
        .with("configMap", map);
    let pod = Node::map()
        .with("serviceAccountName", Node::text("namerd"))
        .with("volumes", Node::list(vec![volume]))
        .with("containers", Node::list(vec![container]));
    let mut replicas = Slot::new(Some("replicas"), Node::plain("1"));
    replicas.beside = Some("# more as soon as dtabs are in a store that lasts".to_owned());
    let mut spec = Node::map()
        .with("selector", Node::map().with("matchLabels", labels()))
        .with(
            "template",
            Node::map()
                .with("metadata", Node::map().with("labels", labels()))
                .with("spec", pod),
        );
    if let Some(slots) = spec.slots_mut() {
        slots.insert(0, replicas);
    }
    spec
}

const PORTS: [(&str, &str); 3] = [("mesh", "4321"), ("http", "4180"), ("admin", "9991")];

fn service() -> Node {
    let port = |(name, port): (&str, &str)| {
        Node::map()
            .with("name", Node::text(name))
            .with("port", Node::plain(port))
    };
    Node::map()
        .with("selector", labels())
        .with("ports", Node::list(PORTS.map(port).into()))
}
