//! The control plane: watches sources once, binds names through dtabs, transforms the answers and streams them to many.
//!
//! The way of the data, one module a step, later ones importing earlier ones only:
//!
//! 1. [`store`]: cells (latest value, version, wake-up), the engine that recomputes what depends on them, clusters, dtabs.
//! 2. [`k8s`]: watches the API server and writes the store; [`etcd`], [`consul`] and [`files`] keep dtabs elsewhere;
//!    [`dial`] opens connections.
//! 3. [`transform`]: address sets to address sets.
//! 4. [`bind`]: dtab and path to a tree of clusters, one evaluation for all who ask.
//! 5. [`stream`]: encodes once a version; a session keeps positions.
//! 6. [`web`]: HTTP/1.1 connections, parameters and JSON shapes, shared by the doors.
//!    [`auth`] says who somebody is, [`ca`] certifies nodes.
//! 7. [`api`]: gRPC and HTTP doors. [`admin`]: health, metrics, the page. [`app`]: builds, spawns, joins.
//!
//! [`meter`] has the table of all metrics and the counters that all may use.

pub mod admin;
pub mod api;
pub mod app;
pub mod auth;
pub mod bind;
pub mod ca;
pub mod config;
pub mod consul;
pub mod dial;
pub mod etcd;
pub mod files;
pub mod k8s;
pub mod meter;
pub mod store;
pub mod stream;
pub mod tls;
pub mod transform;
pub mod web;
