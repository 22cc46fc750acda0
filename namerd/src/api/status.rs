//! Errors to gRPC statuses.

use std::time::Duration;

use l5d_resolver::convert::BadText;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::auth::Denied;
use crate::bind::{BindError, BindRefused};
use crate::stream::End;

/// How long a node may wait at least before it comes back to a replica that is not ready or is leaving.
const RETRY_MS: &str = "1000";

/// The status that a `Follow` stream ends with (resolver API 7).
pub(super) fn of_end(end: &End) -> Status {
    let code = match end {
        End::Closed => return Status::ok(""),
        End::NotReady | End::Leaving | End::Unchecked(_) => Code::Unavailable,
        End::Unproven(_) => Code::Unauthenticated,
        End::Denied(_) => Code::PermissionDenied,
        End::Sessions(_) | End::TooLarge(_) => Code::ResourceExhausted,
        End::Behind(_) => Code::FailedPrecondition,
        End::Fault(_) => Code::InvalidArgument,
        End::Stalled(_) => Code::DeadlineExceeded,
    };
    let mut status = Status::new(code, end.to_string());
    if matches!(
        end,
        End::NotReady | End::Leaving | End::Sessions(_) | End::Unchecked(_)
    ) {
        let retry = tonic::metadata::MetadataValue::from_static(RETRY_MS);
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", retry);
    }
    status
}

/// What the receiving side of a `Follow` stream met.
pub(super) fn to_end(status: &Status) -> End {
    let message = status.message().to_owned();
    match status.code() {
        Code::ResourceExhausted | Code::OutOfRange => End::TooLarge(message),
        Code::InvalidArgument | Code::Internal | Code::Unimplemented => End::Fault(message),
        _ => End::Closed,
    }
}

/// More calls than one client may make.
pub(super) fn too_many(wait: Duration) -> Status {
    let message =
        "too many calls from this address; limits.requestsPerSecond of the interface says how many";
    let mut status = Status::new(Code::ResourceExhausted, message);
    let wait = wait.as_millis().max(1).to_string();
    if let Ok(wait) = wait.parse() {
        status.metadata_mut().insert("grpc-retry-pushback-ms", wait);
    }
    status
}

/// What nodes are told of a proof that failed.
pub(super) fn denied(denied: Denied) -> End {
    match denied {
        Denied::Unproven(why) => End::Unproven(why),
        Denied::Forbidden(why) => End::Denied(why),
        Denied::Unchecked(why) => End::Unchecked(why),
    }
}

/// A field of a request that is not what it should be.
pub(super) fn bad_field(field: &str, why: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, why);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {why}"), details)
}

/// A text that does not read, with line and column.
pub(super) fn bad_text(bad: &BadText) -> Status {
    bad_field(bad.field, &bad.source.to_string())
}

/// A badly given transformer.
pub(super) fn refused(refused: &BindRefused) -> Status {
    bad_field("transformers", &refused.0)
}

/// A binding that has failed.
pub(super) fn failed(error: &BindError) -> Status {
    let code = match error {
        BindError::Depth(_) | BindError::Width(_) => Code::FailedPrecondition,
        BindError::Namer(_) | BindError::Store(_) => Code::Unavailable,
    };
    Status::new(code, error.message())
}
