//! How long a client's connection may live (`serverSession`, node-proxy 4): it ends between two requests, never in the
//! middle of an answer. Without limits it costs a branch.

use tokio::time::{Instant, sleep_until};

use super::stats::ServerStats;
use crate::config::SessionLimits;

/// The limits of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    limits: SessionLimits,
    born: Instant,
}

impl Session {
    /// A connection that begins now.
    pub(crate) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            born: Instant::now(),
        }
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.limits.idle.is_some() || self.limits.life.is_some()
    }

    /// When a connection that is idle from now on ends. Cancel safe.
    pub(crate) async fn ended(&self) {
        let idle = self.limits.idle.map(|t| Instant::now() + t);
        let life = self.limits.life.map(|t| self.born + t);
        match idle.into_iter().chain(life).min() {
            // Boxed: without limits a connection holds no room for it.
            Some(end) => Box::pin(sleep_until(end)).await,
            None => std::future::pending().await,
        }
    }

    /// Counts that the connection ends by a limit, and by which.
    pub(crate) fn count(&self, stats: &ServerStats, now: Instant) {
        match self.is_over(now) {
            true => stats.lifetime.inc(),
            false => stats.idle.inc(),
        }
    }

    /// Whether it has been idle since `used` for as long as it may.
    pub(crate) fn is_idle(&self, used: Instant, now: Instant) -> bool {
        let is_longer = |idle| now.saturating_duration_since(used) >= idle;
        self.limits.idle.is_some_and(is_longer)
    }

    /// Whether it has lived for as long as it may.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let is_older = |life| now.saturating_duration_since(self.born) >= life;
        self.limits.life.is_some_and(is_older)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_nearer_end_counts() {
        let limits = |idle: Option<u32>, life: Option<u32>| SessionLimits {
            idle: idle.map(|n| n * S),
            life: life.map(|n| n * S),
        };
        assert!(!Session::new(limits(None, None)).is_limited());
        let session = Session::new(limits(Some(10), Some(15)));
        let begin = Instant::now();
        session.ended().await;
        assert_eq!(begin.elapsed(), 10 * S);
        session.ended().await;
        assert_eq!(begin.elapsed(), 15 * S);
        assert!(session.is_over(begin + 15 * S) && !session.is_over(begin + 14 * S));
        assert!(session.is_idle(begin, begin + 10 * S) && !session.is_idle(begin, begin + 9 * S));
    }
}
