//! How long a session that was just written to waits for more to gather (resolver API 5.2).
//!
//! Nothing while the sending threads are idle; under load so long that they stay at about half of their time, so that there
//! is room for a change that concerns everybody. One value for all threads: the runtime moves sessions between them, so they
//! share the load. It follows the load within some tenths of a second: what is over in less is no reason to gather longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::hub::Hub;

/// The share of time that sending may take.
const TARGET: f64 = 0.5;
/// How much of the way to its target one look takes the gap: as a power of how far the load is from it.
const GAIN: f64 = 0.2;
/// A lower load than this part of the target counts as this.
const LEAST: f64 = 0.1;
/// Where growth begins.
const FIRST: Duration = Duration::from_millis(2);
/// Never longer than this.
const LONGEST: Duration = Duration::from_millis(100);

/// How often the load is looked at while something is sent, and while nothing is.
const TICK: Duration = Duration::from_millis(20);
const IDLE_TICK: Duration = Duration::from_millis(100);

/// The present gap. Cheap to read.
#[derive(Debug, Default)]
pub struct Gap {
    micros: AtomicU64,
}

impl Gap {
    /// How long to gather now.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// Adapts to how long `threads` threads were busy, together, in the `elapsed` time since the last call.
    pub fn observe(&self, busy: Duration, elapsed: Duration, threads: usize) {
        let available = elapsed.as_secs_f64() * threads.max(1) as f64;
        if available <= 0.0 {
            return;
        }
        let load = (busy.as_secs_f64() / available).min(1.0);
        let now = self.now();
        let looks = elapsed.as_secs_f64() / TICK.as_secs_f64();
        let change = (load / TARGET)
            .max(LEAST)
            .powf(GAIN * looks.clamp(1.0, 5.0));
        let next = match load > TARGET {
            true => now.max(FIRST).mul_f64(change),
            false => now.mul_f64(change),
        };
        let next = if next < FIRST / 2 {
            Duration::ZERO
        } else {
            next.min(LONGEST)
        };
        self.micros
            .store(next.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Adapts the hub's gap to the load of this runtime, for ever. A second call for the same hub only waits. Cancel safe.
pub async fn adapt(hub: &Hub) {
    let _one = hub.adapting.lock().await;
    let runtime = Handle::current().metrics();
    let threads = runtime.num_workers();
    let busy = || -> Duration {
        let all = 0..threads;
        all.map(|t| runtime.worker_total_busy_duration(t)).sum()
    };
    let writes = || hub.metrics().writes.get();
    let mut last = (Instant::now(), busy(), writes());
    let mut tick = IDLE_TICK;
    loop {
        sleep(tick).await;
        let now = (Instant::now(), busy(), writes());
        let spent = now.1.saturating_sub(last.1);
        hub.gap().observe(spent, now.0 - last.0, threads);
        tick = if now.2 == last.2 { IDLE_TICK } else { TICK };
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn res_9_the_gap_is_nothing_when_idle_and_grows_to_100_ms_under_load() {
        let gap = Gap::default();
        gap.observe(TICK / 10, TICK, 1);
        assert_eq!(gap.now(), Duration::ZERO);
        let mut before = gap.now();
        for _ in 0..40 {
            gap.observe(TICK, TICK, 1);
            assert!(gap.now() >= before);
            before = gap.now();
        }
        assert_eq!(gap.now(), LONGEST);
        for _ in 0..40 {
            gap.observe(TICK / 5, TICK, 1);
        }
        assert_eq!(gap.now(), Duration::ZERO);
    }

    #[test]
    fn the_gap_stays_where_the_load_is_at_its_target() {
        let gap = Gap::default();
        gap.observe(TICK, TICK, 1);
        let settled = gap.now();
        gap.observe(TICK.mul_f64(TARGET), TICK, 1);
        let drift = gap.now().abs_diff(settled);
        assert!(drift < Duration::from_micros(10), "{drift:?}");
    }

    /// Writers that each have something to tell all the time, a second of them in ticks.
    fn settle(gap: &Gap, sessions: f64, cost: Duration) -> Vec<f64> {
        let mut waits = Vec::new();
        for _ in 0..50 {
            let round = gap.now().as_secs_f64().max(1e-6);
            let load = (sessions * cost.as_secs_f64() / round).min(1.0);
            gap.observe(TICK.mul_f64(load), TICK, 1);
            waits.push(gap.now().as_secs_f64());
        }
        waits
    }

    #[test]
    fn the_gap_settles_where_writing_takes_its_share_and_does_not_swing() {
        let gap = Gap::default();
        settle(&gap, 1_000.0, Duration::from_micros(20));
        // 20 ms for a round of all, at half of the time.
        for wait in settle(&gap, 1_000.0, Duration::from_micros(20)) {
            assert!((0.039..0.041).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn a_moment_of_full_load_does_not_make_the_gap_the_longest() {
        let gap = Gap::default();
        settle(&gap, 1_000.0, Duration::from_micros(10));
        let before = gap.now();
        // One change for all sessions.
        for _ in 0..4 {
            gap.observe(TICK, TICK, 1);
        }
        assert!(
            gap.now() < before.mul_f64(2.0),
            "{before:?} {:?}",
            gap.now()
        );
    }
}
