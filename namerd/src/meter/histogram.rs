//! Durations in buckets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper bounds of the buckets in seconds: from what memory answers in to what a caller gives up on.
pub const BOUNDS: [f64; 12] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Durations, counted by size.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is longer than all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Histograms by the value of one label; as bounded as its values are.
#[derive(Debug, Default)]
pub struct Histograms(Mutex<BTreeMap<String, Arc<Histogram>>>);

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// How many were not longer than each bound; the last has all.
    pub up_to: [u64; BOUNDS.len() + 1],
    /// Sum in seconds.
    pub sum: f64,
}

/// Label values that are kept apart; further ones share `other`.
const MOST: usize = 100;

impl Histogram {
    /// One more.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// As it is now.
    pub fn now(&self) -> Measured {
        let mut sum = 0;
        let up_to = std::array::from_fn(|i| {
            sum += self.buckets[i].load(Ordering::Relaxed);
            sum
        });
        // Exact to a microsecond for 285 years.
        let sum = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        Measured { up_to, sum }
    }
}

impl Histograms {
    /// One more under this label value.
    pub fn record(&self, label: &str, took: Duration) {
        let mut all = self.0.lock();
        let key = match all.len() >= MOST && !all.contains_key(label) {
            true => "other",
            false => label,
        };
        if let Some(known) = all.get(key) {
            return known.record(took);
        }
        all.entry(key.to_owned()).or_default().record(took);
    }

    /// All, by label value.
    pub fn all(&self) -> Vec<(String, Measured)> {
        let all = self.0.lock();
        all.iter().map(|(k, h)| (k.clone(), h.now())).collect()
    }
}

impl Measured {
    /// How many in all.
    pub fn count(&self) -> u64 {
        self.up_to[BOUNDS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let all = Histograms::default();
        for millis in [0, 1, 3, 700, 60_000] {
            all.record("a", Duration::from_millis(millis));
        }
        let (label, now) = &all.all()[0];
        assert_eq!((label.as_str(), now.count()), ("a", 5));
        assert_eq!(now.up_to, [1, 1, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5]);
        assert!((now.sum - 60.704).abs() < 1e-9, "{}", now.sum);
        for i in 0..MOST * 2 {
            all.record(&i.to_string(), Duration::ZERO);
        }
        assert_eq!(all.all().len(), MOST + 1);
    }
}
