//! What became of a request, in the eyes of its service: success, failure, or a failure that may be tried again (node-proxy
//! 13.6).
//!
//! A classifier, a method and what was seen of an answer come in; a verdict comes out. All pure: who counts, retries or sets
//! aside by it asks here. A head may not be enough: gRPC says at the end how it went.

use crate::config::{Classifier, GrpcRetries};

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Success,
    Failure,
    /// Trying again is allowed, if nothing of the request is lost.
    RetryableFailure,
}

/// What a method promises, as far as classifiers ask (RFC 9110 9.2; the lists are those of 1.x).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    /// GET, HEAD, OPTIONS, TRACE.
    Read,
    /// PUT, DELETE.
    Idempotent,
    /// POST, PATCH.
    Write,
    /// CONNECT, and what nobody knows.
    Other,
}

/// The response's head, as far as it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `l5d-retryable: true`
    pub(crate) is_retryable: bool,
    /// `grpc-status`, where the head is all there is (trailers-only).
    pub(crate) grpc_status: Option<u32>,
    /// There is no body behind it: nothing will follow that could say more.
    pub(crate) is_end: bool,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A time limit, a write that failed, a connection that closed, bytes that are no
    /// response, a stream that was reset.
    Broken,
    /// Reset by the peer with REFUSED_STREAM: it has done nothing.
    Refused,
}

impl Class {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Success
    }

    /// The value of `l5d-success-class`.
    pub(crate) fn success_class(self) -> &'static [u8] {
        match self {
            Self::Success => b"1.0",
            Self::Failure | Self::RetryableFailure => b"0.0",
        }
    }

    fn retryable_if(is_retryable: bool) -> Self {
        match is_retryable {
            true => Self::RetryableFailure,
            false => Self::Failure,
        }
    }

    /// The last two links of the chain: `l5d-retryable` makes a plain failure retryable whatever the method and the kind, and
    /// a request that cannot be repeated makes any failure plain.
    fn refined(self, is_retryable: bool, can_repeat: bool) -> Self {
        match self {
            Self::Success => self,
            Self::Failure => Self::retryable_if(is_retryable && can_repeat),
            Self::RetryableFailure => Self::retryable_if(can_repeat),
        }
    }
}

impl Method {
    pub(crate) fn of(method: &[u8]) -> Self {
        match method {
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" => Self::Read,
            b"PUT" | b"DELETE" => Self::Idempotent,
            b"POST" | b"PATCH" => Self::Write,
            _ => Self::Other,
        }
    }
}

/// By the response's head; `None`: the end decides ([`by_trailers`]). `can_repeat`: nothing of the request is lost.
pub(crate) fn by_head(
    classifier: &Classifier,
    method: Method,
    head: Head,
    can_repeat: bool,
) -> Option<Class> {
    let class = match classifier {
        Classifier::Grpc {
            retryable,
            successes,
        } => by_grpc_head(retryable, successes, head)?,
        Classifier::AllSuccessful => Class::Success,
        _ if head.status < 500 => Class::Success,
        _ => Class::retryable_if(may_retry(classifier, method)),
    };
    Some(class.refined(head.is_retryable, can_repeat))
}

/// By the end of a response whose head did not decide: its `grpc-status`, if it has one.
pub(crate) fn by_trailers(classifier: &Classifier, status: Option<u32>, can_repeat: bool) -> Class {
    let class = match (classifier, status) {
        (
            Classifier::Grpc {
                retryable,
                successes,
            },
            Some(status),
        ) => by_grpc_status(retryable, successes, status),
        // An end without a status is none; other classifiers have decided by the head.
        (Classifier::Grpc { .. }, None) => Class::Failure,
        _ => Class::Success,
    };
    class.refined(false, can_repeat)
}

/// Without a response.
pub(crate) fn by_absence(
    classifier: &Classifier,
    method: Method,
    missing: Missing,
    can_repeat: bool,
) -> Class {
    let is_retryable = match classifier {
        Classifier::Grpc { retryable, .. } => {
            *retryable == GrpcRetries::Compliant && missing == Missing::Refused
        }
        classifier => may_retry(classifier, method),
    };
    Class::retryable_if(is_retryable).refined(false, can_repeat)
}

fn may_retry(classifier: &Classifier, method: Method) -> bool {
    match classifier {
        Classifier::RetryableRead5xx => method == Method::Read,
        Classifier::RetryableIdempotent5xx => method <= Method::Idempotent,
        Classifier::RetryableAll5xx => method <= Method::Write,
        Classifier::NonRetryable5xx | Classifier::AllSuccessful | Classifier::Grpc { .. } => false,
    }
}

fn by_grpc_head(retryable: &GrpcRetries, successes: &[u32], head: Head) -> Option<Class> {
    if let Some(status) = head.grpc_status {
        return Some(by_grpc_status(retryable, successes, status));
    }
    if head.status >= 400 {
        let is_retryable =
            *retryable == GrpcRetries::Compliant && matches!(head.status, 429 | 502 | 503 | 504);
        return Some(Class::retryable_if(is_retryable));
    }
    head.is_end.then_some(Class::Failure)
}

fn by_grpc_status(retryable: &GrpcRetries, successes: &[u32], status: u32) -> Class {
    const UNAVAILABLE: u32 = 14;
    if status == 0 || successes.contains(&status) {
        return Class::Success;
    }
    Class::retryable_if(match retryable {
        GrpcRetries::Default | GrpcRetries::Compliant => status == UNAVAILABLE,
        GrpcRetries::Always => true,
        GrpcRetries::Never => false,
        GrpcRetries::Codes(codes) => codes.contains(&status),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Class::{Failure, RetryableFailure, Success};
    use super::*;

    const METHODS: [&str; 10] = [
        "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "CONNECT", "BREW",
    ];

    fn http() -> [(Classifier, usize); 5] {
        [
            (Classifier::NonRetryable5xx, 0),
            (Classifier::AllSuccessful, 0),
            (Classifier::RetryableRead5xx, 4),
            (Classifier::RetryableIdempotent5xx, 6),
            (Classifier::RetryableAll5xx, 8),
        ]
    }

    fn grpc(retryable: GrpcRetries) -> Classifier {
        Classifier::Grpc {
            retryable,
            successes: vec![0],
        }
    }

    fn head(status: u16) -> Head {
        Head {
            status,
            ..Head::default()
        }
    }

    /// The table of 13.6 for each method: which of them each kind may try again.
    #[test]
    fn http_kinds_retry_their_methods() {
        for (classifier, n) in http() {
            for (i, method) in METHODS.iter().enumerate() {
                let method = Method::of(method.as_bytes());
                let failure = if i < n { RetryableFailure } else { Failure };
                let on_500 = match classifier {
                    Classifier::AllSuccessful => Success,
                    _ => failure,
                };
                let class = |status, repeat| by_head(&classifier, method, head(status), repeat);
                assert_eq!(class(500, true), Some(on_500), "{classifier:?} {method:?}");
                assert_eq!(class(599, true), Some(on_500));
                assert_eq!(class(499, true), Some(Success));
                assert_eq!(class(200, true), Some(Success));
                let broken = |repeat| by_absence(&classifier, method, Missing::Broken, repeat);
                assert_eq!(broken(true), failure, "{classifier:?} {method:?}");
                // A body that is gone makes it plain.
                assert_eq!(broken(false), Failure);
                assert_ne!(class(500, false), Some(RetryableFailure));
            }
        }
    }

    #[test]
    fn the_header_makes_any_plain_failure_retryable() {
        for (classifier, _) in http() {
            let marked = Head {
                is_retryable: true,
                ..head(502)
            };
            let class = |repeat| by_head(&classifier, Method::Other, marked, repeat).unwrap();
            match classifier {
                Classifier::AllSuccessful => assert_eq!(class(true), Success),
                _ => assert_eq!((class(true), class(false)), (RetryableFailure, Failure)),
            }
            let fine = Head {
                is_retryable: true,
                ..head(200)
            };
            assert_eq!(
                by_head(&classifier, Method::Read, fine, true),
                Some(Success)
            );
        }
    }

    #[test]
    fn grpc_kinds_go_by_the_status() {
        let retried = |kind: GrpcRetries| -> Vec<u32> {
            let classifier = grpc(kind);
            (0..20)
                .filter(|s| by_trailers(&classifier, Some(*s), true) == RetryableFailure)
                .collect()
        };
        assert_eq!(retried(GrpcRetries::Default), [14]);
        assert_eq!(retried(GrpcRetries::Compliant), [14]);
        assert_eq!(retried(GrpcRetries::Always), (1..20).collect::<Vec<_>>());
        assert!(retried(GrpcRetries::Never).is_empty());
        assert_eq!(retried(GrpcRetries::Codes(vec![8, 10])), [8, 10]);
        let lenient = Classifier::Grpc {
            retryable: GrpcRetries::Always,
            successes: vec![5],
        };
        assert_eq!(by_trailers(&lenient, Some(5), true), Success);
        assert_eq!(by_trailers(&lenient, Some(0), true), Success);
        assert_eq!(by_trailers(&lenient, None, true), Failure);
    }

    #[test]
    fn grpc_heads_decide_when_they_can() {
        let always = grpc(GrpcRetries::Always);
        let class = |head| by_head(&always, Method::Write, head, true);
        assert_eq!(class(head(200)), None);
        let only = |status| Head {
            grpc_status: Some(status),
            is_end: true,
            ..head(200)
        };
        assert_eq!(class(only(0)), Some(Success));
        assert_eq!(class(only(2)), Some(RetryableFailure));
        let end = Head {
            is_end: true,
            ..head(200)
        };
        assert_eq!(class(end), Some(Failure));
        assert_eq!(class(head(404)), Some(Failure));
        let compliant = grpc(GrpcRetries::Compliant);
        for (status, expected) in [
            (429, RetryableFailure),
            (502, RetryableFailure),
            (503, RetryableFailure),
            (504, RetryableFailure),
            (500, Failure),
            (400, Failure),
        ] {
            let class = by_head(&compliant, Method::Write, head(status), true);
            assert_eq!(class, Some(expected), "{status}");
        }
        let refused = |c: &Classifier| by_absence(c, Method::Write, Missing::Refused, true);
        assert_eq!(refused(&compliant), RetryableFailure);
        assert_eq!(refused(&always), Failure);
        let reset = by_absence(&compliant, Method::Write, Missing::Broken, true);
        assert_eq!(reset, Failure);
    }

    proptest! {
        /// Whatever comes: no success is retried, and nothing is whose body is gone.
        #[test]
        fn what_cannot_be_repeated_is_never_retryable(
            status in 100u16..600, is_retryable: bool, grpc_status in proptest::option::of(0u32..20),
            is_end: bool, kind in 0usize..10, method in 0usize..10)
        {
            let classifier = match kind {
                0..5 => http()[kind].0.clone(),
                5 => grpc(GrpcRetries::Default),
                6 => grpc(GrpcRetries::Compliant),
                7 => grpc(GrpcRetries::Always),
                8 => grpc(GrpcRetries::Never),
                _ => grpc(GrpcRetries::Codes(vec![3])),
            };
            let method = Method::of(METHODS[method].as_bytes());
            let head = Head { status, is_retryable, grpc_status, is_end };
            let class = by_head(&classifier, method, head, false);
            prop_assert_ne!(class, Some(RetryableFailure));
            prop_assert_eq!(class == Some(Success),
                by_head(&classifier, method, head, true) == Some(Success));
            prop_assert_ne!(by_trailers(&classifier, grpc_status, false), RetryableFailure);
        }
    }
}
