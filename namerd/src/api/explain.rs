//! A delegation as steps for `Explain`: which rule applied, what was taken, what fell away and why (resolver API 9).

use std::collections::BTreeMap;

use l5d_naming::{Replicas, Weight};
use l5d_resolver::convert::resolved_cluster;
use l5d_resolver::v1;
use l5d_resolver::v1::rule::From as Origin;

use crate::bind::{BoundLeaf, Delegation, DelegationKind, RuleSource};

/// The whole answer.
pub(super) fn explained(delegation: &Delegation, result: v1::Resolved) -> v1::Explained {
    told(delegation, false, Some(result))
}

/// Steps with the addresses of every leaf, taken or not.
pub(super) fn delegation(delegation: &Delegation) -> v1::Explained {
    told(delegation, true, None)
}

fn told(
    delegation: &Delegation,
    has_clusters: bool,
    result: Option<v1::Resolved>,
) -> v1::Explained {
    let mut telling = Telling {
        has_clusters,
        transformed: Vec::new(),
    };
    let steps = telling.step(delegation, None, Taken::Yes);
    v1::Explained {
        steps: Some(steps),
        transformed: telling.transformed,
        result,
    }
}

/// An answer in the making.
struct Telling {
    /// Whether leaves are told with their addresses.
    has_clusters: bool,
    transformed: Vec<v1::Transformed>,
}

/// Whether a branch is part of what the name is bound to.
#[derive(Clone, Copy)]
enum Taken {
    Yes,
    No(&'static str),
}

/// What a branch comes to, as far as the search is concerned.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// The search goes on.
    Neg,
    /// The search ends without a cluster.
    Fail,
    /// The search ends with an error.
    Error,
    /// Found.
    Found,
}

fn outcome(delegation: &Delegation) -> Outcome {
    match &delegation.kind {
        DelegationKind::Neg => Outcome::Neg,
        DelegationKind::Fail => Outcome::Fail,
        DelegationKind::Exception(_) => Outcome::Error,
        DelegationKind::Empty | DelegationKind::Leaf { .. } => Outcome::Found,
        DelegationKind::Transformation { after, .. } => outcome(after),
        DelegationKind::Delegate(next) => outcome(next),
        DelegationKind::Alt(branches) => branches
            .iter()
            .map(outcome)
            .find(|o| *o != Outcome::Neg)
            .unwrap_or(Outcome::Neg),
        // Branches without a cluster are left out; none left is negative (naming 4.2).
        DelegationKind::Union(branches) => {
            let outcomes = || branches.iter().map(|(_, branch)| outcome(branch));
            match outcomes().find(|o| *o == Outcome::Found) {
                Some(found) => found,
                None => outcomes()
                    .find(|o| *o == Outcome::Error)
                    .unwrap_or(Outcome::Neg),
            }
        }
    }
}

impl Telling {
    fn step(&mut self, delegation: &Delegation, weight: Option<Weight>, taken: Taken) -> v1::Step {
        let mut shown = v1::Step {
            path: delegation.path.clone(),
            rule: delegation
                .rule
                .as_ref()
                .map(|(dentry, source, index)| v1::Rule {
                    prefix: dentry.prefix.to_string(),
                    dst: dentry.dst.show_exact(),
                    from: origin(*source) as i32,
                    index: *index as u32,
                }),
            weight: weight.map_or(0.0, Weight::value),
            taken: matches!(taken, Taken::Yes),
            ..v1::Step::default()
        };
        let mut own = String::new();
        shown.kind = match &delegation.kind {
            DelegationKind::Empty => {
                own = "exists, but has no endpoints now".to_owned();
                "empty"
            }
            DelegationKind::Fail => {
                own = "ends the search without a result".to_owned();
                "fail"
            }
            DelegationKind::Neg => {
                own = "no such thing; the search goes on".to_owned();
                "neg"
            }
            DelegationKind::Exception(message) => {
                own.clone_from(message);
                "exception"
            }
            DelegationKind::Delegate(next) => {
                shown.children.push(self.step(next, None, taken));
                "delegate"
            }
            DelegationKind::Alt(branches) => {
                let chosen = branches.iter().position(|b| outcome(b) != Outcome::Neg);
                for (i, branch) in branches.iter().enumerate() {
                    let here = alternative(taken, chosen, i);
                    shown.children.push(self.step(branch, None, here));
                }
                "alt"
            }
            DelegationKind::Union(branches) => {
                for (weight, branch) in branches {
                    let here = match (taken, outcome(branch)) {
                        (Taken::No(why), _) => Taken::No(why),
                        (Taken::Yes, Outcome::Found) => Taken::Yes,
                        (Taken::Yes, _) => {
                            Taken::No("a union leaves out branches without a cluster")
                        }
                    };
                    shown.children.push(self.step(branch, Some(*weight), here));
                }
                "union"
            }
            DelegationKind::Leaf { leaf, replicas } => {
                shown.id = leaf.cluster.id.to_string();
                shown.residual = leaf.residual.to_string();
                shown.cluster = self.cluster(leaf, replicas);
                own = addresses(replicas);
                "leaf"
            }
            DelegationKind::Transformation {
                name,
                before: (leaf, replicas),
                after,
            } => {
                shown.id = leaf.cluster.id.to_string();
                shown.residual = leaf.residual.to_string();
                shown.cluster = self.cluster(leaf, replicas);
                name.clone_into(&mut shown.transformer);
                shown.children.push(self.step(after, None, taken));
                if let Some((_, now)) = leaf_below(after) {
                    self.transformed
                        .push(transformation(name, leaf, replicas, now));
                }
                "transformation"
            }
        }
        .to_owned();
        shown.why = match taken {
            Taken::No(why) if own.is_empty() => why.to_owned(),
            Taken::No(why) => format!("{own}; {why}"),
            Taken::Yes => own,
        };
        shown
    }

    fn cluster(&self, leaf: &BoundLeaf, replicas: &Replicas) -> Option<v1::ResolvedCluster> {
        self.has_clusters
            .then(|| resolved_cluster(&leaf.cluster.id, replicas))
    }
}

fn alternative(parent: Taken, chosen: Option<usize>, i: usize) -> Taken {
    match (parent, chosen) {
        (Taken::No(why), _) => Taken::No(why),
        (Taken::Yes, Some(chosen)) if i == chosen => Taken::Yes,
        (Taken::Yes, Some(chosen)) if i > chosen => Taken::No("an alternative before it was taken"),
        (Taken::Yes, _) => Taken::No("negative, so the next alternative is tried"),
    }
}

fn origin(source: RuleSource) -> Origin {
    match source {
        RuleSource::Store => Origin::Store,
        RuleSource::Router => Origin::Router,
        RuleSource::Request => Origin::Request,
    }
}

fn addresses(replicas: &Replicas) -> String {
    match replicas {
        Replicas::Pending => "its addresses are not known yet".to_owned(),
        Replicas::Neg => {
            "it has no addresses: it does not exist any more, or a filter left none".to_owned()
        }
        Replicas::Failed(why) => format!("its addresses cannot be known: {why}"),
        Replicas::Bound(set) => match set.len() {
            1 => "1 endpoint".to_owned(),
            n => format!("{n} endpoints"),
        },
    }
}

fn leaf_below(delegation: &Delegation) -> Option<(&BoundLeaf, &Replicas)> {
    match &delegation.kind {
        DelegationKind::Leaf { leaf, replicas } => Some((leaf, replicas)),
        DelegationKind::Transformation { before, .. } => Some((&before.0, &before.1)),
        DelegationKind::Delegate(next) => leaf_below(next),
        _ => None,
    }
}

/// What a transformer did to one leaf. An endpoint fell away if neither its address nor, where addresses were replaced,
/// its node is found in the result.
fn transformation(
    kind: &str,
    leaf: &BoundLeaf,
    before: &Replicas,
    after: &Replicas,
) -> v1::Transformed {
    let endpoints = |replicas: &Replicas| match replicas {
        Replicas::Bound(set) => set.endpoints().to_vec(),
        _ => Vec::new(),
    };
    let (before, after) = (endpoints(before), endpoints(after));
    let mut ips = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for endpoint in &after {
        ips.insert(endpoint.addr.ip(), ());
        if let Some(node) = &endpoint.node {
            nodes.insert(node.clone(), ());
        }
    }
    let is_filter = after
        .iter()
        .all(|e| before.iter().any(|b| b.addr.ip() == e.addr.ip()));
    let removed = before.iter().filter_map(|endpoint| {
        let stays = ips.contains_key(&endpoint.addr.ip())
            || !is_filter
                && endpoint
                    .node
                    .as_ref()
                    .is_some_and(|n| nodes.contains_key(n));
        (!stays).then(|| v1::Removed {
            endpoint: endpoint.addr.to_string(),
            reason: match (&endpoint.node, is_filter) {
                (Some(node), true) => format!("{kind} leaves its address out (on node {node})"),
                (None, true) => format!("{kind} leaves its address out"),
                (Some(node), false) => format!("on node {node}, for which {kind} has no address"),
                (None, false) => {
                    format!("its node is not known, and {kind} finds no address for it")
                }
            },
        })
    });
    v1::Transformed {
        kind: kind.to_owned(),
        leaf: leaf.cluster.id.to_string(),
        before: before.len() as u32,
        removed: removed.collect(),
        after: after.len() as u32,
    }
}
