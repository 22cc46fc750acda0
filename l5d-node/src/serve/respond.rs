//! Failures and the responses that they become: the one place that turns what went wrong into HTTP (node-proxy 11.1, 11.2).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use l5d_naming::Dtab;

use super::stats::Reason;
use super::wire::framing::FramingError;
use super::wire::head::{HeadError, Version};

/// A request that is answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    pub(crate) message: String,
    /// The destination has not seen the request.
    pub(crate) is_retryable: bool,
    /// The connection cannot be used any more: nobody knows where the next request begins.
    pub(crate) closes: bool,
    /// What resets the stream of an HTTP/2 client instead of an answer: the endpoint's own reset.
    pub(crate) reset: Option<h2::Reason>,
}

/// How a response made here is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'a> {
    /// Our name in `Via`.
    pub(crate) via: &'a str,
    pub(crate) version: Version,
    pub(crate) to_head: bool,
    pub(crate) keep_alive: bool,
    /// Remove what tells about the inside (node-proxy 8.5).
    pub(crate) clear_context: bool,
    /// Longest value of `l5d-err`.
    pub(crate) max_err: usize,
    pub(crate) max_body: usize,
}

/// Addresses listed in a message.
pub(crate) const SHOWN_ADDRESSES: usize = 50;

/// What `l5d-err` leaves of `maxHeadersKB` to the other fields: the previous hop has the same limit and must be able to
/// read them all.
pub(crate) const BESIDE_ERR: usize = 512;

impl Failure {
    fn new(reason: Reason, status: u16, message: impl Into<String>) -> Self {
        Self {
            reason,
            status,
            message: message.into(),
            is_retryable: false,
            closes: false,
            reset: None,
        }
    }

    fn retryable(mut self) -> Self {
        self.is_retryable = true;
        self
    }

    fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(crate) fn malformed(what: &str) -> Self {
        Self::new(Reason::Malformed, 400, format!("Malformed request: {what}")).closing()
    }

    /// HTTP/1 where HTTP/2 is spoken.
    pub(crate) fn http2_required() -> Self {
        Self::new(Reason::Malformed, 400, "HTTP/2 required").closing()
    }

    pub(crate) fn head(e: HeadError) -> Self {
        let status = match e {
            HeadError::LineTooLong(_) => 414,
            HeadError::FieldsTooLong(_) | HeadError::TooManyFields => 431,
            HeadError::Malformed(_) => 400,
        };
        Self::new(Reason::Malformed, status, format!("Malformed request: {e}")).closing()
    }

    pub(crate) fn framing(e: FramingError) -> Self {
        let status = match e {
            FramingError::UnknownCoding => 501,
            _ => 400,
        };
        Self::new(Reason::Malformed, status, format!("Malformed request: {e}")).closing()
    }

    pub(crate) fn local_dtab(e: &impl std::fmt::Display) -> Self {
        Self::new(Reason::Override, 400, e.to_string())
    }

    pub(crate) fn call_depth(limit: usize) -> Self {
        let message = format!(
            "Maximum number of calls ({limit}) has been exceeded. Please check for proxy loops."
        );
        Self::new(Reason::CallDepth, 400, message)
    }

    pub(crate) fn connect_method() -> Self {
        let message =
            "CONNECT is not supported: this router forwards requests, it opens no tunnels";
        Self::new(Reason::ConnectMethod, 405, message).closing()
    }

    pub(crate) fn unidentified(request: &str, why: &str) -> Self {
        let message = format!("Unknown destination: {request} / {why}");
        Self::new(Reason::Unidentified, 400, message)
    }

    pub(crate) fn no_binding(service: &str, base: &Dtab, local: Option<&Dtab>) -> Self {
        Self::new(Reason::NoBinding, 502, unroutable(service, base, local))
    }

    /// The name is bound, and nobody is there now: another node may know better (K8S-62).
    pub(crate) fn no_address(
        service: &str,
        client: &str,
        base: &Dtab,
        local: Option<&Dtab>,
    ) -> Self {
        let mut message = unroutable(service, base, local);
        let _ = writeln!(message, "client name: {client}");
        Self::new(Reason::NoAddress, 502, message).retryable()
    }

    pub(crate) fn binding_failed(message: &str, is_limit: bool) -> Self {
        if is_limit {
            return Self::new(Reason::BindingFailed, 503, message).retryable();
        }
        Self::new(Reason::BindingFailed, 502, message)
    }

    pub(crate) fn binding_timeout(limit: Duration, service: &str, why: &str) -> Self {
        let limit = show_duration(limit);
        let message =
            format!("Exceeded {limit} binding timeout while resolving name: {service}\n{why}");
        Self::new(Reason::BindingTimeout, 503, message).retryable()
    }

    /// The end of a TRACE request (node-proxy 9.7): no failure, but a response that is made here like one.
    pub(crate) fn traced(message: String) -> Self {
        Self::new(Reason::Traced, 200, message)
    }

    pub(crate) fn max_forwards() -> Self {
        let message = "Invalid value for Max-Forwards header";
        Self::new(Reason::Malformed, 400, message)
    }

    /// Timeouts may have another status than 1.x gave them (node-proxy 11.2).
    pub(crate) fn with_timeout_status(mut self, status: u16) -> Self {
        if self.reason == Reason::Timeout {
            self.status = status;
        }
        self
    }

    /// The Ingress rules have not come.
    pub(crate) fn rules_timeout(limit: Duration, why: &str) -> Self {
        let limit = show_duration(limit);
        let message =
            format!("Exceeded {limit} binding timeout while waiting for Ingress rules\n{why}");
        Self::new(Reason::BindingTimeout, 503, message).retryable()
    }

    /// Namerd serves no Ingress rules.
    pub(crate) fn no_rules(why: &str) -> Self {
        let message = format!("namerd serves no Ingress rules: {why}");
        Self::new(Reason::BindingFailed, 503, message).retryable()
    }

    pub(crate) fn connecting_timeout(limit: Duration, service: &str, client: &str) -> Self {
        let limit = show_duration(limit);
        let message = format!(
            "Exceeded {limit} binding timeout while connecting to {client} for name: {service}"
        );
        Self::new(Reason::BindingTimeout, 503, message).retryable()
    }

    pub(crate) fn connect_failed(
        service: &str,
        client: &str,
        addresses: &[SocketAddr],
        selected: SocketAddr,
        why: &str,
    ) -> Self {
        let mut shown = addresses
            .iter()
            .map(SocketAddr::to_string)
            .collect::<Vec<_>>();
        if addresses.len() == SHOWN_ADDRESSES {
            shown.push("...".to_owned());
        }
        let message = format!(
            "Unable to establish connection to {selected}.\n\nservice name: {service}\nclient name: {client}\n\
             addresses: [{}]\nselected address: {selected}\nreason: {why}\n",
            shown.join(", ")
        );
        Self::not_connected(message)
    }

    /// The same, said of an attempt that others waited for.
    pub(crate) fn not_connected(message: impl Into<String>) -> Self {
        Self::new(Reason::ConnectFailed, 502, message).retryable()
    }

    pub(crate) fn not_sent(addr: SocketAddr) -> Self {
        let message = format!("the connection to {addr} died before the request could be written");
        Self::new(Reason::NotSent, 502, message).retryable()
    }

    pub(crate) fn connection_lost(addr: SocketAddr) -> Self {
        let message = format!("the connection to {addr} was lost before the response");
        Self::new(Reason::ConnectionLost, 502, message)
    }

    /// The endpoint reset the stream before it answered (node-proxy 10.1).
    pub(crate) fn reset(addr: SocketAddr, reason: h2::Reason) -> Self {
        let message = format!("{addr} reset the stream: {reason}");
        let mut failure = Self::new(Reason::Reset, 502, message);
        failure.reset = Some(reason);
        failure
    }

    /// The endpoint did not take the stream, and part of the request is lost to another one.
    pub(crate) fn refused(addr: SocketAddr) -> Self {
        Self::reset(addr, h2::Reason::REFUSED_STREAM).retryable()
    }

    pub(crate) fn bad_response(addr: SocketAddr, what: &str) -> Self {
        let message = format!("malformed response from {addr}: {what}");
        Self::new(Reason::BadResponse, 502, message)
    }

    pub(crate) fn timeout(key: &str, limit: Duration, service: &str) -> Self {
        let limit = show_duration(limit);
        let message =
            format!("exceeded {limit} ({key}) while waiting for a response from {service}");
        Self::new(Reason::Timeout, 503, message)
    }

    pub(crate) fn own_address(addr: SocketAddr, service: &str) -> Self {
        let message = format!("{service} leads to {addr}, which is this router itself");
        Self::new(Reason::Loop, 502, message)
    }

    /// More requests at once than there may be (node-proxy 13.9).
    pub(crate) fn overloaded(what: &str, limit: usize) -> Self {
        let message = format!("Too many requests: {what} is {limit}. Try again later.");
        Self::new(Reason::Overloaded, 503, message).retryable()
    }

    /// Too many wait already, or in vain.
    pub(crate) fn queue_full(service: &str, client: &str, why: &str) -> Self {
        let message = format!(
            "Unable to send the request: {why}\n\nservice name: {service}\nclient name: {client}\n"
        );
        Self::new(Reason::QueueFull, 503, message).retryable()
    }

    /// Appends the whole response.
    pub(crate) fn write(&self, form: Form<'_>, out: &mut Vec<u8>) {
        let version = match form.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 | Version::Http2 => "HTTP/1.1",
        };
        let body = if form.clear_context {
            ""
        } else {
            cut(&self.message, form.max_body)
        };
        let status = self.status;
        out.extend_from_slice(format!("{version} {status} {}\r\n", phrase(status)).as_bytes());
        if !form.clear_context {
            out.extend_from_slice(b"Content-Type: text/plain\r\n");
            if self.reason == Reason::Traced {
                out.extend_from_slice(b"l5d-success-class: 1.0\r\n");
            } else {
                out.extend_from_slice(b"l5d-err: ");
                encode(&self.message, form.max_err, out);
                out.extend_from_slice(b"\r\n");
            }
            if self.is_retryable {
                out.extend_from_slice(b"l5d-retryable: true\r\n");
            }
            if self.is_of_service() && self.reason != Reason::Traced {
                out.extend_from_slice(b"l5d-success-class: 0.0\r\n");
            }
        }
        if self.is_of_service() {
            out.extend_from_slice(format!("Via: 1.1 {}\r\n", form.via).as_bytes());
        }
        if self.reason == Reason::Overloaded {
            out.extend_from_slice(b"Retry-After: 0\r\n");
        }
        if status == 405 {
            out.extend_from_slice(
                b"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE\r\n",
            );
        }
        put_connection(form.keep_alive && !self.closes, form.version, out);
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        if !form.to_head {
            out.extend_from_slice(body.as_bytes());
        }
    }

    /// Whether it comes from below the service layer, which marks its responses.
    pub(super) fn is_of_service(&self) -> bool {
        !matches!(
            self.reason,
            Reason::Malformed
                | Reason::Override
                | Reason::CallDepth
                | Reason::ConnectMethod
                | Reason::Unidentified
                | Reason::Overloaded
        )
    }
}

/// Appends the `Connection` field that the version needs.
pub(crate) fn put_connection(keep_alive: bool, version: Version, out: &mut Vec<u8>) {
    match (keep_alive, version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11 | Version::Http2) => {}
    }
}

/// Appends `message` form-encoded as Latin-1, in at most `limit` bytes; no escape is cut in two.
pub(super) fn encode(message: &str, limit: usize, out: &mut Vec<u8>) {
    let end = out.len() + limit;
    for c in message.trim_end().chars() {
        let byte = u8::try_from(u32::from(c)).unwrap_or(b'?');
        let escape;
        let encoded: &[u8] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => &[byte],
            b' ' => b"+",
            _ => {
                let hex = |n: u8| b"0123456789ABCDEF"[usize::from(n)];
                escape = [b'%', hex(byte >> 4), hex(byte & 15)];
                &escape
            }
        };
        if out.len() + encoded.len() > end {
            return;
        }
        out.extend_from_slice(encoded);
    }
}

pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// 1.x's way of writing durations.
fn show_duration(time: Duration) -> String {
    match time.as_millis() {
        ms if ms % 1000 == 0 => format!("{}.seconds", ms / 1000),
        ms => format!("{ms}.milliseconds"),
    }
}

fn unroutable(service: &str, base: &Dtab, local: Option<&Dtab>) -> String {
    let none = Dtab::empty();
    let local = local.unwrap_or(&none);
    let mut text = format!("Unable to route request!\n\nservice name: {service}\n");
    let used = base.concat(local);
    for (title, dtab) in [
        ("dtab", &used),
        ("base dtab", base),
        ("override dtab", local),
    ] {
        let _ = writeln!(text, "{title}:");
        for entry in dtab.entries() {
            let _ = writeln!(text, "  {} => {}", entry.prefix, entry.dst);
        }
    }
    text
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        _ => "Service Unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(max_err: usize) -> Form<'static> {
        Form {
            via: "linkerd",
            version: Version::Http11,
            to_head: false,
            keep_alive: true,
            clear_context: false,
            max_err,
            max_body: 1000,
        }
    }

    fn text(failure: &Failure, form: Form<'_>) -> String {
        let mut out = Vec::new();
        failure.write(form, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn l5d_err_is_form_encoded_and_cut_whole() {
        let failure = Failure::binding_failed("a b/c\nü€", false);
        assert!(text(&failure, form(100)).contains("\r\nl5d-err: a+b%2Fc%0A%FC%3F\r\n"));
        assert!(text(&failure, form(5)).contains("\r\nl5d-err: a+b\r\n"));
        assert!(text(&failure, form(6)).contains("\r\nl5d-err: a+b%2F\r\n"));
    }

    #[test]
    fn clear_context_tells_nothing() {
        let failure = Failure::binding_timeout(Duration::from_secs(10), "/svc/x", "no namerd");
        let clear = Form {
            clear_context: true,
            ..form(100)
        };
        let text = text(&failure, clear);
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(!text.contains("l5d-") && text.ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn durations_read_as_in_1x() {
        assert_eq!(show_duration(Duration::from_secs(10)), "10.seconds");
        assert_eq!(
            show_duration(Duration::from_millis(1500)),
            "1500.milliseconds"
        );
    }

    #[test]
    fn unroutable_requests_show_the_dtabs() {
        let base = Dtab::parse("/a=>/b;/c=>/d").unwrap();
        let local = Dtab::parse("/c=>/e").unwrap();
        let text = Failure::no_binding("/svc/x", &base, Some(&local)).message;
        assert_eq!(
            text,
            "Unable to route request!\n\nservice name: /svc/x\ndtab:\n  /a => /b\n  /c => /d\n  /c => /e\n\
             base dtab:\n  /a => /b\n  /c => /d\noverride dtab:\n  /c => /e\n"
        );
    }
}
