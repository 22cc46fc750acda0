//! What happened, counted by each worker for itself and added up when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::balance::ClientStats;
pub use crate::meter::Reason;
use crate::meter::{
    CacheCounts, ConnectionCounts, Counter, FailureCounts, Histogram, Labelled, Measured, Reading,
    Registry, RequestCounts, Spread, table,
};
use crate::route::ServiceStats;

/// All counters of the process.
#[derive(Debug)]
pub struct Stats {
    labels: Vec<(String, Vec<String>)>,
    /// By router.
    are_h2: Vec<bool>,
    /// By worker, then by router.
    pub(crate) workers: Vec<Vec<RouterStats>>,
    /// By worker.
    pub(crate) own: Vec<Arc<WorkerStats>>,
}

/// The counters of one router, of one worker.
#[derive(Clone, Debug)]
pub(crate) struct RouterStats {
    pub(crate) servers: Vec<Arc<ServerStats>>,
    pub(crate) services: Arc<Registry<ServiceStats>>,
    pub(crate) clients: Arc<Registry<ClientStats>>,
    pub(crate) pairs: Arc<Registry<RequestCounts>>,
    /// Of balancers.
    pub(crate) cache: Arc<CacheCounts>,
}

/// The counters of one worker that belong to no router.
#[derive(Debug, Default)]
pub(crate) struct WorkerStats {
    /// Clients that are connected.
    pub(crate) connections: Counter,
    /// How many there may be.
    pub(crate) most: Counter,
    /// How often there were as many.
    pub(crate) full: Counter,
}

/// Counters of one listener (`rt/<router>/server/<ip>/<port>`), of one worker.
#[derive(Debug, Default)]
pub(crate) struct ServerStats {
    pub(crate) requests: RequestCounts,
    pub(crate) connections: Arc<ConnectionCounts>,
    /// Of them those that were opened within the process.
    pub(crate) local_connects: Counter,
    /// Of them in TLS.
    pub(crate) tls_connections: Counter,
    /// Connections that could not be accepted.
    pub(crate) accept_failures: Counter,
    pub(crate) connection_requests: Histogram,
    /// Connections ended by `serverSession`: unused for too long.
    pub(crate) idle: Counter,
    /// Likewise, too old.
    pub(crate) lifetime: Counter,
    /// From the head of a request to its first attempt.
    pub(crate) handle_time: Histogram,
    /// Entries of overrides.
    pub(crate) dtab_size: Histogram,
    /// By class of status, as [`CLASSES`].
    times: [Histogram; CLASSES.len()],
    /// Failures answered here.
    pub(crate) failures: FailureCounts,
    /// Requests refused because there were too many: they count nowhere else.
    pub(crate) nacks: Counter,
    /// Requests refused by the parser or for their dtab: they count nowhere else.
    pub(crate) refused: Counter,
}

/// One scope of the metric tree, added up over the workers.
#[derive(Clone, Debug)]
pub struct ScopeView {
    /// `<ip>/<port>`, the logical name or the bound id, without leading slash.
    pub label: String,
    /// The name behind a client's, for [`RouterView::pairs`]; else empty.
    pub service: String,
    /// Its numbers.
    pub reading: Reading,
}

/// One router's numbers.
#[derive(Clone, Debug)]
pub struct RouterView {
    /// The router's label.
    pub label: String,
    /// In the order of the configuration.
    pub servers: Vec<ScopeView>,
    /// By logical name, sorted.
    pub services: Vec<ScopeView>,
    /// By bound id, sorted.
    pub clients: Vec<ScopeView>,
    /// By bound id and logical name, sorted.
    pub pairs: Vec<ScopeView>,
    /// What belongs to no scope.
    pub own: Reading,
}

/// Counts a request from its start to its end, however it ends.
pub(crate) struct Tally<S: Counted> {
    stats: Arc<S>,
    /// Where it is counted as well.
    also: Option<Arc<RequestCounts>>,
    start: Instant,
    /// 0: no response.
    status: u16,
    /// What a classifier said; `None`: below 500 is a success.
    is_success: Option<bool>,
    /// `None`: when this is dropped.
    end: Option<Instant>,
}

/// Counters of one scope.
pub(crate) trait Counted: Measured {
    fn requests(&self) -> &RequestCounts;

    /// A request has ended with `status` (0: no response), well or not.
    fn end(&self, is_success: bool, status: u16, took: Duration) {
        self.requests().end_as(is_success, status, took);
    }
}

// === impl Stats ===

impl Stats {
    pub(crate) fn new(
        labels: Vec<(String, Vec<String>)>,
        are_h2: Vec<bool>,
        workers: usize,
    ) -> Self {
        let mut all: Vec<Vec<RouterStats>> = (0..workers).map(|_| Vec::new()).collect();
        for (_, servers) in &labels {
            let services = Registry::of(workers).into_iter().map(Arc::new);
            let clients = Registry::of(workers).into_iter().map(Arc::new);
            let pairs = Registry::of(workers).into_iter().map(Arc::new);
            let each = services.zip(clients).zip(pairs);
            for (routers, ((services, clients), pairs)) in all.iter_mut().zip(each) {
                routers.push(RouterStats {
                    servers: servers.iter().map(|_| Arc::default()).collect(),
                    services,
                    clients,
                    pairs,
                    cache: Arc::default(),
                });
            }
        }
        Self {
            workers: all,
            are_h2,
            own: (0..workers).map(|_| Arc::default()).collect(),
            labels,
        }
    }

    /// All numbers now, routers in the order of the configuration. Disturbs no worker.
    pub fn view(&self) -> Vec<RouterView> {
        let routers = self.labels.iter().enumerate();
        routers.map(|(i, _)| self.router(i)).collect()
    }

    /// What belongs to no router.
    pub fn own(&self) -> Reading {
        sum(self.own.iter().map(AsRef::as_ref))
    }

    fn router(&self, index: usize) -> RouterView {
        let (label, labels) = &self.labels[index];
        let of_router = || self.workers.iter().map(move |routers| &routers[index]);
        let server = |(s, label): (usize, &String)| ScopeView {
            label: label.clone(),
            service: String::new(),
            reading: sum(of_router().map(|r| r.servers[s].as_ref())),
        };
        let mut own = Reading::default();
        for server in of_router().flat_map(|r| &r.servers) {
            server.failures.read(&table::RESPONSES_MADE, &mut own);
        }
        let first = &self.workers[0][index];
        for router in of_router() {
            router.cache.read(&mut own);
        }
        for (kind, folded) in [
            ("service", first.services.folded()),
            ("client", first.clients.folded()),
            ("pair", first.pairs.folded()),
        ] {
            own.part(&table::FOLDED, kind, folded);
        }
        let mut view = RouterView {
            label: label.clone(),
            servers: labels.iter().enumerate().map(server).collect(),
            services: by_label(&first.services),
            clients: by_label(&first.clients),
            pairs: by_label(&first.pairs),
            own,
        };
        if self.are_h2.get(index) == Some(&true) {
            let RouterView {
                servers,
                services,
                clients,
                pairs,
                ..
            } = &mut view;
            let scopes = [servers, services, clients, pairs];
            let scopes = scopes.into_iter().flatten();
            scopes.for_each(|scope| streams(&mut scope.reading));
        }
        view
    }
}

/// The label of a pair in its registry: neither name has a line feed.
pub(crate) fn pair_label(client: &str, service: &str) -> String {
    let plain = |name: &str| name.trim_start_matches('/').to_owned();
    format!("{}\n{}", plain(client), plain(service))
}

/// Where a request is a stream, its numbers are those of its stream as well (node-proxy 15.2).
fn streams(reading: &mut Reading) {
    for (of, from) in [
        (&table::STREAM_SUCCESS, &table::SUCCESS),
        (&table::STREAM_FAILURES, &table::FAILURES),
    ] {
        reading.put(of, reading.value(from));
    }
    let all = &reading.spreads;
    let latency = all
        .iter()
        .find(|s| std::ptr::eq(s.of, &table::REQUEST_LATENCY));
    if let Some(latency) = latency.cloned() {
        let of = &table::STREAM_LATENCY;
        reading.spreads.push(Spread { of, ..latency });
    }
}

fn by_label<S: Measured + Default>(registry: &Registry<S>) -> Vec<ScopeView> {
    let mut all = registry.all();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let view = |(label, counters): Labelled<S>| {
        let (label, service) = label.split_once('\n').unwrap_or((&label, ""));
        ScopeView {
            label: label.to_owned(),
            service: service.to_owned(),
            reading: sum(counters.iter().map(AsRef::as_ref)),
        }
    };
    all.into_iter().map(view).collect()
}

fn sum<'a, S: Measured + 'a>(each: impl Iterator<Item = &'a S>) -> Reading {
    let mut reading = Reading::default();
    each.for_each(|stats| stats.read(&mut reading));
    reading
}

// === impl Tally ===

impl<S: Counted> Tally<S> {
    pub(crate) fn new(stats: Arc<S>, start: Instant) -> Self {
        stats.requests().start();
        Self {
            stats,
            also: None,
            start,
            status: 0,
            is_success: None,
            end: None,
        }
    }

    /// Counts it here as well.
    pub(crate) fn with(mut self, also: Arc<RequestCounts>) -> Self {
        also.start();
        self.also = Some(also);
        self
    }

    /// Where it is counted.
    pub(crate) fn stats(&self) -> &S {
        &self.stats
    }

    /// The response's status, once there is one.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// A classifier knows whether it went well.
    pub(crate) fn judged(&mut self, is_success: bool) {
        self.is_success = Some(is_success);
    }

    /// The response has ended at `end`: for who has looked at the clock already.
    pub(crate) fn ended(&mut self, status: u16, end: Instant) {
        self.status = status;
        self.end = Some(end);
    }
}

impl<S: Counted> Drop for Tally<S> {
    fn drop(&mut self) {
        let end = self.end.unwrap_or_else(Instant::now);
        let took = end.saturating_duration_since(self.start);
        let is_success = self.is_success.unwrap_or((100..500).contains(&self.status));
        self.stats.end(is_success, self.status, took);
        if let Some(also) = &self.also {
            also.end_as(is_success, self.status, took);
        }
    }
}

// === impl Counted ===

impl Counted for ServerStats {
    fn requests(&self) -> &RequestCounts {
        &self.requests
    }

    fn end(&self, is_success: bool, status: u16, took: Duration) {
        self.requests.end_as(is_success, status, took);
        self.times[class(status)].observe(took);
    }
}

impl Counted for ServiceStats {
    fn requests(&self) -> &RequestCounts {
        &self.requests
    }
}

impl Counted for ClientStats {
    fn requests(&self) -> &RequestCounts {
        &self.requests
    }
}

const CLASSES: [&str; 6] = ["error", "1XX", "2XX", "3XX", "4XX", "5XX"];

fn class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

impl Measured for WorkerStats {
    fn read(&self, to: &mut Reading) {
        to.add(&table::CLIENT_CONNECTIONS, &self.connections);
        to.add(&table::CLIENT_CONNECTIONS_MAX, &self.most);
        to.add(&table::CLIENT_CONNECTIONS_FULL, &self.full);
    }
}

impl Measured for ServerStats {
    fn read(&self, to: &mut Reading) {
        self.requests.read(to);
        self.requests.status.read(to);
        self.failures.read(&table::EXCEPTIONS, to);
        self.connections.read(to);
        to.add(&table::LOCAL_CONNECTS, &self.local_connects);
        to.add(&table::TLS_CONNECTIONS, &self.tls_connections);
        to.add(&table::ACCEPT_FAILURES, &self.accept_failures);
        to.add(&table::REQUEST_CONCURRENCY, &self.requests.pending);
        to.add(&table::REFUSED, &self.refused);
        to.add(&table::IDLE_ENDS, &self.idle);
        to.add(&table::LIFETIME_ENDS, &self.lifetime);
        to.spread(&table::HANDLE_TIME, &self.handle_time);
        to.spread(&table::DTAB_SIZE, &self.dtab_size);
        to.add(&table::NACKS, &self.nacks);
        to.spread(&table::CONNECTION_REQUESTS, &self.connection_requests);
        for (class, times) in CLASSES.into_iter().zip(&self.times) {
            to.spread_part(&table::CLASS_TIME, class, times);
        }
    }
}
