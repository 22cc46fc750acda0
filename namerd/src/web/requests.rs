//! Counters of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

use crate::meter::Histograms;

/// Requests answered, by route and status. Both are closed sets, so it stays small.
#[derive(Debug, Default)]
pub struct Requests {
    counts: Mutex<BTreeMap<(&'static str, u16), u64>>,
    seconds: Histograms,
}

impl Requests {
    /// One more, whose answer began after this time.
    pub fn count(&self, route: &'static str, status: StatusCode, took: Duration) {
        *self
            .counts
            .lock()
            .entry((route, status.as_u16()))
            .or_default() += 1;
        self.seconds.record(route, took);
    }

    /// All counters: route, status, number.
    pub fn all(&self) -> Vec<(&'static str, u16, u64)> {
        let counts = self.counts.lock();
        counts.iter().map(|((r, s), n)| (*r, *s, *n)).collect()
    }

    /// Times until answers began, by route.
    pub fn seconds(&self) -> &Histograms {
        &self.seconds
    }
}
