//! What a server adds to a request's head, or takes from it, because its configuration or the method says so: `Forwarded`,
//! a timestamp (node-proxy 4, 8.7), and the count of TRACE (9.7).

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::forwarded::Said;
use super::half::ClientHalf;
use super::policy::Walk;
use super::request::Request;
use super::respond::{Failure, SHOWN_ADDRESSES};
use super::wire::field::Kind;
use super::worker::Server;
use crate::balance::Balancer;
use crate::config::Protocol;

/// Fields as lines; nothing, and no memory, for a server that adds none.
pub(super) fn fields<C: ClientHalf>(server: &Server, client: &C, request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    let head = &client.message()[..request.head_len];
    if let Some(labels) = client.labels() {
        let host = request.fields.iter().find(|f| f.kind == Kind::Host);
        let said = Said {
            host: host.map(|f| f.value(head)),
            scheme: scheme(server, head, request),
        };
        labels.put(said, &mut server.worker.rng.borrow_mut(), &mut out);
    }
    if let Some(name) = &server.config.timestamp_header {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = now.unwrap_or_default().as_millis();
        out.extend_from_slice(format!("{name}: {ms}\r\n").as_bytes());
    }
    out
}

/// That of an absolute target; HTTP/2 always has one.
fn scheme<'a>(server: &Server, head: &'a [u8], request: &Request) -> Option<&'a [u8]> {
    if request.authority.is_some() {
        let line = &head[request.method.end..];
        let target = line.trim_ascii_start();
        return target.split(|b| *b == b':').next();
    }
    let is_h2 = server.router.config.protocol == Protocol::H2;
    is_h2.then_some(match server.config.tls {
        Some(_) => b"https",
        None => &b"http"[..],
    })
}

/// How often a TRACE request may still go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hops {
    /// Whatever it says, it is no TRACE; or it does not say.
    Unlimited,
    /// It goes on with one less.
    Onward(u64),
    /// It is answered here.
    Last,
}

impl Hops {
    /// What `Max-Forwards` says.
    ///
    /// # Errors
    /// It is no number.
    pub(super) fn of(head: &[u8], request: &Request) -> Result<Self, Failure> {
        if &head[request.method.clone()] != b"TRACE" {
            return Ok(Self::Unlimited);
        }
        let Some(value) = request.field(head, "max-forwards") else {
            return Ok(Self::Unlimited);
        };
        let is_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| is_digits);
        match text.map(|text| text.parse().unwrap_or(u64::MAX)) {
            Some(0) => Ok(Self::Last),
            Some(n) => Ok(Self::Onward(n - 1)),
            None => Err(Failure::max_forwards()),
        }
    }

    /// For the request that is sent on.
    pub(super) fn onward(self) -> Option<u64> {
        match self {
            Self::Onward(n) => Some(n),
            Self::Unlimited | Self::Last => None,
        }
    }
}

impl Walk<'_> {
    /// Where a TRACE request would have gone.
    pub(super) fn traced(&self, balancer: &Balancer, addr: SocketAddr) -> Failure {
        let addresses = balancer.addresses(SHOWN_ADDRESSES);
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        Failure::traced(format!(
            "--- Router: {} ---\nrequest duration: {} ms\nservice name: {service}\nclient name: {client}\n\
             addresses: [{}]\nselected address: {addr}\ndtab resolution:\n  {service}\n  {client}\n",
            self.server.router.config.label,
            self.start.elapsed().as_millis(),
            addresses.join(", "),
            service = self.route.shown,
            client = balancer.id(),
        ))
    }
}
