//! The doors: gRPC for nodes and tools, HTTP for scripts. The only importer of server libraries.

mod accept;
mod ask;
mod authority;
mod beside;
mod certify;
mod destination;
mod explain;
mod follow;
pub mod http;
mod live;
mod logged;
mod measure;
mod mesh;
mod methods;
mod patience;
mod resolver;
mod serve;
mod status;
#[cfg(test)]
mod tests;
pub mod thrift;
mod tools;
mod until;
mod web;

pub use serve::{Api, Offer, serve, serve_as};
