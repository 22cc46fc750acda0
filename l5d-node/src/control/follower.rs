//! Follows one namerd for ever: the state machine of resolver API 6.
//!
//! ```text
//!               +---------------- attempt fails ---------------+
//!               v                                              |
//!             Wait --time--> Dial --connected--> Link (greeting, resuming)
//!               ^                                              | following
//!   lost, goodbye                                              v
//!               +------------------------------------------ primary
//! ```
//! With a primary (goodbye was said) the attempt's session is hidden and takes over when it follows: moving has no gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::backoff::Backoff;
use super::dial::{Candidates, Connection, Dialer, Dialled, dial};
use super::link::{End, Link};
use super::plan::Plan;
use super::position::Position;
use super::session::{Phase, Session};
use crate::cache::{Contact, StreamState};

/// After a stream that ended because of a fault of ours.
const FAULT_WAIT: Duration = Duration::from_secs(30);
/// So long may all replicas say that they are behind, before an older state is accepted.
const BEHIND_TIME: Duration = Duration::from_secs(30);

/// The client of one namerd.
pub(crate) struct Follower {
    plan: Plan,
    dialer: Arc<dyn Dialer>,
    candidates: Arc<Mutex<Candidates>>,
    backoff: Backoff,
    position: Position,
    behind_since: Option<Instant>,
    primary: Option<Box<Link>>,
    attempt: Attempt,
}

/// How a new stream comes to be.
enum Attempt {
    None,
    Wait(Instant),
    Dial(BoxFuture<'static, Dialled>),
    Link(Box<Link>),
}

/// What an attempt has come to.
enum Progress {
    Waited,
    Dialled(Dialled),
    Stepped(Result<(), End>),
}

impl Follower {
    pub(crate) fn new(plan: Plan, dialer: Arc<dyn Dialer>, mut rng: fastrand::Rng) -> Self {
        let mut candidates = Candidates::new(plan.dst.clone(), rng.fork());
        candidates.add_worked(plan.worked.iter().copied());
        Self {
            backoff: Backoff::new(plan.retry_max, rng),
            candidates: Arc::new(Mutex::new(candidates)),
            position: plan.position.clone(),
            behind_since: None,
            primary: None,
            attempt: Attempt::Wait(Instant::now()),
            plan,
            dialer,
        }
    }

    /// Follows until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let set = self.plan.set.clone();
        set.set_contact(|c| c.candidates.clone_from(&self.plan.dst));
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                () = set.changed() => self.pass_on_changes(),
                ended = step(&mut self.primary) => {
                    if let Err(end) = ended {
                        self.on_lost(&end);
                    }
                }
                progress = self.attempt.step() => self.on_progress(progress),
            }
            self.settle();
            self.publish();
        }
        set.set_contact(|c| c.enter(StreamState::Disconnected));
    }

    fn pass_on_changes(&mut self) {
        let changes = self.plan.set.take();
        for link in self.links() {
            link.session.change(&changes);
        }
    }

    fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        let attempt = match &mut self.attempt {
            Attempt::Link(link) => Some(&mut **link),
            Attempt::None | Attempt::Wait(_) | Attempt::Dial(_) => None,
        };
        self.primary.as_deref_mut().into_iter().chain(attempt)
    }

    /// The stream that all relied on is gone.
    fn on_lost(&mut self, end: &End) {
        let Some(mut link) = self.primary.take() else {
            return;
        };
        self.failed(link.addr, end);
        self.learn(&mut link);
        self.plan.set.mark_stale();
        match &mut self.attempt {
            Attempt::Link(next) => next.session.take_over(),
            Attempt::None => {
                let wait = self
                    .wait_after(end)
                    .unwrap_or_else(|| self.backoff.after_loss());
                self.wait(wait);
            }
            Attempt::Wait(_) | Attempt::Dial(_) => {}
        }
    }

    fn on_progress(&mut self, progress: Progress) {
        match progress {
            Progress::Waited => {
                let leaving = self.primary.as_ref().map(|link| link.addr);
                let dialling = dial(self.dialer.clone(), self.candidates.clone(), leaving);
                self.attempt = Attempt::Dial(dialling.boxed());
            }
            Progress::Dialled(Ok((addr, connection))) => self.open(addr, connection),
            Progress::Dialled(Err(error)) => {
                tracing::info!(%error, "no namerd reached");
                self.plan.set.set_contact(|c| c.failed(error.to_string()));
                let wait = self.backoff.after_failure();
                self.wait(wait);
            }
            Progress::Stepped(Ok(())) => {}
            Progress::Stepped(Err(end)) => self.on_attempt_failed(&end),
        }
    }

    fn open(&mut self, addr: SocketAddr, connection: Box<dyn Connection>) {
        if let Some(primary) = &self.primary {
            self.position.clone_from(&primary.session.position);
        }
        let now = Instant::now();
        let mut hello = self.plan.hello.clone();
        hello.accept_older = self
            .behind_since
            .is_some_and(|since| now >= since + BEHIND_TIME);
        let session = Session::open(
            self.plan.set.clone(),
            self.plan.routers.clone(),
            hello,
            self.position.clone(),
            self.primary.is_some(),
            now,
        );
        self.attempt = Attempt::Link(Box::new(Link::new(addr, connection, session)));
    }

    fn on_attempt_failed(&mut self, end: &End) {
        let Attempt::Link(mut link) = std::mem::replace(&mut self.attempt, Attempt::None) else {
            return;
        };
        self.failed(link.addr, end);
        if end.code() == Some(Code::FailedPrecondition) {
            self.behind_since.get_or_insert_with(Instant::now);
        } else if end.code().is_some() {
            self.behind_since = None;
        }
        if self.primary.is_none() {
            self.learn(&mut link);
            self.plan.set.mark_stale();
        }
        let wait = self
            .wait_after(end)
            .unwrap_or_else(|| self.backoff.after_failure());
        self.wait(wait);
    }

    /// Keeps what a link that wrote has learnt.
    fn learn(&mut self, link: &mut Link) {
        if link.session.phase() != Phase::Greeting {
            self.position.clone_from(&link.session.position);
        }
        let counts = link.session.take_counts();
        self.plan.set.set_contact(|c| c.counts.add(counts));
    }

    fn failed(&self, addr: SocketAddr, end: &End) {
        let is_denied = matches!(
            end.code(),
            Some(Code::Unauthenticated | Code::PermissionDenied)
        );
        if is_denied || end.code() == Some(Code::InvalidArgument) {
            tracing::error!(%addr, error = %end, "namerd refuses this node");
        } else {
            tracing::warn!(%addr, error = %end, "stream to namerd ended");
        }
        self.plan.set.set_contact(|c| {
            c.failed(format!("{addr}: {end}"));
            c.counts.denied += u64::from(is_denied);
        });
    }

    /// The wait that this end asks for, whatever went before it.
    fn wait_after(&self, end: &End) -> Option<Duration> {
        (end.code() == Some(Code::InvalidArgument)).then_some(FAULT_WAIT)
    }

    fn wait(&mut self, time: Duration) {
        self.attempt = Attempt::Wait(Instant::now() + time);
    }

    /// Moves on as far as possible without waiting.
    fn settle(&mut self) {
        if let Attempt::Link(link) = &self.attempt
            && link.session.phase() == Phase::Following
        {
            self.promote();
        }
        let goodbye = self.primary.as_ref().and_then(|p| p.session.goodbye());
        if let (Some(within), Attempt::None) = (goodbye, &self.attempt) {
            let wait = self.backoff.within(within);
            self.wait(wait);
        }
    }

    /// The attempt follows: it is what all rely on from now on.
    fn promote(&mut self) {
        let Attempt::Link(mut link) = std::mem::replace(&mut self.attempt, Attempt::None) else {
            return;
        };
        link.session.take_over();
        self.backoff.worked();
        self.behind_since = None;
        self.candidates.lock().worked(link.addr);
        self.plan.set.set_contact(|c| c.has_worked(link.addr));
        tracing::info!(addr = %link.addr, "following namerd");
        if let Some(mut before) = self.primary.replace(link) {
            let counts = before.session.take_counts();
            self.plan.set.set_contact(|c| c.counts.add(counts));
        }
    }

    fn state(&self) -> StreamState {
        match (&self.primary, &self.attempt) {
            (Some(_), Attempt::None) => StreamState::Following,
            (Some(_), _) => StreamState::Moving,
            (None, Attempt::Link(link)) if link.session.phase() == Phase::Greeting => {
                StreamState::Greeting
            }
            (None, Attempt::Link(_)) => StreamState::Resuming,
            (None, _) => StreamState::Disconnected,
        }
    }

    fn publish(&mut self) {
        let state = self.state();
        let set = self.plan.set.clone();
        set.set_contact(|contact: &mut Contact| {
            contact.enter(state);
            contact.address = None;
            for link in self.links() {
                contact.counts.add(link.session.take_counts());
                if contact.address.is_some() {
                    continue;
                }
                contact.address = Some(link.addr);
                link.session.position.copy_to(&mut contact.position);
                contact.replica = link.session.replica().cloned();
                (contact.interests, contact.clusters) = link.session.sizes();
                if !link.session.sources().is_empty() {
                    contact.sources = link.session.sources().to_vec();
                }
            }
        });
    }
}

impl Attempt {
    /// Waits for the next thing to happen; for ever if there is no attempt. Cancel safe.
    async fn step(&mut self) -> Progress {
        match self {
            Attempt::None => std::future::pending().await,
            Attempt::Wait(until) => {
                sleep_until(*until).await;
                Progress::Waited
            }
            Attempt::Dial(dialling) => Progress::Dialled(dialling.await),
            Attempt::Link(link) => Progress::Stepped(link.step().await),
        }
    }
}

async fn step(link: &mut Option<Box<Link>>) -> Result<(), End> {
    match link {
        Some(link) => link.step().await,
        None => std::future::pending().await,
    }
}
