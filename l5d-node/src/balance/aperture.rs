//! Kind `aperture`: two choices among a part of the endpoints that grows and shrinks with the load (node-proxy 13.3).
//!
//! How many requests are out comes in, the part to draw from goes out: the first so many of an order that is drawn once for
//! the process, so that different processes use different endpoints and all workers of one the same.

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::config::BalancerKind;

/// How many endpoints are in use.
#[derive(Debug)]
pub(super) struct Aperture {
    size: Cell<usize>,
    /// Endpoints that there are.
    available: Cell<usize>,
    /// Requests that are out, of this worker.
    out: Cell<u32>,
    /// Their moving average, times the workers.
    average: Cell<f64>,
    stamp: Cell<Instant>,
    smooth: Duration,
    /// Requests for each endpoint, of all workers.
    band: RangeInclusive<f64>,
    least: usize,
    workers: f64,
}

/// The endpoints in the order of the process, those that were out last.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    endpoints: Vec<Rc<Endpoint>>,
    /// Sum of the weights up to and with each.
    cumulative: Vec<u64>,
}

/// The order of the process.
static SEED: LazyLock<u64> = LazyLock::new(|| fastrand::u64(..));

// === impl Aperture ===

impl Aperture {
    /// For kind `aperture`; other kinds have none.
    pub(super) fn of(kind: BalancerKind, workers: usize, now: Instant) -> Option<Self> {
        let BalancerKind::Aperture {
            smooth,
            low_load,
            high_load,
            min,
            ..
        } = kind
        else {
            return None;
        };
        let least = usize::try_from(min).unwrap_or(1).max(1);
        Some(Self {
            size: Cell::new(least),
            available: Cell::new(0),
            out: Cell::new(0),
            average: Cell::new(0.0),
            stamp: Cell::new(now),
            smooth,
            band: low_load..=high_load,
            least,
            workers: workers.max(1) as f64,
        })
    }

    /// How many endpoints are in use.
    pub(super) fn size(&self) -> usize {
        self.size.get().max(self.least).min(self.available.get())
    }

    /// A request goes out.
    pub(super) fn started(&self, now: Instant) {
        self.observe(now);
        self.out.set(self.out.get() + 1);
        self.adapt();
    }

    /// A request has ended.
    pub(super) fn ended(&self, now: Instant) {
        self.observe(now);
        self.out.set(self.out.get().saturating_sub(1));
        self.adapt();
    }

    /// Lets what has been out since the last change count for the time that it was.
    fn observe(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.stamp.get());
        self.stamp.set(now);
        let kept = (-elapsed.as_secs_f64() / self.smooth.as_secs_f64().max(1e-3)).exp();
        let all = f64::from(self.out.get()) * self.workers;
        self.average
            .set(all * (1.0 - kept) + self.average.get() * kept);
    }

    fn adapt(&self) {
        let size = self.size();
        let each = self.average.get() / size.max(1) as f64;
        if each >= *self.band.end() && size < self.available.get() {
            self.size.set(size + 1);
        } else if each <= *self.band.start() && size > self.least {
            self.size.set(size - 1);
        }
    }
}

// === impl Ranked ===

impl Ranked {
    /// Takes over a new set, of which `cumulative` are the sums of the weights. Of weight 0 none is in it, unless all are.
    pub(super) fn take(
        &mut self,
        endpoints: &[Rc<Endpoint>],
        cumulative: &[u64],
        aperture: &Aperture,
        now: Instant,
    ) {
        let weight = |i: usize| cumulative[i] - i.checked_sub(1).map_or(0, |i| cumulative[i]);
        let mut ranked: Vec<(bool, u64, usize)> = endpoints
            .iter()
            .enumerate()
            .filter(|(i, _)| weight(*i) > 0)
            .map(|(i, e)| (e.is_out(false, now), rank(e), i))
            .collect();
        ranked.sort_unstable();
        self.endpoints.clear();
        self.cumulative.clear();
        let mut sum = 0;
        for (_, _, i) in ranked {
            sum += weight(i);
            self.endpoints.push(endpoints[i].clone());
            self.cumulative.push(sum);
        }
        aperture.available.set(self.endpoints.len());
    }

    /// The part in use, with the sums of its weights.
    pub(super) fn first(&self, n: usize) -> (&[Rc<Endpoint>], &[u64]) {
        (&self.endpoints[..n], &self.cumulative[..n])
    }
}

/// Its place in the order of the process.
fn rank(endpoint: &Endpoint) -> u64 {
    use std::hash::BuildHasher as _;
    foldhash::quality::FixedState::with_seed(*SEED).hash_one(endpoint.addr)
}
