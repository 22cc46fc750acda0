//! When to try again: backoff after errors, a bucket for clean ends, a guard against storms of lists (K8S-114, K8S-115).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
const RESET_AFTER: Duration = Duration::from_secs(120);
/// A watch that has been live for so long has got over what was before. Without this an outage that comes within two minutes
/// of another one would begin with the longest wait of that, and keep nodes 30 s behind for nothing; with it, a server that
/// cuts watches as soon as it may is asked every ten seconds at most, which K8S-114 allows anyway.
const STEADY: Duration = Duration::from_secs(10);
const BURST: f64 = 3.0;
const STORM: usize = 3;
const STORM_WINDOW: Duration = Duration::from_secs(60);
const STORM_WAIT: Duration = Duration::from_secs(10);

/// Exponential with full jitter; begins anew after a short time of a live watch, or a longer one without errors.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    errors: u32,
    last: Option<Instant>,
    /// Since when the watch has been live.
    live: Option<Instant>,
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
    /// The watch is live.
    pub(super) fn live(&mut self, now: Instant) {
        self.live.get_or_insert(now);
    }

    /// How long to wait after this error, at least as long as the server asks.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        random: &mut fastrand::Rng,
        at_least: Option<Duration>,
    ) -> Duration {
        let is_over = |since: Option<Instant>, time| {
            since.is_some_and(|since| now.duration_since(since) >= time)
        };
        if is_over(self.last, RESET_AFTER) || is_over(self.live.take(), STEADY) {
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

    /// Two outages within two minutes: the second begins with short waits, unless the watch never came up between them.
    #[test]
    fn k8s_114_an_outage_that_is_over_does_not_slow_the_next_one_down() {
        for (lives, is_anew) in [(Some(10), true), (Some(9), false), (None, false)] {
            let (mut backoff, mut random) = (Backoff::default(), fastrand::Rng::with_seed(1));
            let mut now = Instant::now();
            for _ in 0..10 {
                now += backoff.wait(now, &mut random, None);
            }
            if let Some(secs) = lives {
                backoff.live(now);
                now += Duration::from_secs(secs / 2);
                // A watch is opened again and again, by clean ends.
                backoff.live(now);
                now += Duration::from_secs(secs.div_ceil(2));
            }
            let most = (0..100).map(|seed| {
                let mut next = Backoff {
                    errors: backoff.errors,
                    last: backoff.last,
                    live: backoff.live,
                };
                next.wait(now, &mut fastrand::Rng::with_seed(seed), None)
            });
            let most = most.max().unwrap_or_default();
            assert_eq!(most <= FIRST, is_anew, "{lives:?}: {most:?}");
        }
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
