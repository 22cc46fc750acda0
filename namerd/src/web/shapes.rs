//! The JSON of address sets, bound trees and delegations (control plane 7.4 to 7.6, naming 7.1).
//!
//! Written by hand, since the order of members is part of what scripts see, and no intermediate tree is needed.

use l5d_naming::{EndpointSet, EndpointWeight, NameTree, Replicas, Weight, metadata};

use super::reply::json_text;
use crate::bind::{BoundLeaf, Delegation, DelegationKind};

/// A JSON number. Weights are finite.
fn number(value: f64) -> String {
    serde_json::Value::from(value).to_string()
}

/// An address set. `tree_weight` is what its leaf was bound under, for answers that know a tree.
pub fn addr(replicas: &Replicas, tree_weight: Option<Weight>) -> String {
    match replicas {
        Replicas::Pending => r#"{"type":"pending"}"#.to_owned(),
        Replicas::Neg => r#"{"type":"neg"}"#.to_owned(),
        Replicas::Failed(cause) => format!(r#"{{"type":"failed","cause":{}}}"#, json_text(cause)),
        Replicas::Bound(set) => bound(set, tree_weight),
    }
}

fn bound(set: &EndpointSet, tree_weight: Option<Weight>) -> String {
    let addrs: Vec<String> = set
        .endpoints()
        .iter()
        .map(|endpoint| {
            let mut meta = Members::default();
            if let Some(node) = &endpoint.node {
                meta.text(metadata::NODE_NAME, node);
            }
            if endpoint.weight != EndpointWeight::ONE {
                meta.raw(metadata::ENDPOINT_WEIGHT, &number(endpoint.weight.to_f64()));
            }
            if let Some(zone) = &endpoint.zone {
                meta.text("zone", zone);
            }
            for (key, value) in endpoint.metadata.iter().flat_map(|m| m.iter()) {
                meta.text(key, value);
            }
            format!(
                r#"{{"ip":"{}","port":{},"meta":{}}}"#,
                endpoint.addr.ip(),
                endpoint.addr.port(),
                meta.close(),
            )
        })
        .collect();
    let mut meta = Members::default();
    if let Some(authority) = set.authority() {
        meta.text(metadata::AUTHORITY, authority);
    }
    if let Some(weight) = tree_weight {
        meta.raw(metadata::TREE_WEIGHT, &number(weight.value()));
    }
    format!(
        r#"{{"type":"bound","addrs":[{}],"meta":{}}}"#,
        addrs.join(","),
        meta.close(),
    )
}

/// A bound tree with the addresses of now.
pub fn bound_tree(tree: &NameTree<BoundLeaf>) -> String {
    match tree {
        NameTree::Neg => r#"{"type":"neg"}"#.to_owned(),
        NameTree::Fail => r#"{"type":"fail"}"#.to_owned(),
        NameTree::Empty => r#"{"type":"empty"}"#.to_owned(),
        NameTree::Leaf(leaf) => {
            let replicas = &leaf.cluster.replicas.get().1;
            format!(
                r#"{{"type":"leaf","bound":{}}}"#,
                bound_name(leaf, replicas)
            )
        }
        NameTree::Alt(trees) => {
            let trees: Vec<_> = trees.iter().map(bound_tree).collect();
            format!(r#"{{"type":"alt","alt":[{}]}}"#, trees.join(","))
        }
        NameTree::Union(branches) => {
            let branches: Vec<_> = branches
                .iter()
                .map(|b| {
                    let weight = number(b.weight.value());
                    format!(r#"{{"weight":{weight},"tree":{}}}"#, bound_tree(&b.tree))
                })
                .collect();
            format!(r#"{{"type":"union","union":[{}]}}"#, branches.join(","))
        }
    }
}

fn bound_name(leaf: &BoundLeaf, replicas: &Replicas) -> String {
    format!(
        r#"{{"addr":{},"id":{},"path":{}}}"#,
        addr(replicas, leaf.tree_weight),
        json_text(&leaf.cluster.id.to_string()),
        json_text(&leaf.residual.to_string()),
    )
}

/// A delegation tree.
pub fn delegation(node: &Delegation) -> String {
    let mut members = Members::default();
    members.text("type", type_of(&node.kind));
    members.text("path", &node.path);
    let is_transformation = matches!(node.kind, DelegationKind::Transformation { .. });
    // A transformation has no dentry in this form (naming 7.1).
    if let Some((rule, ..)) = node.rule.as_ref().filter(|_| !is_transformation) {
        let mut dentry = Members::default();
        dentry.text("prefix", &rule.prefix.to_string());
        dentry.text("dst", &rule.dst.to_string());
        members.raw("dentry", &dentry.close());
    }
    match &node.kind {
        DelegationKind::Empty | DelegationKind::Fail | DelegationKind::Neg => {}
        DelegationKind::Exception(message) => members.text("message", message),
        DelegationKind::Delegate(next) => members.raw("delegate", &delegation(next)),
        DelegationKind::Alt(nodes) => {
            let nodes: Vec<_> = nodes.iter().map(delegation).collect();
            members.raw("alt", &format!("[{}]", nodes.join(",")));
        }
        DelegationKind::Union(branches) => {
            let branches: Vec<_> = branches
                .iter()
                .map(|(weight, node)| {
                    let weight = number(weight.value());
                    format!(r#"{{"weight":{weight},"tree":{}}}"#, delegation(node))
                })
                .collect();
            members.raw("union", &format!("[{}]", branches.join(",")));
        }
        DelegationKind::Leaf { leaf, replicas } => {
            members.raw("bound", &bound_name(leaf, replicas));
        }
        DelegationKind::Transformation {
            name,
            before: (leaf, replicas),
            after,
        } => {
            members.text("name", name);
            members.raw("bound", &bound_name(leaf, replicas));
            members.raw("tree", &delegation(after));
        }
    }
    members.close()
}

fn type_of(kind: &DelegationKind) -> &'static str {
    match kind {
        DelegationKind::Empty => "empty",
        DelegationKind::Fail => "fail",
        DelegationKind::Neg => "neg",
        DelegationKind::Exception(_) => "exception",
        DelegationKind::Delegate(_) => "delegate",
        DelegationKind::Alt(_) => "alt",
        DelegationKind::Union(_) => "union",
        DelegationKind::Leaf { .. } => "leaf",
        DelegationKind::Transformation { .. } => "transformation",
    }
}

/// A JSON object in the making; a name that is there already is left out.
#[derive(Default)]
struct Members(Vec<(String, String)>);

impl Members {
    fn raw(&mut self, name: &str, json: &str) {
        let name = json_text(name);
        if !self.0.iter().any(|(n, _)| *n == name) {
            self.0.push((name, json.to_owned()));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &json_text(text));
    }

    fn close(self) -> String {
        let members: Vec<_> = self
            .0
            .into_iter()
            .map(|(n, v)| format!("{n}:{v}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}
