//! Counters of requests.

use std::collections::BTreeMap;

use http::StatusCode;
use parking_lot::Mutex;

/// Requests answered, by route and status. Both are closed sets, so it stays small.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Requests {
    /// One more.
    pub fn count(&self, route: &'static str, status: StatusCode) {
        *self.0.lock().entry((route, status.as_u16())).or_default() += 1;
    }

    /// All counters: route, status, number.
    pub fn all(&self) -> Vec<(&'static str, u16, u64)> {
        let counts = self.0.lock();
        counts.iter().map(|((r, s), n)| (*r, *s, *n)).collect()
    }
}
