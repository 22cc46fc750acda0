//! Trees, paths and endpoints as thrift has them: nodes in a map, each naming its children by number (control plane 5).

use std::net::IpAddr;

use bytes::Bytes;
use l5d_naming::{BoundTree, Elem, EndpointWeight, NameTree, Path, Replicas, Weight, Weighted};

use super::value::{BINARY, I32, STRUCT, Value};
use crate::bind::{BoundLeaf, Delegation, DelegationKind};

/// Deepest tree that is read.
const DEPTH: usize = 64;
/// Most nodes that are read.
const NODES: usize = 10_000;

/// Nodes by number, the root apart.
#[derive(Default)]
struct Nodes(Vec<(Value, Value)>);

impl Nodes {
    fn add(&mut self, node: Value) -> Value {
        let number = Value::I32(self.0.len() as i32 + 1);
        self.0.push((number.clone(), node));
        number
    }

    fn tree(self, root: Value) -> Value {
        let nodes = Value::Map(I32, STRUCT, self.0);
        Value::Struct(vec![(1, root), (2, nodes)])
    }
}

fn union(id: i16, value: Value) -> Value {
    Value::Struct(vec![(id, value)])
}

fn weighted(branches: Vec<(f64, Value)>) -> Value {
    let branch = |(weight, id)| Value::Struct(vec![(1, Value::Double(weight)), (2, id)]);
    Value::List(STRUCT, branches.into_iter().map(branch).collect())
}

/// A path's labels.
pub(super) fn path(path: &Path) -> Value {
    let label = |elem: &Elem| Value::Binary(Bytes::copy_from_slice(elem.as_bytes()));
    Value::List(BINARY, path.elems().iter().map(label).collect())
}

/// A path from its labels; `None` if it is none.
pub(super) fn read_path(value: Option<&Value>) -> Option<Path> {
    let Some(Value::List(_, labels)) = value else {
        return None;
    };
    let label = |value: &Value| match value {
        Value::Binary(bytes) => Elem::new(bytes),
        _ => None,
    };
    let elems: Option<Vec<_>> = labels.iter().map(label).collect();
    Some(Path::from_elems(elems?))
}

/// `BoundTree`.
pub(super) fn bound_tree(tree: &BoundTree) -> Value {
    let mut nodes = Nodes::default();
    let root = bound_node(tree, &mut nodes);
    nodes.tree(root)
}

fn bound_node(tree: &BoundTree, nodes: &mut Nodes) -> Value {
    match tree {
        NameTree::Neg => union(1, Value::void()),
        NameTree::Empty => union(2, Value::void()),
        NameTree::Fail => union(3, Value::void()),
        NameTree::Leaf(name) => union(4, bound_name(&name.id.0, &name.residual)),
        NameTree::Alt(trees) => {
            let mut ids = Vec::new();
            for tree in trees {
                let node = bound_node(tree, nodes);
                ids.push(nodes.add(node));
            }
            union(5, Value::List(I32, ids))
        }
        NameTree::Union(branches) => {
            let mut ids = Vec::new();
            for branch in branches {
                let node = bound_node(&branch.tree, nodes);
                ids.push((branch.weight.value(), nodes.add(node)));
            }
            union(6, weighted(ids))
        }
    }
}

fn bound_name(id: &Path, residual: &Path) -> Value {
    Value::Struct(vec![(1, path(id)), (2, path(residual))])
}

/// `AddrVal`: endpoints, or that there are none. `None`: neither is known.
pub(super) fn addr_value(replicas: &Replicas) -> Option<Value> {
    let set = match replicas {
        Replicas::Neg => return Some(union(2, Value::void())),
        Replicas::Bound(set) => set,
        Replicas::Pending | Replicas::Failed(_) => return None,
    };
    let endpoint = |endpoint: &l5d_naming::Endpoint| {
        let ip = match endpoint.addr.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let mut fields = vec![
            (1, Value::Binary(ip.into())),
            (2, Value::I32(endpoint.addr.port().into())),
        ];
        let mut meta = Vec::new();
        if let Some(node) = &endpoint.node {
            meta.push((2, Value::text(node)));
        }
        if endpoint.weight != EndpointWeight::ONE {
            meta.push((3, Value::Double(endpoint.weight.to_f64())));
        }
        if !meta.is_empty() {
            fields.push((3, Value::Struct(meta)));
        }
        Value::Struct(fields)
    };
    let endpoints = set.endpoints().iter().map(endpoint).collect();
    let mut fields = vec![(1, Value::Set(STRUCT, endpoints))];
    if let Some(authority) = set.authority() {
        let meta = Value::Struct(vec![(1, Value::text(authority))]);
        fields.push((2, meta));
    }
    Some(union(1, Value::Struct(fields)))
}

/// `DelegateTree` of an answer.
pub(super) fn delegate_tree(delegation: &Delegation) -> Value {
    let mut nodes = Nodes::default();
    let root = delegate_node(delegation, &mut nodes);
    nodes.tree(root)
}

fn delegate_node(delegation: &Delegation, nodes: &mut Nodes) -> Value {
    let leaf = |leaf: &BoundLeaf| bound_name(&leaf.cluster.id.0, &leaf.residual);
    let contents = match &delegation.kind {
        DelegationKind::Exception(why) => union(1, Value::text(why)),
        DelegationKind::Empty => union(2, Value::void()),
        DelegationKind::Fail => union(3, Value::void()),
        DelegationKind::Neg => union(4, Value::void()),
        DelegationKind::Delegate(next) => {
            let node = delegate_node(next, nodes);
            union(5, nodes.add(node))
        }
        DelegationKind::Leaf { leaf: bound, .. } => union(6, leaf(bound)),
        DelegationKind::Alt(branches) => {
            let mut ids = Vec::new();
            for branch in branches {
                let node = delegate_node(branch, nodes);
                ids.push(nodes.add(node));
            }
            union(8, Value::List(I32, ids))
        }
        DelegationKind::Union(branches) => {
            let mut ids = Vec::new();
            for (weight, branch) in branches {
                let node = delegate_node(branch, nodes);
                ids.push((weight.value(), nodes.add(node)));
            }
            union(9, weighted(ids))
        }
        DelegationKind::Transformation { before, after, .. } => {
            let node = delegate_node(after, nodes);
            let fields = vec![(1, leaf(&before.0)), (2, nodes.add(node))];
            union(10, Value::Struct(fields))
        }
    };
    let rule = delegation.rule.as_ref();
    let rule = rule.map_or_else(|| NO_RULE.to_owned(), |(dentry, ..)| dentry.to_string());
    let shown = Path::parse(&delegation.path).unwrap_or_else(|_| {
        let label = Elem::new(delegation.path.as_bytes());
        Path::from_elems(label.into_iter().collect::<Vec<_>>())
    });
    Value::Struct(vec![
        (1, path(&shown)),
        (2, Value::text(rule)),
        (3, contents),
    ])
}

/// What stands where no rule led.
const NO_RULE: &str = "/\\x2f=>~";

/// The names of a `DelegateTree` that is asked for; `None` if it is none.
pub(super) fn read_tree(tree: &Value) -> Option<NameTree<Path>> {
    let mut left = NODES;
    read_node(tree.field(1)?, tree, DEPTH, &mut left)
}

fn read_node(node: &Value, tree: &Value, depth: usize, left: &mut usize) -> Option<NameTree<Path>> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    let mut child = |id: &Value| {
        let Some(Value::Map(_, _, nodes)) = tree.field(2) else {
            return None;
        };
        let (_, node) = nodes.iter().find(|(number, _)| number == id)?;
        read_node(node, tree, depth, left)
    };
    let Value::Struct(contents) = node.field(3)? else {
        return None;
    };
    Some(match contents.first()? {
        (2, _) => NameTree::Empty,
        (3, _) => NameTree::Fail,
        (4, _) => NameTree::Neg,
        (5, id) => child(id)?,
        (7, path) => NameTree::Leaf(read_path(Some(path))?),
        (8, Value::List(_, ids)) => {
            NameTree::Alt(ids.iter().map(child).collect::<Option<Vec<_>>>()?)
        }
        (9, Value::List(_, branches)) => {
            let branch = |branch: &Value| {
                let Some(Value::Double(weight)) = branch.field(1) else {
                    return None;
                };
                Some(Weighted {
                    weight: Weight::new(*weight)?,
                    tree: child(branch.field(2)?)?,
                })
            };
            NameTree::Union(branches.iter().map(branch).collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    })
}
