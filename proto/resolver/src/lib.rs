//! The resolver API, `l5d.resolver.v1`: generated messages, content hashes and conversions.

/// Messages and services generated from `l5d/resolver/v1/resolver.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("l5d.resolver.v1");
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
