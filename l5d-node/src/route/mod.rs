//! Request to cluster: identifier (request to path), name (path and override to its live tree), pick (tree to leaf).
//!
//! A request as [`RequestView`](identify::RequestView) shows it comes in, a [`Leaf`](crate::cache::Leaf) goes out. A worker remembers what it has looked up for a moment, so
//! that a request whose name is in use costs one look into a table of its own. Nothing here waits or touches a socket.

pub mod identify;
mod names;
mod pick;

pub use names::{Override, OverrideError, Route, Routes, ServiceStats};
pub use pick::pick;
