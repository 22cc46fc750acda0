//! `client` and `service`.

use serde_json::{Map, Value, json};

use super::ms;
use super::parts::{changed, client_socket, client_tls, put_h2, said, session};
use crate::config::{
    AccrualPolicy, Backoff, BalancerKind, Budget, Classifier, ClientKeys, FailureAccrual,
    GrpcRetries, Layer, LoadBalancer, ServiceKeys, Settings, SocketOptions,
};

/// All that holds for every name, or what each entry says.
pub(super) fn layer<T: Layer>(
    settings: &Settings<T>,
    show: fn(&T::Keys) -> Map<String, Value>,
) -> Value {
    if settings.entries().is_empty() {
        return Value::Object(show(&settings.base().keys()));
    }
    let entry = |entry: &crate::config::Entry<T>| {
        let mut map = show(&entry.keys);
        map.insert("prefix".to_owned(), json!(entry.prefix.to_string()));
        map
    };
    let configs: Vec<_> = settings.entries().iter().map(entry).collect();
    json!({ "kind": "io.l5d.static", "configs": configs })
}

pub(super) fn service(keys: &ServiceKeys) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        map.extend(value.map(|value| (key.to_owned(), value)));
    };
    put(
        "totalTimeoutMs",
        keys.total_timeout.map(|t| json!(t.map_or(0, ms))),
    );
    put(
        "responseClassifier",
        keys.classifier.as_ref().map(classifier),
    );
    let retries = json!({
        "budget": keys.retry_budget.as_ref().map(budget),
        "backoff": keys.retry_backoff.map(backoff),
        "maxPerRequest": keys.retries_per_request,
    });
    put("retries", said(retries));
    let sizes = json!({
        "requestBytes": keys.retry_request_bytes,
    });
    put("retryBufferSize", said(sizes));
    map
}

pub(super) fn client(keys: &ClientKeys) -> Map<String, Value> {
    let mut map = Map::new();
    let off = || json!({ "enabled": false });
    let tls = keys.tls.as_ref();
    let millis = |t: std::time::Duration| json!(ms(t));
    let pairs = [
        ("tls", tls.map(|t| t.as_ref().map_or_else(off, client_tls))),
        ("loadBalancer", keys.load_balancer.as_ref().map(balancer)),
        ("failureAccrual", keys.failure_accrual.as_ref().map(accrual)),
        (
            "requestAttemptTimeoutMs",
            keys.attempt_timeout.map(|t| json!(t.map_or(0, ms))),
        ),
        ("connectTimeoutMs", keys.connect_timeout.map(millis)),
        (
            "streamIdleTimeoutMs",
            keys.stream_idle_timeout.map(|t| json!(t.map_or(0, ms))),
        ),
        ("requeueBudget", keys.requeue_budget.as_ref().map(budget)),
        ("failFast", keys.fail_fast.map(Value::from)),
        (
            "forwardClientCert",
            keys.forward_client_cert.map(Value::from),
        ),
        ("nodeHttp2", keys.node_http2.map(Value::from)),
        ("clientSession", keys.session.as_ref().map(session)),
        (
            "socketOptions",
            keys.socket
                .and_then(|s| changed(&s, &SocketOptions::default(), client_socket)),
        ),
        (
            "hostConnectionPool",
            keys.pool.map(|pool| {
                json!({
                    "minSize": pool.min,
                    "maxSize": pool.max,
                    "idleTimeMs": pool.idle.map(ms),
                    "maxWaiters": pool.max_waiters,
                })
            }),
        ),
        (
            "queue",
            keys.queue
                .map(|queue| json!({ "capacity": queue.capacity, "timeoutMs": ms(queue.timeout) })),
        ),
    ];
    for (key, value) in pairs {
        map.extend(value.map(|value| (key.to_owned(), value)));
    }
    if let Some(h2) = &keys.h2 {
        put_h2(h2, false, &mut map);
    }
    // Nothing to undo.
    if map.get("tls") == Some(&off()) && keys.load_balancer.is_some() {
        map.remove("tls");
    }
    map
}

fn budget(budget: &Budget) -> Value {
    json!({
        "ttlSecs": budget.ttl.as_secs(),
        "minRetriesPerSec": budget.min_per_sec,
        "percentCanRetry": budget.percent,
    })
}

/// Null for the one that has no kind.
fn backoff(backoff: Backoff) -> Value {
    match backoff {
        Backoff::Constant(wait) => json!({ "kind": "constant", "ms": ms(wait) }),
        Backoff::Jittered { min, max } => {
            json!({ "kind": "jittered", "minMs": ms(min), "maxMs": ms(max) })
        }
        Backoff::EqualJittered { .. } => Value::Null,
    }
}

fn classifier(classifier: &Classifier) -> Value {
    let kind = match classifier {
        Classifier::NonRetryable5xx => "nonRetryable5XX",
        Classifier::RetryableRead5xx => "retryableRead5XX",
        Classifier::RetryableIdempotent5xx => "retryableIdempotent5XX",
        Classifier::RetryableAll5xx => "retryableAll5XX",
        Classifier::AllSuccessful => "allSuccessful",
        Classifier::Grpc {
            retryable,
            successes,
        } => {
            let (kind, codes) = match retryable {
                GrpcRetries::Default => ("default", None),
                GrpcRetries::Compliant => ("compliant", None),
                GrpcRetries::Always => ("alwaysRetryable", None),
                GrpcRetries::Never => ("neverRetryable", None),
                GrpcRetries::Codes(codes) => ("retryableStatusCodes", Some(codes)),
            };
            return json!({
                "kind": format!("io.l5d.h2.grpc.{kind}"),
                "successStatusCodes": successes,
                "retryableStatusCodes": codes,
            });
        }
    };
    json!({ "kind": format!("io.l5d.http.{kind}") })
}

fn balancer(balancer: &LoadBalancer) -> Value {
    let mut value = match balancer.kind {
        BalancerKind::P2c { max_effort } => json!({ "kind": "p2c", "maxEffort": max_effort }),
        BalancerKind::Ewma { max_effort, decay } => {
            json!({ "kind": "ewma", "maxEffort": max_effort, "decayTimeMs": ms(decay) })
        }
        BalancerKind::Aperture {
            max_effort,
            smooth,
            low_load,
            high_load,
            min,
        } => json!({
            "kind": "aperture",
            "maxEffort": max_effort,
            "smoothWindowMs": ms(smooth),
            "lowLoad": low_load,
            "highLoad": high_load,
            "minAperture": min,
        }),
        BalancerKind::Heap => json!({ "kind": "heap" }),
        BalancerKind::RoundRobin { max_effort } => {
            json!({ "kind": "roundRobin", "maxEffort": max_effort })
        }
    };
    value["enableProbation"] = json!(balancer.has_probation);
    value["panicThreshold"] = json!(balancer.panic_threshold);
    value["warmUpMs"] = json!(ms(balancer.warm_up));
    value
}

fn accrual(accrual: &FailureAccrual) -> Value {
    let mut value = match accrual.policy {
        AccrualPolicy::ConsecutiveFailures(failures) => {
            json!({ "kind": "io.l5d.consecutiveFailures", "failures": failures })
        }
        AccrualPolicy::SuccessRate { rate, requests } => {
            json!({ "kind": "io.l5d.successRate", "successRate": rate, "requests": requests })
        }
        AccrualPolicy::SuccessRateWindowed { rate, window } => json!({
            "kind": "io.l5d.successRateWindowed",
            "successRate": rate,
            "window": window.as_secs(),
        }),
        AccrualPolicy::Never => json!({ "kind": "none" }),
    };
    value["backoff"] = backoff(accrual.backoff);
    value
}
