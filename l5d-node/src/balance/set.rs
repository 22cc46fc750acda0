//! The endpoints of one cluster as a worker sees them, and how a new set is taken over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use l5d_naming::EndpointSet;
use tokio::time::Instant;

use super::aperture::{Aperture, Ranked};
use super::cluster::ClientStats;
use super::endpoint::{Endpoint, Shared};
use crate::config::ClientSettings;

/// What requests choose from.
#[derive(Debug)]
pub(super) struct Set {
    /// Sorted by address, each address once.
    pub(super) endpoints: Vec<Rc<Endpoint>>,
    /// Sum of the weights up to and with each endpoint.
    pub(super) cumulative: Vec<u64>,
    /// The smallest weight above 0.
    pub(super) unit: u64,
    /// The host header to send, if not the request's own.
    pub(super) authority: Option<Arc<str>>,
    /// For kind `aperture`.
    pub(super) ranked: Ranked,
    pub(super) shared: Rc<Shared>,
}

// === impl Set ===

impl Set {
    /// Without endpoints.
    pub(super) fn new(
        settings: &Arc<ClientSettings>,
        stats: &Arc<ClientStats>,
        workers: usize,
        now: Instant,
    ) -> Self {
        Self {
            endpoints: Vec::new(),
            cumulative: Vec::new(),
            unit: 1,
            authority: None,
            ranked: Ranked::default(),
            shared: Rc::new(Shared {
                settings: settings.clone(),
                stats: stats.clone(),
                workers,
                aperture: Aperture::of(settings.load_balancer.kind, workers, now),
                dead: Cell::new(0),
                has_failed_probation: Cell::new(false),
                // Jitter must differ from node to node: not seeded by what all of them know.
                rng: RefCell::new(fastrand::Rng::new()),
            }),
        }
    }

    /// The set for `new`: endpoints that stay are the same objects, those that left lose their idle connections and
    /// close the others as their requests end. How many came and how many left.
    pub(super) fn apply(&mut self, new: &EndpointSet, now: Instant) -> (u64, u64) {
        let mut old = std::mem::take(&mut self.endpoints).into_iter().peekable();
        let had_some = old.peek().is_some();
        let (mut adds, mut removes, mut stays) = (Vec::new(), 0, 0);
        let mut next: Vec<Rc<Endpoint>> = Vec::with_capacity(new.len());
        for e in new.endpoints() {
            // Equal addresses stand side by side; their weights add up (K8S-72).
            if let Some(last) = next.last().filter(|last| last.addr == e.addr) {
                let weight = last.weight.get().saturating_add(e.weight.0);
                last.weight.set(weight);
                continue;
            }
            while let Some(gone) = old.next_if(|o| o.addr < e.addr) {
                removes += self.part(gone, &mut next, now);
            }
            if let Some(same) = old.next_if(|o| o.addr == e.addr) {
                same.weight.set(e.weight.0);
                same.is_on_probation.set(false);
                next.push(same);
                stays += 1;
            } else {
                adds.push(next.len());
                next.push(Endpoint::new(e.addr, e.weight.0, &self.shared, now));
            }
        }
        for gone in old {
            removes += self.part(gone, &mut next, now);
        }
        // Only beside others does a new endpoint begin slowly.
        if had_some && stays > 0 && !self.shared.settings.load_balancer.warm_up.is_zero() {
            adds.iter().for_each(|i| next[*i].warming.set(Some(now)));
        }
        self.endpoints = next;
        self.authority = new.authority().cloned();
        self.weigh();
        self.rank(now);
        (adds.len() as u64, removes)
    }

    /// Without endpoints, or with those alone that stay on probation.
    pub(super) fn empty(&mut self, now: Instant) -> u64 {
        self.apply(&EndpointSet::default(), now).1
    }

    /// Without endpoints, whatever the configuration says.
    pub(super) fn clear(&mut self, now: Instant) -> u64 {
        let n = self.endpoints.len() as u64;
        self.endpoints.drain(..).for_each(|e| e.remove());
        self.weigh();
        self.rank(now);
        n
    }

    /// Endpoints on probation that have failed leave.
    pub(super) fn end_probation(&mut self, now: Instant) -> u64 {
        if !self.shared.has_failed_probation.replace(false) {
            return 0;
        }
        let before = self.endpoints.len();
        self.endpoints.retain(|e| {
            let stays = !e.is_on_probation.get() || e.is_healthy(now);
            if !stays {
                e.remove();
            }
            stays
        });
        self.weigh();
        self.rank(now);
        (before - self.endpoints.len()) as u64
    }

    /// An endpoint that discovery no longer has: it leaves, or stays while it is healthy. 1: it has left.
    fn part(&self, gone: Rc<Endpoint>, next: &mut Vec<Rc<Endpoint>>, now: Instant) -> u64 {
        if self.shared.settings.load_balancer.has_probation && gone.is_healthy(now) {
            gone.is_on_probation.set(true);
            next.push(gone);
            return 0;
        }
        gone.remove();
        1
    }

    /// Weight 0 is never drawn, unless all are 0: then all are equal.
    fn weigh(&mut self) {
        self.shared.stats.rebuilds.inc();
        let weights = || self.endpoints.iter().map(|e| u64::from(e.weight.get()));
        let is_all_zero = weights().all(|w| w == 0);
        self.unit = weights().filter(|w| *w > 0).min().unwrap_or(1);
        self.cumulative.clear();
        self.cumulative
            .extend(
                weights()
                    .map(|w| if is_all_zero { 1 } else { w })
                    .scan(0, |sum, w| {
                        *sum += w;
                        Some(*sum)
                    }),
            );
        self.endpoints.iter().for_each(|e| e.turn.set(0.0));
    }

    fn rank(&mut self, now: Instant) {
        if let Some(aperture) = &self.shared.aperture {
            let ranked = &mut self.ranked;
            ranked.take(&self.endpoints, &self.cumulative, aperture, now);
        }
    }

    /// What an endpoint counts in draws.
    pub(super) fn weight(&self, i: usize) -> u64 {
        self.cumulative[i] - i.checked_sub(1).map_or(0, |i| self.cumulative[i])
    }

    /// So large a share is dead that this says more about all of them than about each: all are used alike
    /// (`panicThreshold`).
    pub(super) fn is_panicking(&self) -> bool {
        let dead = self.shared.dead.get();
        if dead == 0 {
            return false;
        }
        let all = self.endpoints.len();
        let up = all.saturating_sub(dead) as f64;
        up < self.shared.settings.load_balancer.panic_threshold * all as f64
    }
}
