//! How long to wait before the next attempt to reach a namerd (resolver API 6).

use std::time::Duration;

use fastrand::Rng;

/// After a stream that had worked was lost, or had to be left: uniform up to this.
const SPREAD: Duration = Duration::from_secs(3);
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait, unless the configuration lowers it.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Full jitter: uniform between zero and a bound that doubles.
#[derive(Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    failures: u32,
    rng: Rng,
}

impl Backoff {
    pub(crate) fn new(longest: Duration, rng: Rng) -> Self {
        Self {
            longest: longest.min(LONGEST),
            failures: 0,
            rng,
        }
    }

    /// A stream works: the next loss is the first again.
    pub(crate) fn worked(&mut self) {
        self.failures = 0;
    }

    /// The wait after a stream that had worked was lost.
    pub(crate) fn after_loss(&mut self) -> Duration {
        self.uniform(SPREAD)
    }

    /// The wait when a replica asks its nodes to leave within this time.
    pub(crate) fn within(&mut self, time: Duration) -> Duration {
        self.uniform(time)
    }

    /// The wait after an attempt that failed, whatever went before it.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let bound = FIRST
            .saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        self.uniform(bound)
    }

    fn uniform(&mut self, bound: Duration) -> Duration {
        bound.mul_f64(self.rng.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_half_a_second_to_thirty() {
        let mut backoff = Backoff::new(Duration::from_secs(600), Rng::with_seed(1));
        let bounds = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0];
        for _ in 0..100 {
            backoff.worked();
            for bound in bounds {
                assert!(backoff.after_failure() <= Duration::from_secs_f64(bound));
            }
        }
        for _ in 0..100 {
            assert!(backoff.after_failure() <= LONGEST);
            assert!(backoff.after_loss() <= SPREAD);
        }
    }

    /// A namerd that restarts loses all its nodes at once.
    #[test]
    fn k8s_153_after_a_loss_waits_are_spread_evenly_over_three_seconds() {
        let mut seconds = [0; 3];
        for seed in 0..3_000 {
            let mut backoff = Backoff::new(LONGEST, Rng::with_seed(seed));
            seconds[backoff.after_loss().as_secs() as usize] += 1;
        }
        assert!(
            seconds.iter().all(|n| (900..=1_100).contains(n)),
            "{seconds:?}"
        );
    }

    #[test]
    fn the_configuration_may_lower_the_longest_wait() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Rng::with_seed(1));
        for _ in 0..100 {
            assert!(backoff.after_failure() <= Duration::from_secs(2));
        }
    }
}
