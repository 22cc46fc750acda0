//! What one node, and all together, may ask for (resolver API 7).

use std::time::Duration;

use l5d_resolver::v1;

/// Bounds of sessions. The defaults are the specification's; tests pass smaller ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions of this replica.
    pub sessions: usize,
    /// Interests of a session.
    pub interests: u32,
    /// Interests of a session that have an override dtab.
    pub overrides: u32,
    /// New interests at once; the first `Want` is free.
    pub want_burst: u32,
    /// New interests a second after that.
    pub wants_per_second: u32,
    /// Longest path, in bytes.
    pub path_bytes: usize,
    /// Longest override dtab, in bytes.
    pub override_bytes: usize,
    /// Longest dtab of a router, in bytes.
    pub router_bytes: usize,
    /// Longest `Hello`, in bytes.
    pub hello_bytes: usize,
    /// Longest other message of a node, in bytes.
    pub message_bytes: usize,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// How long a new stream may take to say `Hello`.
    pub hello_wait: Duration,
    /// How long a node that has seen newer objects waits for this replica to catch up.
    pub behind_wait: Duration,
    /// How long a session may take nothing while something waits for it (K8S-146).
    pub stall: Duration,
    /// How long a partial tree, or one with addresses not known yet, is kept back from an interest that has a tree (5.4).
    pub hold: Duration,
}

/// Most bytes of one turn of a session.
pub const TURN_BYTES: usize = 64 << 10;
/// Most bytes handed over at once.
pub const CHUNK_BYTES: usize = 16 << 10;
/// Versions of a cluster from which a node can catch up by a delta.
pub(super) const HISTORY: usize = 64;
/// Longest text of an error that is sent to a node, in bytes.
const TEXT_BYTES: usize = 1_024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            interests: 10_000,
            overrides: 1_000,
            want_burst: 1_000,
            wants_per_second: 200,
            path_bytes: 8 << 10,
            override_bytes: 8 << 10,
            router_bytes: 1 << 20,
            hello_bytes: 1 << 20,
            message_bytes: 256 << 10,
            heartbeat: Duration::from_secs(10),
            hello_wait: Duration::from_secs(5),
            behind_wait: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            hold: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// As told to nodes.
    pub fn to_wire(&self) -> v1::Limits {
        v1::Limits {
            interests: self.interests,
            overrides: self.overrides,
            want_burst: self.want_burst,
            wants_per_second: self.wants_per_second,
            path_bytes: self.path_bytes as u32,
            override_bytes: self.override_bytes as u32,
            message_bytes: self.message_bytes as u32,
        }
    }
}

/// A text short enough to be sent to any number of nodes, cut at a character.
pub(super) fn clip(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    let mut end = TEXT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}
