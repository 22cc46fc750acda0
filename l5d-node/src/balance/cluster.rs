//! One balancer for each cluster in use, and all of a worker's balancers of one router.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use l5d_naming::{ClusterId, Replicas};
use tokio::time::Instant;

use super::budget::Budget;
use super::set::{EndpointView, Lease, Set};
use crate::cache::Cluster;
use crate::config::{ClientSettings, Settings};
use crate::meter::{Counter, Measured, Reading, Registry, RequestCounts, table};

/// The balancer of one cluster (1.x's client), of one worker.
#[derive(Debug)]
pub struct Balancer {
    cluster: Arc<Cluster>,
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
}

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
    /// Connections opened.
    pub connects: Counter,
    /// Connections that could not be opened.
    pub connect_failures: Counter,
    /// Open connections, idle ones included.
    pub connections: Arc<Counter>,
    /// Requests sent again to another endpoint or on a new connection.
    pub requeues: Counter,
    /// Requests that were not sent again because the budget was used up.
    pub budget_exhausted: Counter,
    /// Endpoints that came.
    pub adds: Counter,
    /// Endpoints that left.
    pub removes: Counter,
    /// New sets taken over.
    pub updates: Counter,
    /// Times that all endpoints looked dead.
    pub max_effort_exhausted: Counter,
}

/// The balancers of one router, of one worker (node-proxy 12.4, level client).
#[derive(Debug)]
pub struct Balancers {
    by_key: RefCell<HashMap<u64, Rc<Balancer>, RandomState>>,
    registry: Arc<Registry<ClientStats>>,
    limit: usize,
    idle_ttl: Duration,
    settings: Settings<ClientSettings>,
    /// The reserve for sending again is the process's, divided between workers.
    min_requeues_per_sec: u32,
}

// === impl Balancer ===

impl Balancer {
    fn new(cluster: &Arc<Cluster>, owner: &Balancers, now: Instant) -> Rc<Self> {
        let id = cluster.id.to_string();
        let stats = owner
            .registry
            .get(id.trim_start_matches('/'), owner.limit.saturating_mul(2));
        Rc::new(Self {
            cluster: cluster.clone(),
            id,
            client: owner.settings.of(&cluster.id.0),
            version: Cell::new(0),
            set: RefCell::default(),
            budget: Budget::new(owner.min_requeues_per_sec, now),
            stats,
            used: Cell::new(now),
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
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
        Ok(Lease::new(choice.endpoint, now))
    }

    /// Whether there is an endpoint that is not one of `tried`.
    pub fn has_other(&self, tried: &[SocketAddr]) -> bool {
        let set = self.set.borrow();
        set.endpoints.iter().any(|e| !tried.contains(&e.addr))
    }

    /// Takes over the cluster's state if it has moved: one atomic load when it has not.
    fn refresh(&self, now: Instant) {
        self.used.set(now);
        if self.cluster.version() == self.version.get() {
            return;
        }
        let state = self.cluster.state();
        let (adds, removes) = match &state.replicas {
            Replicas::Bound(endpoints) => self.set.borrow_mut().apply(endpoints, now),
            Replicas::Neg => (0, self.set.borrow_mut().clear()),
            Replicas::Pending | Replicas::Failed(_) => (0, 0),
        };
        self.version.set(state.version);
        self.stats.updates.inc();
        self.stats.adds.add(adds);
        self.stats.removes.add(removes);
    }

    fn sweep(&self, now: Instant) {
        self.refresh_quietly(now);
        for e in &self.set.borrow().endpoints {
            e.pool().sweep(now);
        }
    }

    /// Takes over the state without counting as use, so that endpoints that left lose their connections.
    fn refresh_quietly(&self, now: Instant) {
        let used = self.used.get();
        self.refresh(now);
        self.used.set(used);
    }

    fn view(&self, now: Instant) -> (ClusterId, Vec<EndpointView>) {
        let set = self.set.borrow();
        let views = set.endpoints.iter().map(|e| e.view(now)).collect();
        (self.cluster.id.clone(), views)
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
    ) -> Self {
        Self {
            by_key: RefCell::default(),
            registry,
            limit,
            idle_ttl,
            settings,
            min_requeues_per_sec: (10 / workers.max(1) as u32).max(1),
        }
    }

    /// The balancer of a cluster. If there are too many, the one unused for longest leaves.
    pub fn get(&self, cluster: &Arc<Cluster>, now: Instant) -> Rc<Balancer> {
        if let Some(found) = self.by_key.borrow().get(&cluster.key) {
            return found.clone();
        }
        let mut all = self.by_key.borrow_mut();
        if all.len() >= self.limit {
            let oldest = all
                .iter()
                .filter(|(_, b)| Rc::strong_count(b) == 1)
                .min_by_key(|(_, b)| b.used.get())
                .map(|(key, _)| *key);
            if let Some(balancer) = oldest.and_then(|key| all.remove(&key)) {
                balancer.set.borrow_mut().clear();
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
                balancer.set.borrow_mut().clear();
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
        to.add(&table::CONNECTS, &self.connects);
        to.add(&table::CONNECT_FAILURES, &self.connect_failures);
        to.add(&table::CONNECTIONS, &self.connections);
        to.add(&table::REQUEUES, &self.requeues);
        to.add(&table::BUDGET_EXHAUSTED, &self.budget_exhausted);
        to.add(&table::LB_ADDS, &self.adds);
        to.add(&table::LB_REMOVES, &self.removes);
        to.add(&table::LB_UPDATES, &self.updates);
        to.add(&table::LB_MAX_EFFORT, &self.max_effort_exhausted);
    }
}
