//! What cells ring when they change: remembers which numbers, wakes whoever writes for the session.

use std::mem;
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::store::Listener;

/// The numbers that have changed since the session looked. Never much longer than the set of numbers that it follows.
#[derive(Debug, Default)]
pub(super) struct Bell {
    dirty: Mutex<Dirty>,
    writer: AtomicWaker,
}

/// Mostly a few, so they are kept in place.
pub(super) type Rung = SmallVec<[u32; 4]>;

#[derive(Debug, Default)]
struct Dirty {
    /// Some of them twice.
    numbers: Rung,
    /// At this length those are taken out.
    tidy_at: usize,
}

/// The least length at which numbers that came twice are taken out.
const TIDY_FROM: usize = 64;

impl Bell {
    /// The numbers that have changed since the last call, in order, each once.
    pub(super) fn take(&self) -> Rung {
        let mut dirty = mem::take(&mut *self.dirty.lock());
        dirty.tidy();
        dirty.numbers
    }

    /// Whether something has changed since the last [`Bell::take`].
    pub(super) fn is_rung(&self) -> bool {
        !self.dirty.lock().numbers.is_empty()
    }

    /// Wakes the one who writes at the next ring; before this call may have been one.
    pub(super) fn listen(&self, writer: &Waker) {
        self.writer.register(writer);
    }
}

impl Dirty {
    fn insert(&mut self, number: u32) {
        self.numbers.push(number);
        if self.numbers.len() >= self.tidy_at.max(TIDY_FROM) {
            self.tidy();
            self.tidy_at = 2 * self.numbers.len();
        }
    }

    fn tidy(&mut self) {
        self.numbers.sort_unstable();
        self.numbers.dedup();
    }
}

impl Listener for Bell {
    fn notify(&self, token: u64) {
        let is_first = {
            let mut dirty = self.dirty.lock();
            dirty.insert(token as u32);
            dirty.numbers.len() == 1
        };
        if is_first {
            self.writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_ring_again_and_again_take_no_more_room() {
        let bell = Bell::default();
        for ring in 0..100_000 {
            bell.notify(ring % 100);
        }
        assert!(bell.dirty.lock().numbers.capacity() <= 512);
        let all: Vec<u32> = (0..100).collect();
        assert_eq!(bell.take().to_vec(), all);
        assert!(!bell.is_rung());
    }
}
