//! The doors: gRPC for nodes and tools, HTTP for scripts. The only importer of server libraries.

mod accept;
mod authority;
mod explain;
mod follow;
pub mod http;
mod live;
mod mesh;
mod resolver;
mod serve;
mod status;
#[cfg(test)]
mod tests;
mod tools;

pub use serve::{Api, serve};
