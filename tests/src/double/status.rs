//! `Status` objects: how an API server says no.

use http::StatusCode;
use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal: the HTTP status and the body that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Value,
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: json!({}),
            retry_after: None,
        }
    }

    /// A status as some fault wants it, with the reason that belongs to it.
    pub(super) fn of(code: StatusCode, retry_after: Option<u64>) -> Self {
        let reason = match code.as_u16() {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "Unknown",
        };
        let mut refusal = Self::new(
            code,
            reason,
            format!("the double was told to answer {code}"),
        );
        refusal.retry_after = retry_after;
        refusal
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    pub(super) fn exists(kind: Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    pub(super) fn conflict(kind: Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            kind.qualified()
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// The history that was asked for is gone.
    pub(super) fn expired(wanted: u64, floor: u64) -> Self {
        let message = format!("too old resource version: {wanted} ({floor})");
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// A list from the future.
    pub(super) fn too_large(wanted: u64, now: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {now}");
        let mut refusal = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        refusal.details = json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        });
        refusal.retry_after = Some(1);
        refusal
    }

    fn about(mut self, kind: Kind, name: &str) -> Self {
        self.details = json!({"name": name, "group": kind.group(), "kind": kind.plural()});
        self
    }

    /// The body.
    pub(super) fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details,
            "code": self.code.as_u16(),
        })
    }
}
