//! What is settled before a request has a destination: its override, its call depth, its name, its deadline.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::context::Deadline;
use super::request::Request;
use super::respond::Failure;
use super::wire::field::{Kind, values};
use super::wire::head::Version;
use super::worker::Server;
use crate::config::Protocol;
use crate::route::identify::{HttpVersion, Identified, RequestView};
use crate::route::{Override, Route};

/// The request's own dtab (node-proxy 8.2).
pub(super) fn local_dtab(
    server: &Server,
    head: &[u8],
    request: &Request,
) -> Result<Rc<Override>, Failure> {
    if server.config.clear_context {
        return Ok(server.router.no_override.clone());
    }
    let mut fields = values(head, &request.fields, Kind::CtxDtab)
        .chain(values(head, &request.fields, Kind::Dtab))
        .peekable();
    if fields.peek().is_none() {
        return Ok(server.router.no_override.clone());
    }
    let local = server.router.routes.local(fields);
    let local = local.map_err(|e| Failure::local_dtab(&e))?;
    if let Some(dtab) = &local.dtab {
        let size = dtab.entries().len() as u64;
        server.stats.dtab_size.observe_number(size);
    }
    Ok(local)
}

/// Call depth, method, identifier: what is refused before there is a name.
pub(super) fn identify(
    server: &Server,
    head: &[u8],
    request: &Request,
    local: &Rc<Override>,
    now: Instant,
) -> Result<(Rc<Route>, Identified), Failure> {
    let max_depth = server.config.max_call_depth;
    if request.call_depth(head) > max_depth {
        return Err(Failure::call_depth(max_depth));
    }
    let config = &server.router.config;
    if request.is_connect && !(config.allows_connect && config.protocol == Protocol::Http) {
        return Err(Failure::connect_method());
    }
    let view = View {
        head,
        request,
        protocol: server.router.config.protocol,
    };
    let why = match server.router.routes.identify(&view, local, now) {
        Ok(named) => return Ok(named),
        Err(why) => why,
    };
    let method = String::from_utf8_lossy(&head[request.method.clone()]);
    let path = String::from_utf8_lossy(view.path());
    Err(Failure::unidentified(&format!("{method} {path}"), &why))
}

/// Waits for the first Ingress rules, where an identifier needs them (node-proxy 7.8).
pub(super) async fn rules_come(server: &Server) -> Result<(), Failure> {
    let routes = &server.router.routes;
    let Some(rules) = routes.rules_to_come() else {
        return Ok(());
    };
    let limit = server.router.config.binding_timeout;
    rules.settled(limit).await;
    if rules.table().is_some() {
        return Ok(());
    }
    Err(match rules.error() {
        Some(why) => Failure::no_rules(&why),
        None => Failure::rules_timeout(limit, &routes.why_pending()),
    })
}

/// A request as identifiers see it.
struct View<'a> {
    head: &'a [u8],
    request: &'a Request,
    protocol: Protocol,
}

impl View<'_> {
    /// The target, and where its query begins.
    fn target(&self) -> (&[u8], usize) {
        let target = &self.head[self.request.target.clone()];
        let query = target.iter().position(|b| *b == b'?');
        (target, query.unwrap_or(target.len()))
    }
}

impl RequestView for View<'_> {
    fn method(&self) -> &[u8] {
        &self.head[self.request.method.clone()]
    }

    fn path(&self) -> &[u8] {
        let (target, at) = self.target();
        // The path of the absolute form was empty.
        if at == 0 { b"/" } else { &target[..at] }
    }

    fn query(&self) -> &[u8] {
        let (target, at) = self.target();
        &target[at..]
    }

    fn host(&self) -> Option<&[u8]> {
        self.request.host(self.head)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.request.field(self.head, name)
    }

    fn version(&self) -> HttpVersion {
        match (self.protocol, self.request.version) {
            (Protocol::H2, _) => HttpVersion::Http2,
            (_, Version::Http10) => HttpVersion::Http10,
            _ => HttpVersion::Http11,
        }
    }
}

/// The received deadline, tightened by the limit of the whole request (node-proxy 8.3).
pub(super) fn deadline(
    server: &Server,
    head: &[u8],
    request: &Request,
    limit: Option<Duration>,
) -> Option<Deadline> {
    let received = Deadline::combine(
        values(head, &request.fields, Kind::CtxDeadline).filter(|_| !server.config.clear_context),
    );
    let own = limit.map(Deadline::within);
    received.into_iter().chain(own).reduce(Deadline::and)
}
