//! Watches: what was there, what changes, bookmarks, and the ways in which a stream ends.
//!
//! A stream keeps its position in the store's history, never a queue of its own: a slow reader is only behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::State;
use super::answer::pace;
use super::faults::{Gone, Settings, Streaming};
use super::kinds::Kind;
use super::query::{Match, Query};
use super::status::Refusal;
use super::store::{Change, Store};
use super::traffic::OpenWatch;

/// As long as anything; the real server's own limit is half an hour and more.
const LONG: Duration = Duration::from_secs(45 * 60);

/// One open watch.
#[derive(Debug)]
pub(super) struct Watching {
    query: Query,
    state: Arc<State>,
    settings: watch::Receiver<Settings>,
    moved: watch::Receiver<u64>,
    lines: broadcast::Receiver<(Kind, Bytes)>,
    pending: VecDeque<Bytes>,
    position: u64,
    ends: bool,
    endings: u64,
    bookmarks: u64,
    deadline: Instant,
    quiet_since: Instant,
    _open: OpenWatch,
}

/// What woke a quiet stream.
enum Wake {
    Look,
    Line(Bytes),
    Bookmark,
    End,
}

impl Watching {
    /// Begins a watch, or refuses.
    pub(super) fn begin(state: &Arc<State>, query: Query) -> Result<Self, Refusal> {
        // From here on nothing is missed.
        let (moved, lines) = (state.store.moved(), state.faults.lines());
        let settings = state.faults.settings();
        let set = settings.borrow().clone();
        let begin = Begin::of(&state.store, &query, &set)?;
        let mut watching = Self {
            deadline: Instant::now() + query.timeout.filter(|t| !t.is_zero()).unwrap_or(LONG),
            quiet_since: Instant::now(),
            _open: state.traffic.open(query.kind),
            state: Arc::clone(state),
            position: begin.position,
            ends: false,
            endings: set.endings,
            bookmarks: set.bookmarks,
            pending: VecDeque::new(),
            settings,
            moved,
            lines,
            query,
        };
        if begin.initial {
            watching.initial(begin.end_marker)?;
        }
        Ok(watching)
    }

    /// The next bytes; `None` at the clean end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Fails only when the double is gone, and then the stream is cut anyway.
            let _ = self.settings.wait_for(|set| !set.stalled).await;
            if let Some(bytes) = self.pending.pop_front() {
                let rate = self.settings.borrow().bytes_per_second;
                pace(rate, bytes.len()).await;
                self.quiet_since = Instant::now();
                return Some(bytes);
            }
            if self.ends {
                return None;
            }
            self.look();
            if self.pending.is_empty() {
                self.rest().await;
            }
        }
    }

    /// The objects that are there, as additions.
    fn initial(&mut self, end_marker: bool) -> Result<(), Refusal> {
        let (version, objects) = self.state.store.list(self.query.kind, None)?;
        for (key, object) in objects {
            if self.query.wants(&key, &object) {
                self.event("ADDED", &self.query.view.show(&object));
            }
        }
        self.position = version;
        if end_marker {
            let object = self.query.view.bookmark(self.query.kind, version, true);
            self.event("BOOKMARK", &object);
        }
        Ok(())
    }

    /// Takes what has changed since the last look.
    fn look(&mut self) {
        match self.state.store.changes(self.query.kind, self.position) {
            Ok((position, changes)) => {
                self.position = position;
                for change in changes {
                    self.change(&change);
                }
            }
            Err(gone) => {
                self.event("ERROR", &gone.body());
                self.ends = true;
            }
        }
    }

    /// One change, as one sees it who looks through a selector.
    fn change(&mut self, change: &Change) {
        let wanted = |object: &&Arc<Value>| self.query.wants(&change.key, object);
        let before = change.before.as_ref().filter(wanted);
        let after = change.after.as_ref().filter(wanted);
        let view = self.query.view;
        match (before, after) {
            (None, None) => {}
            (None, Some(now)) => self.event("ADDED", &view.show(now)),
            (Some(_), Some(now)) => self.event("MODIFIED", &view.show(now)),
            (Some(last), None) => {
                let mut gone = view.show(change.deleted.as_ref().unwrap_or(last));
                gone["metadata"]["resourceVersion"] = json!(change.version.to_string());
                self.event("DELETED", &gone);
            }
        }
    }

    /// Waits for a reason to go on.
    async fn rest(&mut self) {
        match self.wake().await {
            Wake::Look => {}
            Wake::Line(line) => self.push(line),
            Wake::Bookmark => {
                let object = self
                    .query
                    .view
                    .bookmark(self.query.kind, self.position, false);
                self.event("BOOKMARK", &object);
            }
            Wake::End => self.ends = true,
        }
    }

    async fn wake(&mut self) -> Wake {
        let (every, brief, endings, bookmarks) = {
            let set = self.settings.borrow_and_update();
            (
                set.bookmark_every,
                set.brief_watches,
                set.endings,
                set.bookmarks,
            )
        };
        if brief || endings != self.endings {
            return Wake::End;
        }
        if std::mem::replace(&mut self.bookmarks, bookmarks) != bookmarks && self.query.bookmarks {
            return Wake::Bookmark;
        }
        let bookmark_at = self.quiet_since + every;
        tokio::select! {
            Ok(()) = self.moved.changed() => Wake::Look,
            Ok((kind, line)) = self.lines.recv() => match kind == self.query.kind {
                true => Wake::Line(line),
                false => Wake::Look,
            },
            Ok(()) = self.settings.changed() => Wake::Look,
            () = sleep_until(bookmark_at), if self.query.bookmarks => Wake::Bookmark,
            () = sleep_until(self.deadline) => Wake::End,
        }
    }

    fn event(&mut self, name: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": name, "object": object}));
        self.push(Bytes::from(line));
    }

    /// Queues bytes to be written; slowly, if so told: a tenth of a second's worth at a time.
    fn push(&mut self, mut bytes: Bytes) {
        let rate = self.settings.borrow().bytes_per_second;
        let most = rate.map_or(usize::MAX, |rate| (rate as usize / 10).max(1));
        while bytes.len() > most {
            self.pending.push_back(bytes.split_to(most));
        }
        self.pending.push_back(bytes);
    }
}

/// How a watch begins.
struct Begin {
    position: u64,
    initial: bool,
    end_marker: bool,
}

impl Begin {
    fn of(store: &Store, query: &Query, set: &Settings) -> Result<Self, Refusal> {
        let from = query.version.unwrap_or(0);
        let streaming = query.initial_events && set.streaming != Streaming::Ignored;
        if streaming {
            if set.streaming == Streaming::Refused {
                return Err(Refusal::invalid(
                    "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: \
                     sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
                ));
            }
            if query.matching != Some(Match::NotOlderThan) {
                return Err(Refusal::invalid(
                    "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
                     sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ));
            }
            let now = store.version();
            if from > now {
                return Err(Refusal::too_large(from, now));
            }
        } else if set.gone == Gone::Status && from > 0 {
            store.changes(query.kind, from)?;
        }
        Ok(Self {
            position: from,
            initial: streaming || from == 0,
            end_marker: streaming && query.bookmarks && set.streaming == Streaming::On,
        })
    }
}
