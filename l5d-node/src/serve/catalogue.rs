//! Every failure that is answered here, one of each kind, for the reference: what it looks like comes from the code that makes it.

use std::net::SocketAddr;
use std::time::Duration;

use l5d_naming::Dtab;

use super::h2::grpc_code;
use super::respond::Failure;
use super::wire::framing::FramingError;
use super::wire::head::HeadError;

/// A response that is made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeHere {
    /// As in metrics.
    pub reason: &'static str,
    /// Of HTTP.
    pub status: u16,
    /// `grpc-status`, for gRPC requests.
    pub grpc: u8,
    /// Sent with `l5d-retryable: true`.
    pub is_retryable: bool,
    /// The body, with examples in place of names.
    pub text: String,
}

/// One of each.
pub fn failures() -> Vec<MadeHere> {
    let (service, client) = ("/svc/NAME", "/#/NAMER/NAME");
    let addr = SocketAddr::from(([10, 0, 0, 1], 8080));
    let none = Dtab::empty();
    let limit = Duration::from_secs(10);
    let all = [
        Failure::malformed("WHAT"),
        Failure::head(HeadError::LineTooLong(4096)),
        Failure::head(HeadError::FieldsTooLong(8192)),
        Failure::framing(FramingError::UnknownCoding),
        Failure::http2_required(),
        Failure::max_forwards(),
        Failure::local_dtab(&"invalid dtab override: WHAT expected"),
        Failure::call_depth(1000),
        Failure::connect_method(),
        Failure::unidentified("GET /", "WHY"),
        Failure::no_binding(service, &none, None),
        Failure::no_address(service, client, &none, None),
        Failure::binding_failed("WHAT NAMERD SAYS", false),
        Failure::binding_failed("WHAT NAMERD SAYS (a limit)", true),
        Failure::no_rules("WHY"),
        Failure::binding_timeout(limit, service, "WHY"),
        Failure::rules_timeout(limit, "WHY"),
        Failure::connecting_timeout(limit, service, client),
        Failure::connect_failed(service, client, &[addr], addr, "WHY"),
        Failure::not_sent(addr),
        Failure::connection_lost(addr),
        Failure::reset(addr, ::h2::Reason::CANCEL),
        Failure::refused(addr),
        Failure::bad_response(addr, "WHAT"),
        Failure::timeout("KEY", limit, service),
        Failure::own_address(addr, service),
        Failure::overloaded("KEY", 100),
        Failure::queue_full(service, client, "WHY"),
        Failure::traced("...".to_owned()),
    ];
    all.into_iter().map(MadeHere::from).collect()
}

impl From<Failure> for MadeHere {
    fn from(failure: Failure) -> Self {
        Self {
            reason: failure.reason.name(),
            status: failure.status,
            grpc: grpc_code(failure.reason),
            is_retryable: failure.is_retryable,
            text: failure.message,
        }
    }
}

#[test]
fn every_reason_is_shown() {
    let shown = failures();
    for reason in crate::meter::Reason::ALL {
        let is_shown = shown.iter().any(|f| f.reason == reason.name());
        assert!(is_shown, "no failure of {reason:?}");
    }
}
