//! What servers, services, clients, and services of a client all count.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Counter, Histogram, Measured, Reading, StatusCounts, table};

/// Requests, from their start to their end.
#[derive(Debug, Default)]
pub struct RequestCounts {
    /// Requests that have started.
    pub requests: Counter,
    /// Of them ended well.
    pub success: Counter,
    /// Of them ended otherwise, answered or not.
    pub failures: Counter,
    /// Of them not yet ended.
    pub pending: Counter,
    /// Responses by status.
    pub status: StatusCounts,
    /// To the end of the response.
    pub latency: Histogram,
}

impl RequestCounts {
    /// A request has come.
    pub fn start(&self) {
        self.requests.inc();
        self.pending.inc();
    }

    /// It has ended, answered with `status` (0: not at all): below 500 is a success.
    pub fn end(&self, status: u16, took: Duration) {
        self.end_as((100..500).contains(&status), status, took);
    }

    /// It has ended, and somebody knows whether well.
    pub fn end_as(&self, is_success: bool, status: u16, took: Duration) {
        match is_success {
            true => self.success.inc(),
            false => self.failures.inc(),
        }
        self.status.count(status);
        self.pending.dec();
        self.latency.observe(took);
    }
}

impl Measured for RequestCounts {
    fn read(&self, to: &mut Reading) {
        to.add(&table::REQUESTS, &self.requests);
        to.add(&table::SUCCESS, &self.success);
        to.add(&table::FAILURES, &self.failures);
        to.add(&table::PENDING, &self.pending);
        to.spread(&table::REQUEST_LATENCY, &self.latency);
    }
}

/// The counters of one service by client (`rt/<router>/client/<id>/service/<name>`), as far as this worker has needed them:
/// found by the client's number, without a lock.
#[derive(Debug, Default)]
pub struct Pairs(RefCell<SmallVec<[Pair; 1]>>);

type Pair = (u64, Arc<RequestCounts>);

/// A name leads to few clients at one time; after more, all are looked up again.
const MOST: usize = 16;

impl Pairs {
    /// The counters for the client of this number, looked up if they are not known yet.
    pub fn get(
        &self,
        key: u64,
        look_up: impl FnOnce() -> Arc<RequestCounts>,
    ) -> Arc<RequestCounts> {
        let mut all = self.0.borrow_mut();
        if let Some((_, found)) = all.iter().find(|(k, _)| *k == key) {
            return found.clone();
        }
        if all.len() == MOST {
            all.clear();
        }
        let counts = look_up();
        all.push((key, counts.clone()));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_and_failures_are_all_requests() {
        let counts = RequestCounts::default();
        for status in [200, 404, 500, 0] {
            counts.start();
            counts.end(status, Duration::from_millis(1));
        }
        counts.start();
        let numbers = [&counts.success, &counts.failures, &counts.pending];
        assert_eq!(numbers.map(Counter::get), [2, 2, 1]);
        assert_eq!(counts.requests.get(), 5);
        assert_eq!(counts.latency.view().count(), 4);
    }

    #[test]
    fn pairs_are_looked_up_once_and_are_few() {
        let pairs = Pairs::default();
        pairs.get(1, Arc::default).requests.inc();
        assert_eq!(pairs.get(1, Arc::default).requests.get(), 1);
        for key in 2..40 {
            pairs.get(key, Arc::default);
        }
        assert!(pairs.0.borrow().len() <= MOST);
    }
}
