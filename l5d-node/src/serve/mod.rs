//! The listeners and what happens on their connections: HTTP/1 and HTTP/2, in and out (node-proxy 8 to 11).
//!
//! Bytes come in from clients, bytes go out to endpoints and back. Each worker is a thread that owns its connections whole:
//! one task for each client connection reads a request, walks it through [`crate::route`], [`crate::balance`] and
//! [`crate::connect`], and passes the response on, without handing anything to another task.
//!
//! ```text
//!   listener -> connection -> request -> walk -> exchange <-> upstream <-> endpoint
//!                   ^                      |         |
//!                   +------ respond <------+---------+
//! ```
//!
//! `walk` and `policy` know no protocol: `half` is the seam to the client's, `upstream` to the endpoint's.
//!
//! It must never guess where a message ends, never forward what it could not frame, never send a request twice that may
//! have been seen, and never end a response cleanly that was not whole.

mod added;
mod admission;
mod admit;
mod buffer;
mod catalogue;
mod classify;
mod connection;
mod context;
mod exchange;
mod forward;
mod forwarded;
mod h2;
mod half;
mod limits;
mod listener;
mod policy;
mod pump;
mod receive;
mod request;
mod respond;
mod retry;
mod session;
mod start;
mod stats;
mod telling;
mod tunnel;
mod upstream;
mod walk;
mod wire;
mod worker;

#[cfg(test)]
mod tests;

pub use catalogue::{MadeHere, failures};
pub use start::{Asker, ClusterLoad, Servers, StartError, start};
pub use stats::{Reason, RouterView, ScopeView, Stats};
