//! Peak EWMA: how long an endpoint takes, sensitive to peaks, forgetting slowly (node-proxy 13.2, with the seed and the
//! penalty of section 17).

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// The cost of one endpoint and the requests it has now.
#[derive(Debug)]
pub struct PeakEwma {
    /// Nanoseconds; 0 without history.
    cost: Cell<f64>,
    stamp: Cell<Instant>,
    pending: Cell<u32>,
    /// Mean lifetime of a cost (`decayTimeMs`).
    decay: Duration,
}

/// What an endpoint without history is taken to cost while its first answer is awaited. One without requests costs nothing,
/// so that each is tried at once.
const SEED: f64 = 1e9;
/// What a failure is taken to have cost: a fast failer must not look fast.
pub(super) const PENALTY: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that counts.
pub(super) const LONGEST_PENALTY: Duration = Duration::from_secs(30);

impl PeakEwma {
    /// No history, nothing pending.
    pub fn new(decay: Duration, now: Instant) -> Self {
        Self {
            cost: Cell::new(0.0),
            stamp: Cell::new(now),
            pending: Cell::new(0),
            decay,
        }
    }

    /// A request goes out.
    pub fn start(&self) {
        self.pending.set(self.pending.get() + 1);
    }

    /// A request has ended; `took` counts unless nothing was learnt from it.
    pub fn end(&self, took: Option<Duration>, now: Instant) {
        self.pending.set(self.pending.get().saturating_sub(1));
        if let Some(took) = took {
            self.observe(took.as_nanos() as f64, now);
        }
    }

    /// What a further request would meet, where `share` is the endpoint's weight relative to that of one unit.
    ///
    /// An endpoint of share n stands for n endpoints of share 1 between which its pending requests are spread; one of
    /// these is compared, so share 1 gives the plain formula. Dividing the whole by the share instead would send all
    /// of a light load to the heaviest endpoint, because the request about to be sent would be divided too.
    pub fn load(&self, share: f64, now: Instant) -> f64 {
        self.observe(0.0, now);
        let pending = f64::from(self.pending.get()) / share;
        match self.cost.get() {
            0.0 => SEED * pending,
            cost => cost * (pending + 1.0),
        }
    }

    /// Requests that have not ended.
    pub fn pending(&self) -> u32 {
        self.pending.get()
    }

    /// The cost at its last change.
    pub fn cost(&self) -> Duration {
        Duration::from_nanos(self.cost.get() as u64)
    }

    fn observe(&self, took_ns: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.stamp.get());
        if !elapsed.is_zero() {
            self.stamp.set(now);
        }
        let cost = self.cost.get();
        if took_ns > cost {
            self.cost.set(took_ns);
        } else if !elapsed.is_zero() {
            let kept = (-elapsed.as_secs_f64() / self.decay.as_secs_f64().max(1e-3)).exp();
            self.cost.set(took_ns * (1.0 - kept) + cost * kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DECAY: Duration = Duration::from_secs(10);

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let t = Instant::now();
        let load = PeakEwma::new(DECAY, t);
        assert_eq!(load.load(1.0, t), 0.0);
        load.start();
        assert_eq!(load.load(1.0, t), SEED);
        load.end(Some(10 * MS), t + 10 * MS);
        assert_eq!(load.cost(), 10 * MS);
        load.start();
        load.end(Some(MS), t + 20 * MS);
        assert!(load.cost() > 9 * MS && load.cost() < 10 * MS);
        // One mean lifetime later 1/e of it is left.
        let later = load.load(1.0, t + 20 * MS + DECAY);
        let expected = 9_991_009.0 / std::f64::consts::E;
        assert!((later - expected).abs() < 2_000.0, "{later}");
    }

    #[test]
    fn share_spreads_what_is_pending() {
        let t = Instant::now();
        let load = PeakEwma::new(DECAY, t);
        load.start();
        load.end(Some(MS), t);
        for _ in 0..9 {
            load.start();
        }
        assert_eq!(load.load(1.0, t), 10e6);
        assert_eq!(load.load(9.0, t), 2e6);
    }
}
