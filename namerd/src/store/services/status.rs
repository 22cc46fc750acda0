//! How each watch is, for readiness, heartbeats and the state page (K8S-128).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::model::Kind;

/// Where a watch stands (K8S-110).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchState {
    /// Not begun.
    #[default]
    Starting,
    /// Its first list is under way.
    Listing,
    /// Events come as they happen.
    Live,
    /// Cut; goes on from the last version.
    Resuming,
    /// Lists anew; the last complete snapshot serves meanwhile.
    Relisting,
    /// The server forbids this kind (K8S-83); it is asked again.
    Forbidden,
}

/// How one kind's watch is.
#[derive(Clone, Debug, Default)]
pub struct WatchStatus {
    /// Where it stands.
    pub state: WatchState,
    /// A first list has been complete.
    pub synced: bool,
    /// When an event, a bookmark or a list came in last.
    pub last_item: Option<Instant>,
    /// When the last event that was not a bookmark came in.
    pub last_event: Option<Instant>,
    /// The last error, and when.
    pub last_error: Option<(Instant, Arc<str>)>,
    /// The version that a watch would go on from.
    pub rv: Arc<str>,
    /// Lists after the first one.
    pub relists: u64,
    /// Watches gone on from a version.
    pub resumes: u64,
    /// Objects and events that could not be read.
    pub decode_errors: u64,
    /// Lists refused because they were older than what was known (K8S-118).
    pub time_travels: u64,
    /// How long after its cause the last slice event came, if it said; never negative.
    pub lag: Option<Duration>,
    /// Objects kept.
    pub objects: usize,
    /// Of these, those whose last version could not be read.
    pub stale_objects: usize,
}

/// What heartbeats tell of one watch (resolver API 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which one.
    pub kind: Kind,
    /// The newest object's version; 0 if none is known.
    pub rv: u64,
    /// Time since the last item; `None`: there was none yet.
    pub age: Option<Duration>,
}

// === impl WatchState ===

impl WatchState {
    /// One word, for pages and metrics.
    pub fn name(self) -> &'static str {
        match self {
            WatchState::Starting => "starting",
            WatchState::Listing => "listing",
            WatchState::Live => "live",
            WatchState::Resuming => "resuming",
            WatchState::Relisting => "relisting",
            WatchState::Forbidden => "forbidden",
        }
    }
}

// === impl WatchStatus ===

impl WatchStatus {
    /// Time since the last item.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.last_item?))
    }

    /// Of two watches of one kind, how the one is that is worse off, with the counts of both.
    pub(super) fn worse(self, other: Self) -> Self {
        let rank = |s: &Self| (s.synced, s.state == WatchState::Live, s.last_item);
        let (mut worse, better) = match rank(&self) <= rank(&other) {
            true => (self, other),
            false => (other, self),
        };
        worse.relists += better.relists;
        worse.resumes += better.resumes;
        worse.decode_errors += better.decode_errors;
        worse.time_travels += better.time_travels;
        worse
    }

    /// Keeps an error and its time.
    pub fn failed(&mut self, now: Instant, error: impl Into<Arc<str>>) {
        self.last_error = Some((now, error.into()));
    }
}
