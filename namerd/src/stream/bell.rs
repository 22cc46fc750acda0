//! What cells ring when they change: remembers which numbers, wakes whoever writes for the session, or has them woken when
//! the session has gathered long enough.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::pace::Pace;
use crate::store::Listener;

/// The numbers that have changed since the session looked. Never much longer than the set of numbers that it follows.
#[derive(Debug)]
pub(super) struct Bell {
    dirty: Mutex<Dirty>,
    writer: AtomicWaker,
    pace: Arc<Pace>,
}

/// Mostly a few, so they are kept in place.
pub(super) type Rung = SmallVec<[u32; 4]>;

#[derive(Debug, Default)]
struct Dirty {
    /// Some of them twice.
    numbers: Rung,
    /// At this length those are taken out.
    tidy_at: usize,
    /// Nothing is written before this moment (5.2).
    gathers_until: Option<Instant>,
}

/// The least length at which numbers that came twice are taken out.
const TIDY_FROM: usize = 64;

impl Bell {
    /// One that has whoever writes woken by `pace` where the session gathers.
    pub(super) fn new(pace: &Arc<Pace>) -> Arc<Self> {
        Arc::new(Self {
            dirty: Mutex::default(),
            writer: AtomicWaker::new(),
            pace: Arc::clone(pace),
        })
    }

    /// The numbers that have changed since the last call, in order, each once.
    pub(super) fn take(&self) -> Rung {
        let mut dirty = self.dirty.lock();
        let mut numbers = mem::take(&mut dirty.numbers);
        dirty.tidy_at = 0;
        drop(dirty);
        tidy(&mut numbers);
        numbers
    }

    /// What rings before this moment wakes nobody before it.
    pub(super) fn gather(&self, until: Instant) {
        self.pace.begin();
        self.dirty.lock().gathers_until = Some(until);
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
            tidy(&mut self.numbers);
            self.tidy_at = 2 * self.numbers.len();
        }
    }
}

fn tidy(numbers: &mut Rung) {
    numbers.sort_unstable();
    numbers.dedup();
}

impl Listener for Bell {
    fn notify(&self, token: u64) {
        let gathers_until = {
            let mut dirty = self.dirty.lock();
            dirty.insert(token as u32);
            if dirty.numbers.len() > 1 {
                return;
            }
            dirty.gathers_until
        };
        match gathers_until.filter(|until| Instant::now() < *until) {
            None => self.writer.wake(),
            // Whoever writes is awake if it is not listening, and looks itself.
            Some(until) => {
                if let Some(writer) = self.writer.take() {
                    self.pace.wake_at(until, writer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Writer(AtomicUsize);
    impl Wake for Writer {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_rings_while_a_session_gathers_wakes_its_writer_once_when_that_is_over() {
        let bell = Bell::new(&Arc::default());
        let writer = Arc::new(Writer::default());
        let woken = || writer.0.load(Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&writer));
        let second = Duration::from_secs(1);
        bell.gather(Instant::now() + second);
        bell.listen(&waker);
        for number in 1..=5 {
            bell.notify(number);
            tokio::time::sleep(second / 10).await;
            assert_eq!(woken(), 0);
        }
        tokio::time::sleep(second).await;
        assert_eq!((woken(), bell.take().to_vec()), (1, vec![1, 2, 3, 4, 5]));
        bell.listen(&waker);
        bell.notify(6);
        assert_eq!(woken(), 2, "nothing is gathered any more");
    }

    #[test]
    fn numbers_that_ring_again_and_again_take_no_more_room() {
        let bell = Bell::new(&Arc::default());
        for ring in 0..100_000 {
            bell.notify(ring % 100);
        }
        assert!(bell.dirty.lock().numbers.capacity() <= 512);
        let all: Vec<u32> = (0..100).collect();
        assert_eq!(bell.take().to_vec(), all);
        assert!(!bell.is_rung());
    }
}
