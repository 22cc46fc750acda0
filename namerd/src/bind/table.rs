//! Tables of shared things: numbers, what is held elsewhere, and bindings with their idle time.

use std::cmp::Reverse;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use foldhash::{HashMap, HashSet};
use l5d_naming::Path;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::{BindKey, Binding};
use crate::store::Caller;

/// Gives the numbers of clusters and bindings. A number may come again only after four thousand million others, and
/// never while somebody holds what has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(Arc<Mutex<Given>>);

#[derive(Debug, Default)]
struct Given {
    last: u32,
    in_use: HashSet<u32>,
}

/// A number in use; free again when dropped.
#[derive(Debug)]
pub(super) struct Number {
    value: u32,
    of: Numbers,
}

/// Shared things by key, kept by those who use them.
#[derive(Debug)]
pub(super) struct WeakTable<K, V> {
    entries: Mutex<HashMap<K, Weak<V>>>,
}

/// Bindings by question and class of caller. Kept while somebody holds them and for an idle time after.
#[derive(Debug)]
pub(super) struct Bindings {
    idle_time: Duration,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<(BindKey, Caller), Entry>,
    /// So many entries, or so many bytes put in since the last look, make an insertion look for ones to forget: a flood
    /// of names cannot outrun the timer.
    sweep_at: usize,
    bytes_since: usize,
}

#[derive(Debug)]
struct Entry {
    binding: Arc<Binding>,
    idle_since: Option<Instant>,
    bytes: usize,
}

/// Idle bindings that are kept, at most: of questions without and with an override of the request.
const MOST_IDLE: [usize; 2] = [10_000, 1_000];
/// And about so many bytes of them, each of the two.
const MOST_IDLE_BYTES: usize = 64 << 20;

// === impl Numbers ===

impl Numbers {
    pub(super) fn next(&self) -> Number {
        let mut given = self.0.lock();
        loop {
            given.last = given.last.wrapping_add(1);
            let value = given.last;
            if value != 0 && given.in_use.insert(value) {
                return Number {
                    value,
                    of: self.clone(),
                };
            }
        }
    }
}

impl Number {
    pub(super) fn value(&self) -> u32 {
        self.value
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.of.0.lock().in_use.remove(&self.value);
    }
}

// === impl WeakTable ===

impl<K: Eq + Hash, V> WeakTable<K, V> {
    pub(super) fn new() -> Self {
        Self {
            entries: Mutex::default(),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.entries.lock().get(key).and_then(Weak::upgrade)
    }

    /// What is there for this key, else what `make` gives. `make` runs outside of the lock; the first to be stored wins.
    pub(super) fn get_or(&self, key: K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        if let Some(there) = self.get(&key) {
            return there;
        }
        let made = make();
        let mut entries = self.entries.lock();
        if let Some(there) = entries.get(&key).and_then(Weak::upgrade) {
            return there;
        }
        // The key goes with its thing: equal ones may have parts that are not the same.
        entries.remove(&key);
        entries.insert(key, Arc::downgrade(&made));
        made
    }

    /// Forgets keys of what nobody holds.
    pub(super) fn sweep(&self) {
        self.entries.lock().retain(|_, v| v.strong_count() > 0);
    }
}

// === impl Bindings ===

impl Bindings {
    pub(super) fn new(idle_time: Duration) -> Self {
        Self {
            idle_time,
            entries: Mutex::default(),
        }
    }

    /// What is there for this question, else what `make` gives; `make` must only build.
    pub(super) fn get_or(
        &self,
        key: &BindKey,
        caller: &Caller,
        make: impl FnOnce() -> Binding,
    ) -> Arc<Binding> {
        let key = (key.clone(), caller.clone());
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.by_key.get_mut(&key) {
            entry.idle_since = None;
            return Arc::clone(&entry.binding);
        }
        let is_full =
            entries.by_key.len() >= entries.sweep_at || entries.bytes_since >= MOST_IDLE_BYTES;
        let forgotten = if is_full {
            entries.sweep(self.idle_time)
        } else {
            Vec::new()
        };
        let bytes = bytes_of(&key.0);
        entries.bytes_since += bytes;
        let binding = Arc::new(make());
        entries.by_key.insert(
            key,
            Entry {
                binding: Arc::clone(&binding),
                idle_since: None,
                bytes,
            },
        );
        drop(entries);
        drop(forgotten);
        binding
    }

    pub(super) fn all(&self) -> Vec<Arc<Binding>> {
        let entries = self.entries.lock();
        let mut all: Vec<_> = entries
            .by_key
            .values()
            .map(|e| Arc::clone(&e.binding))
            .collect();
        drop(entries);
        all.sort_by_key(|b| b.number);
        all
    }

    pub(super) fn sweep(&self) {
        let forgotten = self.entries.lock().sweep(self.idle_time);
        // Ends evaluations and followed clusters; not under the lock.
        drop(forgotten);
    }
}

/// Since when nobody holds a binding, its size, and its key.
type Idle = (Instant, usize, (BindKey, Caller));

impl Entries {
    fn sweep(&mut self, idle_time: Duration) -> Vec<Arc<Binding>> {
        let now = Instant::now();
        let mut idle: [Vec<Idle>; 2] = Default::default();
        let mut forgotten = Vec::new();
        self.by_key.retain(|key, entry| {
            // Nobody can take another reference without the lock that we hold.
            if Arc::strong_count(&entry.binding) > 1 {
                entry.idle_since = None;
                return true;
            }
            let since = *entry.idle_since.get_or_insert(now);
            let keep = now.duration_since(since) < idle_time;
            if keep {
                let class = usize::from(!key.0.local.is_empty());
                idle[class].push((since, entry.bytes, key.clone()));
            } else {
                forgotten.push(Arc::clone(&entry.binding));
            }
            keep
        });
        for (mut idle, most) in idle.into_iter().zip(MOST_IDLE) {
            idle.sort_unstable_by_key(|(since, ..)| Reverse(*since));
            let mut bytes = 0;
            let excess = idle.into_iter().enumerate().filter(|(i, (_, size, _))| {
                bytes += size;
                *i >= most || bytes > MOST_IDLE_BYTES
            });
            let gone = excess.filter_map(|(_, (.., key))| self.by_key.remove(&key));
            forgotten.extend(gone.map(|entry| entry.binding));
        }
        self.bytes_since = 0;
        self.sweep_at = (self.by_key.len() * 2).max(MOST_IDLE[1] * 2);
        forgotten
    }
}

/// About what a question takes in memory, once as a key and once in its binding; not the router's dtab, which few share.
fn bytes_of(key: &BindKey) -> usize {
    let path = |path: &Path| {
        path.elems()
            .iter()
            .map(|e| e.as_bytes().len() + 40)
            .sum::<usize>()
    };
    let mut local = 0;
    for entry in key.local.entries() {
        local += 100 + 40 * entry.prefix.len();
        entry
            .dst
            .for_each_leaf(&mut |leaf| local += 100 + path(leaf));
    }
    let root = key.root.as_ref().map_or(0, |root| root.len());
    3_000 + 2 * (root + path(&key.path) + local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_use_is_not_given_again() {
        let numbers = Numbers::default();
        let first = numbers.next();
        let second = numbers.next();
        assert_eq!((first.value(), second.value()), (1, 2));
        drop(second);
        numbers.0.lock().last = u32::MAX;
        assert_eq!(numbers.next().value(), 2, "0 and 1 are passed over");
        assert_eq!(first.value(), 1);
    }

    #[test]
    fn a_weak_table_shares_what_is_held() {
        let table = WeakTable::new();
        let one = table.get_or("a", || Arc::new(1));
        assert!(Arc::ptr_eq(&one, &table.get_or("a", || Arc::new(2))));
        drop(one);
        table.sweep();
        assert_eq!(*table.get_or("a", || Arc::new(3)), 3);
    }
}
