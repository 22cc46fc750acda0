//! The keys of `service` (node-proxy 5, 13.6, 13.7).

use std::time::Duration;

use l5d_config::{Field, Kinds, Section};

use super::scalar::{count, limit, small};
use crate::config::{Backoff, Budget, Classifier, GrpcRetries, ServiceKeys};

const BACKOFFS: Kinds = Kinds {
    what: "backoff",
    known: &["constant", "jittered"],
    others: &[],
};

const CLASSIFIERS: Kinds = Kinds {
    what: "classifier",
    known: &[
        "io.l5d.http.nonRetryable5XX",
        "io.l5d.http.retryableRead5XX",
        "io.l5d.http.retryableIdempotent5XX",
        "io.l5d.http.retryableAll5XX",
        "io.l5d.http.allSuccessful",
        "io.l5d.h2.nonRetryable5XX",
        "io.l5d.h2.retryableRead5XX",
        "io.l5d.h2.retryableIdempotent5XX",
        "io.l5d.h2.retryableAll5XX",
        "io.l5d.h2.allSuccessful",
        "io.l5d.h2.grpc.default",
        "io.l5d.h2.grpc.compliant",
        "io.l5d.h2.grpc.alwaysRetryable",
        "io.l5d.h2.grpc.neverRetryable",
        "io.l5d.h2.grpc.retryableStatusCodes",
    ],
    others: &[],
};

pub(super) fn read(section: &Section<'_>) -> ServiceKeys {
    let mut keys = ServiceKeys::default();
    let total = section.key("totalTimeoutMs");
    keys.total_timeout = total.is_present().then(|| limit(total));
    if let Some(retries) = section.key("retries").section() {
        keys.retry_budget = budget(retries.key("budget"));
        keys.retry_backoff = backoff(retries.key("backoff"));
        keys.retries_per_request = small(retries.key("maxPerRequest"), 0);
    }
    keys.classifier = classifier(section.key("responseClassifier"));
    // node-proxy 10.4, Ours: what has come with the head is looked at, and nobody waits for more.
    section.legacy(
        "classificationTimeoutMs",
        "no response is held back; one that ends at once is judged by its end",
    );
    if let Some(sizes) = section.key("retryBufferSize").section() {
        keys.retry_request_bytes = count(sizes.key("requestBytes"), 0);
        sizes.legacy("responseBytes", "no response is held back");
    }
    keys
}

pub(super) fn budget(field: Field<'_>) -> Option<Budget> {
    let section = field.section()?;
    let default = Budget::default();
    let ttl = section.key("ttlSecs").integer(1..=60);
    let ttl = ttl.map(|s| Duration::from_secs(s.unsigned_abs()));
    let percent = section.key("percentCanRetry").number(0.0..=1000.0);
    Some(Budget {
        ttl: ttl.unwrap_or(default.ttl),
        min_per_sec: small(section.key("minRetriesPerSec"), 0).unwrap_or(default.min_per_sec),
        percent: percent.unwrap_or(default.percent),
    })
}

pub(super) fn backoff(field: Field<'_>) -> Option<Backoff> {
    let mut section = field.section()?;
    match section.kind(&BACKOFFS)? {
        "constant" => {
            let wait = section.key("ms").millis().unwrap_or_default();
            Some(Backoff::Constant(wait))
        }
        _ => {
            let (min, max) = (section.need("minMs"), section.need("maxMs"));
            let spot = max.spot();
            let (min, max) = (min.millis()?, max.millis()?);
            if max < min {
                let message = format!("{}.maxMs is less than minMs", section.name());
                section.reader().mistake(spot, message, None);
            }
            Some(Backoff::Jittered { min, max })
        }
    }
}

fn classifier(field: Field<'_>) -> Option<Classifier> {
    let mut section = field.section()?;
    let kind = section.kind(&CLASSIFIERS)?;
    if let Some(name) = kind.strip_prefix("io.l5d.h2.grpc.") {
        return Some(grpc(&section, name));
    }
    Some(match kind.rsplit('.').next() {
        Some("retryableRead5XX") => Classifier::RetryableRead5xx,
        Some("retryableIdempotent5XX") => Classifier::RetryableIdempotent5xx,
        Some("retryableAll5XX") => Classifier::RetryableAll5xx,
        Some("allSuccessful") => Classifier::AllSuccessful,
        _ => Classifier::NonRetryable5xx,
    })
}

fn grpc(section: &Section<'_>, name: &str) -> Classifier {
    let successes = section.key("successStatusCodes");
    let retryable = match name {
        "compliant" => GrpcRetries::Compliant,
        "alwaysRetryable" => GrpcRetries::Always,
        "neverRetryable" => GrpcRetries::Never,
        "retryableStatusCodes" => {
            let codes = statuses(section.need("retryableStatusCodes"));
            GrpcRetries::Codes(codes.unwrap_or_default())
        }
        _ => GrpcRetries::Default,
    };
    Classifier::Grpc {
        retryable,
        successes: statuses(successes).unwrap_or_else(|| vec![0]),
    }
}

/// A list of `grpc-status` values.
fn statuses(field: Field<'_>) -> Option<Vec<u32>> {
    let status = |f: Field<'_>| f.integer(0..=i64::from(u16::MAX))?.try_into().ok();
    Some(field.list()?.into_iter().filter_map(status).collect())
}
