//! One kind's watch: list, follow, resume, relist (K8S-110).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::K8sSource;
use super::decode::{self, Bookmark, Decoded, Event};
use super::lines::{Lines, read_all};
use super::list::{Snapshot, parse};
use super::pace::{Backoff, Bucket, StormGuard};
use super::transport::Transport;
use crate::store::services::{Kind, Services, WatchState};

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

/// What is asked of the server for a kind.
#[derive(Debug)]
pub(super) struct Target {
    path: &'static str,
    selector: Option<&'static str>,
    pub(super) accept_list: &'static str,
    accept_watch: &'static str,
}

/// Why a request or a stream did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// History is gone.
    Gone,
    /// No connection.
    Unreachable(String),
    /// The connection was cut.
    Cut(String),
    /// The server hangs.
    Stalled(String),
    /// The server says no.
    Refused {
        status: u16,
        message: String,
        retry_after: Option<Duration>,
    },
    /// The server says what cannot be read.
    Garbled(String),
}

/// The task of one kind.
pub(super) struct ApiWatch {
    kind: Kind,
    pub(super) target: Target,
    pub(super) transport: Arc<dyn Transport>,
    services: Services,
    label_keys: Vec<String>,
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

impl ApiWatch {
    pub(super) fn new(
        kind: Kind,
        transport: Arc<dyn Transport>,
        services: Services,
        source: &K8sSource,
        random: fastrand::Rng,
    ) -> Self {
        let now = Instant::now();
        Self {
            kind,
            target: Target::of(kind),
            transport,
            services,
            label_keys: source.label_keys.clone(),
            startup_jitter: source.startup_jitter,
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

    /// Keeps the model like the server, for ever.
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
                self.services.note(self.kind, |s| s.resumes += 1);
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
            self.services.note(self.kind, |s| s.relists += 1);
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

    fn publish(&mut self, list: Snapshot, rewound: bool) -> (String, Option<Lines>) {
        let order = decode::order(&list.rv);
        self.reached = match rewound {
            true => order,
            false => self.reached.max(order),
        };
        self.services.replace(self.kind, list.objects, rewound);
        self.synced = true;
        self.refused_lists = None;
        self.item(&list.rv, true);
        (list.rv, list.live)
    }

    /// K8S-118: a list older than what is known is refused for a while. `Some(true)`: it stands all the same.
    fn accept(&mut self, list: &Snapshot) -> Option<bool> {
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
                source = self.kind.source(),
                list = order,
                known = reached,
                "the API server's history has gone back, as after a restore: its list replaces what was known"
            );
            return Some(true);
        }
        tracing::warn!(
            source = self.kind.source(),
            list = order,
            known = reached,
            "a list older than what is known is refused; asking again"
        );
        self.services.note(self.kind, |s| s.time_travels += 1);
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
        loop {
            let line = timeout(patience, lines.next()).await.map_err(silent)?;
            match line.map_err(Failure::Cut)? {
                Some(line) => self.event(&line, at)?,
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn open(&self, query: &str) -> Result<Lines, Failure> {
        let path = self.path(query);
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

    fn apply(&self, event: &str, decoded: Decoded) -> String {
        let now = Instant::now();
        if let Some(lag) = decoded.lag {
            self.services.note(self.kind, |s| s.lag = Some(lag));
        }
        match event {
            "DELETED" => self.services.delete(&decoded.object.meta, now),
            _ => self.services.apply(decoded.object, now),
        }
        decoded.rv
    }

    /// Reads one object; what is wrong with it is counted and told here.
    pub(super) fn decode(&mut self, raw: &str) -> Option<Decoded> {
        match decode::object(self.kind, raw, &self.label_keys) {
            Ok(decoded) => {
                if let Some(error) = &decoded.error {
                    self.bad(&format!("{}: {error}", decoded.object.meta.name));
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
        self.services.note(self.kind, |status| {
            status.last_item = Some(now);
            if is_event {
                status.last_event = Some(now);
            }
            if *status.rv != *at {
                status.rv = at.into();
            }
        });
    }

    fn state(&self, state: WatchState) {
        self.services.note(self.kind, |s| s.state = state);
    }

    fn bad(&mut self, what: &str) {
        let now = Instant::now();
        self.services.note(self.kind, |s| s.decode_errors += 1);
        if self
            .logged
            .is_none_or(|at| now.duration_since(at) >= LOG_EVERY)
        {
            self.logged = Some(now);
            let source = self.kind.source();
            tracing::warn!(source, "skipped, its last good version stays: {what}");
        }
    }

    /// Tells of a failure and waits as long as it takes (K8S-114).
    async fn pause(&mut self, failure: &Failure, state: WatchState) {
        let now = Instant::now();
        let forbidden = matches!(failure, Failure::Refused { status: 403, .. });
        self.services.note(self.kind, |status| {
            status.failed(now, failure.to_string());
            status.state = if forbidden {
                WatchState::Forbidden
            } else {
                state
            };
        });
        let wait = self
            .backoff
            .wait(now, &mut self.random, failure.retry_after());
        tracing::warn!(
            source = self.kind.source(),
            ?wait,
            "the watch failed: {failure}"
        );
        if failure.wants_a_new_connection() {
            self.transport.reconnect();
        }
        sleep(wait).await;
    }

    // --- asking

    pub(super) fn path(&self, query: &str) -> String {
        let Target { path, selector, .. } = self.target;
        match selector {
            Some(selector) => format!("{path}?labelSelector={selector}&{query}"),
            None => format!("{path}?{query}"),
        }
    }

    /// How long the server is to keep a watch open: short, which bounds undetected silence (K8S-117).
    pub(super) fn watch_seconds(&mut self) -> u32 {
        self.random.u32(45..=75)
    }
}

/// The start of a body that is no `Status`, for messages.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)])
        .trim()
        .to_owned()
}

// === impl Target ===

impl Target {
    fn of(kind: Kind) -> Self {
        const JSON: &str = "application/json";
        let whole = |path, selector| Self {
            path,
            selector,
            accept_list: JSON,
            accept_watch: JSON,
        };
        match kind {
            // Those of headless services too (K8S-105); the slash of the label is escaped.
            Kind::Slices => whole(
                "/apis/discovery.k8s.io/v1/endpointslices",
                Some("kubernetes.io%2Fservice-name"),
            ),
            Kind::Services => whole("/api/v1/services", None),
            Kind::Nodes => Self {
                accept_list: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json",
                accept_watch: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json",
                ..whole("/api/v1/nodes", None)
            },
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A server that answers, but will perhaps never answer this version. Load and rights have other reasons.
    fn may_be_of_the_version(&self) -> bool {
        match self {
            Failure::Refused { status, .. } => !matches!(status, 401 | 403 | 429 | 503),
            Failure::Garbled(_) => true,
            _ => false,
        }
    }

    /// 401: the token in its file may be a newer one.
    fn wants_a_new_connection(&self) -> bool {
        matches!(
            self,
            Failure::Stalled(_) | Failure::Refused { status: 401, .. }
        )
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Gone => f.write_str("its history is gone"),
            Failure::Unreachable(why) => write!(f, "the API server cannot be reached: {why}"),
            Failure::Cut(why) => write!(f, "the connection was cut: {why}"),
            Failure::Stalled(why) | Failure::Garbled(why) => f.write_str(why),
            Failure::Refused {
                status, message, ..
            } => {
                write!(f, "the API server answered {status}: {message}")?;
                match status {
                    401 => f.write_str(" (check namerd's service account token)"),
                    403 => f.write_str(" (check namerd's ClusterRole)"),
                    404 => f.write_str(
                        " (does this server have the API? Kubernetes 1.21 or later is needed)",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}
