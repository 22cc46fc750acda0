//! `service`: settings of a logical name (node-proxy 5).

use std::time::Duration;

use super::settings::layer;

layer! {
    /// What holds for the requests to one logical name.
    ServiceSettings, ServiceKeys, |_, _, _| {};

    /// `totalTimeoutMs`: from the start of the service layer to the response head, all retries and waits included.
    total_timeout: Option<Duration> = None,
    /// `retries.budget` (13.7).
    retry_budget: Budget = Budget::default(),
    /// `retries.backoff`: the wait before each retry; begins again with each request.
    retry_backoff: Backoff = Backoff::Constant(Duration::ZERO),
    /// `retries.maxPerRequest` (ours).
    retries_per_request: u32 = 25,
    /// `responseClassifier` (13.6).
    classifier: Classifier = Classifier::NonRetryable5xx,
    /// `retryBufferSize.requestBytes`: beyond it a request can no longer be sent again.
    retry_request_bytes: usize = 16_383,
}

/// How much more may be sent than was asked (13.7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// `ttlSecs`: how long a request's deposit counts, 1 to 60 s.
    pub ttl: Duration,
    /// `minRetriesPerSec`: always allowed.
    pub min_per_sec: u32,
    /// `percentCanRetry`: 0.2 is one for five requests; at most 1000.
    pub percent: f64,
}

/// Waits between tries (5, 13.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// `constant`
    Constant(Duration),
    /// `jittered`: decorrelated; first the least, then uniform between the last and three times it.
    Jittered {
        /// First and least.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// The default of failure accrual: half fixed, half drawn, doubling. No kind of the file.
    EqualJittered {
        /// First and least.
        min: Duration,
        /// Longest.
        max: Duration,
    },
}

/// What is a success, and what may be tried again (13.6). With `io.l5d.http.` or `io.l5d.h2.` in front on either protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// `nonRetryable5XX`
    NonRetryable5xx,
    /// `retryableRead5XX`: GET, HEAD, OPTIONS, TRACE.
    RetryableRead5xx,
    /// `retryableIdempotent5XX`: those, PUT and DELETE.
    RetryableIdempotent5xx,
    /// `retryableAll5XX`: those, POST and PATCH.
    RetryableAll5xx,
    /// `allSuccessful`: every response is one.
    AllSuccessful,
    /// `io.l5d.h2.grpc.*`: by `grpc-status`.
    Grpc {
        /// Which statuses may be tried again.
        retryable: GrpcRetries,
        /// `successStatusCodes`: the successes.
        successes: Vec<u32>,
    },
}

/// What a gRPC classifier may try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcRetries {
    /// `default`: status 14.
    Default,
    /// `compliant`: status 14, refused streams, HTTP 429, 502, 503, 504.
    Compliant,
    /// `alwaysRetryable`: whatever is no success.
    Always,
    /// `neverRetryable`
    Never,
    /// `retryableStatusCodes`: these.
    Codes(Vec<u32>),
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            min_per_sec: 10,
            percent: 0.2,
        }
    }
}
