//! `/api/1/bind`, `/addr`, `/resolve`, `/bound-names` (control plane 7.4, 7.5, 7.9).

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use l5d_naming::{Dtab, Replicas};
use tokio::time::{Duration, Instant, timeout_at};

use super::Controller;
use super::dtabs::json_names;
use super::sources::{Addresses, BoundNames, Trees};
use super::watch::{Next, Source, watch};
use crate::bind::{BindKey, BindState, Binding, Transformers};
use crate::store::Caller;
use crate::web::{self, Body, JSON, Params, Refusal, addr};

/// A source that keeps to a deadline of its own is given this much longer.
const MARGIN: Duration = Duration::from_secs(1);

impl Controller {
    pub(super) async fn bind(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let (binding, params) = self.question(namespace, request).await?;
        if params.is_true("watch") {
            return Ok(watch(JSON, Trees::watched(binding), &self.stop));
        }
        let deadline = Instant::now() + self.waits.name;
        let is_known = |state: &BindState| *state != BindState::Pending;
        let known = timeout_at(deadline, binding.state.wait_for(is_known)).await;
        known.map_err(|_| Refusal::timed_out())?;
        let mut trees = Trees::once(binding, deadline);
        match timeout_at(deadline + MARGIN, trees.next()).await {
            Ok(next) => told(next),
            Err(_) => Err(Refusal::timed_out()),
        }
    }

    pub(super) async fn addr(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let params = params(request).await?;
        let binding = self.binder.bind_id(&params.path()?, &Caller::default());
        let binding = binding.map_err(|e| Refusal::bad(e.to_string()))?;
        let mut addresses = Addresses::of_id(binding);
        if params.is_true("watch") {
            return Ok(watch(JSON, addresses, &self.stop));
        }
        match self.once(&mut addresses).await? {
            // A bad id is an answer of its own kind here, not a failed request.
            Next::Failed(cause) => Ok(line(&addr(&Replicas::Failed(cause.into()), None))),
            next => told(next),
        }
    }

    pub(super) async fn resolve(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let (binding, params) = self.question(namespace, request).await?;
        let mut addresses = Addresses::of_name(binding);
        if params.is_true("watch") {
            return Ok(watch(JSON, addresses, &self.stop));
        }
        told(self.once(&mut addresses).await?)
    }

    pub(super) fn bound_names(&self, request: &Request<Incoming>) -> Response<Body> {
        if Params::of_query(request.uri()).is_true("watch") {
            let names = BoundNames::new(self.binder.names_cell());
            return watch(JSON, names, &self.stop);
        }
        let names = self.binder.names();
        line(&json_names(names.iter().map(ToString::to_string)))
    }

    /// The first state, or what can be said at the deadline.
    async fn once(&self, addresses: &mut Addresses) -> Result<Next, Refusal> {
        let deadline = Instant::now() + self.waits.name;
        match timeout_at(deadline, addresses.next()).await {
            Ok(next) => Ok(next),
            Err(_) if addresses.waits_for_addresses() => {
                Ok(Next::Document(addr(&Replicas::Pending, None)))
            }
            Err(_) => Err(Refusal::timed_out()),
        }
    }

    /// The binding that `path` and `dtab` ask for in a namespace.
    async fn question(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Result<(Arc<Binding>, Params), Refusal> {
        let params = params(request).await?;
        let key = BindKey {
            root: Some(namespace.into()),
            router: Dtab::empty(),
            local: params.dtab()?,
            path: params.path()?,
            transformers: Transformers::default(),
        };
        let binding = self.binder.bind(&key, &Caller::default());
        let binding = binding.map_err(|e| Refusal::bad(e.to_string()))?;
        Ok((binding, params))
    }
}

async fn params(request: Request<Incoming>) -> Result<Params, Refusal> {
    let (head, body) = request.into_parts();
    Ok(Params::of_request(&head.uri, &head.headers, body).await?)
}

fn told(next: Next) -> Result<Response<Body>, Refusal> {
    match next {
        Next::Document(document) => Ok(line(&document)),
        Next::Failed(cause) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, cause)),
    }
}

fn line(document: &str) -> Response<Body> {
    web::document(JSON, format!("{document}\n"))
}
