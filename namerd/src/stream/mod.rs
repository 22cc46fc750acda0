//! Streams of bound names to nodes: encoded once a version, read at each node's own pace.
//!
//! In come bindings and their clusters (cells of [`crate::bind`]) and the messages of nodes; out go ready-made bytes. A
//! [`Session`] remembers for each number only which version it has told, so a slow reader costs nothing and skips what it
//! missed. This module knows no server and does no input or output: a session is asked for its next bytes when there is
//! room for them.
//!
//! ```text
//!   cells --ring--> Bell --numbers--> Session --which version--> ClusterFrames, TreeFrames (shared, one encoding a version)
//!                                        |
//!   Up messages ------------------------>+--> chunks of bytes, when there is room
//! ```

mod bell;
mod bucket;
mod cluster_frames;
mod desk;
mod drive;
mod encode;
mod frames;
mod gap;
mod gateway_frames;
mod hello;
mod hub;
mod ingress_frames;
mod lag;
mod limits;
mod metrics;
mod pace;
mod registry;
mod ring;
mod session;
mod sources;
#[cfg(test)]
pub(crate) mod tests;
mod tree_frames;

pub use desk::Chunks;
pub use drive::{Claim, Doors, MOVE_WITHIN, follow};
pub use gap::{Gap, adapt};
pub use hub::Hub;
pub use limits::{CHUNK_BYTES, Limits, TURN_BYTES};
pub use metrics::{Count, Metrics};
pub use registry::{Registry, SessionInfo};
pub use session::{End, Session};
pub use sources::{NoSources, Positions, Sources, position};
