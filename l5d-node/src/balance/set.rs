//! The endpoints of one cluster as a worker sees them, and how a new set is taken over.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use l5d_naming::EndpointSet;
use tokio::time::Instant;

use super::load::PeakEwma;
use crate::connect::Pool;

/// One endpoint: its load, its health and its idle connections.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub addr: SocketAddr,
    /// In 1/65536; changes without touching the rest (K8S-75).
    weight: Cell<u32>,
    pub(super) load: PeakEwma,
    pool: Pool,
    /// Failed connections in a row.
    failures: Cell<u32>,
    /// Requests in a row that it could not hand on.
    turned_away: Cell<u32>,
    out_until: Cell<Option<Instant>>,
    is_removed: Cell<bool>,
}

/// One endpoint, held by one request. Dropping it ends the request for the load.
#[derive(Debug)]
pub struct Lease {
    endpoint: Rc<Endpoint>,
    start: Instant,
    /// `None`: when this is dropped.
    end: Cell<Option<Instant>>,
    counts: Cell<bool>,
}

/// An endpoint as the admin pages show it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointView {
    /// Its address.
    pub addr: SocketAddr,
    /// Its weight, 1.0 by default.
    pub weight: f64,
    /// Requests that have not ended.
    pub pending: u32,
    /// Peak EWMA of the response time.
    pub cost: Duration,
    /// Idle connections.
    pub idle: usize,
    /// Failed connections, or requests that it could not hand on, in a row.
    pub failures: u32,
    /// Whether it is set aside after them.
    pub is_out: bool,
}

/// What requests choose from.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// Sorted by address, each address once.
    pub(super) endpoints: Vec<Rc<Endpoint>>,
    /// Sum of the weights up to and with each endpoint.
    pub(super) cumulative: Vec<u64>,
    /// The smallest weight above 0.
    pub(super) unit: u64,
    /// The host header to send, if not the request's own.
    pub(super) authority: Option<Arc<str>>,
}

/// First and longest time for which an endpoint is set aside after a failure.
const OUT_MIN: Duration = Duration::from_millis(500);
const OUT_MAX: Duration = Duration::from_secs(30);

// === impl Endpoint ===

impl Endpoint {
    fn new(addr: SocketAddr, weight: u32, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            addr,
            weight: Cell::new(weight),
            load: PeakEwma::new(now),
            pool: Pool::default(),
            failures: Cell::new(0),
            turned_away: Cell::new(0),
            out_until: Cell::new(None),
            is_removed: Cell::new(false),
        })
    }

    /// Its idle connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether it is set aside.
    pub fn is_out(&self, now: Instant) -> bool {
        self.out_until.get().is_some_and(|until| now < until)
    }

    /// Whether the cluster no longer has it: its connections are not kept.
    pub fn is_removed(&self) -> bool {
        self.is_removed.get()
    }

    /// A connection could not be opened: sets it aside, each time for twice as long.
    pub fn connect_failed(&self, now: Instant) {
        self.set_aside(&self.failures, now);
    }

    /// It answered that it cannot hand the request on (`l5d-retryable`), such as a gateway that does not know yet of the pod
    /// behind it. Set aside likewise: otherwise it takes its share of requests until the budget for sending them again is
    /// used up.
    pub fn turned_away(&self, now: Instant) {
        self.set_aside(&self.turned_away, now);
    }

    /// A connection was opened: connections that failed before do not count.
    pub fn connected(&self) {
        self.failures.set(0);
        if self.turned_away.get() == 0 {
            self.out_until.set(None);
        }
    }

    /// It answered a request: whatever failed before does not count.
    pub fn worked(&self) {
        if self.turned_away.replace(0) > 0 {
            self.out_until.set(None);
        }
    }

    fn set_aside(&self, failures: &Cell<u32>, now: Instant) {
        failures.set(failures.get().saturating_add(1));
        let time = OUT_MIN.saturating_mul(1 << (failures.get() - 1).min(10));
        self.out_until.set(Some(now + time.min(OUT_MAX)));
    }

    /// In 1/65536.
    pub(super) fn weight(&self) -> u32 {
        self.weight.get()
    }

    fn remove(&self) {
        self.is_removed.set(true);
        self.pool.clear();
    }

    pub(super) fn view(&self, now: Instant) -> EndpointView {
        EndpointView {
            addr: self.addr,
            weight: f64::from(self.weight.get()) / 65_536.0,
            pending: self.load.pending(),
            cost: self.load.cost(),
            idle: self.pool.len(),
            failures: self.failures.get().max(self.turned_away.get()),
            is_out: self.is_out(now),
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(endpoint: Rc<Endpoint>, now: Instant) -> Self {
        endpoint.load.start();
        Self {
            endpoint,
            start: now,
            end: Cell::new(None),
            counts: Cell::new(true),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The time until now says nothing about the endpoint: no connection, or it did no work. A fast failure must not
    /// make it look fast.
    pub fn discount(&self) {
        self.counts.set(false);
    }

    /// The request has ended at `end`: for who has looked at the clock already.
    pub fn ended(&self, end: Instant) {
        self.end.set(Some(end));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let end = self.end.get().unwrap_or_else(Instant::now);
        let took = end.saturating_duration_since(self.start);
        let counted = self.counts.get().then_some(took);
        self.endpoint.load.end(counted, end);
    }
}

// === impl Set ===

impl Set {
    /// The set for `new`: endpoints that stay are the same objects, those that left lose their idle connections and
    /// close the others as their requests end.
    pub(super) fn apply(&mut self, new: &EndpointSet, now: Instant) -> (u64, u64) {
        let mut old = std::mem::take(&mut self.endpoints).into_iter().peekable();
        let (mut adds, mut removes) = (0, 0);
        let mut next: Vec<Rc<Endpoint>> = Vec::with_capacity(new.len());
        for e in new.endpoints() {
            // Equal addresses stand side by side; their weights add up (K8S-72).
            if let Some(last) = next.last().filter(|last| last.addr == e.addr) {
                last.weight.set(last.weight().saturating_add(e.weight.0));
                continue;
            }
            while let Some(gone) = old.next_if(|o| o.addr < e.addr) {
                gone.remove();
                removes += 1;
            }
            if let Some(same) = old.next_if(|o| o.addr == e.addr) {
                same.weight.set(e.weight.0);
                next.push(same);
            } else {
                next.push(Endpoint::new(e.addr, e.weight.0, now));
                adds += 1;
            }
        }
        for gone in old {
            gone.remove();
            removes += 1;
        }
        self.endpoints = next;
        self.authority = new.authority().cloned();
        self.weigh();
        (adds, removes)
    }

    /// Without endpoints.
    pub(super) fn clear(&mut self) -> u64 {
        let n = self.endpoints.len() as u64;
        self.endpoints.drain(..).for_each(|e| e.remove());
        self.weigh();
        n
    }

    /// Weight 0 is never drawn, unless all are 0: then all are equal.
    fn weigh(&mut self) {
        let weights = || self.endpoints.iter().map(|e| u64::from(e.weight()));
        let is_all_zero = weights().all(|w| w == 0);
        self.unit = weights().filter(|w| *w > 0).min().unwrap_or(1);
        self.cumulative = weights()
            .map(|w| if is_all_zero { 1 } else { w })
            .scan(0, |sum, w| {
                *sum += w;
                Some(*sum)
            })
            .collect();
    }
}
