//! The HTTP controller `io.l5d.httpController` (control plane 7): dtabs read and written, names bound and explained.
//!
//! Routes come in, answers go out; nothing is kept here but counters. The namespace in a route is the rest of the path,
//! taken literally: it is not decoded and may contain slashes.

mod access;
mod delegate;
mod dtab_forms;
mod dtabs;
mod etag;
mod history;
mod names;
mod sources;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::auth::CallerGuard;
use crate::bind::Binder;
use crate::store::DtabStore;
use crate::web::{self, Body, Refusal, Requests, spans};

/// How long answers may wait for what is not known yet.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Dtabs, bound trees and address sets.
    pub name: Duration,
    /// Delegations.
    pub delegation: Duration,
}

/// The controller.
pub struct Controller {
    binder: Binder,
    store: Arc<dyn DtabStore>,
    waits: Waits,
    requests: Arc<Requests>,
    guard: CallerGuard,
    stop: CancellationToken,
}

/// Where a request goes. A namespace is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    List,
    Dtab(&'a str),
    History(&'a str),
    Bind(&'a str),
    Addr,
    Resolve(&'a str),
    Delegate(Option<&'a str>),
    BoundNames,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            name: Duration::from_secs(10),
            delegation: Duration::from_secs(2),
        }
    }
}

impl Controller {
    /// A controller that lets everybody do everything. Watches end when `stop` is cancelled.
    pub fn new(
        binder: Binder,
        store: Arc<dyn DtabStore>,
        waits: Waits,
        requests: Arc<Requests>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            binder,
            store,
            waits,
            requests,
            guard: CallerGuard::open(),
            stop,
        }
    }

    /// The same with somebody at the door.
    #[must_use]
    pub fn guarded(mut self, guard: CallerGuard) -> Self {
        self.guard = guard;
        self
    }

    async fn answer(
        &self,
        route: Route<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let method = request.method();
        let is_read = method == Method::GET || method == Method::HEAD;
        let is_delegation = method == Method::GET || method == Method::POST;
        match route {
            Route::Dtab(namespace) => self.dtab(namespace, request).await,
            Route::History(namespace) => self.history(namespace, &request).await,
            Route::Delegate(None) if is_delegation => self.delegate_any(request).await,
            Route::Delegate(None) => Ok(web::not_allowed("GET, POST")),
            Route::BoundNames if method == Method::GET => Ok(self.bound_names(&request)),
            Route::BoundNames => Ok(web::empty(StatusCode::NOT_FOUND)),
            _ if !is_read => Ok(web::not_allowed("GET, HEAD")),
            Route::List => self.list(&request).await,
            Route::Bind(namespace) => self.bind(namespace, request).await,
            Route::Addr => self.addr(request).await,
            Route::Resolve(namespace) => self.resolve(namespace, request).await,
            Route::Delegate(Some(namespace)) => self.delegate_in(namespace, request).await,
        }
    }
}

impl web::Handler for Controller {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let path = request.uri().path().to_owned();
        let route = Route::of(&path);
        let name = route.map_or("other", Route::name);
        let span = spans::call(request.headers(), &format!("http {name}"));
        let answer = async {
            match route {
                Some(route) => match access::check(&self.guard, route, &request).await {
                    Ok(()) => self.answer(route, request).await.unwrap_or_else(Into::into),
                    Err(refused) => refused,
                },
                None => web::empty(StatusCode::NOT_FOUND),
            }
        };
        let response = answer.instrument(span.clone()).await;
        let status = response.status();
        spans::ended(&span, status.as_str(), status.is_server_error());
        self.requests.count(name, status, began.elapsed());
        response
    }
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/api/1/")?;
        let (head, namespace) = match rest.split_once('/') {
            Some((head, namespace)) => (head, Some(namespace)),
            None => (rest, None),
        };
        let namespace_or_404 = namespace.filter(|n| !n.is_empty());
        match head {
            "dtabs" => Some(namespace_or_404.map_or(Route::List, Route::Dtab)),
            "history" => namespace_or_404.map(Route::History),
            "bind" => namespace_or_404.map(Route::Bind),
            "addr" => namespace_or_404.map(|_| Route::Addr),
            "resolve" => namespace_or_404.map(Route::Resolve),
            "delegate" if namespace.is_none() => Some(Route::Delegate(None)),
            "delegate" => namespace_or_404.map(|n| Route::Delegate(Some(n))),
            "bound-names" if namespace.is_none() => Some(Route::BoundNames),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Route::List => "dtabs",
            Route::Dtab(_) => "dtab",
            Route::History(_) => "history",
            Route::Bind(_) => "bind",
            Route::Addr => "addr",
            Route::Resolve(_) => "resolve",
            Route::Delegate(_) => "delegate",
            Route::BoundNames => "bound-names",
        }
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}
