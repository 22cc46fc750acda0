//! Counters with one writer (a worker) and any number of readers (a scrape), and the place where they are found by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

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

/// What servers, services and clients all count.
#[derive(Debug, Default)]
pub struct RequestCounts {
    /// Requests that have started.
    pub requests: Counter,
    /// Of them answered below 500.
    pub success: Counter,
    /// Of them answered otherwise or not at all.
    pub failures: Counter,
    /// Of them not yet ended.
    pub pending: Counter,
    /// By the first digit of the status; 0: no response.
    pub status: [Counter; 6],
    /// To the end of the response.
    pub latency: Histogram,
}

/// Counters by label, of one worker. The lock is taken when a label is new, in the sweep and by a scrape, never for a
/// request.
#[derive(Debug)]
pub struct Registry<T>(Mutex<HashMap<Arc<str>, Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    counters: Arc<T>,
    /// When the sweep first found that nobody counts here.
    unused_since: Option<Instant>,
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
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)].inc();
        self.sum_us.add(us);
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

// === impl RequestCounts ===

impl RequestCounts {
    /// A request has come.
    pub fn start(&self) {
        self.requests.inc();
        self.pending.inc();
    }

    /// It has ended, answered with `status` (0: not at all).
    pub fn end(&self, status: u16, took: Duration) {
        if (100..500).contains(&status) {
            self.success.inc();
        } else {
            self.failures.inc();
        }
        self.status[usize::from(status / 100).min(5)].inc();
        self.pending.dec();
        self.latency.observe(took);
    }
}

// === impl Registry ===

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Registry<T> {
    /// The counters of a label; new ones start at zero. At `limit` labels, further ones share those of `(other)`.
    pub fn get(&self, label: &str, limit: usize) -> Arc<T> {
        let mut all = self.0.lock();
        if let Some(found) = all.get(label) {
            return found.counters.clone();
        }
        let label = if all.len() < limit { label } else { "(other)" };
        let entry = all.entry(label.into()).or_insert_with(|| Entry {
            counters: Arc::default(),
            unused_since: None,
        });
        entry.counters.clone()
    }

    /// Drops labels in which nobody has counted for `ttl`. To be called now and then.
    pub fn expire(&self, ttl: Duration, now: Instant) {
        self.0.lock().retain(|_, entry| {
            if Arc::strong_count(&entry.counters) > 1 {
                entry.unused_since = None;
                return true;
            }
            let since = *entry.unused_since.get_or_insert(now);
            now.saturating_duration_since(since) <= ttl
        });
    }

    /// All labels with their counters, in no order.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<T>)> {
        let all = self.0.lock();
        all.iter()
            .map(|(label, entry)| (label.clone(), entry.counters.clone()))
            .collect()
    }
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

    #[test]
    fn labels_beyond_the_limit_share() {
        let registry = Registry::<Counter>::default();
        registry.get("a", 1).inc();
        registry.get("b", 1).inc();
        registry.get("c", 1).inc();
        assert_eq!(registry.get("a", 1).get(), 1);
        assert_eq!(registry.get("(other)", 1).get(), 2);
    }

    #[test]
    fn labels_stay_while_somebody_counts_and_a_while_longer() {
        let (registry, t) = (Registry::<Counter>::default(), Instant::now());
        let ttl = Duration::from_secs(600);
        let used = registry.get("used", 9);
        registry.get("unused", 9).inc();
        registry.expire(ttl, t);
        registry.expire(ttl, t + ttl);
        assert_eq!(registry.all().len(), 2);
        registry.expire(ttl, t + ttl + Duration::from_secs(1));
        assert_eq!(registry.all().len(), 1);
        drop(used);
        registry.expire(ttl, t + 2 * ttl);
        assert_eq!(registry.all().len(), 1);
    }
}
