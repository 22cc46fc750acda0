//! The choice of an endpoint (node-proxy 13.1), weights honoured by every kind (K8S-74).
//!
//! An endpoint of weight w counts as w / unit endpoints of one unit each, the unit being the smallest weight in the set.
//! Kinds that draw draw two of *these* without putting the first one back. With equal weights that is two distinct
//! endpoints; with weights 9 and 1 it is two of ten, so that a light load spreads nine to one as well, which two distinct
//! endpoints could not do.
//!
//! First `maxEffort` draws, which cost nothing; if all met endpoints that are out, two of those that are not, drawn in the
//! same way by looking at each; if there are none, anyone. No choice allocates.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::set::Set;
use crate::config::BalancerKind;

/// What was chosen.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) endpoint: Rc<Endpoint>,
    /// All were out or tried already: this one is sent to anyway.
    pub(super) is_last_resort: bool,
    /// So many are dead that this was not looked at.
    pub(super) is_panic: bool,
}

/// Endpoints to draw from: all of them, or those in the aperture.
#[derive(Clone, Copy)]
struct Members<'a> {
    endpoints: &'a [Rc<Endpoint>],
    cumulative: &'a [u64],
    total: u64,
}

/// One choice being made.
struct Chooser<'a> {
    set: &'a Set,
    tried: &'a [SocketAddr],
    /// Failure accrual is not asked.
    is_panic: bool,
    now: Instant,
}

impl Set {
    /// An endpoint for a request that has failed on `tried`; `None` without endpoints.
    pub(super) fn choose(
        &self,
        tried: &[SocketAddr],
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Option<Choice> {
        if self.endpoints.is_empty() {
            return None;
        }
        let chooser = Chooser {
            set: self,
            tried,
            is_panic: self.is_panicking(),
            now,
        };
        let usable = match self.shared.settings.load_balancer.kind {
            BalancerKind::P2c { max_effort }
            | BalancerKind::Ewma { max_effort, .. }
            | BalancerKind::Aperture { max_effort, .. } => chooser
                .draw(max_effort, rng)
                .or_else(|| chooser.two_of_the_usable(rng)),
            BalancerKind::Heap => chooser.least(rng),
            BalancerKind::RoundRobin { .. } => chooser.next_in_turn(),
        };
        Some(Choice {
            is_last_resort: usable.is_none(),
            is_panic: chooser.is_panic,
            endpoint: match usable {
                Some(endpoint) => endpoint.clone(),
                None => chooser.anyone(rng).clone(),
            },
        })
    }

    fn members(&self) -> Members<'_> {
        let (endpoints, cumulative) = match &self.shared.aperture {
            Some(aperture) => self.ranked.first(aperture.size()),
            None => (&self.endpoints[..], &self.cumulative[..]),
        };
        Members {
            endpoints,
            cumulative,
            total: cumulative.last().copied().unwrap_or(0),
        }
    }
}

impl<'a> Chooser<'a> {
    /// The better of two, for as many times as it takes to meet one that can be used; there is no third time for one
    /// endpoint.
    fn draw(&self, max_effort: u32, rng: &mut fastrand::Rng) -> Option<&'a Rc<Endpoint>> {
        let members = self.set.members();
        for _ in 0..max_effort.max(1) {
            let (a, b) = members.draw_two(self.set.unit, rng);
            let better = self.better(a, b);
            if self.is_usable(better) {
                return Some(self.unless_cold(
                    better,
                    if Rc::ptr_eq(a, better) { b } else { a },
                    rng,
                ));
            }
            if members.endpoints.len() == 1 {
                break;
            }
        }
        None
    }

    /// Bad luck, or many are out: the better of two of those that are not.
    fn two_of_the_usable(&self, rng: &mut fastrand::Rng) -> Option<&'a Rc<Endpoint>> {
        let a = self.one_of_the_usable(None, rng)?;
        let b = self.one_of_the_usable(Some(a), rng).unwrap_or(a);
        let (a, b) = (&self.set.endpoints[a], &self.set.endpoints[b]);
        let better = self.better(a, b);
        Some(self.unless_cold(better, if Rc::ptr_eq(a, better) { b } else { a }, rng))
    }

    /// Drawn by weight in one pass; one unit of `taken` is gone.
    fn one_of_the_usable(&self, taken: Option<usize>, rng: &mut fastrand::Rng) -> Option<usize> {
        let (mut total, mut drawn) = (0, None);
        for (i, endpoint) in self.set.endpoints.iter().enumerate() {
            let weight = match self.set.weight(i) {
                weight if taken == Some(i) => weight.saturating_sub(self.set.unit),
                weight => weight,
            };
            if weight > 0 && self.is_usable(endpoint) {
                total += weight;
                if rng.u64(0..total) < weight {
                    drawn = Some(i);
                }
            }
        }
        drawn
    }

    /// The one with the fewest requests for its weight; ties are drawn by weight.
    fn least(&self, rng: &mut fastrand::Rng) -> Option<&'a Rc<Endpoint>> {
        let (mut least, mut total, mut drawn) = (f64::INFINITY, 0.0, None);
        for (weight, endpoint) in self.usable() {
            let load = f64::from(endpoint.load.pending()) / weight;
            if load < least {
                (least, total) = (load, 0.0);
            }
            if load <= least {
                total += weight;
                if rng.f64() * total < weight {
                    drawn = Some(endpoint);
                }
            }
        }
        drawn
    }

    /// Smooth weighted round robin: each comes as often as its weight says, as evenly spread as can be.
    fn next_in_turn(&self) -> Option<&'a Rc<Endpoint>> {
        let mut total = 0.0;
        let mut next: Option<&Rc<Endpoint>> = None;
        for (weight, endpoint) in self.usable() {
            total += weight;
            endpoint.turn.set(endpoint.turn.get() + weight);
            if next.is_none_or(|n| endpoint.turn.get() > n.turn.get()) {
                next = Some(endpoint);
            }
        }
        let next = next?;
        next.turn.set(next.turn.get() - total);
        Some(next)
    }

    /// Endpoints that can be used and what they count now.
    fn usable(&self) -> impl Iterator<Item = (f64, &'a Rc<Endpoint>)> {
        let endpoints = self.set.endpoints.iter().enumerate();
        endpoints.filter_map(|(i, endpoint)| {
            let weight = self.set.weight(i) as f64 * endpoint.warmth(self.now).unwrap_or(1.0);
            (weight > 0.0 && self.is_usable(endpoint)).then_some((weight, endpoint))
        })
    }

    /// When none can be used, any of them.
    fn anyone(&self, rng: &mut fastrand::Rng) -> &'a Rc<Endpoint> {
        let members = self.set.members();
        let (a, b) = members.draw_two(self.set.unit, rng);
        self.better(a, b)
    }

    /// One that is usable, then the one with less load, then the first.
    fn better(&self, a: &'a Rc<Endpoint>, b: &'a Rc<Endpoint>) -> &'a Rc<Endpoint> {
        if Rc::ptr_eq(a, b) {
            return a;
        }
        match (self.is_usable(a), self.is_usable(b)) {
            (true, false) => a,
            (false, true) => b,
            _ if self.load(b) < self.load(a) => b,
            _ => a,
        }
    }

    /// An endpoint that is warming up gives way to the other one, the more often the newer it is.
    fn unless_cold(
        &self,
        better: &'a Rc<Endpoint>,
        other: &'a Rc<Endpoint>,
        rng: &mut fastrand::Rng,
    ) -> &'a Rc<Endpoint> {
        match better.warmth(self.now) {
            Some(warmth) if rng.f64() >= warmth && self.is_usable(other) => other,
            _ => better,
        }
    }

    fn is_usable(&self, endpoint: &Endpoint) -> bool {
        !endpoint.is_out(self.is_panic, self.now) && !self.tried.contains(&endpoint.addr)
    }

    fn load(&self, endpoint: &Endpoint) -> f64 {
        let share = (f64::from(endpoint.weight.get()) / self.set.unit as f64).max(1.0);
        match self.set.shared.settings.load_balancer.kind {
            BalancerKind::Ewma { .. } => endpoint.load.load(share, self.now),
            _ => f64::from(endpoint.load.pending()) / share,
        }
    }
}

impl<'a> Members<'a> {
    /// Two of all units.
    fn draw_two(self, unit: u64, rng: &mut fastrand::Rng) -> (&'a Rc<Endpoint>, &'a Rc<Endpoint>) {
        let first = self.at(rng.u64(0..self.total));
        let a = &self.endpoints[first];
        let start = first.checked_sub(1).map_or(0, |i| self.cumulative[i]);
        let taken = (self.cumulative[first] - start).min(unit);
        if self.total == taken {
            return (a, a);
        }
        // The last `taken` of the first one's range are gone: what is drawn behind them moves up.
        let mut place = rng.u64(0..self.total - taken);
        if place >= self.cumulative[first] - taken {
            place += taken;
        }
        (a, &self.endpoints[self.at(place)])
    }

    fn at(self, place: u64) -> usize {
        self.cumulative.partition_point(|sum| *sum <= place)
    }
}
