//! The connections to one endpoint (node-proxy 13.11): the idle ones last in, first out, each checked before it is used
//! again; how many there may be, and who waits for one.
//!
//! A pool belongs to one worker. What is configured for the process is divided among the workers, each having one at least.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Connection;
use crate::config::ClientSettings;

/// Idle connections to one endpoint, of one worker, and the right to use one.
#[derive(Debug)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// Longest idle time.
    idle_limit: Duration,
    /// Oldest age.
    life: Option<Duration>,
    least: usize,
    /// Whether somebody has asked for a connection of its own: HTTP/2 does not.
    is_used: Cell<bool>,
    /// `None`: as many as are needed.
    sessions: Option<Sessions>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Sessions up to `maxSize`, and who waits for one.
#[derive(Debug)]
struct Sessions {
    free: Arc<Semaphore>,
    waiting: Cell<usize>,
    max_waiters: usize,
    wait: Duration,
    /// Somebody waited in vain, and no session has ended since: nobody else waits.
    is_stuck: Rc<Cell<bool>>,
}

/// The right to use one connection; dropping it lets the next one in.
#[derive(Debug)]
pub struct Session(Option<(OwnedSemaphorePermit, Rc<Cell<bool>>)>);

/// There is no session; the destination has seen nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// The queue is full.
    #[error("too many requests wait for a connection already")]
    TooManyWaiters,
    /// Nothing became free for so long.
    #[error("no connection has become free for {0:?}")]
    TimedOut(Duration),
    /// Others have waited in vain.
    #[error("requests wait in vain for a connection")]
    Stuck,
}

/// Longest idle time of a connection, unless the configuration says otherwise.
pub const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Longest idle time for a request that cannot be sent twice: shorter than the 5 s after which many servers close
/// (node-proxy trap 18.10), so that the server does not close just as we write.
const IDLE_LIMIT_ONCE: Duration = Duration::from_secs(4);
/// Idle connections kept for an endpoint by a worker: a burst leaves no more behind.
const KEPT: usize = 256;

impl Pool {
    /// Empty, with a worker's part of what is configured, of `workers`.
    pub fn new(settings: &ClientSettings, workers: usize) -> Self {
        let (pool, session) = (&settings.pool, &settings.session);
        let part = |all: usize| all.div_ceil(workers.max(1));
        let idle_limit = pool.idle.into_iter().chain(session.idle).min();
        let sessions = pool.max.map(|max| Sessions {
            free: Arc::new(Semaphore::new(part(max).clamp(1, Semaphore::MAX_PERMITS))),
            waiting: Cell::new(0),
            max_waiters: part(pool.max_waiters.unwrap_or(settings.queue.capacity)),
            wait: settings.queue.timeout,
            is_stuck: Rc::default(),
        });
        Self {
            idle: RefCell::default(),
            idle_limit: idle_limit.unwrap_or(IDLE_LIMIT),
            life: session.life,
            least: part(pool.min).min(KEPT),
            is_used: Cell::new(false),
            sessions,
        }
    }

    /// How many connections there are to be at least.
    pub fn least(&self) -> usize {
        self.least
    }

    /// Whether a session has been asked for.
    pub fn is_used(&self) -> bool {
        self.is_used.get()
    }

    /// A session, if there is one free.
    pub fn session(&self) -> Option<Session> {
        self.is_used.set(true);
        let Some(sessions) = &self.sessions else {
            return Some(Session(None));
        };
        sessions.take_free()
    }

    /// A session, as soon as one is free and it is this request's turn. Cancel safe: who is dropped leaves the queue.
    ///
    /// # Errors
    /// The queue is full, or nothing became free within the queue's time limit or `most`.
    pub async fn wait(&self, most: Duration) -> Result<Session, NoSession> {
        let Some(sessions) = &self.sessions else {
            return Ok(Session(None));
        };
        sessions.wait(most).await
    }

    /// The connection used last, if it is alive; those found dead or too old are closed on the way. `is_repeatable`: the
    /// request may be sent again if the server closes at this very moment.
    pub fn take(&self, now: Instant, is_repeatable: bool) -> Option<Connection> {
        let limit = match is_repeatable {
            true => self.idle_limit,
            false => self.idle_limit.min(IDLE_LIMIT_ONCE),
        };
        let mut idle = self.idle.borrow_mut();
        // The newest is last: if it is too old, so are the others.
        if now.saturating_duration_since(idle.last()?.since) > limit {
            self.make_room(&mut idle);
            return None;
        }
        while let Some(Idle { connection, .. }) = idle.pop() {
            let stream = &connection.stream;
            let is_fresh = !self.is_too_old(&connection, now);
            if is_fresh && stream.is_alive() && (is_repeatable || stream.is_quiet()) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last response was read to its end; closes it if there are enough, or it has lived for long.
    pub fn put(&self, connection: Connection, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT && !self.is_too_old(&connection, now) {
            let since = now;
            idle.push(Idle { connection, since });
        }
    }

    /// Closes what has been idle too long, is too old, or was closed by the peer.
    pub fn sweep(&self, now: Instant) {
        let mut n = 0;
        self.idle.borrow_mut().retain(|idle| {
            let age = now.saturating_duration_since(idle.since);
            // The first `least` stay for as long as the peer lets them.
            let is_kept = age <= self.idle_limit || n < self.least;
            let stays = is_kept
                && !self.is_too_old(&idle.connection, now)
                && idle.connection.stream.is_alive();
            n += usize::from(stays);
            stays
        });
    }

    /// Closes all of them.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Number of idle connections.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A new connection is about to be opened beside idle ones that this request must not use: where the number is limited,
    /// one of them goes.
    fn make_room(&self, idle: &mut Vec<Idle>) {
        if self.sessions.is_some() && !idle.is_empty() {
            idle.remove(0);
        }
    }

    fn is_too_old(&self, connection: &Connection, now: Instant) -> bool {
        self.life
            .is_some_and(|life| now.saturating_duration_since(connection.opened()) > life)
    }
}

impl Sessions {
    fn take_free(&self) -> Option<Session> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        Some(Session(Some((permit, self.is_stuck.clone()))))
    }

    async fn wait(&self, most: Duration) -> Result<Session, NoSession> {
        if self.is_stuck.get() {
            return Err(NoSession::Stuck);
        }
        if self.waiting.get() >= self.max_waiters {
            return Err(NoSession::TooManyWaiters);
        }
        let _place = Place::take(&self.waiting);
        let limit = self.wait.min(most);
        match tokio::time::timeout(limit, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Session(Some((permit, self.is_stuck.clone())))),
            // Nobody closes it.
            Ok(Err(_)) => Err(NoSession::TooManyWaiters),
            Err(_) => {
                self.is_stuck.set(limit == self.wait);
                Err(NoSession::TimedOut(limit))
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((_, is_stuck)) = &self.0 {
            is_stuck.set(false);
        }
    }
}

/// One more in a number, for as long as this lives.
struct Place<'a>(&'a Cell<usize>);

impl<'a> Place<'a> {
    fn take(n: &'a Cell<usize>) -> Self {
        n.set(n.get() + 1);
        Self(n)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::Stream;
    use super::*;

    fn pool(change: impl Fn(&mut ClientSettings)) -> Pool {
        let mut settings = ClientSettings::default();
        change(&mut settings);
        Pool::new(&settings, 1)
    }

    async fn pair(listener: &TcpListener) -> (Connection, TcpStream) {
        let addr = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let ours = Connection::new(Stream::plain(ours.unwrap()), &Arc::default());
        (ours, theirs.unwrap().0)
    }

    #[tokio::test]
    async fn the_last_one_in_is_the_first_one_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (pool, now) = (pool(|_| {}), Instant::now());
        let (a, _a) = pair(&listener).await;
        let (b, _b) = pair(&listener).await;
        let last = b.stream.local_addr().unwrap();
        pool.put(a, now);
        pool.put(b, now);
        assert_eq!(
            pool.take(now, true).unwrap().stream.local_addr().unwrap(),
            last
        );
        assert_eq!(pool.len(), 1);
    }

    #[tokio::test]
    async fn closed_and_talkative_ones_are_not_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (pool, now) = (pool(|_| {}), Instant::now());
        let (closed, theirs) = pair(&listener).await;
        drop(theirs);
        closed.stream.tcp().unwrap().readable().await.unwrap();
        let (talks, mut theirs) = pair(&listener).await;
        theirs.write_all(b"HTTP/1.1 408 \r\n").await.unwrap();
        talks.stream.tcp().unwrap().readable().await.unwrap();
        pool.put(closed, now);
        pool.put(talks, now);
        assert!(pool.take(now, true).is_none());
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn old_ones_are_for_repeatable_requests_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (pool, now) = (pool(|_| {}), Instant::now());
        let (a, _a) = pair(&listener).await;
        pool.put(a, now);
        assert!(pool.take(now + Duration::from_secs(5), false).is_none());
        assert!(pool.take(now + Duration::from_secs(5), true).is_some());
        let (b, _b) = pair(&listener).await;
        pool.put(b, now);
        pool.sweep(now + IDLE_LIMIT);
        assert_eq!(pool.len(), 1);
        pool.sweep(now + IDLE_LIMIT + Duration::from_millis(1));
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn a_connection_has_its_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (minute, now) = (Duration::from_secs(60), Instant::now());
        let pool = pool(|s| s.session.life = Some(minute));
        let (a, _a) = pair(&listener).await;
        let (b, _b) = pair(&listener).await;
        pool.put(a, now + 2 * minute);
        assert!(pool.is_empty());
        pool.put(b, now);
        pool.sweep(now + 2 * minute);
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn the_least_stay_however_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let now = Instant::now();
        let pool = pool(|s| {
            s.pool.min = 1;
            s.pool.idle = Some(Duration::from_secs(1));
        });
        let (a, _a) = pair(&listener).await;
        let (b, _b) = pair(&listener).await;
        pool.put(a, now);
        pool.put(b, now);
        pool.sweep(now + Duration::from_secs(2));
        assert_eq!(pool.len(), 1);
        assert!(pool.take(now + Duration::from_secs(2), true).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_counted_and_given_in_turn() {
        let pool = pool(|s| {
            s.pool.max = Some(1);
            s.pool.max_waiters = Some(1);
        });
        let most = Duration::from_secs(60);
        let first = pool.session().unwrap();
        assert!(pool.session().is_none());
        let (second, third, ()) = tokio::join!(pool.wait(most), pool.wait(most), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert_eq!(third.unwrap_err(), NoSession::TooManyWaiters);
        // Who waits in vain is the last one to wait until a session ends.
        assert!(matches!(pool.wait(most).await, Err(NoSession::TimedOut(_))));
        assert_eq!(pool.wait(most).await.unwrap_err(), NoSession::Stuck);
        drop(second);
        assert!(pool.session().is_some());
        let held = pool.session().unwrap();
        assert!(matches!(pool.wait(most).await, Err(NoSession::TimedOut(_))));
        drop(held);
    }

    #[tokio::test]
    async fn workers_share_what_is_configured() {
        let mut settings = ClientSettings::default();
        settings.pool.max = Some(5);
        let pool = Pool::new(&settings, 4);
        let (a, b) = (pool.session(), pool.session());
        assert!(a.is_some() && b.is_some() && pool.session().is_none());
        settings.pool.max = Some(1);
        assert!(Pool::new(&settings, 4).session().is_some());
    }
}
