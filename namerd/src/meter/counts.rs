//! Labelled counters.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Counters by the values of `N` labels. Never more than [`MOST`] of them: further values count as `other`.
#[derive(Debug)]
pub struct Counts<const N: usize>(Mutex<BTreeMap<[String; N], u64>>);

/// Combinations of label values that are kept apart.
const MOST: usize = 500;
const OTHER: &str = "other";

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<const N: usize> Counts<N> {
    /// One more.
    pub fn count(&self, labels: [&str; N]) {
        self.add(labels, 1);
    }

    /// So many more.
    pub fn add(&self, labels: [&str; N], n: u64) {
        let mut counts = self.0.lock();
        let mut key = labels.map(str::to_owned);
        if counts.len() >= MOST && !counts.contains_key(&key) {
            key = [OTHER; N].map(str::to_owned);
        }
        *counts.entry(key).or_default() += n;
    }

    /// All counters with their label values, sorted.
    pub fn all(&self) -> Vec<([String; N], u64)> {
        let counts = self.0.lock();
        counts.iter().map(|(k, n)| (k.clone(), *n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_label_values_ends_in_other() {
        let counts = Counts::<2>::default();
        for i in 0..MOST * 3 {
            counts.count(["a", &i.to_string()]);
        }
        counts.count(["a", "7"]);
        let all = counts.all();
        assert_eq!(all.len(), MOST + 1);
        let of = |k: [&str; 2]| all.iter().find(|(key, _)| *key == k).map(|(_, n)| *n);
        assert_eq!(of(["a", "7"]), Some(2));
        assert_eq!(of([OTHER, OTHER]), Some(MOST as u64 * 2));
    }
}
