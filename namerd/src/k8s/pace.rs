//! When to try again: backoff after errors, a bucket for clean ends, a guard against storms of lists (K8S-114, K8S-115).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
const RESET_AFTER: Duration = Duration::from_secs(120);
const BURST: f64 = 3.0;
const STORM: usize = 3;
const STORM_WINDOW: Duration = Duration::from_secs(60);
const STORM_WAIT: Duration = Duration::from_secs(10);

/// Exponential with full jitter; begins anew after some time without errors.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    errors: u32,
    last: Option<Instant>,
}

/// One token a second, a few in store.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The times of the last lists.
#[derive(Debug, Default)]
pub(super) struct StormGuard {
    lists: VecDeque<Instant>,
}

impl Backoff {
    /// How long to wait after this error, at least as long as the server asks.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        random: &mut fastrand::Rng,
        at_least: Option<Duration>,
    ) -> Duration {
        if self
            .last
            .is_some_and(|last| now.duration_since(last) >= RESET_AFTER)
        {
            self.errors = 0;
        }
        self.last = Some(now);
        let most = (FIRST * 2u32.pow(self.errors.min(10))).min(LONGEST);
        self.errors += 1;
        let wait = most.mul_f64(random.f64());
        wait.max(at_least.unwrap_or_default())
    }
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            at: now,
        }
    }

    /// Takes a token, which may have to be waited for.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed).min(BURST) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.tokens).max(0.0))
    }
}

impl StormGuard {
    /// How long to wait before the next list, which begins then.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let recent = |at: &Instant| now.duration_since(*at) < STORM_WINDOW;
        self.lists.retain(recent);
        let wait = match self.lists.back() {
            Some(last) if self.lists.len() >= STORM => {
                (*last + STORM_WAIT).saturating_duration_since(now)
            }
            _ => Duration::ZERO,
        };
        self.lists.push_back(now + wait);
        if self.lists.len() > STORM {
            self.lists.pop_front();
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8s_114_backoff_doubles_has_jitter_and_resets() {
        let (mut backoff, mut random) = (Backoff::default(), fastrand::Rng::with_seed(1));
        let mut now = Instant::now();
        for most in [
            200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
        ] {
            let wait = backoff.wait(now, &mut random, None);
            assert!(wait <= Duration::from_millis(most), "{wait:?} of {most}");
            now += wait;
        }
        let asked = Duration::from_secs(7);
        assert!(backoff.wait(now, &mut random, Some(asked)) >= asked);
        now += RESET_AFTER;
        assert!(backoff.wait(now, &mut random, None) <= FIRST);
    }

    #[test]
    fn k8s_114_f10_at_most_one_reconnect_a_second() {
        let mut now = Instant::now();
        let (began, mut bucket) = (now, Bucket::new(now));
        let mut reconnects = 0;
        while now.duration_since(began) < Duration::from_secs(30) {
            now += bucket.take(now);
            reconnects += 1;
        }
        assert!((30..=35).contains(&reconnects), "{reconnects}");
    }

    #[test]
    fn k8s_115_a_storm_of_lists_is_slowed_down() {
        let (mut guard, now) = (StormGuard::default(), Instant::now());
        let waits: Vec<u64> = (0..5).map(|_| guard.wait(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 10, 20]);
        assert_eq!(guard.wait(now + Duration::from_secs(90)).as_secs(), 0);
    }
}
