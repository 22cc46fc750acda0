//! Consul: dtabs in its key-value store (control plane 12.4), services of its catalog.
//!
//! Both ask an agent by blocking queries, each with a time limit: an answer comes when it differs from the last one. Errors
//! change nothing of what is known. Nothing but this module speaks to Consul.

mod client;
mod history;
mod kv;
mod namer;
mod service;
mod store;

pub use namer::ConsulNamer;
pub use store::ConsulStore;
