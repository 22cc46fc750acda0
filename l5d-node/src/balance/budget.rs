//! How many requests may be sent again (node-proxy 13.7, 13.8): a share of the requests of the last seconds and a reserve,
//! so that a failing cluster does not get its load doubled.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

use crate::config;

/// A leaky token bucket. Each request puts in one token that lasts for the time to live; sending again takes as many as
/// requests must have come for it. One is kept for each logical name (retries) and each client (requeues) and worker: the
/// reserve of the process is divided among workers, each of which has at least one of it.
#[derive(Debug)]
pub struct Budget {
    /// Tokens put in less tokens taken out, by slice of the time to live, in thousandths.
    slices: RefCell<[i64; SLICES]>,
    /// Their sum.
    sum: Cell<i64>,
    start: Instant,
    slice_ms: u64,
    /// The slice that was cleared last.
    slice: Cell<u64>,
    deposit: i64,
    cost: i64,
    reserve: i64,
}

const SLICES: usize = 10;
const TOKEN: i64 = 1000;

impl Budget {
    /// A worker's part, of `workers`.
    pub fn new(config: &config::Budget, workers: usize, now: Instant) -> Self {
        let slice_ms = (config.ttl.as_millis() as u64 / SLICES as u64).max(1);
        let is_share = config.percent > 0.0;
        let cost = match is_share {
            true => ((TOKEN as f64 / config.percent).round() as i64).max(1),
            false => TOKEN,
        };
        let all = f64::from(config.min_per_sec) * config.ttl.as_secs_f64();
        let each = (all / workers.max(1) as f64).ceil() as i64;
        Self {
            slices: RefCell::default(),
            sum: Cell::new(0),
            start: now,
            slice_ms,
            slice: Cell::new(0),
            deposit: if is_share { TOKEN } else { 0 },
            cost,
            reserve: each.saturating_mul(cost),
        }
    }

    /// Counts a new request.
    pub fn deposit(&self, now: Instant) {
        self.add(self.deposit, now);
    }

    /// Takes what sending again costs; false: there is not enough.
    pub fn withdraw(&self, now: Instant) -> bool {
        let is_enough = self.balance(now) > 0;
        if is_enough {
            self.add(-self.cost, now);
        }
        is_enough
    }

    /// How many requests could be sent again now.
    pub fn balance(&self, now: Instant) -> u64 {
        self.pass(now);
        let tokens = self.reserve.saturating_add(self.sum.get());
        u64::try_from(tokens / self.cost).unwrap_or(0)
    }

    fn add(&self, tokens: i64, now: Instant) {
        let slice = self.pass(now);
        self.slices.borrow_mut()[slice] += tokens;
        self.sum.set(self.sum.get() + tokens);
    }

    /// The slice of now, after clearing those whose time is over.
    fn pass(&self, now: Instant) -> usize {
        let age = now.saturating_duration_since(self.start);
        let slice = age.as_millis() as u64 / self.slice_ms;
        let passed = slice.saturating_sub(self.slice.get());
        if passed > 0 {
            let mut slices = self.slices.borrow_mut();
            for n in 0..passed.min(SLICES as u64) {
                let old = &mut slices[((slice - n) % SLICES as u64) as usize];
                self.sum.set(self.sum.get() - *old);
                *old = 0;
            }
            self.slice.set(slice);
        }
        (self.slice.get() % SLICES as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn budget(ttl_s: u32, min_per_sec: u32, percent: f64, workers: usize, now: Instant) -> Budget {
        let config = config::Budget {
            ttl: ttl_s * S,
            min_per_sec,
            percent,
        };
        Budget::new(&config, workers, now)
    }

    #[test]
    fn one_in_five_may_be_sent_again_for_ten_seconds() {
        let t = Instant::now();
        let budget = budget(10, 0, 0.2, 1, t);
        assert!(!budget.withdraw(t));
        for _ in 0..10 {
            budget.deposit(t);
        }
        assert!(budget.withdraw(t) && budget.withdraw(t));
        assert!(!budget.withdraw(t));
        for _ in 0..5 {
            budget.deposit(t + 9 * S);
        }
        assert_eq!(budget.balance(t + 9 * S), 1);
        assert_eq!(budget.balance(t + 18 * S), 1);
        assert_eq!(budget.balance(t + 19 * S), 0);
    }

    #[test]
    fn the_reserve_comes_back() {
        let t = Instant::now();
        let budget = budget(10, 1, 0.2, 1, t);
        assert_eq!((0..20).filter(|_| budget.withdraw(t)).count(), 10);
        assert_eq!((0..20).filter(|_| budget.withdraw(t + 10 * S)).count(), 10);
    }

    #[test]
    fn workers_share_the_reserve_and_each_has_some() {
        let t = Instant::now();
        assert_eq!(budget(10, 10, 0.2, 4, t).balance(t), 25);
        assert_eq!(budget(1, 1, 0.2, 64, t).balance(t), 1);
        assert_eq!(budget(1, 0, 0.2, 64, t).balance(t), 0);
    }

    #[test]
    fn without_a_share_there_is_the_reserve_only() {
        let t = Instant::now();
        let reserve = budget(10, 1, 0.0, 1, t);
        (0..1000).for_each(|_| reserve.deposit(t));
        assert_eq!((0..20).filter(|_| reserve.withdraw(t)).count(), 10);
        let none = budget(10, 0, 0.0, 1, t);
        none.deposit(t);
        assert!(!none.withdraw(t));
        // A thousand for each request.
        let many = budget(10, 0, 1000.0, 1, t);
        many.deposit(t);
        assert_eq!((0..2000).filter(|_| many.withdraw(t)).count(), 1000);
    }

    proptest! {
        /// Never more than the reserve and the share of the requests, whatever the order and the times.
        #[test]
        fn no_more_than_the_share_and_the_reserve(
            ttl_s in 1u32..=60, min in 0u32..20, percent in 0.0f64..3.0,
            steps in proptest::collection::vec((any::<bool>(), 0u64..5000), 1..300))
        {
            let t = Instant::now();
            let budget = budget(ttl_s, min, percent, 1, t);
            let (mut now, mut requests, mut again) = (t, 0u32, 0u32);
            for (is_request, ms) in steps {
                now += Duration::from_millis(ms);
                if is_request {
                    budget.deposit(now);
                    requests += 1;
                } else {
                    again += u32::from(budget.withdraw(now));
                }
            }
            let windows = (now - t).as_secs_f64() / f64::from(ttl_s) + 2.0;
            let most = f64::from(requests) * percent * 1.001 + f64::from(min * ttl_s) * windows + 1.0;
            prop_assert!(f64::from(again) <= most, "{again} of {requests}, most {most}");
        }
    }
}
