//! The resolver API, `l5d.resolver.v1`: generated messages, and what both of its ends compute alike.
//!
//! - [`hash`]: content hashes of clusters and trees, the digest of a stream (resolver API 4);
//! - [`record`]: endpoints as packed bytes, read without copying (resolver API 1 and 2);
//! - [`change`]: the difference of two address sets: found, composed, applied, sent (resolver API 5.3);
//! - [`ingress`]: the table of Ingress rules, and which of them takes a request (Kubernetes 3);
//! - [`page`]: a cluster's whole state as messages of bounded size, and back;
//! - [`convert`]: trees, texts and transformers to and from messages.
//!
//! All of it is pure: no IO, no clock, no state of a session. Numbers of clusters and trees are given by the caller. The
//! sender encodes a version once, whatever the number of its followers, so nothing here depends on the reader; the
//! receiver applies a change at the cost of a merge and updates the hash at the cost of the change.

pub mod change;
pub mod convert;
pub mod gateways;
pub mod hash;
pub mod ingress;
pub mod ingress_page;
pub mod page;
pub mod record;

/// Messages and services generated from `l5d/resolver/v1/resolver.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("l5d.resolver.v1");
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Longest message that namerd sends, in bytes (resolver API 5.2). Trees alone may be longer: they have no pages.
pub const MESSAGE_BYTES: usize = 16 << 10;

/// Most bytes that the `Down` around a message adds to it.
const ENVELOPE: usize = 4;
