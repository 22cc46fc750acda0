//! What the two programs say to each other: one line of JSON for each order and each report.

use serde::{Deserialize, Serialize};

use crate::plan::Sizes;

/// What is followed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arm {
    /// `l5d.resolver.v1.Resolver/Follow`.
    Follow,
    /// `io.linkerd.mesh.Resolver/StreamReplicas`, one stream a name.
    Mesh,
    /// Delta EDS of an xDS server.
    Xds,
}

/// What the load process is told, on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Connects all followers; answered when every one has all that it asked for.
    Connect {
        /// How.
        arm: Arm,
        /// The server.
        to: String,
        /// How big.
        sizes: Sizes,
        /// Seconds over which connections begin.
        spread: f64,
    },
    /// Moves all followers to another server, each with what it holds.
    Move {
        /// The other server.
        to: String,
        /// Seconds over which they move, as nodes do by their jitter.
        spread: f64,
    },
    /// Begins to count anew.
    Begin,
    /// Says what has been counted since [`Order::Begin`].
    Report {
        /// The marks of this time with the moment at which each was written, in nanoseconds of the monotonic clock.
        marks: Vec<(u32, u64)>,
    },
}

/// What the load process answers, on its standard output.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Seconds that it took, from the first connection to the last answer.
    pub seconds: f64,
    /// Bytes read from the sockets, HTTP/2 framing included.
    pub bytes_down: u64,
    /// Of them, heartbeats and what keeps connections alive.
    pub bytes_idle: u64,
    /// Bytes written.
    pub bytes_up: u64,
    /// Messages received, heartbeats left out.
    pub messages: u64,
    /// Reads from sockets that gave something.
    pub reads: u64,
    /// Clusters or trees that were sent whole.
    pub whole: u64,
    /// Names or clusters that were confirmed as equal.
    pub confirmed: u64,
    /// Deltas or digests that did not add up; must be 0.
    pub wrong: u64,
    /// Followers times marks that were expected, and how many have come.
    pub expected: u64,
    /// How many have come.
    pub arrived: u64,
    /// Milliseconds from a mark's write to its arrival at a follower: 50th, 99th, 100th percentile.
    pub millis: [f64; 3],
    /// Connections that ended unasked; their followers came again, as nodes do.
    pub ended: u64,
    /// Why the last of them ended.
    pub last_end: String,
    /// Why something is wrong that should not be.
    pub failures: Vec<String>,
}
