//! The idle connections to one endpoint (node-proxy 13.11): last in, first out, each checked before it is used again.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

use super::Connection;

/// Idle connections to one endpoint, of one worker.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Longest idle time of a connection.
pub const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Longest idle time for a request that cannot be sent twice: shorter than the 5 s after which many servers close
/// (node-proxy trap 18.10), so that the server does not close just as we write.
const IDLE_LIMIT_ONCE: Duration = Duration::from_secs(4);
/// Idle connections kept for an endpoint by a worker: a burst leaves no more behind.
const KEPT: usize = 256;

impl Pool {
    /// The connection used last, if it is alive; those found dead or too old are closed on the way. `is_repeatable`: the
    /// request may be sent again if the server closes at this very moment.
    pub fn take(&self, now: Instant, is_repeatable: bool) -> Option<Connection> {
        let limit = if is_repeatable {
            IDLE_LIMIT
        } else {
            IDLE_LIMIT_ONCE
        };
        let mut idle = self.idle.borrow_mut();
        // The newest is last: if it is too old, so are the others.
        if now.saturating_duration_since(idle.last()?.since) > limit {
            return None;
        }
        while let Some(Idle { connection, .. }) = idle.pop() {
            let stream = &connection.stream;
            if stream.is_alive() && (is_repeatable || stream.is_quiet()) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last response was read to its end; closes it if there are enough.
    pub fn put(&self, connection: Connection, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT {
            let since = now;
            idle.push(Idle { connection, since });
        }
    }

    /// Closes what has been idle too long or was closed by the peer.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| {
            now.saturating_duration_since(idle.since) <= IDLE_LIMIT
                && idle.connection.stream.is_alive()
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::Stream;
    use super::*;

    async fn pair(listener: &TcpListener) -> (Connection, TcpStream) {
        let addr = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let ours = Connection::new(Stream::Plain(ours.unwrap()), Arc::default());
        (ours, theirs.unwrap().0)
    }

    #[tokio::test]
    async fn the_last_one_in_is_the_first_one_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (pool, now) = (Pool::default(), Instant::now());
        let (a, _a) = pair(&listener).await;
        let (b, _b) = pair(&listener).await;
        let last = b.stream.tcp().local_addr().unwrap();
        pool.put(a, now);
        pool.put(b, now);
        assert_eq!(
            pool.take(now, true)
                .unwrap()
                .stream
                .tcp()
                .local_addr()
                .unwrap(),
            last
        );
        assert_eq!(pool.len(), 1);
    }

    #[tokio::test]
    async fn closed_and_talkative_ones_are_not_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (pool, now) = (Pool::default(), Instant::now());
        let (closed, theirs) = pair(&listener).await;
        drop(theirs);
        closed.stream.tcp().readable().await.unwrap();
        let (talks, mut theirs) = pair(&listener).await;
        theirs.write_all(b"HTTP/1.1 408 \r\n").await.unwrap();
        talks.stream.tcp().readable().await.unwrap();
        pool.put(closed, now);
        pool.put(talks, now);
        assert!(pool.take(now, true).is_none());
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn old_ones_are_for_repeatable_requests_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (pool, now) = (Pool::default(), Instant::now());
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
}
