//! What is settled before a request has a destination: its override, its call depth, its name, its deadline.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::context::Deadline;
use super::request::Request;
use super::respond::Failure;
use super::wire::field::{Kind, values};
use super::worker::Server;
use crate::config::Identifier;
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
    local.map_err(|e| Failure::local_dtab(&e))
}

/// Call depth, method, identifier: what is refused before there is a name.
pub(super) fn identify(
    server: &Server,
    head: &[u8],
    request: &Request,
    local: &Rc<Override>,
    now: Instant,
) -> Result<Rc<Route>, Failure> {
    let max_depth = server.config.max_call_depth;
    if request.call_depth(head) > max_depth {
        return Err(Failure::call_depth(max_depth));
    }
    if request.is_connect {
        return Err(Failure::connect_method());
    }
    let mut missing = "";
    for identifier in &server.router.config.identifiers {
        let Identifier::HeaderToken { header, .. } = identifier else {
            continue;
        };
        let value = request.field(head, header).unwrap_or_default();
        if let Some(route) = server.router.routes.route(value, local, now) {
            return Ok(route);
        }
        missing = header;
    }
    let method = String::from_utf8_lossy(&head[request.method.clone()]);
    let target = String::from_utf8_lossy(&head[request.target.clone()]);
    let path = target.split('?').next().unwrap_or_default();
    let shown = format!("{method} {path}");
    Err(Failure::unidentified(
        &shown,
        &format!("{missing} header is absent"),
    ))
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
