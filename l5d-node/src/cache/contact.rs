//! How well a namerd is reached: what responses and the admin pages say of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

/// Errors that are remembered.
const ERRORS: usize = 20;
/// Addresses that worked that are remembered.
const WORKED: usize = 8;

/// Where the stream to a namerd stands (resolver API 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamState {
    /// No stream; the last good state is served.
    #[default]
    Disconnected,
    /// Hello sent, no Welcome yet.
    Greeting,
    /// What was held is being confirmed or replaced.
    Resuming,
    /// All is answered.
    Following,
    /// Following, while a second stream resumes elsewhere.
    Moving,
}

/// How well a namerd is reached.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// The stream now.
    pub state: StreamState,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// As configured.
    pub candidates: Vec<(String, u16)>,
    /// The replica's address, while there is a stream.
    pub address: Option<SocketAddr>,
    /// The replica's name for itself, and its version.
    pub replica: Option<(String, String)>,
    /// Addresses that worked, newest last.
    pub worked: Vec<SocketAddr>,
    /// Object versions told, by source.
    pub position: BTreeMap<String, u64>,
    /// Interests of the stream.
    pub interests: usize,
    /// Clusters that it has told.
    pub clusters: usize,
    /// Whether a stream has ever answered all that was asked at its start.
    pub has_followed: bool,
    /// Since when there is no welcomed stream.
    pub lost_at: Option<Timestamp>,
    /// Why attempts and streams ended, newest last.
    pub errors: VecDeque<(Timestamp, String)>,
    /// How old what namerd serves is, for each watch and store, when it last said so.
    pub sources: Vec<(String, Duration)>,
    /// What happened so far.
    pub counts: ContactCounts,
}

/// Counts over all streams to one namerd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactCounts {
    /// Streams that were welcomed.
    pub streams: u64,
    /// Attempts and streams that ended by an error.
    pub failures: u64,
    /// Refusals because of identity.
    pub denied: u64,
    /// Messages applied.
    pub messages: u64,
    /// Clusters or trees whose hash differed from what was told (RES-8).
    pub hash_mismatches: u64,
    /// Digests that differed (RES-8).
    pub digest_mismatches: u64,
    /// Numbers asked for again.
    pub refetches: u64,
    /// Numbers that this end did not know (RES-12).
    pub unknown_numbers: u64,
    /// Interests refused.
    pub refusals: u64,
}

impl ContactCounts {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, more: ContactCounts) {
        self.streams += more.streams;
        self.failures += more.failures;
        self.denied += more.denied;
        self.messages += more.messages;
        self.hash_mismatches += more.hash_mismatches;
        self.digest_mismatches += more.digest_mismatches;
        self.refetches += more.refetches;
        self.unknown_numbers += more.unknown_numbers;
        self.refusals += more.refusals;
    }
}

impl Contact {
    /// Not connected since now.
    pub(super) fn new() -> Self {
        Self {
            since: Some(Timestamp::now()),
            lost_at: Some(Timestamp::now()),
            ..Self::default()
        }
    }

    /// Whether there is a welcomed stream.
    pub fn is_connected(&self) -> bool {
        !matches!(
            self.state,
            StreamState::Disconnected | StreamState::Greeting
        )
    }

    /// The stream is in this state from now on.
    pub fn enter(&mut self, state: StreamState) {
        if self.state == state {
            return;
        }
        let was_connected = self.is_connected();
        self.state = state;
        self.since = Some(Timestamp::now());
        match (was_connected, self.is_connected()) {
            (true, false) => self.lost_at = self.since,
            (false, true) => self.lost_at = None,
            _ => {}
        }
        self.has_followed |= state == StreamState::Following;
    }

    /// A stream to this address answered all.
    pub fn has_worked(&mut self, addr: SocketAddr) {
        self.worked.retain(|a| *a != addr);
        if self.worked.len() == WORKED {
            self.worked.remove(0);
        }
        self.worked.push(addr);
    }

    /// An attempt or a stream ended by this.
    pub fn failed(&mut self, error: String) {
        self.counts.failures += 1;
        if self.errors.len() == ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back((Timestamp::now(), error));
    }
}

/// For responses to requests whose name stays pending (resolver API 7).
impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_connected() {
            return f.write_str("namerd has not answered");
        }
        f.write_str("no namerd reachable")?;
        if let Some(at) = self.lost_at {
            write!(f, " since {at:.0}")?;
        }
        if let Some((_, error)) = self.errors.back() {
            write!(f, ", last error: {error}")?;
        }
        Ok(())
    }
}
