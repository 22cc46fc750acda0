//! Heads on their way: what is taken off, what is put on (node-proxy 8.1, 9.2). Fields that mean nothing to a proxy keep
//! their bytes, their order and their case.

use l5d_naming::Path;

use super::context::{Deadline, Trace, propagate};
use super::request::Request;
use super::respond::put_connection;
use super::wire::field::{self, Field, Kind, Options};
use super::wire::framing::{self, Framing};
use super::wire::head::{ResponseHead, Version};
use crate::config::TracePropagator;

/// What all attempts of a request have in common.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// Our name in `Via`.
    pub(crate) via: &'a str,
    pub(crate) propagator: TracePropagator,
    /// Fields that this server adds, as lines.
    pub(crate) added: &'a [u8],
    /// For TRACE: what `Max-Forwards` says from here on (node-proxy 9.7).
    pub(crate) max_forwards: Option<u64>,
    /// Bytes of the path that the name has used up (node-proxy 7.6).
    pub(crate) consumed: usize,
    pub(crate) service: &'a str,
    pub(crate) local: &'a str,
    /// Each attempt brings its own.
    pub(crate) sets_deadline: bool,
    pub(crate) trace: &'a Trace,
    pub(crate) clear_context: bool,
}

/// What differs from attempt to attempt.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) propagator: TracePropagator,
    pub(crate) client: &'a str,
    pub(crate) residual: &'a Path,
    /// Replaces Host (node-proxy 9.8).
    pub(crate) authority: Option<&'a str>,
    pub(crate) deadline: Option<Deadline>,
    /// The value of `x-forwarded-client-cert`; without it the field is just left out (node-proxy 8.8).
    pub(crate) client_cert: Option<&'a str>,
    pub(crate) trace: Trace,
    /// Asks the endpoint whether it takes such requests in HTTP/2 (node-proxy 14.3).
    pub(crate) asks_http2: bool,
}

/// Appends the part of the request's head that all attempts have in common.
pub(crate) fn request(head: &[u8], request: &Request, context: &Context<'_>, out: &mut Vec<u8>) {
    put_request_line(head, request, context.consumed, out);
    let options = Options::read(head, &request.fields);
    let sets_deadline = context.sets_deadline;
    field::copy(head, &request.fields, out, |f| {
        let is_kept = match f.kind {
            Kind::HopByHop => request.upgrades && f.is_upgrade(head),
            Kind::Host => request.authority.is_none(),
            Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::Connection
            | Kind::Via
            | Kind::Dtab
            | Kind::CtxDtab
            | Kind::CtxTrace
            | Kind::Sample
            | Kind::ReqId
            | Kind::Dst
            | Kind::Node
            | Kind::ClientCert => false,
            Kind::CtxDeadline => !sets_deadline,
            Kind::Expect => !request.is_buffered && request.version != Version::Http10,
            Kind::DtabLocal => !context.clear_context,
            Kind::Other => {
                let is_ours = context.max_forwards.is_some() && is_max_forwards(f, head)
                    || propagate::replaces(context.propagator, context.clear_context, f.name(head));
                !(is_ours || options.removes(f, head))
            }
            _ => true,
        };
        is_kept && !(context.clear_context && f.kind.is_l5d())
    });
    if request.upgrades {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    put_via(head, &request.fields, request.version, context.via, out);
    out.extend_from_slice(context.added);
    if let Some(left) = context.max_forwards {
        put(b"Max-Forwards: ", left.to_string().as_bytes(), out);
    }
    if !context.local.is_empty() {
        put(b"l5d-ctx-dtab: ", context.local.as_bytes(), out);
    }
    out.extend_from_slice(b"l5d-reqid: ");
    context.trace.write_id(out);
    out.extend_from_slice(b"\r\n");
    put(b"l5d-dst-service: ", context.service.as_bytes(), out);
}

/// Appends one attempt's head: `common` as made by [`request`], and what is its own.
pub(crate) fn attempt(
    common: &[u8],
    request: &Request,
    destination: &Destination<'_>,
    out: &mut Vec<u8>,
) {
    match destination.authority {
        Some(authority) => put_with_host(common, authority, out),
        None => out.extend_from_slice(common),
    }
    put(b"l5d-dst-client: ", destination.client.as_bytes(), out);
    if !destination.residual.is_empty() {
        let residual = destination.residual.to_string();
        put(b"l5d-dst-residual: ", residual.as_bytes(), out);
    }
    if let Some(deadline) = destination.deadline {
        out.extend_from_slice(b"l5d-ctx-deadline: ");
        deadline.write(out);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(cert) = destination.client_cert {
        put(b"x-forwarded-client-cert: ", cert.as_bytes(), out);
    }
    propagate::write(destination.propagator, &destination.trace, out);
    if destination.asks_http2 {
        out.extend_from_slice(b"l5d-node-http2: ask\r\n");
    }
    put_framing(request.framing, out);
    out.extend_from_slice(b"\r\n");
}

/// How a response goes on to the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseForm<'a> {
    /// Our name in `Via`.
    pub(crate) via: &'a str,
    /// The client's.
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) clear_context: bool,
    /// The value of `l5d-success-class`.
    pub(crate) success_class: &'static [u8],
    /// Says to the node that asked that it may send in HTTP/2.
    pub(crate) offers_http2: bool,
    /// The host that was sent and the one that the client knows.
    pub(crate) hosts: Option<(&'a str, &'a [u8])>,
}

/// Appends a final response's head.
pub(crate) fn response(
    head: &[u8],
    response: &ResponseHead,
    form: ResponseForm<'_>,
    out: &mut Vec<u8>,
) {
    put_status_line(head, response, form.version, out);
    let options = Options::read(head, &response.fields);
    field::copy(head, &response.fields, out, |f| {
        let is_kept = match f.kind {
            Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::Connection
            | Kind::HopByHop
            | Kind::Via
            | Kind::Node
            | Kind::SuccessClass => false,
            Kind::Location => form.hosts.is_none(),
            Kind::Other => !options.removes(f, head),
            _ => true,
        };
        is_kept && !(form.clear_context && f.kind.is_l5d())
    });
    if let Some((sent, known)) = form.hosts {
        put_locations(head, &response.fields, sent, known, out);
    }
    put_via(head, &response.fields, response.version, form.via, out);
    if !form.clear_context {
        put(b"l5d-success-class: ", form.success_class, out);
    }
    if form.offers_http2 {
        out.extend_from_slice(b"l5d-node-http2: yes\r\n");
    }
    put_connection(form.keep_alive, form.version, out);
    match form.framing {
        // To HEAD and in 304 the length tells what GET would have given.
        Framing::None if response.status >= 200 && response.status != 204 => {
            if let Ok(Some(n)) = framing::length(head, &response.fields) {
                put_framing(Framing::Length(n), out);
            }
        }
        framing => put_framing(framing, out),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim response (1xx).
pub(crate) fn interim(
    head: &[u8],
    response: &ResponseHead,
    clear_context: bool,
    out: &mut Vec<u8>,
) {
    put_status_line(head, response, Version::Http11, out);
    let options = Options::read(head, &response.fields);
    field::copy(head, &response.fields, out, |f| match f.kind {
        Kind::ContentLength | Kind::TransferEncoding | Kind::Connection | Kind::HopByHop => false,
        kind => !(options.removes(f, head) || clear_context && kind.is_l5d()),
    });
    out.extend_from_slice(b"\r\n");
}

/// Appends the response with which HTTP ends on a connection (101).
pub(crate) fn switching(
    head: &[u8],
    response: &ResponseHead,
    via: &str,
    clear_context: bool,
    out: &mut Vec<u8>,
) {
    put_status_line(head, response, Version::Http11, out);
    let options = Options::read(head, &response.fields);
    field::copy(head, &response.fields, out, |f| match f.kind {
        Kind::HopByHop => f.is_upgrade(head),
        Kind::ContentLength | Kind::TransferEncoding | Kind::Connection | Kind::Via => false,
        kind => !(options.removes(f, head) || clear_context && kind.is_l5d()),
    });
    put_via(head, &response.fields, response.version, via, out);
    out.extend_from_slice(b"Connection: upgrade\r\n\r\n");
}

/// Appends the response that opens a tunnel.
pub(crate) fn tunnel(version: Version, via: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 200 OK\r\nVia: ",
        Version::Http11 | Version::Http2 => b"HTTP/1.1 200 OK\r\nVia: ",
    });
    out.extend_from_slice(format!("1.1 {via}\r\n\r\n").as_bytes());
}

fn put(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The field that says how often TRACE may still go on.
fn is_max_forwards(field: &Field, head: &[u8]) -> bool {
    field.name(head).eq_ignore_ascii_case(b"max-forwards")
}

fn put_request_line(head: &[u8], request: &Request, consumed: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&head[request.method.clone()]);
    out.push(b' ');
    let target = &head[request.target.clone()][consumed..];
    if request.adds_slash || consumed > 0 && target.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(match request.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 | Version::Http2 => b" HTTP/1.1\r\n",
    });
    if let Some(authority) = &request.authority {
        put(b"Host: ", &head[authority.clone()], out);
    }
}

/// The client gets its own version, whatever the server speaks.
fn put_status_line(head: &[u8], response: &ResponseHead, version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 | Version::Http2 => b"HTTP/1.1 ",
    });
    let status = response.status;
    let digits = [status / 100, status / 10 % 10, status % 10];
    out.extend(digits.map(|d| b'0' + d as u8));
    out.push(b' ');
    out.extend_from_slice(&head[response.reason.clone()]);
    out.extend_from_slice(b"\r\n");
}

fn put_via(head: &[u8], fields: &[Field], version: Version, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Via: ");
    for value in field::values(head, fields, Kind::Via).filter(|v| !v.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(match version {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"h2 ",
    });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(n) => {
            let mut digits = [0; 20];
            let mut at = digits.len();
            let mut rest = n;
            loop {
                at -= 1;
                digits[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
                if rest == 0 {
                    break;
                }
            }
            put(b"Content-Length: ", &digits[at..], out);
        }
    }
}

/// The common part with another host.
fn put_with_host(common: &[u8], authority: &str, out: &mut Vec<u8>) {
    for (i, line) in common.split_inclusive(|b| *b == b'\n').enumerate() {
        let is_host = line.len() > 5 && line[..5].eq_ignore_ascii_case(b"host:");
        if !is_host {
            out.extend_from_slice(line);
        }
        if i == 0 {
            put(b"Host: ", authority.as_bytes(), out);
        }
    }
}

/// `Location` and `Refresh` with the host that the client knows.
fn put_locations(head: &[u8], fields: &[Field], sent: &str, known: &[u8], out: &mut Vec<u8>) {
    for f in fields.iter().filter(|f| f.kind == Kind::Location) {
        out.extend_from_slice(f.name(head));
        out.extend_from_slice(b": ");
        let mut rest = f.value(head);
        while let Some(at) = find(rest, sent.as_bytes()) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(known);
            rest = &rest[at + sent.len()..];
        }
        out.extend_from_slice(rest);
        out.extend_from_slice(b"\r\n");
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|w| w == part)
}
