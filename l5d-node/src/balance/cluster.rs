//! One balancer for each cluster in use, and all of a worker's balancers of one router.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use l5d_naming::{ClusterId, Path, Replicas};
use tokio::time::Instant;

use super::budget::Budget;
use super::endpoint::EndpointView;
use super::lease::Lease;
use super::set::Set;
use crate::cache::Cluster;
use crate::config::{ClientSettings, Settings};
use crate::meter::{
    CacheCounts, ConnectionCounts, Counter, FailureCounts, Histogram, Measured, Reading, Registry,
    RequestCounts, table,
};
use crate::tls::Connector;

/// The balancer of one cluster (1.x's client), of one worker.
#[derive(Debug)]
pub struct Balancer {
    cluster: Arc<Cluster>,
    connector: OnceCell<Option<Connector>>,
    /// Printed form of the id, for headers and messages.
    id: String,
    /// What holds for the cluster.
    pub client: Arc<ClientSettings>,
    /// Version of the cluster that `set` was built from; 0: none.
    version: Cell<u64>,
    set: RefCell<Set>,
    /// For sending again below the binding.
    pub budget: Budget,
    /// What happened.
    pub stats: Arc<ClientStats>,
    used: Cell<Instant>,
    /// Requests that wait for the first endpoints.
    waiting: Cell<usize>,
}

/// A request's place in the queue of a client; dropping it leaves the queue.
#[derive(Debug)]
pub struct Place<'a>(&'a Balancer);

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Not known yet.
    Pending,
    /// There are none.
    NoAddress,
    /// They cannot be known, and why.
    Failed(Arc<str>),
}

/// Counters of one bound id (`rt/<router>/client/<id>`), of one worker. Each attempt counts.
#[derive(Debug, Default)]
pub struct ClientStats {
    /// Attempts.
    pub requests: RequestCounts,
    /// Attempts without a response that could be passed on, by reason.
    pub failures: FailureCounts,
    /// Connections that could not be opened.
    pub connect_failures: Counter,
    /// How long the former took.
    pub connect_latency: Histogram,
    /// How long the latter took.
    pub failed_connect_latency: Histogram,
    /// Connections and their bytes.
    pub connections: Arc<ConnectionCounts>,
    /// Requests sent again to another endpoint or on a new connection.
    pub requeues: Counter,
    /// How often, of each request.
    pub requeues_per_request: Histogram,
    /// Requests that were not sent again because the budget was used up.
    pub budget_exhausted: Counter,
    /// Requests that had been sent again as often as one may be.
    pub request_limit: Counter,
    /// Requests that could not be sent again: part of their body is gone.
    pub cannot_retry: Counter,
    /// How many requests could be sent again now.
    pub budget: Counter,
    /// Endpoints set aside by failure accrual.
    pub removals: Counter,
    /// Endpoints that came back.
    pub revivals: Counter,
    /// Requests that decided about it.
    pub probes: Counter,
    /// For how long endpoints were set aside, in all.
    pub removed_for_ms: Counter,
    /// Requests that waited for a connection.
    pub waited: Counter,
    /// Requests that were not let into the queue.
    pub too_many_waiters: Counter,
    /// Requests that wait for a connection or for the first endpoints.
    pub waiters: Counter,
    /// Endpoints that came.
    pub adds: Counter,
    /// Endpoints that left.
    pub removes: Counter,
    /// New sets taken over.
    pub updates: Counter,
    /// Times that all endpoints looked dead.
    pub max_effort_exhausted: Counter,
    /// Choices that did not look at failure accrual because so many endpoints were dead.
    pub panics: Counter,
    /// Endpoints, at the last sweep; those of them that are not set aside; those that are.
    pub size: Counter,
    /// See `size`.
    pub available: Counter,
    /// See `size`.
    pub busy: Counter,
    /// What is drawn from was built anew.
    pub rebuilds: Counter,
    /// Endpoints that have left and still have requests.
    pub closed: Counter,
    /// Requests that endpoints have, at the last sweep.
    pub load: Counter,
    /// Idle connections, at the last sweep.
    pub cached: Counter,
}

/// The balancers of one router, of one worker (node-proxy 12.4, level client).
#[derive(Debug)]
pub struct Balancers {
    by_key: RefCell<HashMap<u64, Rc<Balancer>, RandomState>>,
    registry: Arc<Registry<ClientStats>>,
    limit: usize,
    idle_ttl: Duration,
    settings: Settings<ClientSettings>,
    /// What is configured for the process is divided among them.
    workers: usize,
    counts: Arc<CacheCounts>,
}

// === impl Balancer ===

impl Balancer {
    fn new(cluster: &Arc<Cluster>, owner: &Balancers, now: Instant) -> Rc<Self> {
        let id = cluster.id.to_string();
        let stats = owner
            .registry
            .get(id.trim_start_matches('/'), owner.limit.saturating_mul(2));
        let client = owner.settings.of(&cluster.id.0);
        let set = Set::new(&client, &stats, owner.workers, now);
        Rc::new(Self {
            cluster: cluster.clone(),
            connector: OnceCell::new(),
            id,
            version: Cell::new(0),
            set: RefCell::new(set),
            budget: Budget::new(&client.requeue_budget, owner.workers, now),
            client,
            stats,
            used: Cell::new(now),
            waiting: Cell::new(0),
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// How its endpoints are spoken with in TLS, made when it is first asked for; `None`: in clear text.
    pub fn connector(
        &self,
        make: impl FnOnce(&Path, &ClientSettings) -> Option<Connector>,
    ) -> Option<&Connector> {
        let made = self
            .connector
            .get_or_init(|| make(&self.cluster.id.0, &self.client));
        made.as_ref()
    }

    /// Printed form of the cluster's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The host header to send instead of the request's own (node-proxy 9.8).
    pub fn authority(&self) -> Option<Arc<str>> {
        self.set.borrow().authority.clone()
    }

    /// The addresses there are now, at most `limit`.
    pub fn addresses(&self, limit: usize) -> Vec<SocketAddr> {
        let set = self.set.borrow();
        set.endpoints.iter().take(limit).map(|e| e.addr).collect()
    }

    /// An endpoint for a request that has failed on `tried`.
    pub fn lease(
        &self,
        tried: &[SocketAddr],
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Result<Lease, Unavailable> {
        self.refresh(now);
        let Some(choice) = self.set.borrow().choose(tried, rng, now) else {
            return Err(match &self.cluster.state().replicas {
                Replicas::Pending => Unavailable::Pending,
                Replicas::Failed(why) => Unavailable::Failed(why.clone()),
                Replicas::Neg | Replicas::Bound(_) => Unavailable::NoAddress,
            });
        };
        if choice.is_last_resort {
            self.stats.max_effort_exhausted.inc();
        }
        if choice.is_panic {
            self.stats.panics.inc();
        }
        Ok(Lease::new(choice.endpoint, now))
    }

    /// A place among the requests that wait for the first endpoints (node-proxy 13.9); `None`: there are enough.
    pub fn queue(&self) -> Option<Place<'_>> {
        let limit = self.client.queue.capacity;
        if self.waiting.get() >= limit {
            self.stats.too_many_waiters.inc();
            return None;
        }
        self.waiting.set(self.waiting.get() + 1);
        self.stats.waiters.inc();
        Some(Place(self))
    }

    /// Whether there is an endpoint that is none of `tried`, nor `also`.
    pub fn has_other(&self, tried: &[SocketAddr], also: Option<SocketAddr>) -> bool {
        let set = self.set.borrow();
        let is_other = |addr| !tried.contains(&addr) && also != Some(addr);
        set.endpoints.iter().any(|e| is_other(e.addr))
    }

    /// Takes over the cluster's state if it has moved: one atomic load when it has not.
    fn refresh(&self, now: Instant) {
        self.used.set(now);
        if self.cluster.version() == self.version.get() {
            let mut left = 0;
            if self.has_failed_probation() {
                left = self.set.borrow_mut().end_probation(now);
            }
            self.stats.removes.add(left);
            return;
        }
        let state = self.cluster.state();
        let (adds, removes) = match &state.replicas {
            Replicas::Bound(endpoints) => self.set.borrow_mut().apply(endpoints, now),
            Replicas::Neg => (0, self.set.borrow_mut().empty(now)),
            Replicas::Pending | Replicas::Failed(_) => (0, 0),
        };
        self.version.set(state.version);
        self.stats.updates.inc();
        self.stats.adds.add(adds);
        self.stats.removes.add(removes);
    }

    fn sweep(&self, now: Instant) {
        self.refresh_quietly(now);
        let set = self.set.borrow();
        let (mut busy, mut cached, mut load) = (0, 0, 0);
        let is_plain = matches!(self.connector.get(), Some(None));
        for e in &set.endpoints {
            e.sweep(is_plain, now);
            busy += u64::from(e.is_out(false, now));
            cached += e.pool().len() as u64;
            load += u64::from(e.load.pending());
        }
        let size = set.endpoints.len() as u64;
        self.stats.size.set(size);
        self.stats.busy.set(busy);
        self.stats.available.set(size - busy);
        self.stats.cached.set(cached);
        self.stats.load.set(load);
        self.stats.budget.set(self.budget.balance(now));
    }

    fn has_failed_probation(&self) -> bool {
        self.set.borrow().shared.has_failed_probation.get()
    }

    /// Takes over the state without counting as use, so that endpoints that left lose their connections.
    fn refresh_quietly(&self, now: Instant) {
        let used = self.used.get();
        self.refresh(now);
        self.used.set(used);
    }

    pub(super) fn view(&self, now: Instant) -> (ClusterId, Vec<EndpointView>) {
        let set = self.set.borrow();
        let views = set.endpoints.iter().map(|e| e.view(now)).collect();
        (self.cluster.id.clone(), views)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        self.0.stats.waiters.dec();
    }
}

// === impl Balancers ===

impl Balancers {
    /// No balancers yet. `limit` and `idle_ttl` bound how many stay unused and for how long.
    pub fn new(
        registry: Arc<Registry<ClientStats>>,
        limit: usize,
        idle_ttl: Duration,
        settings: Settings<ClientSettings>,
        workers: usize,
        counts: Arc<CacheCounts>,
    ) -> Self {
        Self {
            by_key: RefCell::default(),
            registry,
            limit,
            idle_ttl,
            settings,
            workers,
            counts,
        }
    }

    /// The balancer of a cluster. If there are too many, the one unused for longest leaves.
    pub fn get(&self, cluster: &Arc<Cluster>, now: Instant) -> Rc<Balancer> {
        if let Some(found) = self.by_key.borrow().get(&cluster.key) {
            return found.clone();
        }
        self.counts.misses.inc();
        let mut all = self.by_key.borrow_mut();
        if all.len() >= self.limit {
            let oldest = all
                .iter()
                .filter(|(_, b)| Rc::strong_count(b) == 1)
                .min_by_key(|(_, b)| b.used.get())
                .map(|(key, _)| *key);
            match oldest.and_then(|key| all.remove(&key)) {
                Some(balancer) => {
                    self.counts.evicts.inc();
                    balancer.set.borrow_mut().clear(now);
                }
                None => self.counts.oneshots.inc(),
            }
        }
        let balancer = Balancer::new(cluster, self, now);
        all.insert(cluster.key, balancer.clone());
        balancer
    }

    /// Closes old idle connections and lets go of balancers that nobody uses. To be called every few seconds.
    pub fn sweep(&self, now: Instant) {
        self.by_key.borrow_mut().retain(|_, balancer| {
            balancer.sweep(now);
            let is_unused = Rc::strong_count(balancer) == 1
                && now.saturating_duration_since(balancer.used.get()) > self.idle_ttl;
            if is_unused {
                self.counts.expires.inc();
                balancer.set.borrow_mut().clear(now);
            }
            !is_unused
        });
        self.registry.expire(self.idle_ttl, now);
    }

    /// The endpoints of each cluster with their load.
    pub fn view(&self, now: Instant) -> Vec<(ClusterId, Vec<EndpointView>)> {
        let all = self.by_key.borrow();
        all.values().map(|b| b.view(now)).collect()
    }
}

// === impl ClientStats ===

impl Measured for ClientStats {
    fn read(&self, to: &mut Reading) {
        self.requests.read(to);
        self.requests.status.read(to);
        self.connections.read(to);
        self.failures.read_seen(&table::EXCEPTIONS, to);
        to.add(&table::POOL_SIZE, &self.connections.open);
        to.add(&table::CONNECT_FAILURES, &self.connect_failures);
        to.spread(&table::CONNECT_LATENCY, &self.connect_latency);
        to.spread(&table::FAILED_CONNECT_LATENCY, &self.failed_connect_latency);
        to.add(&table::REQUEUES, &self.requeues);
        to.spread(&table::REQUEUES_PER_REQUEST, &self.requeues_per_request);
        to.add(&table::BUDGET_EXHAUSTED, &self.budget_exhausted);
        to.add(&table::REQUEST_LIMIT, &self.request_limit);
        to.add(&table::CANNOT_RETRY, &self.cannot_retry);
        to.add(&table::BUDGET, &self.budget);
        to.add(&table::ACCRUAL_REMOVALS, &self.removals);
        to.add(&table::ACCRUAL_REVIVALS, &self.revivals);
        to.add(&table::ACCRUAL_PROBES, &self.probes);
        to.add(&table::ACCRUAL_REMOVED_FOR, &self.removed_for_ms);
        to.add(&table::POOL_WAITED, &self.waited);
        to.add(&table::POOL_TOO_MANY, &self.too_many_waiters);
        to.add(&table::POOL_WAITERS, &self.waiters);
        to.add(&table::POOL_CACHED, &self.cached);
        to.most(&table::LB_AVAILABLE, &self.available);
        to.most(&table::LB_BUSY, &self.busy);
        to.most_of(&table::AVAILABLE, self.available.get().min(1));
        to.add(&table::LB_PANICS, &self.panics);
        to.add(&table::LB_REBUILDS, &self.rebuilds);
        to.add(&table::LB_CLOSED, &self.closed);
        to.add(&table::LB_LOAD, &self.load);
        to.add(&table::LB_ADDS, &self.adds);
        to.add(&table::LB_REMOVES, &self.removes);
        to.add(&table::LB_UPDATES, &self.updates);
        to.add(&table::LB_MAX_EFFORT, &self.max_effort_exhausted);
    }
}
