//! Trees, texts, transformers and states to and from messages. A text that does not read is an error that names its field.

use l5d_naming::{
    ClusterId, Dtab, Endpoint, NameTree, ParseError, Path, Replicas, TransformerSpec, Weight,
    Weighted, limits,
};

use crate::hash::cluster_hash;
use crate::v1;
use crate::v1::node::Node as Kind;

/// A text of a message that does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {source}")]
pub struct BadText {
    /// The field's name.
    pub field: &'static str,
    /// What was expected, and where.
    pub source: ParseError,
}

/// Reads a path of a message.
pub fn read_path(field: &'static str, text: &str) -> Result<Path, BadText> {
    Path::parse(text).map_err(|source| BadText { field, source })
}

/// Reads a dtab of a message.
pub fn read_dtab(field: &'static str, text: &str) -> Result<Dtab, BadText> {
    Dtab::parse(text).map_err(|source| BadText { field, source })
}

// ---- trees -----------------------------------------------------------------------------------------------------------

/// A tree that no message can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsentTree {
    /// Bound trees have no alternatives.
    #[error("a bound tree has alternatives; bind chooses among them")]
    Alternatives,
    /// Readers of protobuf would refuse the message.
    #[error(
        "a bound tree nests unions deeper than {} levels",
        limits::BIND_NESTING
    )]
    TooDeep,
}

/// A message that is no tree. What was there before stays in use.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadNode {
    /// Its kind is missing, or from a later release.
    #[error("a tree has a node of unknown kind")]
    Unknown,
    /// A weight is negative or not finite.
    #[error("a union has the weight {0}; give a finite number that is not negative")]
    Weight(f64),
    /// A leaf names a number that was not told before (RES-2).
    #[error("a leaf names cluster {0}, which was not told before")]
    Cluster(u32),
    /// A leaf's text does not read.
    #[error("a leaf's {0}")]
    Text(#[from] BadText),
}

/// The message of a tree; `leaf` gives that of a leaf (with its cluster's number in `Follow`, with its id for tools).
pub fn node_of<T>(
    tree: &NameTree<T>,
    leaf: &mut impl FnMut(&T) -> v1::Leaf,
) -> Result<v1::Node, UnsentTree> {
    node_within(tree, leaf, limits::BIND_NESTING)
}

fn node_within<T>(
    tree: &NameTree<T>,
    leaf: &mut impl FnMut(&T) -> v1::Leaf,
    depth: usize,
) -> Result<v1::Node, UnsentTree> {
    let kind = match tree {
        NameTree::Neg => Kind::Neg(v1::Nothing {}),
        NameTree::Fail => Kind::Fail(v1::Nothing {}),
        NameTree::Empty => Kind::Empty(v1::Nothing {}),
        NameTree::Leaf(x) => Kind::Leaf(leaf(x)),
        NameTree::Alt(_) => return Err(UnsentTree::Alternatives),
        NameTree::Union(branches) => {
            let depth = depth.checked_sub(1).ok_or(UnsentTree::TooDeep)?;
            let branches = branches.iter().map(|branch| {
                Ok(v1::Branch {
                    weight: branch.weight.value(),
                    node: Some(node_within(&branch.tree, leaf, depth)?),
                })
            });
            let branches = branches.collect::<Result<_, _>>()?;
            Kind::Union(v1::Union { branches })
        }
    };
    Ok(v1::Node { node: Some(kind) })
}

/// The tree of a message; `leaf` reads a leaf. A message's nesting is bounded by its decoder.
pub fn tree_of<T>(
    node: &v1::Node,
    leaf: &mut impl FnMut(&v1::Leaf) -> Result<T, BadNode>,
) -> Result<NameTree<T>, BadNode> {
    Ok(match node.node.as_ref().ok_or(BadNode::Unknown)? {
        Kind::Neg(_) => NameTree::Neg,
        Kind::Fail(_) => NameTree::Fail,
        Kind::Empty(_) => NameTree::Empty,
        Kind::Leaf(x) => NameTree::Leaf(leaf(x)?),
        Kind::Union(union) => {
            let branches = union.branches.iter().map(|branch| {
                let node = branch.node.as_ref().ok_or(BadNode::Unknown)?;
                Ok(Weighted {
                    weight: Weight::new(branch.weight).ok_or(BadNode::Weight(branch.weight))?,
                    tree: tree_of(node, leaf)?,
                })
            });
            NameTree::Union(branches.collect::<Result<_, BadNode>>()?)
        }
    })
}

// ---- states ----------------------------------------------------------------------------------------------------------

/// The kind of a state.
pub fn state(replicas: &Replicas) -> v1::State {
    match replicas {
        Replicas::Pending => v1::State::Pending,
        Replicas::Neg => v1::State::Neg,
        Replicas::Failed(_) => v1::State::Failed,
        Replicas::Bound(_) => v1::State::Bound,
    }
}

/// A state for tools: with names of machines, zones and all metadata (resolver API 9).
pub fn resolved_cluster(id: &ClusterId, replicas: &Replicas) -> v1::ResolvedCluster {
    let mut cluster = v1::ResolvedCluster {
        id: id.to_string(),
        state: state(replicas).into(),
        hash: cluster_hash(replicas),
        ..v1::ResolvedCluster::default()
    };
    match replicas {
        Replicas::Pending | Replicas::Neg => {}
        Replicas::Failed(message) => cluster.message = message.to_string(),
        Replicas::Bound(set) => {
            cluster.authority = set.authority().map_or(String::new(), ToString::to_string);
            cluster.endpoints = set.endpoints().iter().map(Into::into).collect();
        }
    }
    cluster
}

impl From<&Endpoint> for v1::ResolvedEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("").to_owned();
        let metadata = endpoint.metadata.iter().flat_map(|map| map.iter());
        Self {
            ip: endpoint.addr.ip().to_string(),
            port: endpoint.addr.port().into(),
            weight: endpoint.weight.to_f64(),
            node: text(&endpoint.node),
            zone: text(&endpoint.zone),
            metadata: metadata.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

// ---- transformers ----------------------------------------------------------------------------------------------------

impl From<&TransformerSpec> for v1::Transformer {
    fn from(spec: &TransformerSpec) -> Self {
        // Without `..`: a new key must not be forgotten here.
        let TransformerSpec {
            kind,
            prefix,
            namespace,
            service,
            port,
            host,
            path,
            netmask,
            host_network,
            missing_gateway,
        } = spec.clone();
        Self {
            kind,
            prefix,
            namespace,
            service,
            port,
            host,
            path,
            netmask,
            host_network,
            missing_gateway,
        }
    }
}

impl From<v1::Transformer> for TransformerSpec {
    fn from(message: v1::Transformer) -> Self {
        let v1::Transformer {
            kind,
            prefix,
            namespace,
            service,
            port,
            host,
            path,
            netmask,
            host_network,
            missing_gateway,
        } = message;
        Self {
            kind,
            prefix,
            namespace,
            service,
            port,
            host,
            path,
            netmask,
            host_network,
            missing_gateway,
        }
    }
}
