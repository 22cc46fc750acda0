//! Counters and distributions with one writer (a worker) and any number of readers (a scrape).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that one worker changes. Not atomic as a whole: two writers would lose counts.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How long things took, in buckets of four per power of two, in microseconds: any quantile is right within 25 %.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

/// A histogram's numbers, of one worker or summed over several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramView {
    /// Observations in each bucket.
    pub buckets: Vec<u64>,
    /// Sum of all observations.
    pub sum_us: u64,
}

/// 2^31 us are 35 minutes; longer ones count in the last bucket.
const BUCKETS: usize = 124;

// === impl Counter ===

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes one away; for what goes up and down, such as open connections.
    pub fn dec(&self) {
        self.0
            .store(self.get().saturating_sub(1), Ordering::Relaxed);
    }

    /// Makes it `n`; for what is measured rather than counted.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Histogram ===

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Counter::default()),
            sum_us: Counter::default(),
        }
    }
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, time: Duration) {
        self.observe_number(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts one observation of something that is no time.
    pub fn observe_number(&self, n: u64) {
        self.buckets[bucket(n)].inc();
        self.sum_us.add(n);
    }

    /// The numbers now.
    pub fn view(&self) -> HistogramView {
        HistogramView {
            buckets: self.buckets.iter().map(Counter::get).collect(),
            sum_us: self.sum_us.get(),
        }
    }
}

impl Default for HistogramView {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            sum_us: 0,
        }
    }
}

impl HistogramView {
    /// Adds another worker's numbers.
    pub fn add(&mut self, other: &HistogramView) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum_us = self.sum_us.wrapping_add(other.sum_us);
    }

    /// What came since `before`, an earlier view of the same.
    pub fn since(&self, before: &HistogramView) -> Self {
        let each = self.buckets.iter().zip(&before.buckets);
        Self {
            buckets: each.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum_us: self.sum_us.wrapping_sub(before.sum_us),
        }
    }

    /// Number of observations below 2^`exponent`.
    pub fn below(&self, exponent: usize) -> u64 {
        let end = if exponent < 2 {
            1 << exponent
        } else {
            4 * (exponent - 1)
        };
        self.buckets[..end.min(BUCKETS)].iter().sum()
    }

    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper bound of the bucket that holds the `q`th part (0 to 1) of the observations; `None` without any.
    pub fn quantile_us(&self, q: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * q).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(i, n)| {
            seen += n;
            (*n > 0 && seen >= rank).then(|| upper_us(i))
        })
    }

    /// Upper bound of a bucket, inclusive.
    pub fn upper_us(index: usize) -> u64 {
        upper_us(index)
    }
}

fn bucket(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let exponent = us.ilog2() as usize;
    let quarter = (us >> (exponent - 2)) as usize & 3;
    (4 * (exponent - 1) + quarter).min(BUCKETS - 1)
}

fn upper_us(index: usize) -> u64 {
    if index < 4 {
        return index as u64;
    }
    let (exponent, quarter) = (index / 4 + 1, (index % 4) as u64);
    ((5 + quarter) << (exponent - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bucket() {
        for us in (0..100_000u64).chain((10..31).flat_map(|e| [(1 << e) - 1, 1 << e, (1 << e) + 1]))
        {
            let i = bucket(us);
            assert!(us <= upper_us(i), "{us} above bucket {i}");
            assert!(i == 0 || us > upper_us(i - 1), "{us} below bucket {i}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_upper_bounds() {
        let h = Histogram::default();
        for us in 1..=100u64 {
            h.observe(Duration::from_micros(us));
        }
        let view = h.view();
        assert_eq!(view.count(), 100);
        assert_eq!(view.sum_us, 5050);
        assert_eq!(view.quantile_us(0.0), Some(1));
        assert_eq!(view.quantile_us(0.5), Some(55));
        assert_eq!(view.quantile_us(1.0), Some(111));
        assert_eq!(HistogramView::default().quantile_us(0.5), None);
    }
}
