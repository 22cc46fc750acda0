//! What callers of a zone or node get of a service whose slices or policy say so (Kubernetes 6.4).

use std::sync::Arc;

use foldhash::HashMap;
use l5d_naming::Replicas;

use super::merge::{Candidate, Pool, usable};
use super::model::Hints;
use crate::store::Audience;

/// Which part of a caller a service's answer depends on now (K8S-101).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) zone: bool,
    pub(super) node: bool,
}

/// The endpoints of a port by those whom they are for: looked at once, however many ask.
pub(super) enum Narrow<'p, 'a> {
    /// Each node gets its own (K8S-100).
    Local { pool: &'p Pool<'a>, of: By<'p, 'a> },
    /// As slices hint; `None` where any usable endpoint has no such hint (K8S-99).
    Hinted {
        pool: &'p Pool<'a>,
        whole: Replicas,
        zones: Option<By<'p, 'a>>,
        nodes: Option<By<'p, 'a>>,
        of_zone: HashMap<Arc<str>, Replicas>,
    },
}

type By<'p, 'a> = HashMap<&'a str, Vec<&'p Candidate<'a>>>;

impl<'a> Pool<'a> {
    pub(super) fn scope(&self) -> Scope {
        if self.local {
            return Scope {
                zone: false,
                node: true,
            };
        }
        let has = |of: fn(&Hints) -> &[Arc<str>]| {
            let mut hints = self.candidates.iter().filter_map(hints);
            self.hinted && hints.any(|h| !of(h).is_empty())
        };
        Scope {
            zone: has(|h| &h.zones),
            node: has(|h| &h.nodes),
        }
    }

    pub(super) fn narrow<'p>(&'p self) -> Narrow<'p, 'a> {
        if self.local {
            let mut of = By::default();
            for candidate in &self.candidates {
                if let Some(node) = &candidate.endpoint.node {
                    of.entry(node).or_default().push(candidate);
                }
            }
            return Narrow::Local { pool: self, of };
        }
        let all: Vec<_> = usable(self.candidates.iter().collect(), self.draining).collect();
        Narrow::Hinted {
            pool: self,
            whole: self.whole(),
            zones: by_hint(&all, |h| &h.zones),
            nodes: by_hint(&all, |h| &h.nodes),
            of_zone: HashMap::default(),
        }
    }
}

impl Narrow<'_, '_> {
    /// What these callers get. Nothing on the own node is `Neg` (K8S-100); nothing hinted for it is everything (K8S-99).
    pub(super) fn answer(&mut self, audience: &Audience) -> Replicas {
        match self {
            Narrow::Local { pool, of } => {
                let node = audience.node.as_deref();
                let group = node.and_then(|node| of.get(node)).cloned();
                let mut here = usable(group.unwrap_or_default(), pool.draining).peekable();
                match here.peek() {
                    Some(_) => pool.bound(here),
                    None => Replicas::Neg,
                }
            }
            Narrow::Hinted {
                pool,
                whole,
                zones,
                nodes,
                of_zone,
            } => {
                let node = audience.node.as_deref();
                let for_node = node.zip(nodes.as_ref()).and_then(|(n, by)| by.get(n));
                if let Some(group) = for_node {
                    return pool.bound(group.iter().copied());
                }
                let zone = audience.zone.as_ref();
                let for_zone = zone.zip(zones.as_ref());
                match for_zone.and_then(|(zone, by)| Some((zone, by.get(&**zone)?))) {
                    Some((zone, group)) => of_zone
                        .entry(Arc::clone(zone))
                        .or_insert_with(|| pool.bound(group.iter().copied()))
                        .clone(),
                    None => whole.clone(),
                }
            }
        }
    }
}

fn hints<'a>(candidate: &Candidate<'a>) -> Option<&'a Hints> {
    candidate.endpoint.hints.as_deref()
}

/// By what the hints name, if every one has such hints.
fn by_hint<'p, 'a>(all: &[&'p Candidate<'a>], of: fn(&Hints) -> &[Arc<str>]) -> Option<By<'p, 'a>> {
    let mut by = By::default();
    for candidate in all {
        let names = of(hints(candidate)?);
        if names.is_empty() {
            return None;
        }
        for name in names {
            by.entry(name).or_default().push(candidate);
        }
    }
    Some(by)
}
