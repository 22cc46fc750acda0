//! Wakes the writers of sessions that gather, when their time is over: one timer for all of them.
//!
//! In come wakers with a moment; each is woken once, at that moment or within a millisecond of it. It must not wake a writer
//! earlier: what rings while a session gathers costs nothing but a note of its number.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// The timer of all gathering sessions of a hub. Its task begins with the first of them and ends with the hub.
#[derive(Debug)]
pub(super) struct Pace {
    shared: Arc<Shared>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// By ticks since `begun`. No more of them than fit the longest gap, and a waker or two for each session.
    due: Mutex<BTreeMap<u64, Vec<Waker>>>,
    /// Something is due earlier than all that was.
    earlier: Notify,
}

/// The grain of the runtime's timer.
const TICK: Duration = Duration::from_millis(1);

impl Default for Pace {
    fn default() -> Self {
        let shared = Shared {
            begun: Instant::now(),
            due: Mutex::default(),
            earlier: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            task: OnceLock::new(),
        }
    }
}

impl Pace {
    /// Begins to keep time. To be called on a runtime, before anyone waits; every call but the first does nothing.
    pub(super) fn begin(&self) {
        self.task.get_or_init(|| {
            let run = Arc::clone(&self.shared).run();
            AbortOnDropHandle::new(tokio::spawn(run))
        });
    }

    /// Wakes this one at `until`. On any thread.
    pub(super) fn wake_at(&self, until: Instant, waker: Waker) {
        let shared = &*self.shared;
        let tick = shared.tick_after(until);
        let is_first = {
            let mut due = shared.due.lock();
            due.entry(tick).or_default().push(waker);
            due.first_key_value()
                .is_some_and(|(first, wakers)| *first == tick && wakers.len() == 1)
        };
        if is_first {
            shared.earlier.notify_one();
        }
    }
}

impl Shared {
    /// The first tick that is not before this moment.
    fn tick_after(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.begun);
        u64::try_from(since.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
    }

    fn take(&self, now: Instant) -> Vec<Waker> {
        let mut due = self.due.lock();
        // Of a tick that has not begun nothing is due.
        let later = due.split_off(&(self.tick_after(now + Duration::from_nanos(1))));
        let now = mem::replace(&mut *due, later);
        now.into_values().flatten().collect()
    }

    async fn run(self: Arc<Self>) {
        loop {
            let first = self.due.lock().first_key_value().map(|(tick, _)| *tick);
            let Some(first) = first else {
                self.earlier.notified().await;
                continue;
            };
            let millis = Duration::from_millis(first);
            tokio::select! {
                () = sleep_until(self.begun + millis) => {}
                () = self.earlier.notified() => continue,
            }
            self.take(Instant::now()).into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_woken_once_and_not_before_its_time() {
        let pace = Pace::default();
        pace.begin();
        let begun = Instant::now();
        let wait = |micros: u64| {
            let (count, until) = (Arc::new(Count::default()), Duration::from_micros(micros));
            pace.wake_at(begun + until, Waker::from(Arc::clone(&count)));
            (count, until)
        };
        // Also one that is due before the one that the timer waits for.
        let waits = [
            wait(40_000),
            wait(7_300),
            wait(40_000),
            wait(7_200),
            wait(99_999),
        ];
        for _ in 0..120 {
            tokio::time::sleep(TICK).await;
            let passed = begun.elapsed();
            for (count, until) in &waits {
                let woken = count.0.load(Ordering::SeqCst);
                assert!(woken == 0 || passed >= *until, "{passed:?} {until:?}");
                assert!(
                    woken == 1 || passed <= *until + 2 * TICK,
                    "{passed:?} {until:?}"
                );
            }
        }
        assert!(pace.shared.due.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_already_is_woken_at_once() {
        let pace = Pace::default();
        pace.begin();
        tokio::time::advance(Duration::from_secs(1)).await;
        let count = Arc::new(Count::default());
        let then = Instant::now() - Duration::from_millis(5);
        pace.wake_at(then, Waker::from(Arc::clone(&count)));
        tokio::time::sleep(2 * TICK).await;
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
