//! The service `l5d.resolver.v1.Resolver`: each method to what serves it.
//!
//! Written by hand where generated code would stand, because `Follow` writes bytes that are encoded already.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use l5d_resolver::v1;
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::certify::certify;
use super::follow;
use super::serve::Api;
use super::tools::Tools;
use crate::stream::Doors;

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    api: Api,
    doors: Doors,
    tools: Arc<Tools>,
}

impl Resolver {
    pub(super) fn new(api: Api, doors: Doors) -> Self {
        Self {
            tools: Arc::new(Tools::new(&api, &doors)),
            api,
            doors,
        }
    }

    async fn call(self, request: Request<Body>) -> Response<Body> {
        let tools = self.tools;
        let path = request.uri().path();
        let method = path.strip_prefix("/l5d.resolver.v1.Resolver/");
        match method {
            Some("Follow") => follow::respond(&self.api, &self.doors, request),
            Some("Certify") => {
                let api = self.api;
                let method = service_fn(move |r: tonic::Request<v1::CertifyRequest>| {
                    certify(api.clone(), r)
                });
                grpc::<v1::Certified, _>().unary(method, request).await
            }
            Some("Resolve") => {
                let method = service_fn(move |r: tonic::Request<v1::ResolveRequest>| {
                    let tools = Arc::clone(&tools);
                    async move {
                        tools
                            .resolve(r.into_inner())
                            .await
                            .map(tonic::Response::new)
                    }
                });
                grpc::<v1::Resolved, _>().unary(method, request).await
            }
            Some("Explain") => {
                let method = service_fn(move |r: tonic::Request<v1::ResolveRequest>| {
                    let tools = Arc::clone(&tools);
                    async move {
                        tools
                            .explain(r.into_inner())
                            .await
                            .map(tonic::Response::new)
                    }
                });
                grpc::<v1::Explained, _>().unary(method, request).await
            }
            Some("Watch") => {
                let method = service_fn(move |r: tonic::Request<v1::ResolveRequest>| {
                    let tools = Arc::clone(&tools);
                    async move { tools.watch(r.get_ref()).map(tonic::Response::new) }
                });
                grpc::<v1::Resolved, _>()
                    .server_streaming(method, request)
                    .await
            }
            Some("Nodes") => {
                let method = service_fn(move |r: tonic::Request<v1::NodesRequest>| {
                    let sessions = tools.nodes(&r.into_inner());
                    async move { Ok::<_, Status>(tonic::Response::new(sessions)) }
                });
                grpc::<v1::NodeSession, _>()
                    .server_streaming(method, request)
                    .await
            }
            Some("Ingresses") => {
                let method = service_fn(move |r: tonic::Request<v1::IngressesRequest>| {
                    let pages = tools.ingresses(r.get_ref());
                    async move { pages.map(tonic::Response::new) }
                });
                grpc::<v1::Ingress, _>()
                    .server_streaming(method, request)
                    .await
            }
            _ => Status::unimplemented(format!("there is no method {path}")).into_http(),
        }
    }
}

/// Longest request of a tool, in bytes: a router's dtab and what goes with it.
const REQUEST_BYTES: usize = (1 << 20) + (64 << 10);

/// A server for one call with this answer and request.
fn grpc<A, R>() -> Grpc<ProstCodec<A, R>>
where
    A: Message + Send + 'static,
    R: Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(REQUEST_BYTES)
}

impl NamedService for Resolver {
    const NAME: &'static str = "l5d.resolver.v1.Resolver";
}

impl tower::Service<Request<Body>> for Resolver {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.clone().call(request);
        Box::pin(async move { Ok(call.await) })
    }
}
