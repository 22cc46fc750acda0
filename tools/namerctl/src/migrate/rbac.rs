//! Roles: what namerd may ask the API server for (Kubernetes 2.1, 10; control plane 12.3).

use super::report::{Fate, Noter};
use super::tree::{Node, Slot};

/// A role's API version, and the rules that namerd needs beside those of 1.x.
pub(crate) fn convert(root: &mut Node, noter: &mut Noter<'_>) -> bool {
    let mut has_changed = super::objects::version(root, "rbac.authorization.k8s.io/v1", noter);
    let has = |root: &Node, name: &str| {
        let rules = root.get("rules").map_or(&[][..], Node::items);
        rules
            .iter()
            .any(|rule| names(&rule.node, "resources").contains(&name))
    };
    if has(root, "endpoints") && !has(root, "endpointslices") {
        add(
            root,
            "discovery.k8s.io",
            &["endpointslices"],
            &["get", "list", "watch"],
            noter,
        );
        if !has(root, "nodes") {
            add(root, "", &["nodes"], &["get", "list", "watch"], noter);
        }
        has_changed = true;
    }
    if has(root, "dtabs") {
        has_changed |= complete_dtabs(root, noter);
    }
    has_changed | ingresses(root, noter)
}

/// The rules for a namerd of our own making.
pub(crate) fn rules() -> [(
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
); 6] {
    [
        (
            "discovery.k8s.io",
            &["endpointslices"],
            &["get", "list", "watch"],
        ),
        ("", &["services", "nodes"], &["get", "list", "watch"]),
        (
            "networking.k8s.io",
            &["ingresses"],
            &["get", "list", "watch"],
        ),
        (
            "l5d.io",
            &["dtabs", "dtabs/status"],
            &[
                "get", "list", "watch", "create", "update", "patch", "delete",
            ],
        ),
        ("authentication.k8s.io", &["tokenreviews"], &["create"]),
        (
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
        ),
    ]
}

fn names<'a>(rule: &'a Node, key: &str) -> Vec<&'a str> {
    let list = rule.get(key).map_or(&[][..], Node::items);
    list.iter().filter_map(|i| i.node.str()).collect()
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Node {
    Node::map()
        .with("apiGroups", Node::words(&[group]))
        .with("resources", Node::words(resources))
        .with("verbs", Node::words(verbs))
}

fn add(root: &mut Node, group: &str, resources: &[&str], verbs: &[&str], noter: &mut Noter<'_>) {
    let line = root.slot("rules").map_or(0, |s| s.line);
    if let Some(list) = root.get_mut("rules").and_then(Node::items_mut) {
        list.push(Slot::new(None, rule(group, resources, verbs)));
    }
    let message = format!(
        "{} {}, which namerd needs",
        verbs.join(", "),
        resources.join(", ")
    );
    noter.note(Fate::Added, line, "rules", message, None);
}

/// namerd patches and deletes dtabs too, and asks who a writer is.
fn complete_dtabs(root: &mut Node, noter: &mut Noter<'_>) -> bool {
    let Some(list) = root.get_mut("rules").and_then(Node::items_mut) else {
        return false;
    };
    let mut missing = Vec::new();
    for slot in list.iter_mut() {
        if !names(&slot.node, "resources").contains(&"dtabs") {
            continue;
        }
        let line = slot.line;
        let have: Vec<String> = names(&slot.node, "verbs")
            .into_iter()
            .map(str::to_owned)
            .collect();
        if let Some(verbs) = slot.node.get_mut("verbs").and_then(Node::items_mut) {
            for verb in ["patch", "delete"] {
                if !have.iter().any(|h| h == verb || h == "*") {
                    verbs.push(Slot::new(None, Node::text(verb)));
                    missing.push((line, verb));
                }
            }
        }
    }
    for (line, verb) in &missing {
        let message = format!("{verb} on dtabs, which namerd needs for writing them");
        noter.note(Fate::Added, *line, "rules", message, None);
    }
    if !missing.is_empty() {
        add(root, "l5d.io", &["dtabs/status"], &["patch"], noter);
        add(
            root,
            "authentication.k8s.io",
            &["tokenreviews"],
            &["create"],
            noter,
        );
        add(
            root,
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
            noter,
        );
    }
    !missing.is_empty()
}

fn ingresses(root: &mut Node, noter: &mut Noter<'_>) -> bool {
    let Some(list) = root.get_mut("rules").and_then(Node::items_mut) else {
        return false;
    };
    let mut has_changed = false;
    for (i, slot) in list.iter_mut().enumerate() {
        let is_old = names(&slot.node, "apiGroups").contains(&"extensions");
        if !is_old || !names(&slot.node, "resources").contains(&"ingresses") {
            continue;
        }
        let groups = Node::words(&["networking.k8s.io"]);
        slot.node.set("apiGroups", groups);
        let key = format!("rules[{i}].apiGroups");
        let message = "Ingress objects are of networking.k8s.io now";
        noter.note(Fate::Changed, slot.line, &key, message, None);
        has_changed = true;
    }
    has_changed
}
