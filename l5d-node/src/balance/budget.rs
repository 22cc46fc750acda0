//! How many requests may be sent again (node-proxy 13.7, 13.8): a share of the requests of the last ten seconds and a
//! reserve, so that a failing cluster does not get its load doubled.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

/// A leaky token bucket. Each request puts in one token that lasts ten seconds; sending again takes five.
#[derive(Debug)]
pub struct Budget {
    /// Tokens put in less tokens taken out, by second.
    slots: RefCell<[i64; TTL_SECS]>,
    start: Instant,
    /// The second that was cleared last.
    second: Cell<u64>,
    reserve: i64,
}

const TTL_SECS: usize = 10;
/// 1 / `percentCanRetry`.
const COST: i64 = 5;

impl Budget {
    /// With a reserve of `min_per_sec` for each second of the time to live.
    pub fn new(min_per_sec: u32, now: Instant) -> Self {
        Self {
            slots: RefCell::default(),
            start: now,
            second: Cell::new(0),
            reserve: i64::from(min_per_sec) * TTL_SECS as i64 * COST,
        }
    }

    /// Counts a new request.
    pub fn deposit(&self, now: Instant) {
        let slot = self.slot(now);
        self.slots.borrow_mut()[slot] += 1;
    }

    /// Takes what sending again costs; false: there is not enough.
    pub fn withdraw(&self, now: Instant) -> bool {
        let slot = self.slot(now);
        let is_enough = self.balance(now) > 0;
        if is_enough {
            self.slots.borrow_mut()[slot] -= COST;
        }
        is_enough
    }

    /// How many requests could be sent again now.
    pub fn balance(&self, now: Instant) -> u64 {
        self.slot(now);
        let tokens = self.reserve + self.slots.borrow().iter().sum::<i64>();
        u64::try_from(tokens / COST).unwrap_or(0)
    }

    /// The slot of now, after clearing those whose time is over.
    fn slot(&self, now: Instant) -> usize {
        let second = now.saturating_duration_since(self.start).as_secs();
        let passed = second.saturating_sub(self.second.get());
        if passed > 0 {
            let mut slots = self.slots.borrow_mut();
            for s in 0..passed.min(TTL_SECS as u64) {
                slots[((second - s) % TTL_SECS as u64) as usize] = 0;
            }
            self.second.set(second);
        }
        (second % TTL_SECS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_in_five_may_be_sent_again_for_ten_seconds() {
        let t = Instant::now();
        let budget = Budget::new(0, t);
        assert!(!budget.withdraw(t));
        for _ in 0..10 {
            budget.deposit(t);
        }
        assert!(budget.withdraw(t) && budget.withdraw(t));
        assert!(!budget.withdraw(t));
        for _ in 0..5 {
            budget.deposit(t + Duration::from_secs(9));
        }
        assert_eq!(budget.balance(t + Duration::from_secs(9)), 1);
        assert_eq!(budget.balance(t + Duration::from_secs(18)), 1);
        assert_eq!(budget.balance(t + Duration::from_secs(19)), 0);
    }

    #[test]
    fn the_reserve_comes_back() {
        let t = Instant::now();
        let budget = Budget::new(1, t);
        assert_eq!((0..20).filter(|_| budget.withdraw(t)).count(), 10);
        let later = t + Duration::from_secs(10);
        assert_eq!((0..20).filter(|_| budget.withdraw(later)).count(), 10);
    }
}
