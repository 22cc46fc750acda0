//! The mesh interface, package `io.linkerd.mesh`: generated messages, wire-compatible with the 1.x generation, and total
//! conversions to and from the vocabulary (control plane 4).
//!
//! What goes out always sets every scalar; what comes in may leave scalars out, which then are zero. A message that has no
//! meaning is a [`BadMessage`] that names the field.

mod convert;
mod replicas;

pub use convert::BadMessage;

/// Messages and services generated from `io/linkerd/mesh/*.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("io.linkerd.mesh");
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
