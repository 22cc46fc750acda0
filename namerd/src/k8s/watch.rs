//! One collection's watch: list, follow, resume, relist (K8S-110).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::decode::{self, Bookmark, Decoded, Event};
use super::failure::Failure;
use super::lines::{Lines, read_all};
use super::list::{Snapshot, parse};
use super::pace::{Backoff, Bucket, StormGuard};
use super::sink::Sink;
use super::target::Target;
use super::transport::Transport;
use crate::store::services::{WatchState, WatchStatus};

/// Failures in a row, without any item in between, after which a version is given up (K8S-131).
const STUCK: u32 = 5;
/// After so long without any item the server is asked whether history has gone back (K8S-131).
const QUIET: Duration = Duration::from_secs(600);
/// Older lists than what is known are refused so often, or so long (K8S-118).
const REFUSED_LISTS: u32 = 5;
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// What a watch may be silent beyond its own time before it is dropped (K8S-117).
const SILENCE: Duration = Duration::from_secs(5);
/// One line of log about bad objects in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The task of one collection.
pub(super) struct ApiWatch<S> {
    sink: S,
    pub(super) target: Target,
    pub(super) transport: Arc<dyn Transport>,
    startup_jitter: Duration,
    random: fastrand::Rng,
    backoff: Backoff,
    bucket: Bucket,
    storm: StormGuard,
    synced: bool,
    /// The newest version reached, if versions can be compared.
    reached: u64,
    /// When the last item came in, or the server was last asked in vain for one.
    quiet_since: Instant,
    /// Failures of a reachable server since the last item.
    stuck: u32,
    /// Lists refused in a row for being older than what is known, and since when.
    refused_lists: Option<(u32, Instant)>,
    pub(super) overloaded: u32,
    pub(super) no_streams_until: Option<Instant>,
    logged: Option<Instant>,
}

impl<S: Sink> ApiWatch<S> {
    pub(super) fn new(
        sink: S,
        transport: Arc<dyn Transport>,
        startup_jitter: Duration,
        random: fastrand::Rng,
    ) -> Self {
        let now = Instant::now();
        Self {
            target: sink.target(),
            sink,
            transport,
            startup_jitter,
            random,
            backoff: Backoff::default(),
            bucket: Bucket::new(now),
            storm: StormGuard::default(),
            synced: false,
            reached: 0,
            quiet_since: now,
            stuck: 0,
            refused_lists: None,
            overloaded: 0,
            no_streams_until: None,
            logged: None,
        }
    }

    /// Keeps what is written into like the server, for ever.
    pub(super) async fn run(mut self) {
        sleep(self.startup_jitter.mul_f64(self.random.f64())).await;
        loop {
            let (mut at, mut live) = self.relist().await;
            while !self.history_is_lost(&at).await {
                let ended = self.follow(&mut at, live.take()).await;
                match ended {
                    Ok(()) => self.state(WatchState::Resuming),
                    Err(Failure::Gone) => break,
                    Err(failure) => {
                        self.stuck += u32::from(failure.may_be_of_the_version());
                        self.pause(&failure, WatchState::Resuming).await;
                        if self.stuck >= STUCK {
                            break;
                        }
                    }
                }
                self.note(|s| s.resumes += 1);
                sleep(self.bucket.take(Instant::now())).await;
            }
        }
    }

    // --- listing

    /// Lists until it works, and publishes (K8S-111).
    async fn relist(&mut self) -> (String, Option<Lines>) {
        let state = match self.synced {
            false => WatchState::Listing,
            true => WatchState::Relisting,
        };
        self.state(state);
        if self.synced {
            self.note(|s| s.relists += 1);
            sleep(self.storm.wait(Instant::now())).await;
        }
        loop {
            match self.list().await {
                Ok(list) => match self.accept(&list) {
                    Some(rewound) => return self.publish(list, rewound),
                    None => {
                        let wait = self.backoff.wait(Instant::now(), &mut self.random, None);
                        sleep(wait).await;
                    }
                },
                Err(failure) => self.pause(&failure, state).await,
            }
        }
    }

    fn publish(&mut self, list: Snapshot<S::Object>, rewound: bool) -> (String, Option<Lines>) {
        let order = decode::order(&list.rv);
        self.reached = match rewound {
            true => order,
            false => self.reached.max(order),
        };
        self.sink.replace(list.objects, order, rewound);
        self.synced = true;
        self.refused_lists = None;
        self.item(&list.rv, true);
        (list.rv, list.live)
    }

    /// K8S-118: a list older than what is known is refused for a while. `Some(true)`: it stands all the same.
    fn accept(&mut self, list: &Snapshot<S::Object>) -> Option<bool> {
        let order = decode::order(&list.rv);
        if order == 0 || order >= self.reached {
            return Some(false);
        }
        let now = Instant::now();
        let (tries, since) = self.refused_lists.get_or_insert((0, now));
        *tries += 1;
        let (tries, reached) = (*tries, self.reached);
        if tries > REFUSED_LISTS || now.duration_since(*since) >= REFUSED_FOR {
            tracing::error!(
                source = self.sink.source(),
                list = order,
                known = reached,
                "the API server's history has gone back, as after a restore: its list replaces what was known"
            );
            return Some(true);
        }
        tracing::warn!(
            source = self.sink.source(),
            list = order,
            known = reached,
            "a list older than what is known is refused; asking again"
        );
        self.note(|s| s.time_travels += 1);
        None
    }

    /// A watch from a version in the server's future may just sit there: after a long silence the collection's version is
    /// looked at (K8S-131).
    async fn history_is_lost(&mut self, at: &str) -> bool {
        let now = Instant::now();
        if now.duration_since(self.quiet_since) < QUIET || decode::order(at) == 0 {
            return false;
        }
        self.quiet_since = now;
        match self.probe().await {
            Ok(rv) => decode::order(&rv) != 0 && decode::order(&rv) < self.reached,
            Err(_) => false,
        }
    }

    // --- following

    /// Applies events until the stream ends. `Ok`: it ended well.
    async fn follow(&mut self, at: &mut String, live: Option<Lines>) -> Result<(), Failure> {
        let seconds = self.watch_seconds();
        let patience = Duration::from_secs(u64::from(seconds)) + SILENCE;
        let silent = |_| Failure::Stalled(format!("nothing came in for {patience:?}"));
        let mut lines = match live {
            Some(lines) => lines,
            None => {
                let query = format!(
                    "watch=true&allowWatchBookmarks=true&resourceVersion={at}&timeoutSeconds={seconds}"
                );
                timeout(patience, self.open(&query))
                    .await
                    .map_err(silent)??
            }
        };
        self.state(WatchState::Live);
        self.backoff.live(Instant::now());
        loop {
            let line = timeout(patience, lines.next()).await.map_err(silent)?;
            match line.map_err(Failure::Cut)? {
                Some(line) => self.event(&line, at)?,
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn open(&self, query: &str) -> Result<Lines, Failure> {
        let path = self.target.path(query);
        let reply = self.transport.get(&path, self.target.accept_watch).await;
        let reply = reply.map_err(Failure::Unreachable)?;
        if reply.status == 200 {
            return Ok(Lines::new(reply.body));
        }
        let (status, retry_after) = (reply.status, reply.retry_after);
        let body = read_all(reply.body).await.unwrap_or_default();
        Err(Failure::of_reply(status, retry_after, &body))
    }

    fn event(&mut self, line: &[u8], at: &mut String) -> Result<(), Failure> {
        let event: Event<'_> = parse(line)?;
        let raw = event.object.get();
        let rv = match event.kind {
            "ERROR" => return Err(Failure::of_event(raw)),
            "BOOKMARK" => parse::<Bookmark>(raw.as_bytes())?.rv().to_owned(),
            "ADDED" | "MODIFIED" | "DELETED" => match self.decode(raw) {
                Some(decoded) => self.apply(event.kind, decoded),
                None => String::new(),
            },
            other => {
                self.bad(&format!("an event of an unknown type: {other}"));
                String::new()
            }
        };
        let order = decode::order(&rv);
        if !rv.is_empty() && (order == 0 || order >= decode::order(at)) {
            at.clone_from(&rv);
            self.reached = self.reached.max(order);
        }
        self.item(at, event.kind != "BOOKMARK");
        Ok(())
    }

    fn apply(&self, event: &str, decoded: Decoded<S::Object>) -> String {
        let now = Instant::now();
        if let Some(lag) = decoded.lag {
            self.note(|s| s.lag = Some(lag));
        }
        match event {
            "DELETED" => self.sink.delete(decoded.object, now),
            _ => self.sink.apply(decoded.object, now),
        }
        decoded.rv
    }

    /// Reads one object; what is wrong with it is counted and told here.
    pub(super) fn decode(&mut self, raw: &str) -> Option<Decoded<S::Object>> {
        match self.sink.decode(raw) {
            Ok(decoded) => {
                if let Some(error) = &decoded.error {
                    self.bad(&format!("{}: {error}", decoded.name));
                }
                Some(decoded)
            }
            Err(error) => {
                self.bad(&format!("an object without a readable name: {error}"));
                None
            }
        }
    }

    // --- telling

    fn item(&mut self, at: &str, is_event: bool) {
        let now = Instant::now();
        self.quiet_since = now;
        self.stuck = 0;
        self.note(|status| {
            status.last_item = Some(now);
            if is_event {
                status.last_event = Some(now);
            }
            if *status.rv != *at {
                status.rv = at.into();
            }
        });
        self.sink.reached(decode::order(at));
    }

    fn note(&self, note: impl FnOnce(&mut WatchStatus)) {
        self.sink.note(note);
    }

    fn state(&self, state: WatchState) {
        self.note(|s| s.state = state);
    }

    fn bad(&mut self, what: &str) {
        let now = Instant::now();
        self.note(|s| s.decode_errors += 1);
        if self
            .logged
            .is_none_or(|at| now.duration_since(at) >= LOG_EVERY)
        {
            self.logged = Some(now);
            let source = self.sink.source();
            tracing::warn!(source, "skipped, its last good version stays: {what}");
        }
    }

    /// Tells of a failure and waits as long as it takes (K8S-114).
    async fn pause(&mut self, failure: &Failure, state: WatchState) {
        let now = Instant::now();
        let forbidden = matches!(failure, Failure::Refused { status: 403, .. });
        self.note(|status| {
            status.failed(now, failure.to_string());
            status.state = if forbidden {
                WatchState::Forbidden
            } else {
                state
            };
        });
        self.sink.failed(failure);
        let wait = self
            .backoff
            .wait(now, &mut self.random, failure.retry_after());
        tracing::warn!(
            source = self.sink.source(),
            ?wait,
            "the watch failed: {failure}"
        );
        if failure.wants_a_new_connection() {
            self.transport.reconnect();
        }
        sleep(wait).await;
    }

    // --- asking

    /// How long the server is to keep a watch open: short, which bounds undetected silence (K8S-117).
    pub(super) fn watch_seconds(&mut self) -> u32 {
        self.random.u32(45..=75)
    }
}
