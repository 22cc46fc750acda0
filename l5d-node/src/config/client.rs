//! `client`: settings of a bound name (node-proxy 6).

use std::time::Duration;

use super::server::{H2Settings, SessionLimits, SocketOptions};
use super::service::{Backoff, Budget};
use super::settings::layer;
use super::{ClientTls, pattern::Captures};

layer! {
    /// What holds for the requests to one bound name.
    ClientSettings, ClientKeys, substitute;

    /// `tls` (14.2); `None`: in clear text.
    tls: Option<ClientTls> = None,
    /// `loadBalancer` (13.1).
    load_balancer: LoadBalancer = LoadBalancer::default(),
    /// `failureAccrual` (13.4).
    failure_accrual: FailureAccrual = FailureAccrual::default(),
    /// `requestAttemptTimeoutMs`: each attempt, to the response head.
    attempt_timeout: Option<Duration> = None,
    /// `connectTimeoutMs` (ours): longest connection set-up, TLS included (13.10).
    connect_timeout: Duration = Duration::from_secs(1),
    /// `streamIdleTimeoutMs` (ours): longest time without a byte of the body in either direction.
    stream_idle_timeout: Option<Duration> = None,
    /// `requeueBudget` (13.8).
    requeue_budget: Budget = Budget::default(),
    /// `hostConnectionPool` (13.11), for each endpoint.
    pool: Pool = Pool::default(),
    /// `clientSession`
    session: SessionLimits = SessionLimits::default(),
    /// `failFast` (13.5)
    fail_fast: bool = false,
    /// `socketOptions` (4.2)
    socket: SocketOptions = SocketOptions::default(),
    /// `forwardClientCert` (8.8)
    forward_client_cert: bool = false,
    /// HTTP/2 settings (4.1).
    h2: H2Settings = H2Settings::default(),
    /// `nodeHttp2` (ours): requests to another of our proxies share a few HTTP/2 connections (14.3).
    node_http2: bool = true,
    /// `queue` (ours): requests that wait for an endpoint.
    queue: Queue = Queue::default(),
}

/// Captured values may stand in the name that the certificate must have.
fn substitute(settings: &mut ClientSettings, keys: &ClientKeys, captures: &Captures) {
    let Some(Some(_)) = &keys.tls else { return };
    let tls = settings.tls.as_mut();
    if let Some(name) = tls.and_then(|tls| tls.common_name.as_mut()) {
        *name = captures.substitute(name);
    }
}

/// How an endpoint is chosen (13.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadBalancer {
    /// `kind` with its keys.
    pub kind: BalancerKind,
    /// `enableProbation`: an endpoint that discovery removed stays while it is healthy.
    pub has_probation: bool,
    /// `panicThreshold` (ours): with a smaller share of endpoints that are up, all are used alike; 0 to 1.
    pub panic_threshold: f64,
    /// `warmUpMs` (ours): a new endpoint's share grows over this time.
    pub warm_up: Duration,
}

/// `loadBalancer.kind`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BalancerKind {
    /// Two at random, the one with fewer requests.
    P2c {
        /// Draws until one is up.
        max_effort: u32,
    },
    /// Two at random, the one with the smaller peak EWMA (13.2). Ours: the default.
    Ewma {
        /// Draws until one is up.
        max_effort: u32,
        /// Mean life time of a latency.
        decay: Duration,
    },
    /// P2C among a subset that grows and shrinks (13.3).
    Aperture {
        /// Draws until one is up.
        max_effort: u32,
        /// Over which the load is averaged.
        smooth: Duration,
        /// Below this load for each endpoint the subset shrinks.
        low_load: f64,
        /// Above this one it grows.
        high_load: f64,
        /// Its least size.
        min: u32,
    },
    /// Fewest requests of all.
    Heap,
    /// One after the other.
    RoundRobin {
        /// Draws until one is up.
        max_effort: u32,
    },
}

/// When an endpoint is set aside, and for how long (13.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureAccrual {
    /// `kind` with its keys.
    pub policy: AccrualPolicy,
    /// `backoff`: how long.
    pub backoff: Backoff,
}

/// `failureAccrual.kind`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AccrualPolicy {
    /// So many failures in a row.
    ConsecutiveFailures(u32),
    /// EWMA over requests below the rate, after so many of them.
    SuccessRate {
        /// 0 to 1.
        rate: f64,
        /// Least number, and the window of the average.
        requests: u32,
    },
    /// Rate over time below this one, after the window has passed.
    SuccessRateWindowed {
        /// 0 to 1.
        rate: f64,
        /// How far back.
        window: Duration,
    },
    /// `none`: never.
    Never,
}

/// `hostConnectionPool`: HTTP/1 connections of one endpoint (13.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// `minSize`: kept open.
    pub min: usize,
    /// `maxSize`; `None`: no limit.
    pub max: Option<usize>,
    /// `idleTimeMs`; `None`: our own limit for idle connections.
    pub idle: Option<Duration>,
    /// `maxWaiters`; `None`: those of the queue.
    pub max_waiters: Option<usize>,
}

/// `queue`: what waits for an endpoint or a connection (13.9, 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// `capacity`: more are answered 503 at once.
    pub capacity: usize,
    /// `timeoutMs`: longest wait.
    pub timeout: Duration,
}

/// Of 1.x, for all kinds that draw.
pub(super) const MAX_EFFORT: u32 = 5;

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            kind: BalancerKind::Ewma {
                max_effort: MAX_EFFORT,
                decay: Duration::from_secs(10),
            },
            has_probation: false,
            panic_threshold: 0.0,
            warm_up: Duration::ZERO,
        }
    }
}

impl Default for FailureAccrual {
    fn default() -> Self {
        Self {
            policy: AccrualPolicy::ConsecutiveFailures(5),
            backoff: Backoff::EqualJittered {
                min: Duration::from_secs(5),
                max: Duration::from_secs(300),
            },
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            timeout: Duration::from_secs(3),
        }
    }
}
