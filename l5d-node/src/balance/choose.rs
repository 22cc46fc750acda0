//! Power of two choices among weighted endpoints.
//!
//! An endpoint of weight w counts as w / unit endpoints of one unit each, the unit being the smallest weight in the set, and
//! two of *these* are drawn without putting the first one back. With equal weights that is two distinct endpoints; with
//! weights 9 and 1 it is two of ten, so that a light load spreads nine to one as well, which two distinct endpoints could
//! not do.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;

use super::set::{Endpoint, Set};

/// Draws until one meets an endpoint that is not out (`maxEffort`).
const MAX_EFFORT: usize = 5;

/// What was chosen.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) endpoint: Rc<Endpoint>,
    /// All were out or tried already: this one is sent to anyway.
    pub(super) is_last_resort: bool,
}

impl Set {
    /// An endpoint for a request that has failed on `tried`; `None` without endpoints.
    pub(super) fn choose(
        &self,
        tried: &[SocketAddr],
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Option<Choice> {
        let total = *self.cumulative.last()?;
        let is_usable = |e: &Endpoint| !e.is_out(now) && !tried.contains(&e.addr);
        let mut last = None;
        for _ in 0..MAX_EFFORT {
            let chosen = self.draw_two(total, &is_usable, rng, now);
            if is_usable(chosen) {
                return Some(Choice {
                    endpoint: chosen.clone(),
                    is_last_resort: false,
                });
            }
            last = Some(chosen);
            if self.endpoints.len() == 1 {
                break;
            }
        }
        // Bad luck or all are out: look at each of them once, from a random place on.
        let from = rng.usize(0..self.endpoints.len());
        let (before, behind) = self.endpoints.split_at(from);
        let is_weighty = |e: &Endpoint| e.weight() > 0 || total == self.endpoints.len() as u64;
        let usable = behind
            .iter()
            .chain(before)
            .find(|e| is_weighty(e) && is_usable(e));
        Some(Choice {
            endpoint: usable.or(last)?.clone(),
            is_last_resort: usable.is_none(),
        })
    }

    /// The better of two: one that is usable, then the one with less load, then the first.
    fn draw_two(
        &self,
        total: u64,
        is_usable: &impl Fn(&Endpoint) -> bool,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> &Rc<Endpoint> {
        let first = self.at(rng.u64(0..total));
        let a = &self.endpoints[first];
        let start = first.checked_sub(1).map_or(0, |i| self.cumulative[i]);
        let taken = (self.cumulative[first] - start).min(self.unit);
        if total == taken {
            return a;
        }
        // The last `taken` of the first one's range are gone: what is drawn behind them moves up.
        let mut place = rng.u64(0..total - taken);
        if place >= self.cumulative[first] - taken {
            place += taken;
        }
        let b = &self.endpoints[self.at(place)];
        if Rc::ptr_eq(a, b) {
            return a;
        }
        match (is_usable(a), is_usable(b)) {
            (true, false) => a,
            (false, true) => b,
            _ if b.load.load(self.share(b), now) < a.load.load(self.share(a), now) => b,
            _ => a,
        }
    }

    fn at(&self, place: u64) -> usize {
        self.cumulative.partition_point(|sum| *sum <= place)
    }

    fn share(&self, e: &Endpoint) -> f64 {
        (f64::from(e.weight()) / self.unit as f64).max(1.0)
    }
}
