//! What changed in an address set between two versions (resolver API 5.3).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use l5d_naming::{Endpoint, EndpointSet, EndpointWeight};
use prost::Message as _;

use crate::hash::RunningHash;
use crate::record::{Packed, Record, RecordError, read_dels, read_puts, record, records};
use crate::{ENVELOPE, MESSAGE_BYTES, v1};

/// Endpoints that went, and endpoints that came or have a new weight. The authority is no part of it: a set with another
/// one is told in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Sorted by address, one entry for each: the new weight, or none for an endpoint that went.
    entries: Vec<(SocketAddr, Option<EndpointWeight>)>,
}

/// A delta that cannot be applied. The old set stays in use and the cluster is asked for again (RES-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// Its fields do not fit together.
    #[error("delta for cluster {number}: {source}")]
    Records {
        /// The cluster.
        number: u32,
        /// What is wrong.
        source: RecordError,
    },
    /// The set after it has another hash than the delta says.
    #[error("delta for cluster {number}: hash {found:016x} after it, but {told:016x} told")]
    Hash {
        /// The cluster.
        number: u32,
        /// The hash that the delta says.
        told: u64,
        /// The hash of the set.
        found: u64,
    },
}

impl Change {
    /// What leads from `old` to `new`; `None` if their authorities differ, which only a full state can tell.
    pub fn between(old: &EndpointSet, new: &EndpointSet) -> Option<Change> {
        if old.authority() != new.authority() {
            return None;
        }
        let mut entries = Vec::new();
        let (mut old, mut new) = (records(old).peekable(), records(new).peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Some(Change { entries }),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(old), Some(new)) => old.addr.cmp(&new.addr),
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            if was != is {
                let addr = is.or(was).map(|r| r.addr);
                entries.extend(addr.map(|addr| (addr, is.map(|r| r.weight))));
            }
        }
    }

    /// One change with the effect of these, one after the other.
    pub fn compose<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Change {
        let entries = changes.into_iter().flat_map(|c| c.entries.iter().copied());
        Self::from_entries(entries)
    }

    /// The change that a message tells: removals, then additions.
    pub fn from_delta(delta: &v1::Delta) -> Result<Change, RecordError> {
        let dels = read_dels(&delta.del4, &delta.del6)?.map(|addr| (addr, None));
        let puts = read_puts(&delta.put4, &delta.put6, &delta.weights)?;
        Ok(Self::from_entries(
            dels.chain(puts.map(|r| (r.addr, Some(r.weight)))),
        ))
    }

    fn from_entries(
        entries: impl IntoIterator<Item = (SocketAddr, Option<EndpointWeight>)>,
    ) -> Change {
        let last_wins: BTreeMap<_, _> = entries.into_iter().collect();
        let entries = last_wins.into_iter().collect();
        Change { entries }
    }

    /// The message; `None` if it would be longer than [`MESSAGE_BYTES`]. `hash` and `at` are the result's.
    pub fn to_delta(&self, number: u32, hash: u64, at: u64) -> Option<v1::Delta> {
        let puts = Packed::new(&Vec::from_iter(self.puts()));
        let dels = self.dels().map(|addr| Record {
            addr,
            weight: EndpointWeight::ONE,
        });
        let dels = Packed::new(&Vec::from_iter(dels));
        let delta = v1::Delta {
            number,
            put4: puts.v4,
            put6: puts.v6,
            weights: puts.weights,
            del4: dels.v4,
            del6: dels.v6,
            hash,
            at,
        };
        (delta.encoded_len() + ENVELOPE <= MESSAGE_BYTES).then_some(delta)
    }

    /// The hash after the change, given the set and its hash before. Costs as much as the change, not as the set.
    pub fn hash_after(&self, before: &EndpointSet, hash: u64) -> u64 {
        let mut hash = RunningHash(hash);
        for (addr, weight) in &self.entries {
            if let Some(was) = weight_of(before, *addr) {
                hash.remove(*addr, was);
            }
            if let Some(is) = weight {
                hash.add(*addr, *is);
            }
        }
        hash.0
    }

    /// The set after the change and its hash, given both before. Endpoints that stay as they are keep their metadata.
    pub fn apply(&self, set: &EndpointSet, hash: u64) -> (EndpointSet, u64) {
        let puts = self.puts().map(|put| Endpoint {
            weight: put.weight,
            ..Endpoint::new(put.addr)
        });
        let mut touched = self.entries.iter().map(|(addr, _)| *addr).peekable();
        let stays = |endpoint: &&Endpoint| {
            let addr = record(endpoint).addr;
            while touched.next_if(|at| *at < addr).is_some() {}
            touched.peek() != Some(&addr)
        };
        let mut next: Vec<Endpoint> = set.endpoints().iter().filter(stays).cloned().collect();
        // Two sorted runs, which sorting merges.
        next.extend(puts);
        let next = EndpointSet::new(next)
            .with_authority(set.authority().cloned())
            .with_at(set.at());
        (next, self.hash_after(set, hash))
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many endpoints went, came or have a new weight.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether any endpoint went: such changes are sent first (resolver API 5.1).
    pub fn takes_away(&self) -> bool {
        self.dels().next().is_some()
    }

    /// The endpoints that came or have a new weight, sorted.
    pub fn puts(&self) -> impl Iterator<Item = Record> + '_ {
        let entries = self.entries.iter();
        entries.filter_map(|(addr, weight)| {
            weight.map(|weight| Record {
                addr: *addr,
                weight,
            })
        })
    }

    /// The endpoints that went, sorted.
    pub fn dels(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let entries = self.entries.iter();
        entries.filter_map(|(addr, weight)| weight.is_none().then_some(*addr))
    }
}

/// The weight of an address in a set, if it has it; of several endpoints of that address together.
fn weight_of(set: &EndpointSet, addr: SocketAddr) -> Option<EndpointWeight> {
    let endpoints = set.endpoints();
    let first = endpoints.partition_point(|e| record(e).addr < addr);
    let same = endpoints[first..].iter().map(record);
    same.take_while(|r| r.addr == addr)
        .map(|r| r.weight)
        .reduce(EndpointWeight::saturating_add)
}

/// Applies a delta as a whole: the next set and its hash, which is the one that the delta says.
pub fn apply_delta(
    delta: &v1::Delta,
    set: &EndpointSet,
    hash: u64,
) -> Result<(EndpointSet, u64), DeltaError> {
    let number = delta.number;
    let change =
        Change::from_delta(delta).map_err(|source| DeltaError::Records { number, source })?;
    let (next, found) = change.apply(set, hash);
    if found != delta.hash {
        let told = delta.hash;
        return Err(DeltaError::Hash {
            number,
            told,
            found,
        });
    }
    Ok((next.with_at(delta.at), found))
}
