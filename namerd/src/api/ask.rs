//! Who may ask, and how often: every call that tells names or addresses comes through here, of tools and of the clients of
//! Linkerd 1.x and 2, before anything is done for it.
//!
//! In come requests; out go those of clients that have calls left (`limits`) and have shown what they must (`auth.tools`),
//! or else a status. What nodes ask for has its own proof; health and reflection tell nothing and pass.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::accept::Peer;
use super::methods::{self, Use};
use super::serve::Api;
use super::status;
use super::until::UntilEnd;
use crate::auth::NodeGuard;
use crate::tls::Gate;

/// Routes behind the question.
#[derive(Clone, Debug)]
pub(super) struct Asked<S> {
    inner: S,
    gate: Arc<Gate>,
    guard: Arc<NodeGuard>,
}

impl<S> Asked<S> {
    pub(super) fn new(inner: S, api: &Api) -> Self {
        let (gate, guard) = (Arc::clone(&api.gate), Arc::clone(&api.nodes));
        Self { inner, gate, guard }
    }
}

impl<S, B> Service<Request<B>> for Asked<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (_, what) = methods::of(request.uri().path());
        if matches!(what, Use::Free | Use::Node) {
            return Box::pin(self.inner.call(request));
        }
        let peer = request.extensions().get::<Peer>().cloned();
        if let Some(peer) = &peer
            && let Err(wait) = self.gate.may_ask(peer.addr.ip())
        {
            return Box::pin(async move { Ok(status::too_many(wait).into_http()) });
        }
        if !self.guard.asks_tools() {
            return Box::pin(self.inner.call(request));
        }
        let guard = Arc::clone(&self.guard);
        let shown = request.headers().get(header::AUTHORIZATION).cloned();
        // The one that is ready; the copy has to become so again.
        let copy = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, copy);
        Box::pin(async move {
            let until = match may_ask(&guard, peer.as_ref(), &shown).await {
                Ok(until) => until,
                Err(status) => return Ok(status.into_http()),
            };
            let answer = inner.call(request).await?;
            Ok(match until.filter(|_| what == Use::Stream) {
                Some(until) => answer.map(|body| Body::new(UntilEnd::new(body, until))),
                None => answer,
            })
        })
    }
}

/// Whether the client has shown what it must, and when that ends.
async fn may_ask(
    guard: &NodeGuard,
    peer: Option<&Peer>,
    shown: &Option<HeaderValue>,
) -> Result<Option<Instant>, Status> {
    let shown = shown.as_ref().map(HeaderValue::as_bytes);
    let client = peer.and_then(|peer| peer.client.as_deref());
    guard.let_ask(client, shown).await.map_err(|denied| {
        tracing::debug!(addr = ?peer.map(|peer| peer.addr), %denied, "a call was not let in");
        status::of_end(&status::denied(denied))
    })
}
