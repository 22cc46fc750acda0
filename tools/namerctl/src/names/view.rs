//! A resolved name for documents and for reading.

use std::collections::BTreeMap;

use l5d_resolver::v1::{self, node};
use serde::Serialize;

use crate::output::paint::{self, BAD, DIM, GOOD, MARKED, TITLE};
use crate::output::table::table;
use crate::output::{Format, Output};

/// What a path is.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resolved {
    tree: Tree,
    pub(super) clusters: Vec<Cluster>,
    age_ms: u64,
}

#[derive(Serialize, Debug, Clone, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Tree {
    Neg,
    Fail,
    Empty,
    Leaf { id: String, residual: String },
    Union { branches: Vec<Branch> },
}

#[derive(Serialize, Debug, Clone, PartialEq)]
struct Branch {
    weight: f64,
    tree: Tree,
}

#[derive(Serialize, Debug)]
pub(super) struct Cluster {
    pub(super) id: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    authority: String,
    /// The content's, as namerd's pages show it.
    hash: String,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Serialize, Debug, Clone, PartialEq)]
pub(super) struct Endpoint {
    ip: String,
    port: u32,
    pub(super) weight: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) node: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    zone: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl From<v1::Resolved> for Resolved {
    fn from(wire: v1::Resolved) -> Self {
        Self {
            tree: wire.tree.map_or(Tree::Neg, Tree::from),
            clusters: wire.clusters.into_iter().map(Cluster::from).collect(),
            age_ms: wire.age_ms,
        }
    }
}

impl From<v1::Node> for Tree {
    fn from(wire: v1::Node) -> Self {
        match wire.node {
            Some(node::Node::Leaf(leaf)) => Tree::Leaf {
                id: leaf.id,
                residual: leaf.residual,
            },
            Some(node::Node::Union(union)) => {
                let branch = |b: v1::Branch| Branch {
                    weight: b.weight,
                    tree: b.node.map_or(Tree::Neg, Tree::from),
                };
                let branches = union.branches.into_iter().map(branch).collect();
                Tree::Union { branches }
            }
            Some(node::Node::Fail(_)) => Tree::Fail,
            Some(node::Node::Empty(_)) => Tree::Empty,
            Some(node::Node::Neg(_)) | None => Tree::Neg,
        }
    }
}

impl From<v1::ResolvedCluster> for Cluster {
    fn from(wire: v1::ResolvedCluster) -> Self {
        let state = match wire.state() {
            v1::State::Pending => "pending",
            v1::State::Neg => "neg",
            v1::State::Failed => "failed",
            v1::State::Bound => "bound",
        };
        Self {
            id: wire.id,
            state,
            message: wire.message,
            authority: wire.authority,
            hash: format!("{:016x}", wire.hash),
            endpoints: wire.endpoints.into_iter().map(Endpoint::from).collect(),
        }
    }
}

impl From<v1::ResolvedEndpoint> for Endpoint {
    fn from(wire: v1::ResolvedEndpoint) -> Self {
        Self {
            ip: wire.ip,
            port: wire.port,
            weight: wire.weight,
            node: wire.node,
            zone: wire.zone,
            metadata: wire.metadata.into_iter().collect(),
        }
    }
}

impl Endpoint {
    /// As it is dialled.
    pub(super) fn address(&self) -> String {
        match self.ip.contains(':') {
            true => format!("[{}]:{}", self.ip, self.port),
            false => format!("{}:{}", self.ip, self.port),
        }
    }
}

impl Cluster {
    /// How it is, in a few words.
    pub(super) fn state(&self) -> String {
        match (self.state, self.endpoints.len()) {
            ("bound", 0) => paint::with(MARKED, "no endpoints"),
            ("bound", 1) => paint::with(GOOD, "1 endpoint"),
            ("bound", n) => paint::with(GOOD, format_args!("{n} endpoints")),
            ("neg", _) => paint::with(MARKED, "no such thing"),
            ("failed", _) => paint::with(BAD, format_args!("failed: {}", self.message)),
            (other, _) => paint::with(MARKED, other),
        }
    }
}

impl Resolved {
    /// The tree with the state of each leaf, then every address.
    pub(super) fn text(&self, output: Output, format: Format) -> String {
        if format == Format::Name {
            let all = self.clusters.iter().flat_map(|c| &c.endpoints);
            return all.map(|e| format!("{}\n", e.address())).collect();
        }
        let mut out = self.tree();
        let endpoints = self.endpoints(output, format);
        if !endpoints.is_empty() {
            out.push_str(&format!("\n{endpoints}"));
        }
        out
    }

    /// The tree alone.
    pub(super) fn tree(&self) -> String {
        let mut out = String::new();
        self.show(&self.tree, "", &mut out);
        out
    }

    /// Whether both have the same tree.
    pub(super) fn has_tree_of(&self, other: &Self) -> bool {
        self.tree == other.tree
    }

    /// Every address as a table; nothing if there is none.
    pub(super) fn endpoints(&self, output: Output, format: Format) -> String {
        let mut rows = Vec::new();
        for (cluster, e) in self
            .clusters
            .iter()
            .flat_map(|c| c.endpoints.iter().map(move |e| (c, e)))
        {
            let mut row = vec![e.address(), e.weight.to_string(), e.node.clone()];
            if format == Format::Wide {
                let metadata = e.metadata.iter().map(|(k, v)| format!("{k}={v}"));
                let metadata: Vec<_> = metadata.collect();
                row.extend([e.zone.clone(), cluster.id.clone(), metadata.join(",")]);
            } else if self.clusters.len() > 1 {
                row.push(cluster.id.clone());
            }
            rows.push(row);
        }
        let titles: &[&str] = match (format, self.clusters.len()) {
            (Format::Wide, _) => &["ADDRESS", "WEIGHT", "NODE", "ZONE", "CLUSTER", "METADATA"],
            (_, 0 | 1) => &["ADDRESS", "WEIGHT", "NODE"],
            _ => &["ADDRESS", "WEIGHT", "NODE", "CLUSTER"],
        };
        match rows.is_empty() {
            true => String::new(),
            false => table(output, titles, &rows),
        }
    }

    fn show(&self, tree: &Tree, indent: &str, out: &mut String) {
        match tree {
            Tree::Leaf { id, residual } => {
                let rest = match residual.as_str() {
                    "/" | "" => String::new(),
                    residual => paint::with(DIM, format_args!("  rest {residual}")),
                };
                let cluster = self.clusters.iter().find(|c| c.id == *id);
                let state = cluster.map_or(String::new(), |c| format!("  {}", c.state()));
                out.push_str(&format!(
                    "{indent}{}{rest}{state}\n",
                    paint::with(TITLE, id)
                ));
            }
            Tree::Union { branches } => {
                let sum: f64 = branches.iter().map(|b| b.weight).sum();
                for branch in branches {
                    let share = if sum > 0.0 {
                        branch.weight / sum * 100.0
                    } else {
                        0.0
                    };
                    out.push_str(&format!("{indent}{} ({share:.0} %) of\n", branch.weight));
                    self.show(&branch.tree, &format!("{indent}  "), out);
                }
            }
            Tree::Neg => out.push_str(&format!(
                "{indent}{}\n",
                paint::with(MARKED, "~ (no such name)")
            )),
            Tree::Fail => out.push_str(&format!(
                "{indent}{}\n",
                paint::with(BAD, "! (stopped by a rule)")
            )),
            Tree::Empty => out.push_str(&format!(
                "{indent}{}\n",
                paint::with(MARKED, "$ (exists, nobody home)")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(id: &str) -> v1::Node {
        v1::Node {
            node: Some(node::Node::Leaf(v1::Leaf {
                id: id.to_owned(),
                residual: "/x".to_owned(),
                cluster: 0,
            })),
        }
    }

    #[test]
    fn a_union_is_shown_with_its_shares_and_the_addresses_below() {
        let branch = |weight, id| v1::Branch {
            weight,
            node: Some(leaf(id)),
        };
        let branches = vec![branch(0.9, "/#/a"), branch(0.3, "/#/b")];
        let endpoint = v1::ResolvedEndpoint {
            ip: "fd00::1".to_owned(),
            port: 80,
            weight: 1.5,
            node: "node-1".to_owned(),
            ..Default::default()
        };
        let cluster = |id: &str, state: v1::State, endpoints| v1::ResolvedCluster {
            id: id.to_owned(),
            state: state.into(),
            endpoints,
            ..Default::default()
        };
        let resolved = Resolved::from(v1::Resolved {
            tree: Some(v1::Node {
                node: Some(node::Node::Union(v1::Union { branches })),
            }),
            clusters: vec![
                cluster("/#/a", v1::State::Neg, vec![]),
                cluster("/#/b", v1::State::Bound, vec![endpoint]),
            ],
            ..Default::default()
        });
        let output = Output {
            format: None,
            headers: true,
        };
        let text = resolved.text(output, Format::Table);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let shown = "0.9 (75 %) of\n  /#/a  rest /x  no such thing\n0.3 (25 %) of\n  /#/b  rest /x  1 endpoint\n\n\
                     ADDRESS        WEIGHT   NODE     CLUSTER\n[fd00::1]:80   1.5      node-1   /#/b\n";
        assert_eq!(plain, shown);
        assert_eq!(resolved.text(output, Format::Name), "[fd00::1]:80\n");
    }
}
