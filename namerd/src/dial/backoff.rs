//! When to try again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Exponential with full jitter, until something has worked.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after this failure.
    pub fn wait(&mut self) -> Duration {
        let most = (FIRST * 2u32.pow(self.failures.min(10))).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(fastrand::f64())
    }

    /// It has worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_until_something_works() {
        let mut backoff = Backoff::default();
        for most in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            assert!(backoff.wait() <= Duration::from_millis(most));
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
