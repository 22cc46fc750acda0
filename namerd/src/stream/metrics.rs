//! Counters of all sessions.

use std::sync::atomic::{AtomicU64, Ordering};

use l5d_resolver::v1;

/// A number that many write and a scrape reads now and then.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

/// What the stream module counts. All since the start of the process, except [`Metrics::sessions`].
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sessions open now.
    pub sessions: Count,
    /// Sessions that were opened.
    pub opened: Count,
    /// Sessions that began with something held from before.
    pub resumed: Count,
    /// Messages handed over to sessions, `Down` of any kind.
    pub frames: Count,
    /// Cluster states, deltas and trees encoded: once a version, whatever the number of sessions.
    pub encodings: Count,
    /// Bytes handed over, gRPC framing included.
    pub bytes: Count,
    /// Writes: chunks handed over.
    pub writes: Count,
    /// Numbers that a node wanted in full again because a hash differed.
    pub refetches: Count,
    /// Interests refused: text that does not parse or is too long.
    pub refused_invalid: Count,
    /// Interests refused: their router is badly given.
    pub refused_router: Count,
    /// Interests refused: a limit.
    pub refused_limit: Count,
    /// Interests refused: not allowed.
    pub refused_denied: Count,
    /// Streams refused or ended, by reason; see [`Metrics::ended`].
    pub ended_closed: Count,
    /// Ended because namerd is not ready or is leaving.
    pub ended_unavailable: Count,
    /// Refused because there are too many sessions.
    pub ended_limit: Count,
    /// Refused because this replica is behind what the node has seen.
    pub ended_behind: Count,
    /// Refused because the node has not proved who it is.
    pub ended_denied: Count,
    /// Ended for a breach of the protocol.
    pub ended_fault: Count,
    /// Ended because the node took nothing for too long.
    pub ended_stalled: Count,
}

impl Count {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes one away.
    pub(super) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Refusals with their code, for a labelled metric.
    pub fn refusals(&self) -> [(&'static str, u64); 4] {
        [
            ("invalid", self.refused_invalid.get()),
            ("router", self.refused_router.get()),
            ("limit", self.refused_limit.get()),
            ("denied", self.refused_denied.get()),
        ]
    }

    /// Ended streams with the reason, for a labelled metric.
    pub fn ended(&self) -> [(&'static str, u64); 7] {
        [
            ("closed", self.ended_closed.get()),
            ("unavailable", self.ended_unavailable.get()),
            ("limit", self.ended_limit.get()),
            ("behind", self.ended_behind.get()),
            ("denied", self.ended_denied.get()),
            ("fault", self.ended_fault.get()),
            ("stalled", self.ended_stalled.get()),
        ]
    }

    pub(super) fn refused(&self, code: v1::Code) {
        match code {
            v1::Code::Router => self.refused_router.add(1),
            v1::Code::Limit => self.refused_limit.add(1),
            v1::Code::Denied => self.refused_denied.add(1),
            _ => self.refused_invalid.add(1),
        }
    }
}
