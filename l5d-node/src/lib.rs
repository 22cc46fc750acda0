//! The node proxy. A request walks:
//!
//! 1. [`serve`]: listener, HTTP/1 head, context headers.
//! 2. [`route`]: identifier (request to path), name (path and override to its live tree), pick (tree to cluster).
//! 3. [`balance`]: cluster to endpoint, by load and weight.
//! 4. [`connect`]: endpoint to a connection, pooled.
//! 5. [`serve`] again: the response back, or an error made here.
//!
//! [`tls`] stands between 1 and the listener, and between 4 and the endpoint. [`cache`] holds what namerd said last,
//! [`control`] follows namerd and writes the cache, [`admin`] shows all of it, [`app`] builds, spawns and joins, [`meter`]
//! counts. [`launch`] has nothing to do with all that: it starts applications. Workers own their connections, pools and balancers; what they share is read through
//! immutable snapshots, so nothing on the request path takes a lock that another worker holds.

pub mod admin;
pub mod app;
pub mod balance;
pub mod cache;
pub mod config;
pub mod connect;
pub mod control;
pub mod launch;
pub mod meter;
pub mod route;
pub mod serve;
pub mod tell;
pub mod tls;
