//! What goes wrong on demand. A test sets it, every request and stream reads it; streams wake when it changes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use super::kinds::Kind;
use super::traffic::Verb;

/// How the server takes streaming lists (`sendInitialEvents`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// As a server with the feature.
    On,
    /// 422, as a server with the feature switched off.
    Refused,
    /// The parameters are not known: initial events come, an end marker never.
    Ignored,
    /// The end marker gets lost.
    NoEndMarker,
}

/// How a watch hears that its history is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// HTTP 200 and an ERROR event, as real servers mostly do.
    Event,
    /// HTTP 410.
    Status,
}

/// Which requests a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// All.
    Any,
    /// All of one verb.
    Verb(Verb),
    /// Lists from this page on, counted from 1.
    Page(u32),
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This HTTP status, with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// Never an answer.
    Hang,
    /// The connection ends in the middle of the body.
    CutInBody,
}

/// A fault, where it hits, and how often still (`None`: until cleared).
#[derive(Clone, Debug)]
pub(super) struct Rule {
    kind: Option<Kind>,
    on: On,
    fault: Fault,
    left: Option<u32>,
}

/// Everything at once, so that one wake-up serves all.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) streaming: Streaming,
    pub(super) gone: Gone,
    pub(super) bookmark_every: Duration,
    pub(super) bytes_per_second: Option<u32>,
    pub(super) stalled: bool,
    pub(super) brief_watches: bool,
    pub(super) minor: u32,
    pub(super) token: Option<String>,
    /// Counted up to end all open watches cleanly.
    pub(super) endings: u64,
    /// Counted up to send every open watch a bookmark.
    pub(super) bookmarks: u64,
    rules: Vec<Rule>,
}

/// The switchboard.
#[derive(Debug)]
pub struct Faults {
    settings: watch::Sender<Settings>,
    lines: broadcast::Sender<(Kind, Bytes)>,
}

impl Faults {
    pub(super) fn new() -> Self {
        let settings = Settings {
            streaming: Streaming::On,
            gone: Gone::Event,
            bookmark_every: Duration::from_secs(60),
            bytes_per_second: None,
            stalled: false,
            brief_watches: false,
            minor: 36,
            token: None,
            endings: 0,
            bookmarks: 0,
            rules: Vec::new(),
        };
        Self {
            settings: watch::channel(settings).0,
            lines: broadcast::channel(256).0,
        }
    }

    /// Answers requests for a kind (`None`: any) with a fault, `times` times or until [`Faults::clear`].
    pub fn fail(&self, kind: Option<Kind>, on: On, fault: Fault, times: Option<u32>) {
        let rule = Rule {
            kind,
            on,
            fault,
            left: times,
        };
        self.settings.send_modify(|s| s.rules.push(rule));
    }

    /// Ends all faults of [`Faults::fail`].
    pub fn clear(&self) {
        self.settings.send_modify(|s| s.rules.clear());
    }

    /// Accepts connections and requests, but sends nothing, on open streams neither.
    pub fn stall(&self, stalled: bool) {
        self.settings.send_modify(|s| s.stalled = stalled);
    }

    /// Sends bodies at this rate only.
    pub fn slow(&self, bytes_per_second: Option<u32>) {
        let rate = bytes_per_second.filter(|rate| *rate > 0);
        self.settings.send_modify(|s| s.bytes_per_second = rate);
    }

    /// Ends all open watches cleanly, as at their timeout.
    pub fn end_watches(&self) {
        self.settings.send_modify(|s| s.endings += 1);
    }

    /// Ends every new watch as soon as it has sent what is there.
    pub fn brief_watches(&self, brief: bool) {
        self.settings.send_modify(|s| s.brief_watches = brief);
    }

    /// Sends a bookmark on every open watch that allows them.
    pub fn bookmark(&self) {
        self.settings.send_modify(|s| s.bookmarks += 1);
    }

    /// How long a watch is quiet before it gets a bookmark.
    pub fn bookmark_every(&self, period: Duration) {
        self.settings.send_modify(|s| s.bookmark_every = period);
    }

    /// How streaming lists are taken.
    pub fn streaming(&self, streaming: Streaming) {
        self.settings.send_modify(|s| s.streaming = streaming);
    }

    /// How lost history is told.
    pub fn gone(&self, gone: Gone) {
        self.settings.send_modify(|s| s.gone = gone);
    }

    /// The server's version: 1.`minor`.
    pub fn minor_version(&self, minor: u32) {
        self.settings.send_modify(|s| s.minor = minor);
    }

    /// Takes only this bearer token; anything else is answered with 401.
    pub fn require_token(&self, token: Option<&str>) {
        let token = token.map(str::to_owned);
        self.settings.send_modify(|s| s.token = token);
    }

    /// Puts a line into every open watch of a kind, whatever it is.
    pub fn send_line(&self, kind: Kind, line: &str) {
        // Fails only without an open watch, and then there is nobody to send to.
        let _ = self.lines.send((kind, Bytes::from(format!("{line}\n"))));
    }

    /// Puts an event into every open watch of a kind without touching the objects.
    pub fn send_event(&self, kind: Kind, kind_of_event: &str, object: &Value) {
        let event = serde_json::json!({"type": kind_of_event, "object": object});
        self.send_line(kind, &event.to_string());
    }

    pub(super) fn settings(&self) -> watch::Receiver<Settings> {
        self.settings.subscribe()
    }

    pub(super) fn lines(&self) -> broadcast::Receiver<(Kind, Bytes)> {
        self.lines.subscribe()
    }

    /// The fault that hits a request, if one does; counts it.
    pub(super) fn strike(&self, kind: Kind, verb: Verb, page: u32) -> Option<Fault> {
        let mut struck = None;
        self.settings.send_if_modified(|settings| {
            let hit = settings
                .rules
                .iter_mut()
                .find(|rule| rule.hits(kind, verb, page));
            struck = hit.map(|rule| {
                rule.left = rule.left.map(|left| left - 1);
                rule.fault
            });
            settings.rules.retain(|rule| rule.left != Some(0));
            false
        });
        struck
    }
}

impl Rule {
    fn hits(&self, kind: Kind, verb: Verb, page: u32) -> bool {
        let here = match self.on {
            On::Any => true,
            On::Verb(wanted) => wanted == verb,
            On::Page(from) => verb == Verb::List && page >= from,
        };
        here && self.kind.is_none_or(|wanted| wanted == kind) && self.left != Some(0)
    }
}
