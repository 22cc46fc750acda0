//! Where counters are found by label: each worker has its own, they come and go together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// One worker's way to the counters of each label. The lock is taken when a label is new to a worker, in the sweep and by a
/// scrape, never for a request. A label stays as long as any worker counts in it, so the sum over the workers never goes
/// back while it lives.
#[derive(Debug)]
pub struct Registry<T> {
    shared: Arc<Shared<T>>,
    worker: usize,
}

#[derive(Debug)]
struct Shared<T> {
    workers: usize,
    all: Mutex<HashMap<Arc<str>, Entry<T>>>,
    folded: AtomicU64,
}

#[derive(Debug)]
struct Entry<T> {
    /// By worker.
    counters: Box<[Arc<T>]>,
    /// When the sweep first found that nobody counts here.
    unused_since: Option<Instant>,
}

/// A label, and its counters by worker.
pub type Labelled<T> = (Arc<str>, Box<[Arc<T>]>);

/// What labels beyond the limit count in.
const OTHER: &str = "(other)";

impl<T: Default> Default for Registry<T> {
    /// For one worker alone.
    fn default() -> Self {
        Self::of(1).remove(0)
    }
}

impl<T: Default> Registry<T> {
    /// One for each of so many workers.
    pub fn of(workers: usize) -> Vec<Self> {
        let shared = Arc::new(Shared {
            workers,
            all: Mutex::default(),
            folded: AtomicU64::new(0),
        });
        let each = |worker| Self {
            shared: shared.clone(),
            worker,
        };
        (0..workers).map(each).collect()
    }

    /// This worker's counters of a label; new ones start at zero. At `limit` labels, further ones share those of `(other)`.
    pub fn get(&self, label: &str, limit: usize) -> Arc<T> {
        let shared = &self.shared;
        let mut all = shared.all.lock();
        if let Some(found) = all.get(label) {
            return found.counters[self.worker].clone();
        }
        let label = match all.len() < limit {
            true => label,
            false => {
                shared.folded.fetch_add(1, Ordering::Relaxed);
                OTHER
            }
        };
        let entry = all.entry(label.into()).or_insert_with(|| Entry {
            counters: (0..shared.workers).map(|_| Arc::default()).collect(),
            unused_since: None,
        });
        entry.counters[self.worker].clone()
    }

    /// Drops labels in which nobody has counted for `ttl`. To be called now and then; what one worker does is done for all.
    pub fn expire(&self, ttl: Duration, now: Instant) {
        if self.worker != 0 {
            return;
        }
        self.shared.all.lock().retain(|_, entry| {
            if entry.counters.iter().any(|c| Arc::strong_count(c) > 1) {
                entry.unused_since = None;
                return true;
            }
            let since = *entry.unused_since.get_or_insert(now);
            now.saturating_duration_since(since) <= ttl
        });
    }

    /// All labels with the counters of all workers, in no order.
    pub fn all(&self) -> Vec<Labelled<T>> {
        let all = self.shared.all.lock();
        all.iter()
            .map(|(label, entry)| (label.clone(), entry.counters.clone()))
            .collect()
    }

    /// How often a label found no room, and was counted under `(other)`.
    pub fn folded(&self) -> u64 {
        self.shared.folded.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Counter;

    #[test]
    fn labels_beyond_the_limit_share() {
        let registry = Registry::<Counter>::default();
        registry.get("a", 1).inc();
        registry.get("b", 1).inc();
        registry.get("c", 1).inc();
        assert_eq!(registry.get("a", 1).get(), 1);
        assert_eq!(registry.get(OTHER, 1).get(), 2);
        assert_eq!(registry.folded(), 2);
    }

    #[test]
    fn labels_stay_while_any_worker_counts_and_a_while_longer() {
        let (workers, t) = (Registry::<Counter>::of(2), Instant::now());
        let ttl = Duration::from_secs(600);
        let used = workers[1].get("used", 9);
        workers[0].get("used", 9).inc();
        workers[0].get("unused", 9).inc();
        for after in [Duration::ZERO, ttl] {
            workers[0].expire(ttl, t + after);
        }
        assert_eq!(workers[0].all().len(), 2);
        let much_later = t + ttl + Duration::from_secs(1);
        // The others leave it to the first.
        workers[1].expire(ttl, much_later);
        assert_eq!(workers[0].all().len(), 2);
        workers[0].expire(ttl, much_later);
        let all = workers[1].all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].1[0].get(), all[0].1[1].get()), (1, 0));
        drop((all, used));
        workers[0].expire(ttl, t + 2 * ttl);
        workers[0].expire(ttl, t + 4 * ttl);
        assert!(workers[0].all().is_empty());
    }
}
