//! What happened, counted by each worker for itself and added up when somebody asks.

use std::sync::Arc;

use tokio::time::Instant;

use crate::balance::ClientStats;
use crate::connect::{Counter, HistogramView, Registry, RequestCounts};
use crate::route::ServiceStats;

/// All counters of the process.
#[derive(Debug)]
pub struct Stats {
    labels: Vec<(String, Vec<String>)>,
    /// By worker, then by router.
    pub(crate) workers: Vec<Vec<RouterStats>>,
}

/// The counters of one router, of one worker.
#[derive(Clone, Debug)]
pub(crate) struct RouterStats {
    pub(crate) servers: Vec<Arc<ServerStats>>,
    pub(crate) services: Arc<Registry<ServiceStats>>,
    pub(crate) clients: Arc<Registry<ClientStats>>,
    pub(crate) failures: Arc<FailureCounts>,
}

/// Counters of one listener (`rt/<router>/server/<ip>/<port>`), of one worker.
#[derive(Debug, Default)]
pub(crate) struct ServerStats {
    pub(crate) requests: RequestCounts,
    pub(crate) connects: Counter,
    pub(crate) connections: Counter,
    /// Requests refused by the parser or for their dtab: they count nowhere else.
    pub(crate) refused: Counter,
}

/// Failures made here, by reason.
#[derive(Debug, Default)]
pub(crate) struct FailureCounts([Counter; Reason::ALL.len()]);

/// Why a response was made here (node-proxy 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the metric")]
pub enum Reason {
    Malformed,
    Override,
    CallDepth,
    ConnectMethod,
    Unidentified,
    NoBinding,
    NoAddress,
    BindingFailed,
    BindingTimeout,
    ConnectFailed,
    NotSent,
    ConnectionLost,
    BadResponse,
    Timeout,
    Loop,
}

/// One scope of the metric tree, added up over the workers.
#[derive(Clone, Debug)]
pub struct Scope {
    /// `<ip>/<port>`, the logical name or the bound id, without leading slash.
    pub label: String,
    /// Counters and gauges by their name in the metric tree, in a fixed order.
    pub numbers: Vec<Number>,
    /// To the end of the response.
    pub latency: HistogramView,
}

/// A counter or a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Such as `status/2XX`.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Whether it may go down.
    pub is_gauge: bool,
}

/// One router's numbers.
#[derive(Clone, Debug)]
pub struct RouterView {
    /// The router's label.
    pub label: String,
    /// In the order of the configuration.
    pub servers: Vec<Scope>,
    /// By logical name, sorted.
    pub services: Vec<Scope>,
    /// By bound id, sorted.
    pub clients: Vec<Scope>,
    /// Responses made here, by reason, such as `no_binding`.
    pub failures: Vec<(&'static str, u64)>,
}

/// Counts a request from its start to its end, however it ends.
pub(crate) struct Tally<S: Counted> {
    stats: Arc<S>,
    start: Instant,
    /// 0: no response.
    status: u16,
    /// `None`: when this is dropped.
    end: Option<Instant>,
}

/// Counters of one scope.
pub(crate) trait Counted {
    fn requests(&self) -> &RequestCounts;

    /// What only this kind of scope counts.
    fn others(&self) -> Vec<Number> {
        Vec::new()
    }
}

const CLASSES: [&str; 6] = [
    "status/error",
    "status/1XX",
    "status/2XX",
    "status/3XX",
    "status/4XX",
    "status/5XX",
];

// === impl Stats ===

impl Stats {
    pub(crate) fn new(labels: Vec<(String, Vec<String>)>, workers: usize) -> Self {
        let router = |(_, servers): &(String, Vec<String>)| RouterStats {
            servers: servers.iter().map(|_| Arc::default()).collect(),
            services: Arc::default(),
            clients: Arc::default(),
            failures: Arc::default(),
        };
        Self {
            workers: (0..workers)
                .map(|_| labels.iter().map(router).collect())
                .collect(),
            labels,
        }
    }

    /// All numbers now, routers in the order of the configuration. Disturbs no worker.
    pub fn view(&self) -> Vec<RouterView> {
        self.labels
            .iter()
            .enumerate()
            .map(|(i, (label, servers))| {
                let of_router = || self.workers.iter().map(move |routers| &routers[i]);
                let server = |(s, label): (usize, &String)| {
                    let each = of_router().map(|r| r.servers[s].as_ref());
                    sum(label.clone(), each)
                };
                RouterView {
                    label: label.clone(),
                    servers: servers.iter().enumerate().map(server).collect(),
                    services: by_label(of_router().map(|r| r.services.all())),
                    clients: by_label(of_router().map(|r| r.clients.all())),
                    failures: Reason::ALL
                        .iter()
                        .map(|r| {
                            let n = of_router().map(|x| x.failures.0[*r as usize].get());
                            (r.name(), n.sum())
                        })
                        .collect(),
                }
            })
            .collect()
    }
}

fn by_label<S: Counted>(workers: impl Iterator<Item = Vec<(Arc<str>, Arc<S>)>>) -> Vec<Scope> {
    let mut all: Vec<_> = workers.flatten().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.chunk_by(|a, b| a.0 == b.0)
        .map(|same| sum(same[0].0.to_string(), same.iter().map(|(_, s)| s.as_ref())))
        .collect()
}

fn sum<'a, S: Counted + 'a>(label: String, each: impl Iterator<Item = &'a S>) -> Scope {
    let mut scope = Scope {
        label,
        numbers: Vec::new(),
        latency: HistogramView::default(),
    };
    for stats in each {
        scope.latency.add(&stats.requests().latency.view());
        let numbers = Number::all(stats);
        if scope.numbers.is_empty() {
            scope.numbers = numbers;
        } else {
            for (total, one) in scope.numbers.iter_mut().zip(numbers) {
                total.value += one.value;
            }
        }
    }
    scope
}

// === impl Reason ===

impl Reason {
    const ALL: [Reason; 15] = [
        Self::Malformed,
        Self::Override,
        Self::CallDepth,
        Self::ConnectMethod,
        Self::Unidentified,
        Self::NoBinding,
        Self::NoAddress,
        Self::BindingFailed,
        Self::BindingTimeout,
        Self::ConnectFailed,
        Self::NotSent,
        Self::ConnectionLost,
        Self::BadResponse,
        Self::Timeout,
        Self::Loop,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Override => "override",
            Self::CallDepth => "call_depth",
            Self::ConnectMethod => "connect_method",
            Self::Unidentified => "unidentified",
            Self::NoBinding => "no_binding",
            Self::NoAddress => "no_address",
            Self::BindingFailed => "binding_failed",
            Self::BindingTimeout => "binding_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::NotSent => "not_sent",
            Self::ConnectionLost => "connection_lost",
            Self::BadResponse => "bad_response",
            Self::Timeout => "timeout",
            Self::Loop => "loop",
        }
    }
}

impl FailureCounts {
    pub(crate) fn count(&self, reason: Reason) {
        self.0[reason as usize].inc();
    }
}

// === impl Tally ===

impl<S: Counted> Tally<S> {
    pub(crate) fn new(stats: Arc<S>, start: Instant) -> Self {
        stats.requests().start();
        Self {
            stats,
            start,
            status: 0,
            end: None,
        }
    }

    /// The response's status, once there is one.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
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
        self.stats.requests().end(self.status, took);
    }
}

// === impl Counted ===

impl Counted for ServerStats {
    fn requests(&self) -> &RequestCounts {
        &self.requests
    }

    fn others(&self) -> Vec<Number> {
        vec![
            Number::counter("connects", &self.connects),
            Number::counter("refused", &self.refused),
            Number::gauge("connections", &self.connections),
        ]
    }
}

impl Counted for ServiceStats {
    fn requests(&self) -> &RequestCounts {
        self
    }
}

impl Counted for ClientStats {
    fn requests(&self) -> &RequestCounts {
        &self.requests
    }

    fn others(&self) -> Vec<Number> {
        vec![
            Number::counter("connects", &self.connects),
            Number::counter("connect_failures", &self.connect_failures),
            Number::gauge("connections", &self.connections),
            Number::counter("retries/requeues", &self.requeues),
            Number::counter("retries/budget_exhausted", &self.budget_exhausted),
            Number::counter("loadbalancer/adds", &self.adds),
            Number::counter("loadbalancer/removes", &self.removes),
            Number::counter("loadbalancer/updates", &self.updates),
            Number::counter(
                "loadbalancer/max_effort_exhausted",
                &self.max_effort_exhausted,
            ),
        ]
    }
}

impl Number {
    fn counter(name: &'static str, counter: &Counter) -> Self {
        Self {
            name,
            value: counter.get(),
            is_gauge: false,
        }
    }

    fn gauge(name: &'static str, counter: &Counter) -> Self {
        Self {
            is_gauge: true,
            ..Self::counter(name, counter)
        }
    }

    fn all(stats: &impl Counted) -> Vec<Self> {
        let requests = stats.requests();
        let mut all = vec![
            Self::counter("requests", &requests.requests),
            Self::counter("success", &requests.success),
            Self::counter("failures", &requests.failures),
            Self::gauge("pending", &requests.pending),
        ];
        let classes = CLASSES.iter().zip(&requests.status);
        all.extend(classes.map(|(name, counter)| Self::counter(name, counter)));
        all.extend(stats.others());
        all
    }
}
