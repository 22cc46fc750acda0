//! The shared connections to one endpoint: found, opened one at a time, let go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{BeginError, Handle, Multiplexed, begin};
use crate::config::{H2Settings, SessionLimits};
use crate::connect::Connection;

/// The connections to one endpoint, of one worker.
#[derive(Debug, Default)]
pub struct Shared {
    open: RefCell<Vec<Rc<Multiplexed>>>,
    is_dialing: Cell<bool>,
    /// How often a dial has failed, and what the last one said.
    failures: Cell<u64>,
    why: RefCell<Arc<str>>,
    dialed: Notify,
    /// Until when it is known of an endpoint of another protocol that it takes HTTP/2 as well.
    offer: Cell<Option<Instant>>,
    /// Until when it is not asked.
    refusal: Cell<Option<Instant>>,
    /// `clientSession` (node-proxy 6).
    session: SessionLimits,
}

/// What there is for a stream.
#[derive(Debug)]
pub enum Slot<'a> {
    /// A connection.
    Ready(Handle),
    /// None, and nobody opens one: do so.
    Dial(Dialing<'a>),
    /// Somebody tried meanwhile, in vain, and why.
    Failed(Arc<str>),
}

/// The right to open a connection. Dropped, somebody else gets it.
#[derive(Debug)]
pub struct Dialing<'a>(&'a Shared);

/// Connections to one endpoint, of one worker. More streams than they have room for wait.
const MOST: usize = 8;
/// Longest time without a stream (node-proxy 17), unless `clientSession` says otherwise.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// How long an offer of HTTP/2 between nodes holds: a node that is replaced by one that does not know of it says so as a
/// connection is opened.
const OFFERED: Duration = Duration::from_secs(600);
/// How long a node that did not keep its offer is not asked.
const REFUSED: Duration = Duration::from_secs(60);

impl Shared {
    /// No connection yet; those to come live as long as `session` says.
    pub fn new(session: SessionLimits) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }

    /// Whether a connection has lived for as long as it may: it takes no more streams, and ends with its last one.
    fn is_old(&self, connection: &Multiplexed, now: Instant) -> bool {
        let age = now.saturating_duration_since(connection.link.born);
        self.session.life.is_some_and(|life| age >= life)
    }

    /// The endpoint, a node, offers to take requests of HTTP/1 in HTTP/2.
    pub fn offered(&self, now: Instant) {
        self.offer.set(Some(now + OFFERED));
    }

    /// It did not keep its offer.
    pub fn refused(&self, now: Instant) {
        self.offer.set(None);
        self.refusal.set(Some(now + REFUSED));
    }

    /// Whether it has offered to.
    pub fn is_offered(&self, now: Instant) -> bool {
        self.offer.get().is_some_and(|until| now < until)
    }

    /// Whether it is to be asked.
    pub fn is_unknown(&self, now: Instant) -> bool {
        !self.is_offered(now) && self.refusal.get().is_none_or(|until| now >= until)
    }

    /// A connection with room, or the right to open one; waits while somebody else does. Cancel safe.
    pub async fn slot(&self) -> Slot<'_> {
        let failures = self.failures.get();
        loop {
            if let Some(handle) = self.find() {
                return Slot::Ready(handle);
            }
            if self.failures.get() != failures {
                return Slot::Failed(self.why.borrow().clone());
            }
            if !self.is_dialing.replace(true) {
                return Slot::Dial(Dialing(self));
            }
            self.dialed.notified().await;
        }
    }

    /// The fullest connection that has room, so that the others can empty; if none has and there are enough, the emptiest.
    fn find(&self) -> Option<Handle> {
        let mut open = self.open.borrow_mut();
        open.retain(|c| c.is_usable());
        if self.session.life.is_some() {
            let now = Instant::now();
            open.retain(|c| !self.is_old(c, now));
        }
        let streams = |c: &&Rc<Multiplexed>| c.link.streams.get();
        let roomy = open.iter().filter(|c| c.has_room()).max_by_key(streams);
        let chosen = match roomy {
            None if open.len() >= MOST => open.iter().min_by_key(streams),
            roomy => roomy,
        };
        chosen.map(|c| c.handle())
    }

    /// Lets go of connections that nobody has used for long, and of ended ones.
    pub fn sweep(&self, now: Instant) {
        let limit = self.session.idle.unwrap_or(IDLE_LIMIT);
        self.open.borrow_mut().retain(|c| {
            let idle = now.saturating_duration_since(c.link.used.get());
            let is_idle = c.link.streams.get() == 0 && idle > limit;
            !c.link.is_closed.get() && !is_idle && !self.is_old(c, now)
        });
    }

    /// Opens no more streams on any of them; those that are open go on.
    pub fn clear(&self) {
        self.open.borrow_mut().clear();
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Dialing<'_> {
    /// The connection is open: begins HTTP/2 on it within `limit`, for all who wait.
    pub async fn opened(
        self,
        connection: Connection,
        settings: &H2Settings,
        limit: Duration,
    ) -> Result<Handle, BeginError> {
        match begin(connection, settings, limit).await {
            Ok(multiplexed) => {
                let handle = multiplexed.handle();
                self.0.open.borrow_mut().push(Rc::new(multiplexed));
                Ok(handle)
            }
            Err(e) => {
                self.failed(&e.to_string());
                Err(e)
            }
        }
    }

    /// It cannot be opened: all who wait hear the same.
    pub fn failed(self, why: &str) {
        self.0.failures.set(self.0.failures.get() + 1);
        *self.0.why.borrow_mut() = why.into();
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.is_dialing.set(false);
        self.0.dialed.notify_waiters();
    }
}
