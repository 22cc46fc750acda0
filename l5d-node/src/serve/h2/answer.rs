//! Failures as HTTP/2 and gRPC say them (node-proxy 11.3).

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::config::Protocol;
use crate::serve::respond::{BESIDE_ERR, Failure, cut, encode};
use crate::serve::stats::Reason;
use crate::serve::worker::Server;

/// How a failure is said.
#[derive(Debug)]
pub(super) enum Answer {
    /// The stream is reset.
    Reset(h2::Reason),
    /// A response, with a body or without.
    Response(Response<()>, String),
}

/// The codes of gRPC that are used here.
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const FAILED_PRECONDITION: u8 = 9;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;

/// Longest `grpc-message`: clients take 8 KiB of headers and more.
const MAX_MESSAGE: usize = 2 << 10;

impl Answer {
    pub(super) fn to(failure: &Failure, is_grpc: bool, server: &Server) -> Self {
        if let Some(reason) = failure.reset {
            return Self::Reset(reason);
        }
        let router = &server.router.config;
        if is_grpc && !router.has_plain_errors {
            return Self::Response(grpc(failure, server), String::new());
        }
        match failure.reason {
            _ if router.protocol == Protocol::Http => plain(failure, server),
            Reason::Unidentified if !router.answers_unidentified => {
                Self::Reset(h2::Reason::REFUSED_STREAM)
            }
            Reason::BindingTimeout | Reason::Timeout if router.has_plain_errors => {
                Self::Reset(h2::Reason::INTERNAL_ERROR)
            }
            _ => plain(failure, server),
        }
    }
}

fn plain(failure: &Failure, server: &Server) -> Answer {
    let mut response = Response::new(());
    // Every failure has a status that there is.
    *response.status_mut() =
        StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    put_common(failure, server, headers);
    let mut body = String::new();
    if !server.config.clear_context {
        let text = HeaderValue::from_static("text/plain");
        headers.insert(header::CONTENT_TYPE, text);
        let limit = server.router.config.max_err_response_bytes;
        cut(&failure.message, limit).clone_into(&mut body);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if failure.status == 405 {
        let methods = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE";
        headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    Answer::Response(response, body)
}

/// Trailers only.
fn grpc(failure: &Failure, server: &Server) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(
        "grpc-status",
        HeaderValue::from(u16::from(code(failure.reason))),
    );
    if !server.config.clear_context {
        let message = percent(failure.message.trim_end());
        if let Ok(message) = HeaderValue::from_maybe_shared(bytes::Bytes::from(message)) {
            headers.insert("grpc-message", message);
        }
    }
    put_common(failure, server, headers);
    response
}

/// What a failure's response says besides its body.
fn put_common(failure: &Failure, server: &Server, headers: &mut HeaderMap) {
    let is_failure = failure.reason != Reason::Traced;
    if !server.config.clear_context && is_failure {
        let mut value = Vec::new();
        let limit = server.router.config.max_headers_bytes;
        encode(
            &failure.message,
            limit.saturating_sub(BESIDE_ERR + MAX_MESSAGE),
            &mut value,
        );
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
            headers.insert("l5d-err", value);
        }
        if failure.is_retryable {
            headers.insert("l5d-retryable", HeaderValue::from_static("true"));
        }
        if failure.is_of_service() {
            headers.insert("l5d-success-class", HeaderValue::from_static("0.0"));
        }
    }
    if failure.is_of_service() {
        let version = match server.router.config.protocol {
            Protocol::Http => "1.1",
            Protocol::H2 => "h2",
        };
        let via = format!("{version} {}", server.router.config.via);
        if let Ok(via) = HeaderValue::from_maybe_shared(bytes::Bytes::from(via)) {
            headers.insert(header::VIA, via);
        }
    }
}

/// What a gRPC client is told.
pub(crate) fn code(reason: Reason) -> u8 {
    match reason {
        Reason::Override => INVALID_ARGUMENT,
        Reason::Unidentified | Reason::ConnectMethod => UNIMPLEMENTED,
        Reason::CallDepth => FAILED_PRECONDITION,
        Reason::NoBinding
        | Reason::NoAddress
        | Reason::BindingFailed
        | Reason::BindingTimeout
        | Reason::ConnectFailed
        | Reason::NotSent => UNAVAILABLE,
        Reason::Timeout => DEADLINE_EXCEEDED,
        _ => INTERNAL,
    }
}

/// `grpc-message`: all but printable ASCII, and `%`, percent-encoded; no escape is cut in two.
fn percent(message: &str) -> String {
    let mut out = String::new();
    for byte in message.bytes() {
        if out.len() + 3 > MAX_MESSAGE {
            break;
        }
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Whether a request is one of gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|k| k.starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded_and_cut_whole() {
        assert_eq!(percent("a b\n%ü"), "a b%0A%25%C3%BC");
        assert_eq!(percent(&"%".repeat(MAX_MESSAGE)).len(), MAX_MESSAGE / 3 * 3);
    }
}
