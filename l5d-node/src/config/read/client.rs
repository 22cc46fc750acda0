//! The keys of `client` (node-proxy 6, 13).

use std::time::Duration;

use l5d_config::{Field, Kinds, Section};

use super::scalar::{count, flag, small, time};
use super::server::{h2, is_any_h2, session, socket};
use super::service::{backoff, budget};
use crate::config::{
    AccrualPolicy, BalancerKind, ClientKeys, FailureAccrual, LoadBalancer, Pool, Queue,
};

const BALANCERS: Kinds = Kinds {
    what: "load balancer",
    known: &["p2c", "ewma", "aperture", "heap", "roundRobin"],
    others: &[],
};

const ACCRUALS: Kinds = Kinds {
    what: "failure accrual",
    known: &[
        "io.l5d.consecutiveFailures",
        "io.l5d.successRate",
        "io.l5d.successRateWindowed",
        "none",
    ],
    others: &[],
};

pub(super) fn read(section: &Section<'_>) -> ClientKeys {
    let mut keys = ClientKeys::default();
    let block = section.key("tls");
    keys.tls = block.is_present().then(|| l5d_tls::read::client(block));
    keys.load_balancer = balancer(section.key("loadBalancer"));
    keys.failure_accrual = accrual(section.key("failureAccrual"));
    let attempt = section.key("requestAttemptTimeoutMs");
    keys.attempt_timeout = attempt.is_present().then(|| time(attempt));
    keys.connect_timeout = section.key("connectTimeoutMs").millis();
    let idle = section.key("streamIdleTimeoutMs");
    keys.stream_idle_timeout = idle.is_present().then(|| time(idle));
    keys.requeue_budget = budget(section.key("requeueBudget"));
    keys.pool = pool(section.key("hostConnectionPool"));
    keys.session = session(section.key("clientSession"));
    keys.fail_fast = section.key("failFast").boolean();
    keys.socket = socket(section.key("socketOptions"), false);
    keys.forward_client_cert = section.key("forwardClientCert").boolean();
    keys.node_http2 = section.key("nodeHttp2").boolean();
    keys.queue = queue(section.key("queue"));
    keys.h2 = is_any_h2(section).then(|| h2(section));
    section.refuse(
        "requestAuthorizers",
        "`requestAuthorizers` existed for Istio's mixer only and cannot be used",
        None,
    );
    keys
}

fn balancer(field: Field<'_>) -> Option<LoadBalancer> {
    let mut section = field.section()?;
    let kind = section.kind(&BALANCERS)?;
    let default = LoadBalancer::default();
    let effort = || small(section.key("maxEffort"), 1).unwrap_or(crate::config::client::MAX_EFFORT);
    let kind = match kind {
        "p2c" => BalancerKind::P2c {
            max_effort: effort(),
        },
        "ewma" => BalancerKind::Ewma {
            max_effort: effort(),
            decay: time(section.key("decayTimeMs")).unwrap_or(Duration::from_secs(10)),
        },
        "aperture" => aperture(&section, effort()),
        "roundRobin" => BalancerKind::RoundRobin {
            max_effort: effort(),
        },
        _ => BalancerKind::Heap,
    };
    let panic = section.key("panicThreshold").number(0.0..=1.0);
    let warm_up = section.key("warmUpMs").millis();
    Some(LoadBalancer {
        kind,
        has_probation: flag(&section, "enableProbation", false),
        panic_threshold: panic.unwrap_or(default.panic_threshold),
        warm_up: warm_up.unwrap_or(default.warm_up),
    })
}

fn aperture(section: &Section<'_>, max_effort: u32) -> BalancerKind {
    let number = |key, default| section.key(key).number(0.0..=1e6).unwrap_or(default);
    let (low_load, high_load) = (number("lowLoad", 0.5), number("highLoad", 2.0));
    if low_load >= high_load {
        let message = format!("{}: lowLoad must be less than highLoad", section.name());
        section.reader().mistake(section.spot(), message, None);
    }
    BalancerKind::Aperture {
        max_effort,
        smooth: time(section.key("smoothWindowMs")).unwrap_or(Duration::from_secs(5)),
        low_load,
        high_load,
        min: small(section.key("minAperture"), 1).unwrap_or(1),
    }
}

fn accrual(field: Field<'_>) -> Option<FailureAccrual> {
    let mut section = field.section()?;
    let kind = section.kind(&ACCRUALS)?;
    let rate = || section.need("successRate").number(0.0..=1.0);
    let policy = match kind {
        "io.l5d.consecutiveFailures" => {
            small(section.need("failures"), 1).map(AccrualPolicy::ConsecutiveFailures)
        }
        "io.l5d.successRate" => {
            let (rate, requests) = (rate(), small(section.need("requests"), 1));
            rate.zip(requests)
                .map(|(rate, requests)| AccrualPolicy::SuccessRate { rate, requests })
        }
        "io.l5d.successRateWindowed" => {
            let (rate, window) = (rate(), section.need("window").integer(1..=86_400));
            let window = window.map(|s| Duration::from_secs(s.unsigned_abs()));
            rate.zip(window)
                .map(|(rate, window)| AccrualPolicy::SuccessRateWindowed { rate, window })
        }
        _ => Some(AccrualPolicy::Never),
    };
    let backoff = backoff(section.key("backoff"));
    Some(FailureAccrual {
        policy: policy?,
        backoff: backoff.unwrap_or(FailureAccrual::default().backoff),
    })
}

fn pool(field: Field<'_>) -> Option<Pool> {
    let section = field.section()?;
    let max = section.key("maxSize");
    let spot = max.spot();
    let pool = Pool {
        min: count(section.key("minSize"), 0).unwrap_or(0),
        max: count(max, 1),
        idle: time(section.key("idleTimeMs")),
        max_waiters: count(section.key("maxWaiters"), 0),
    };
    if pool.max.is_some_and(|max| max < pool.min) {
        let message = format!("{}.maxSize is less than minSize", section.name());
        section.reader().mistake(spot, message, None);
    }
    Some(pool)
}

fn queue(field: Field<'_>) -> Option<Queue> {
    let section = field.section()?;
    let default = Queue::default();
    Some(Queue {
        capacity: count(section.key("capacity"), 0).unwrap_or(default.capacity),
        timeout: section.key("timeoutMs").millis().unwrap_or(default.timeout),
    })
}
