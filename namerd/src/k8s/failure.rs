//! Why a request or a stream did not do, and what follows from it.

use std::fmt;
use std::time::Duration;

use super::decode::Status;

/// Why a request or a stream did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// History is gone.
    Gone,
    /// No connection.
    Unreachable(String),
    /// The connection was cut.
    Cut(String),
    /// The server hangs.
    Stalled(String),
    /// The server says no.
    Refused {
        status: u16,
        message: String,
        retry_after: Option<Duration>,
    },
    /// The server says what cannot be read.
    Garbled(String),
}

// === impl Failure ===

impl Failure {
    /// An answer that is no success.
    pub(super) fn of_reply(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let told = Status::read(&String::from_utf8_lossy(body));
        if status == 410 || told.as_ref().is_some_and(Status::is_gone) {
            return Failure::Gone;
        }
        let asked = told.as_ref().and_then(Status::retry_after);
        Failure::Refused {
            status,
            message: told.map_or_else(|| text(body), |t| t.message),
            retry_after: retry_after.or(asked),
        }
    }

    /// An ERROR event; one without a readable status is garbage (K8S-127).
    pub(super) fn of_event(raw: &str) -> Self {
        match Status::read(raw) {
            Some(status) if status.is_gone() => Failure::Gone,
            Some(status) => Failure::Refused {
                status: status.code,
                retry_after: status.retry_after(),
                message: status.message,
            },
            None => Failure::Garbled("an ERROR event without a status".to_owned()),
        }
    }

    /// A server that answers, but will perhaps never answer this version. Load and rights have other reasons.
    pub(super) fn may_be_of_the_version(&self) -> bool {
        match self {
            Failure::Refused { status, .. } => !matches!(status, 401 | 403 | 429 | 503),
            Failure::Garbled(_) => true,
            _ => false,
        }
    }

    /// 401: the token in its file may be a newer one.
    pub(super) fn wants_a_new_connection(&self) -> bool {
        matches!(
            self,
            Failure::Stalled(_) | Failure::Refused { status: 401, .. }
        )
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Gone => f.write_str("its history is gone"),
            Failure::Unreachable(why) => write!(f, "the API server cannot be reached: {why}"),
            Failure::Cut(why) => write!(f, "the connection was cut: {why}"),
            Failure::Stalled(why) | Failure::Garbled(why) => f.write_str(why),
            Failure::Refused {
                status, message, ..
            } => {
                write!(f, "the API server answered {status}: {message}")?;
                match status {
                    401 => f.write_str(" (check namerd's service account token)"),
                    403 => f.write_str(" (check namerd's ClusterRole)"),
                    404 => f.write_str(
                        " (does this server have the API? Kubernetes 1.21 or later is needed)",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The start of a body that is no `Status`, for messages.
fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)])
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8s_7_1_gone_comes_as_a_status_a_code_or_a_reason() {
        let gone = |failure| matches!(failure, Failure::Gone);
        assert!(gone(Failure::of_reply(410, None, b"")));
        assert!(gone(Failure::of_event(r#"{"kind":"Status","code":410}"#)));
        assert!(gone(Failure::of_event(
            r#"{"kind":"Status","code":500,"reason":"Expired"}"#
        )));
        let garbled = Failure::of_event("{}");
        assert!(matches!(garbled, Failure::Garbled(_)), "K8S-127");
    }
}
