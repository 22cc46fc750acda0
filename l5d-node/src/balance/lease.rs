//! One request's hold on an endpoint: while it lasts the load counts it, and what became of the request is told to it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::accrual::Mark;
use super::cluster::ClientStats;
use super::endpoint::Endpoint;
use super::load::{LONGEST_PENALTY, PENALTY};
use crate::connect::{NoSession, Session};

/// One endpoint, held by one request. Dropping it ends the request for the load, and for failure accrual too if nothing
/// was said about it.
#[derive(Debug)]
pub struct Lease {
    endpoint: Rc<Endpoint>,
    start: Instant,
    /// `None`: when this is dropped.
    end: Cell<Option<Instant>>,
    cost: Cell<Cost>,
    /// Taken when the result is told.
    mark: Cell<Option<Mark>>,
}

/// What a request says about how long the endpoint takes.
#[derive(Clone, Copy, Debug)]
enum Cost {
    Time,
    Nothing,
    AtLeast(Duration),
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(endpoint: Rc<Endpoint>, now: Instant) -> Self {
        endpoint.load.start();
        if let Some(aperture) = &endpoint.shared.aperture {
            aperture.started(now);
        }
        let mark = endpoint.accrual.dispatch(now);
        if mark.is_probe {
            endpoint.shared.stats.probes.inc();
        }
        Self {
            endpoint,
            start: now,
            end: Cell::new(None),
            cost: Cell::new(Cost::Time),
            mark: Cell::new(Some(mark)),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A session with the endpoint: at once, unless there are as many as there may be (`maxSize`); then in turn, for no
    /// longer than the queue's time limit or `most`. Cancel safe.
    pub async fn session(&self, most: Duration) -> Result<Session, NoSession> {
        let (pool, stats) = (self.endpoint.pool(), &self.endpoint.shared.stats);
        if let Some(session) = pool.session() {
            return Ok(session);
        }
        let waiting = Waiting::new(stats);
        let session = pool.wait(most).await;
        drop(waiting);
        if matches!(session, Err(NoSession::TooManyWaiters | NoSession::Stuck)) {
            stats.too_many_waiters.inc();
        }
        session
    }

    /// The service's classifier calls it a success. The first of these calls counts.
    pub fn succeeded(&self, now: Instant) {
        if let Some(mark) = self.mark.take() {
            self.endpoint.succeeded(mark, now);
        }
    }

    /// The service's classifier calls it a failure, or there was no answer. It costs the penalty at least, however fast it
    /// came (node-proxy 17).
    pub fn failed(&self, now: Instant) {
        if let Some(mark) = self.mark.take() {
            self.endpoint.failed(mark, now);
        }
        self.penalise(None);
    }

    /// It costs at least the penalty, or until the endpoint wants to be asked again.
    pub fn penalise(&self, retry_after: Option<Duration>) {
        let least = retry_after.map_or(PENALTY, |t| t.clamp(PENALTY, LONGEST_PENALTY));
        self.cost.set(Cost::AtLeast(least));
    }

    /// It says that it was not handed on, and part of it is gone.
    pub fn cannot_retry(&self) {
        self.endpoint.shared.stats.cannot_retry.inc();
    }

    /// No connection could be opened.
    pub fn connect_failed(&self, now: Instant) {
        if let Some(mark) = self.mark.take() {
            self.endpoint.failed(mark, now);
        }
        self.discount();
        self.endpoint.unreachable(now);
    }

    /// It answered that it cannot hand the request on (`l5d-retryable`), such as a gateway that does not know yet of the pod
    /// behind it. Set aside: otherwise it takes its share of requests until the budget for sending them again is used up.
    pub fn turned_away(&self, now: Instant) {
        self.discount();
        self.endpoint.knows_nothing(now);
    }

    /// The time until now says nothing about the endpoint: no connection, or it did no work. A fast failure must not
    /// make it look fast.
    pub fn discount(&self) {
        self.cost.set(Cost::Nothing);
    }

    /// The request has ended at `end`: for who has looked at the clock already.
    pub fn ended(&self, end: Instant) {
        self.end.set(Some(end));
    }
}

/// Counts a request that waits for a connection.
struct Waiting<'a>(&'a ClientStats);

impl<'a> Waiting<'a> {
    fn new(stats: &'a ClientStats) -> Self {
        stats.waited.inc();
        stats.waiters.inc();
        Self(stats)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.dec();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mark) = self.mark.take() {
            self.endpoint.accrual.ignored(mark);
        }
        let end = self.end.get().unwrap_or_else(Instant::now);
        let took = end.saturating_duration_since(self.start);
        let counted = match self.cost.get() {
            Cost::Time => Some(took),
            Cost::Nothing => None,
            Cost::AtLeast(least) => Some(took.max(least)),
        };
        self.endpoint.load.end(counted, end);
        if let Some(aperture) = &self.endpoint.shared.aperture {
            aperture.ended(end);
        }
    }
}
