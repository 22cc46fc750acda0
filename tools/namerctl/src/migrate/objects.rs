//! Kubernetes objects around the configurations: what has to change in each so that today's clusters take it and it runs
//! our programs. Everything else in an object stays.

use super::input::{Program, object_name};
use super::report::{Fate, Noter};
use super::tree::{Node, Slot};

/// What objects need to know of the configurations.
#[derive(Debug)]
pub(crate) struct Workloads {
    /// Names of ConfigMaps that hold a configuration, and whose.
    pub(crate) config_maps: Vec<(String, Program)>,
    pub(crate) node_image: String,
    pub(crate) namerd_image: String,
    /// `HOST:PORT` for nodes whose routers name no namerd.
    pub(crate) namerd: Option<String>,
}

/// The custom resource definition of dtabs.
pub(crate) const CRD: &str = include_str!("../../../../deploy/dtabs.l5d.io.yaml");

/// Kinds that keep pods, all with a pod template.
const CONTROLLERS: [&str; 6] = [
    "DaemonSet",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
    "Job",
];

/// Changes an object in place; whether anything changed.
pub(crate) fn convert(root: &mut Node, workloads: &Workloads, noter: &mut Noter<'_>) -> bool {
    noter.object = object_name(root);
    let kind = root.word("kind").unwrap_or_default().to_owned();
    match kind.as_str() {
        "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding" => {
            super::rbac::convert(root, noter)
        }
        "CustomResourceDefinition" | "ThirdPartyResource" => definition(root, &kind, noter),
        "Ingress" => note_old_api(root, noter),
        kind if CONTROLLERS.contains(&kind) => workload(root, workloads, noter),
        _ => false,
    }
}

/// Gives an object another API version.
pub(super) fn version(root: &mut Node, to: &str, noter: &mut Noter<'_>) -> bool {
    let Some(slot) = root.slot("apiVersion") else {
        return false;
    };
    let (line, was) = (slot.line, slot.node.str().unwrap_or_default().to_owned());
    if was == to {
        return false;
    }
    root.set("apiVersion", Node::text(to));
    let message = format!("{was} is served by no cluster any more; {to} takes its place");
    noter.note(Fate::Changed, line, "apiVersion", message, None);
    true
}

fn note_old_api(root: &Node, noter: &mut Noter<'_>) -> bool {
    if let Some(slot) = root.slot("apiVersion")
        && slot.node.str() != Some("networking.k8s.io/v1")
    {
        let message = "Ingress objects of this API version are served by no cluster any more";
        let help = "write it as networking.k8s.io/v1: backends are `service.name` and `service.port`, paths have a `pathType`";
        noter.note(Fate::Decide, slot.line, "apiVersion", message, Some(help));
    }
    false
}

/// The definition of dtabs needs a schema, or the API server prunes every dtab to nothing.
fn definition(root: &mut Node, kind: &str, noter: &mut Noter<'_>) -> bool {
    let name = root.at(&["metadata", "name"]).and_then(Node::str);
    let is_dtabs = matches!(name, Some("dtabs.l5d.io" | "d-tab.l5d.io"));
    let is_current = root.word("apiVersion") == Some("apiextensions.k8s.io/v1");
    if !is_dtabs || (is_current && root.at(&["spec", "versions"]).is_some()) {
        return false;
    }
    let Ok(mut documents) = super::parse::documents(CRD, 0) else {
        return false;
    };
    let Some(new) = documents.pop() else {
        return false;
    };
    let message = format!(
        "this {kind} becomes one of apiextensions.k8s.io/v1 with a schema: same group, version, kind and name, so dtabs stored before stay"
    );
    noter.note(Fate::Changed, root.line, "", message, None);
    let above = root
        .slots()
        .first()
        .map(|s| s.above.clone())
        .unwrap_or_default();
    *root = new.root;
    if let Some(first) = root.slots_mut().and_then(|s| s.first_mut()) {
        first.above = above;
    }
    true
}

fn workload(root: &mut Node, workloads: &Workloads, noter: &mut Noter<'_>) -> bool {
    let Some(pod) = root.at(&["spec", "template", "spec"]) else {
        return false;
    };
    let volumes: Vec<(String, Program)> = config_volumes(pod, workloads);
    let is_ours = !volumes.is_empty();
    let is_old = matches!(
        root.word("apiVersion"),
        Some("extensions/v1beta1" | "apps/v1beta1" | "apps/v1beta2")
    );
    if !is_ours {
        if is_old {
            let line = root.slot("apiVersion").map_or(0, |s| s.line);
            let message = "no cluster serves this API version any more; the object is none of Linkerd's and was left as it is";
            noter.note(
                Fate::Note,
                line,
                "apiVersion",
                message,
                Some("write apps/v1, with `spec.selector`"),
            );
        }
        return false;
    }
    if is_old {
        version(root, "apps/v1", noter);
        selector(root, noter);
    }
    if let Some(pod) = root.at_mut(&["spec", "template", "spec"]) {
        containers(pod, &volumes, workloads, noter);
    }
    true
}

/// Volumes that hold a configuration.
fn config_volumes(pod: &Node, workloads: &Workloads) -> Vec<(String, Program)> {
    let volumes = pod.get("volumes").map_or(&[][..], Node::items);
    let found = volumes.iter().filter_map(|volume| {
        let name = volume.node.word("name")?.to_owned();
        let map = volume.node.at(&["configMap", "name"])?.str()?;
        let (_, program) = workloads.config_maps.iter().find(|(m, _)| m == map)?;
        Some((name, *program))
    });
    found.collect()
}

/// apps/v1 wants to be told which pods are meant; before, it was the labels of the template.
fn selector(root: &mut Node, noter: &mut Noter<'_>) {
    let Some(labels) = root
        .at(&["spec", "template", "metadata", "labels"])
        .cloned()
    else {
        return;
    };
    let Some(spec) = root.slot("spec") else {
        return;
    };
    let line = spec.line;
    if spec.node.get("selector").is_some() {
        return;
    }
    let mut slot = Slot::new(Some("selector"), Node::map().with("matchLabels", labels));
    slot.line = 0;
    if let Some(slots) = root.get_mut("spec").and_then(Node::slots_mut) {
        slots.insert(0, slot);
    }
    let message = "`selector`, which apps/v1 requires: the labels of the template";
    noter.note(Fate::Added, line, "spec.selector", message, None);
}

fn containers(
    pod: &mut Node,
    volumes: &[(String, Program)],
    workloads: &Workloads,
    noter: &mut Noter<'_>,
) {
    const KEY: &str = "spec.template.spec.containers";
    let Some(list) = pod.get_mut("containers").and_then(Node::items_mut) else {
        return;
    };
    for (i, container) in list.iter_mut().enumerate() {
        let mounts = container
            .node
            .get("volumeMounts")
            .map_or(&[][..], Node::items);
        let is_mounted = |v: &&(String, Program)| {
            let name = Some(v.0.as_str());
            mounts.iter().any(|m| m.node.word("name") == name)
        };
        if let Some((_, program)) = volumes.iter().find(is_mounted) {
            let key = format!("{KEY}[{i}]");
            program_container(&mut container.node, &key, *program, workloads, noter);
        }
    }
    let is_proxy = |slot: &Slot| {
        let is_kubectl = slot
            .node
            .word("image")
            .is_some_and(|i| i.contains("kubectl"));
        let words = ["command", "args"].into_iter();
        let words = words
            .filter_map(|k| slot.node.get(k))
            .flat_map(|n| n.items());
        is_kubectl && words.into_iter().any(|w| w.node.str() == Some("proxy"))
    };
    for (i, slot) in list.iter().enumerate().filter(|(_, s)| is_proxy(s)) {
        let message = "the kubectl proxy is not needed: namerd speaks to the API server itself, and nodes do not at all";
        let key = format!("{KEY}[{i}]");
        noter.note(Fate::Dropped, slot.line, &key, message, None);
    }
    list.retain(|slot| !is_proxy(slot));
}

fn program_container(
    container: &mut Node,
    key: &str,
    program: Program,
    workloads: &Workloads,
    noter: &mut Noter<'_>,
) {
    let image = match program {
        Program::Linkerd => &workloads.node_image,
        Program::Namerd => &workloads.namerd_image,
    };
    if let Some(slot) = container.slot("image") {
        let message = format!("{} becomes {image}", slot.node.str().unwrap_or("?"));
        let help = "push that image to a registry of yours, and name it with --node-image or --namerd-image";
        noter.note(
            Fate::Changed,
            slot.line,
            &format!("{key}.image"),
            message,
            Some(help),
        );
    }
    container.set("image", Node::text(image));
    if let Some(slot) = container.slot("command") {
        let message =
            "a command of its own: the image runs the program with the arguments by itself";
        let help = "take `command` out, or let it call the new program";
        noter.note(
            Fate::Decide,
            slot.line,
            &format!("{key}.command"),
            message,
            Some(help),
        );
    }
    if program == Program::Linkerd {
        env(container, key, "NODE_NAME", "spec.nodeName", noter);
        env(container, key, "POD_IP", "status.podIP", noter);
        follow(container, key, workloads, noter);
    }
}

/// An environment variable by the downward API.
fn env(container: &mut Node, key: &str, name: &str, field: &str, noter: &mut Noter<'_>) {
    let list = container.get("env").map_or(&[][..], Node::items);
    if list.iter().any(|e| e.node.word("name") == Some(name)) {
        return;
    }
    let reference = Node::map().with("fieldPath", Node::text(field));
    let from = Node::map().with("fieldRef", reference);
    let variable = Node::map()
        .with("name", Node::text(name))
        .with("valueFrom", from);
    if container.get("env").is_none() {
        container.set("env", Node::list(Vec::new()));
    }
    let line = container.slot("env").map_or(container.line, |s| s.line);
    if let Some(list) = container.get_mut("env").and_then(Node::items_mut) {
        list.push(Slot::new(None, variable));
    }
    let message = format!("{name} from {field}: the node proxy says to namerd on which node it is");
    noter.note(Fate::Added, line, &format!("{key}.env"), message, None);
}

/// Routers that name no namerd follow the one of the command line.
fn follow(container: &mut Node, key: &str, workloads: &Workloads, noter: &mut Noter<'_>) {
    let Some(namerd) = &workloads.namerd else {
        return;
    };
    if container.get("args").is_none() {
        container.set("args", Node::list(Vec::new()));
    }
    let line = container.slot("args").map_or(container.line, |s| s.line);
    if let Some(list) = container.get_mut("args").and_then(Node::items_mut) {
        list.push(Slot::new(None, Node::text("--namerd")));
        list.push(Slot::new(None, Node::text(namerd)));
    }
    let message =
        format!("`--namerd {namerd}`, which routers without an interpreter of their own follow");
    noter.note(Fate::Added, line, &format!("{key}.args"), message, None);
}
