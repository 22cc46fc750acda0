//! Waits between tries (node-proxy 5, 13.4): constant, decorrelated jitter, equal jitter.
//!
//! A kind and a source of randomness come in, one wait after the other goes out. The sequence of one endpoint or one request
//! is a few bytes; it never ends, and begins again when told.

use std::cell::Cell;
use std::time::Duration;

use crate::config::Backoff;

/// Where one sequence of waits stands.
#[derive(Debug, Default)]
pub struct Waits {
    /// Waits given since the beginning.
    given: Cell<u32>,
    last: Cell<Duration>,
}

impl Waits {
    /// The next wait of the sequence.
    pub fn next(&self, backoff: Backoff, rng: &mut fastrand::Rng) -> Duration {
        let n = self.given.get();
        self.given.set(n.saturating_add(1));
        let wait = match backoff {
            Backoff::Constant(wait) => wait,
            Backoff::Jittered { min, max } | Backoff::EqualJittered { min, max } if n == 0 => {
                min.min(max)
            }
            Backoff::Jittered { max, .. } => decorrelated(self.last.get(), max, rng),
            Backoff::EqualJittered { min, max } => equal(n, min, max, rng),
        };
        self.last.set(wait);
        wait
    }

    /// Waits given since the beginning of the sequence.
    pub fn given(&self) -> u32 {
        self.given.get()
    }

    /// Begins again.
    pub fn restart(&self) {
        self.given.set(0);
    }
}

/// Uniform between the last wait and three times it, the longest being the end.
fn decorrelated(last: Duration, max: Duration, rng: &mut fastrand::Rng) -> Duration {
    let end = last.saturating_mul(3).min(max);
    if last >= max {
        return max;
    }
    last + (end - last).mul_f64(rng.f64())
}

/// A half that doubles, and as much again drawn.
fn equal(n: u32, min: Duration, max: Duration, rng: &mut fastrand::Rng) -> Duration {
    let half = min.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX));
    if half >= max {
        return max;
    }
    (half + half.mul_f64(rng.f64())).min(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn constant_waits_are_constant() {
        let (waits, mut rng) = (Waits::default(), fastrand::Rng::with_seed(1));
        let mut next = || waits.next(Backoff::Constant(3 * S), &mut rng);
        assert_eq!((next(), next()), (3 * S, 3 * S));
    }

    #[test]
    fn both_kinds_of_jitter_begin_with_the_least_and_end_at_the_longest() {
        for backoff in [
            Backoff::Jittered {
                min: 5 * S,
                max: 300 * S,
            },
            Backoff::EqualJittered {
                min: 5 * S,
                max: 300 * S,
            },
        ] {
            let (waits, mut rng) = (Waits::default(), fastrand::Rng::with_seed(1));
            assert_eq!(waits.next(backoff, &mut rng), 5 * S);
            let all: Vec<_> = (0..200).map(|_| waits.next(backoff, &mut rng)).collect();
            assert!(all.iter().all(|w| (5 * S..=300 * S).contains(w)), "{all:?}");
            assert!(all[199] > 290 * S, "{:?}", all[199]);
            waits.restart();
            assert_eq!(waits.next(backoff, &mut rng), 5 * S);
        }
    }

    proptest! {
        /// Node-proxy 13.4, word for word.
        #[test]
        fn each_wait_lies_where_the_definition_says(
            seed: u64, min_ms in 0u64..10_000, more_ms in 0u64..1_000_000, n in 1usize..40)
        {
            let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(min_ms + more_ms));
            let mut rng = fastrand::Rng::with_seed(seed);
            let (decorrelated, equal) = (Waits::default(), Waits::default());
            let mut last = min;
            for i in 0..n {
                let wait = decorrelated.next(Backoff::Jittered { min, max }, &mut rng);
                prop_assert!(wait >= last && wait <= (3 * last).min(max).max(min));
                last = wait;
                let wait = equal.next(Backoff::EqualJittered { min, max }, &mut rng);
                let half = match i {
                    0 => min,
                    i => min.saturating_mul(1u32.checked_shl(i as u32 - 1).unwrap_or(u32::MAX)).min(max),
                };
                prop_assert!(wait >= half && wait <= (2 * half).min(max).max(half));
            }
        }
    }
}
