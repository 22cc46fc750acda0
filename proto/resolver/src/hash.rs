//! Content hashes (resolver API 4): what makes two replicas' states, or a node's and a replica's, comparable.
//!
//! A cluster's hash is a sum over its endpoints, so that the order of events does not matter (RES-7) and a change costs
//! its own size. Texts in it are canonical. Messages of failures and metadata are not in it.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use l5d_naming::{BoundTree, EndpointWeight, NameTree, Replicas};
use sha2::{Digest as _, Sha256};

use crate::record::{Record, records};
use crate::v1::State;

/// The first 8 bytes of SHA-256, big-endian.
pub fn h8(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest[..8]
        .iter()
        .fold(0, |sum, b| sum << 8 | u64::from(*b))
}

/// The hash of one endpoint.
pub fn endpoint_hash(record: Record) -> u64 {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(b"l5d.resolver.v1/endpoint\0");
    match record.addr.ip() {
        IpAddr::V4(ip) => {
            bytes.push(4);
            bytes.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(6);
            bytes.extend_from_slice(&ip.octets());
        }
    }
    bytes.extend_from_slice(&record.addr.port().to_be_bytes());
    bytes.extend_from_slice(&record.weight.0.to_be_bytes());
    h8(&bytes)
}

/// The hash of a cluster with these endpoints; `authority` is empty if there is none.
pub fn cluster_hash_of(
    state: State,
    authority: &str,
    endpoints: impl IntoIterator<Item = Record>,
) -> u64 {
    let mut bytes = b"l5d.resolver.v1/cluster\0".to_vec();
    bytes.push(state as u8);
    put_str(&mut bytes, authority);
    let endpoints = endpoints.into_iter().map(endpoint_hash);
    endpoints.fold(h8(&bytes), u64::wrapping_add)
}

/// The hash of a cluster's state; endpoints of equal address count as one, their weights added (resolver API 1).
pub fn cluster_hash(replicas: &Replicas) -> u64 {
    match replicas {
        Replicas::Pending => cluster_hash_of(State::Pending, "", []),
        Replicas::Neg => cluster_hash_of(State::Neg, "", []),
        Replicas::Failed(_) => cluster_hash_of(State::Failed, "", []),
        Replicas::Bound(set) => {
            let authority = set.authority().map_or("", |a| a);
            cluster_hash_of(State::Bound, authority, records(set))
        }
    }
}

/// The hash of a tree that is not known yet.
pub fn pending_tree_hash() -> u64 {
    tree_hash_of(&[0])
}

/// The hash of a binding that failed.
pub fn failed_tree_hash() -> u64 {
    tree_hash_of(&[1])
}

/// The hash of a bound tree.
pub fn tree_hash(tree: &BoundTree) -> u64 {
    let mut bytes = Vec::new();
    put_tree(&mut bytes, tree);
    tree_hash_of(&bytes)
}

fn tree_hash_of(tree: &[u8]) -> u64 {
    h8(&[b"l5d.resolver.v1/tree\0", tree].concat())
}

fn put_tree(out: &mut Vec<u8>, tree: &BoundTree) {
    match tree {
        NameTree::Neg => out.push(2),
        NameTree::Fail => out.push(3),
        NameTree::Empty => out.push(4),
        NameTree::Leaf(leaf) => {
            out.push(5);
            put_shown(out, &leaf.id);
            put_shown(out, &leaf.residual);
        }
        NameTree::Union(branches) => {
            out.push(6);
            put_len(out, branches.len());
            for branch in branches {
                out.extend_from_slice(&branch.weight.value().to_bits().to_be_bytes());
                put_tree(out, &branch.tree);
            }
        }
        // Bound trees have none; a code of its own keeps the hash of such a tree apart from all others.
        NameTree::Alt(trees) => {
            out.push(7);
            put_len(out, trees.len());
            trees.iter().for_each(|tree| put_tree(out, tree));
        }
    }
}

pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&(len as u32).to_be_bytes());
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A value's canonical text, printed in place.
fn put_shown(out: &mut Vec<u8>, value: &impl std::fmt::Display) {
    let start = out.len();
    put_len(out, 0);
    write!(out, "{value}").expect("a vector takes everything");
    let len = out.len() - start - 4;
    out[start..start + 4].copy_from_slice(&(len as u32).to_be_bytes());
}

/// What a stream has told and not forgotten, in one number: the sum of hash x (2 x number + 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// A state of this number was told for the first time.
    pub fn add(&mut self, number: u32, hash: u64) {
        self.0 = self.0.wrapping_add(term(number, hash));
    }

    /// The number with this hash was forgotten, or its state is about to be replaced.
    pub fn remove(&mut self, number: u32, hash: u64) {
        self.0 = self.0.wrapping_sub(term(number, hash));
    }

    /// The sum at this place of the stream.
    pub fn value(self) -> u64 {
        self.0
    }
}

fn term(number: u32, hash: u64) -> u64 {
    hash.wrapping_mul(2 * u64::from(number) + 1)
}

/// A cluster's hash, kept up to date while its endpoints change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningHash(pub u64);

impl RunningHash {
    /// This endpoint came.
    pub fn add(&mut self, addr: SocketAddr, weight: EndpointWeight) {
        self.0 = self.0.wrapping_add(endpoint_hash(Record { addr, weight }));
    }

    /// This endpoint went; its weight is the one that it had.
    pub fn remove(&mut self, addr: SocketAddr, weight: EndpointWeight) {
        self.0 = self.0.wrapping_sub(endpoint_hash(Record { addr, weight }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use l5d_naming::{BoundName, ClusterId, Endpoint, EndpointSet, Path, Weight, Weighted};

    use super::*;

    fn bound(endpoints: &[(&str, f64)]) -> Replicas {
        let endpoint = |(addr, weight): &(&str, f64)| Endpoint {
            weight: EndpointWeight::from_f64(*weight),
            ..Endpoint::new(addr.parse().unwrap())
        };
        Replicas::Bound(Arc::new(EndpointSet::new(endpoints.iter().map(endpoint))))
    }

    fn leaf(id: &str, residual: &str) -> BoundTree {
        NameTree::Leaf(BoundName {
            id: ClusterId(Path::parse(id).unwrap()),
            residual: Path::parse(residual).unwrap(),
        })
    }

    #[test]
    fn clusters_have_the_hashes_of_the_specification() {
        // Resolver API 4.
        assert_eq!(cluster_hash(&Replicas::Neg), 0x1451_d63c_9ff7_2a7c);
        assert_eq!(cluster_hash(&bound(&[])), 0xbf34_5c87_6e64_7804);
        assert_eq!(
            cluster_hash(&bound(&[("10.1.1.2:4141", 1.0)])),
            0x5793_a07b_6a4e_f19b
        );
        let two = [("10.1.1.2:4141", 9.0), ("10.1.2.2:4141", 0.5)];
        assert_eq!(cluster_hash(&bound(&two)), 0xaaca_e3a6_83e1_fa80);
    }

    #[test]
    fn trees_have_the_hashes_of_the_specification() {
        // Resolver API 4.
        let web = leaf("/#/io.l5d.fs/web", "/");
        assert_eq!(tree_hash(&NameTree::Neg), 0x91a7_5dd1_f401_9f33);
        assert_eq!(tree_hash(&web), 0xc86a_4448_fa85_aa33);
        let v2 = leaf("/#/io.l5d.fs/web-v2", "/x");
        let branches = [(0.9, web), (0.1, v2)].map(|(weight, tree)| Weighted {
            weight: Weight::new(weight).unwrap(),
            tree,
        });
        assert_eq!(
            tree_hash(&NameTree::Union(branches.to_vec())),
            0xdbac_a3d7_98eb_6aca
        );
        assert_ne!(pending_tree_hash(), failed_tree_hash());
    }

    #[test]
    fn a_message_of_failure_is_not_in_the_hash() {
        let failed = |message: &str| cluster_hash(&Replicas::Failed(message.into()));
        assert_eq!(failed("a"), failed("b"));
        assert_ne!(failed("a"), cluster_hash(&Replicas::Pending));
    }

    #[test]
    fn a_digest_forgets_what_it_was_told() {
        let mut digest = Digest::default();
        digest.add(3, 7);
        digest.add(u32::MAX, u64::MAX);
        digest.remove(u32::MAX, u64::MAX);
        assert_eq!(digest.value(), 7 * 7);
    }
}
