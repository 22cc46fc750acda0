//! HTTP/2 towards clients and endpoints (node-proxy 10, 11.3).
//!
//! A client connection is served by one task that polls its streams itself. Each stream is a request like any other: its head
//! is put in the form of HTTP/1 ([`head`]) and walked; [`client`] is its client's half. Upstream connections are shared
//! ([`crate::connect::h2`]); [`over_h2`] runs one attempt on one of their streams.
//!
//! It must never hold more of a body than the windows allow and what a repetition needs, never turn a reset into an end, and
//! never make one out of an end.

mod about;
mod answer;
mod body;
mod carried;
mod client;
mod connection;
mod door;
mod head;
mod over_h1;
mod over_h2;
mod prefixed;
mod relay;

pub(crate) use about::About;
pub(crate) use answer::code as grpc_code;
pub(crate) use carried::carry;
pub(crate) use connection::run;
pub(crate) use door::accept;
pub(crate) use prefixed::Prefixed;
