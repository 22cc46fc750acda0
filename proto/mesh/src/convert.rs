//! Paths, trees and dtabs to and from messages (control plane 4.2, 4.3).

use l5d_naming::{
    BoundName, BoundTree, ClusterId, Dentry, Dtab, Elem, NameTree, Path, Prefix, PrefixElem,
    Weight, Weighted,
};

use crate::v1;
use crate::v1::bound_name_tree::Node as BoundNode;
use crate::v1::bound_name_tree::union::Weighted as BoundWeighted;
use crate::v1::dtab::dentry::Prefix as PrefixMessage;
use crate::v1::dtab::dentry::prefix::{Elem as PrefixElemMessage, elem};
use crate::v1::path_name_tree::Node as PathNode;
use crate::v1::path_name_tree::union::Weighted as PathWeighted;

/// A message without a meaning; the caller's fault.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadMessage {
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A path or prefix has a label of no bytes.
    #[error("{0} has an empty label")]
    EmptyLabel(&'static str),
    /// A weight is negative or not finite.
    #[error("weight {0}: give a finite number that is not negative")]
    Weight(f64),
    /// An endpoint's address has a length that its family has not.
    #[error("an endpoint address of {0} bytes: give 4 for INET4, 16 for INET6")]
    Address(usize),
    /// An endpoint's family is unknown.
    #[error("endpoint address family {0} is unknown")]
    Family(i32),
    /// An endpoint's port is none.
    #[error("endpoint port {0} is not between 0 and 65535")]
    Port(i32),
}

// === paths and prefixes ===

impl From<&Path> for v1::Path {
    fn from(path: &Path) -> Self {
        let elems = path.elems().iter();
        let elems = elems.map(|e| e.as_bytes().to_vec().into()).collect();
        Self { elems }
    }
}

impl TryFrom<&v1::Path> for Path {
    type Error = BadMessage;

    fn try_from(path: &v1::Path) -> Result<Self, BadMessage> {
        let elems = path.elems.iter();
        let elems = elems.map(|e| Elem::new(e).ok_or(BadMessage::EmptyLabel("path")));
        Ok(Path::from_elems(elems.collect::<Result<Vec<_>, _>>()?))
    }
}

impl From<&Prefix> for PrefixMessage {
    fn from(prefix: &Prefix) -> Self {
        let value = |elem: &PrefixElem| match elem {
            PrefixElem::Any => elem::Value::Wildcard(elem::Wildcard {}),
            PrefixElem::Is(elem) => elem::Value::Label(elem.as_bytes().to_vec().into()),
        };
        let elems = prefix.elems().iter().map(|e| PrefixElemMessage {
            value: Some(value(e)),
        });
        Self {
            elems: elems.collect(),
        }
    }
}

impl TryFrom<&PrefixMessage> for Prefix {
    type Error = BadMessage;

    fn try_from(prefix: &PrefixMessage) -> Result<Self, BadMessage> {
        let elems = prefix.elems.iter().map(|e| match &e.value {
            Some(elem::Value::Wildcard(_)) => Ok(PrefixElem::Any),
            Some(elem::Value::Label(label)) => Elem::new(label)
                .map(PrefixElem::Is)
                .ok_or(BadMessage::EmptyLabel("prefix")),
            None => Err(BadMessage::Missing("prefix element")),
        });
        Ok(Prefix::from_elems(elems.collect::<Result<Vec<_>, _>>()?))
    }
}

// === trees of paths ===

impl From<&NameTree<Path>> for v1::PathNameTree {
    fn from(tree: &NameTree<Path>) -> Self {
        use v1::path_name_tree::{Alt, Empty, Fail, Leaf, Neg, Union};
        let node = match tree {
            NameTree::Neg => PathNode::Neg(Neg {}),
            NameTree::Fail => PathNode::Fail(Fail {}),
            NameTree::Empty => PathNode::Empty(Empty {}),
            NameTree::Alt(trees) => PathNode::Alt(Alt {
                trees: trees.iter().map(Into::into).collect(),
            }),
            NameTree::Union(branches) => {
                let trees = branches.iter().map(|b| PathWeighted {
                    weight: Some(b.weight.value()),
                    tree: Some((&b.tree).into()),
                });
                PathNode::Union(Union {
                    trees: trees.collect(),
                })
            }
            NameTree::Leaf(path) => PathNode::Leaf(Leaf {
                id: Some(path.into()),
            }),
        };
        Self { node: Some(node) }
    }
}

impl TryFrom<&v1::PathNameTree> for NameTree<Path> {
    type Error = BadMessage;

    fn try_from(tree: &v1::PathNameTree) -> Result<Self, BadMessage> {
        Ok(match required(&tree.node, "tree node")? {
            PathNode::Neg(_) => NameTree::Neg,
            PathNode::Fail(_) => NameTree::Fail,
            PathNode::Empty(_) => NameTree::Empty,
            PathNode::Alt(alt) => {
                let trees = alt.trees.iter().map(TryInto::try_into);
                NameTree::Alt(trees.collect::<Result<_, _>>()?)
            }
            PathNode::Union(union) => {
                let branches = union.trees.iter();
                let branches = branches.map(|b| branch(b.weight, &b.tree));
                NameTree::Union(branches.collect::<Result<_, _>>()?)
            }
            PathNode::Leaf(leaf) => NameTree::Leaf(required(&leaf.id, "leaf id")?.try_into()?),
        })
    }
}

// === bound trees ===

impl From<&BoundTree> for v1::BoundNameTree {
    fn from(tree: &BoundTree) -> Self {
        use v1::bound_name_tree::{Alt, Empty, Fail, Leaf, Neg, Union};
        let node = match tree {
            NameTree::Neg => BoundNode::Neg(Neg {}),
            NameTree::Fail => BoundNode::Fail(Fail {}),
            NameTree::Empty => BoundNode::Empty(Empty {}),
            NameTree::Alt(trees) => BoundNode::Alt(Alt {
                trees: trees.iter().map(Into::into).collect(),
            }),
            NameTree::Union(branches) => {
                let trees = branches.iter().map(|b| BoundWeighted {
                    weight: Some(b.weight.value()),
                    tree: Some((&b.tree).into()),
                });
                BoundNode::Union(Union {
                    trees: trees.collect(),
                })
            }
            NameTree::Leaf(name) => BoundNode::Leaf(Leaf {
                id: Some((&name.id.0).into()),
                residual: Some((&name.residual).into()),
            }),
        };
        Self { node: Some(node) }
    }
}

impl TryFrom<&v1::BoundNameTree> for BoundTree {
    type Error = BadMessage;

    fn try_from(tree: &v1::BoundNameTree) -> Result<Self, BadMessage> {
        Ok(match required(&tree.node, "bound tree node")? {
            BoundNode::Neg(_) => NameTree::Neg,
            BoundNode::Fail(_) => NameTree::Fail,
            BoundNode::Empty(_) => NameTree::Empty,
            BoundNode::Alt(alt) => {
                let trees = alt.trees.iter().map(TryInto::try_into);
                NameTree::Alt(trees.collect::<Result<_, _>>()?)
            }
            BoundNode::Union(union) => {
                let branches = union.trees.iter();
                let branches = branches.map(|b| branch(b.weight, &b.tree));
                NameTree::Union(branches.collect::<Result<_, _>>()?)
            }
            BoundNode::Leaf(leaf) => NameTree::Leaf(BoundName {
                id: ClusterId(required(&leaf.id, "leaf id")?.try_into()?),
                residual: match &leaf.residual {
                    Some(residual) => residual.try_into()?,
                    None => Path::root(),
                },
            }),
        })
    }
}

/// One branch of a union; an absent weight is zero, as every absent scalar.
fn branch<'a, T, M>(weight: Option<f64>, tree: &'a Option<M>) -> Result<Weighted<T>, BadMessage>
where
    NameTree<T>: TryFrom<&'a M, Error = BadMessage>,
{
    let weight = weight.unwrap_or_default();
    Ok(Weighted {
        weight: Weight::new(weight).ok_or(BadMessage::Weight(weight))?,
        tree: required(tree, "weighted tree")?.try_into()?,
    })
}

// === dtabs ===

impl From<&Dentry> for v1::dtab::Dentry {
    fn from(dentry: &Dentry) -> Self {
        Self {
            prefix: Some((&dentry.prefix).into()),
            dst: Some((&dentry.dst).into()),
        }
    }
}

impl TryFrom<&v1::dtab::Dentry> for Dentry {
    type Error = BadMessage;

    fn try_from(dentry: &v1::dtab::Dentry) -> Result<Self, BadMessage> {
        Ok(Self {
            prefix: required(&dentry.prefix, "dentry prefix")?.try_into()?,
            dst: required(&dentry.dst, "dentry dst")?.try_into()?,
        })
    }
}

impl From<&Dtab> for v1::Dtab {
    fn from(dtab: &Dtab) -> Self {
        let dentries = dtab.entries().iter().map(Into::into).collect();
        Self { dentries }
    }
}

impl TryFrom<&v1::Dtab> for Dtab {
    type Error = BadMessage;

    fn try_from(dtab: &v1::Dtab) -> Result<Self, BadMessage> {
        let entries = dtab.dentries.iter().map(TryInto::try_into);
        Ok(Dtab::from_entries(entries.collect::<Result<Vec<_>, _>>()?))
    }
}

/// A message field that must be there.
pub(crate) fn required<'a, M>(
    field: &'a Option<M>,
    name: &'static str,
) -> Result<&'a M, BadMessage> {
    field.as_ref().ok_or(BadMessage::Missing(name))
}
