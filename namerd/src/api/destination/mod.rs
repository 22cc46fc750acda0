//! `io.l5d.destination`: Linkerd 2 proxies resolve through namerd (control plane 6), over the bindings that all doors share.
//!
//! A destination `web.ns.svc.cluster.local:80` is the name `<prefix>/web` in one dtab namespace. Its endpoints are told as
//! differences: all at first, then those that are new or have another weight, then those that are gone.

mod state;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use l5d_destination::destination as v2;
use l5d_destination::destination::destination_server::{Destination, DestinationServer};
use l5d_naming::{Dtab, Elem, Path};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use self::state::{Endpoints, differences};
use super::live::states;
use super::serve::Api;
use crate::bind::{BindKey, Binder, Transformers};
use crate::config::DestinationOptions;
use crate::store::Caller;
use crate::stream::Doors;

/// The scheme that proxies send, if they send one.
const SCHEME: &str = "k8s";
/// Longest request, in bytes.
const REQUEST_BYTES: usize = 16 << 10;
/// What Linkerd 2 has by default: one retry for five requests and ten a second, counted for ten seconds.
const RETRIES: (f32, u32, i64) = (0.2, 10, 10);

#[derive(Debug)]
struct Service {
    binder: Binder,
    doors: Doors,
    options: DestinationOptions,
    path_bytes: usize,
}

/// Adds the service.
pub(super) fn add(
    routes: Routes,
    api: &Api,
    doors: &Doors,
    options: &DestinationOptions,
) -> Routes {
    let service = Service {
        binder: api.hub.binder().clone(),
        doors: doors.clone(),
        options: options.clone(),
        path_bytes: api.limits.path_bytes,
    };
    let server = DestinationServer::new(service);
    routes.add_service(server.max_decoding_message_size(REQUEST_BYTES))
}

impl Service {
    /// The name without its port.
    fn host<'a>(&self, request: &'a v2::GetDestination) -> Result<&'a str, Status> {
        if !matches!(request.scheme.as_str(), "" | SCHEME) {
            let why = format!("Unknown scheme: {}", request.scheme);
            return Err(Status::unimplemented(why));
        }
        let path = request.path.as_str();
        let host = match path.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => path,
        };
        if host.is_empty() {
            return Err(Status::unimplemented("Empty request path"));
        }
        Ok(host)
    }

    /// The name that is bound for it: up to the first dot, behind the prefix.
    fn name(&self, host: &str) -> Result<Path, Status> {
        let label = host.split('.').next().unwrap_or_default();
        let short = Elem::new(label.as_bytes()).filter(|_| label.len() <= self.path_bytes);
        let why = || Status::invalid_argument(format!("{host} has no name before its first dot"));
        let label = short.ok_or_else(why)?;
        let prefix = self.options.prefix.elems().iter().cloned();
        let elems: Vec<_> = prefix.chain([label]).collect();
        Ok(Path::from_elems(elems))
    }

    fn endpoints(&self, host: &str) -> Result<Endpoints, Status> {
        let key = BindKey {
            root: Some(self.options.namespace.as_str().into()),
            router: Dtab::empty(),
            local: Dtab::empty(),
            path: self.name(host)?,
            transformers: Transformers::default(),
        };
        let binding = self.binder.bind(&key, &Caller::default());
        let binding = binding.map_err(|e| Status::internal(e.to_string()))?;
        Ok(Endpoints::new(binding))
    }
}

#[tonic::async_trait]
impl Destination for Service {
    type GetStream = BoxStream<'static, Result<v2::Update, Status>>;

    async fn get(
        &self,
        request: Request<v2::GetDestination>,
    ) -> Result<Response<Self::GetStream>, Status> {
        let host = self.host(request.get_ref())?;
        let states = states(self.endpoints(host)?, &self.doors);
        let mut last = None;
        let updates = states.map_ok(move |state| {
            let updates = differences(last.as_ref(), &state);
            last = Some(state);
            stream::iter(updates.into_iter().map(Ok))
        });
        Ok(Response::new(updates.try_flatten().boxed()))
    }

    type GetProfileStream = BoxStream<'static, Result<v2::DestinationProfile, Status>>;

    /// One profile, which does not change: namerd knows no routes of Linkerd 2. The stream stays open, since its end would
    /// be taken for a failure.
    async fn get_profile(
        &self,
        request: Request<v2::GetDestination>,
    ) -> Result<Response<Self::GetProfileStream>, Status> {
        let host = self.host(request.get_ref())?;
        let is_address = request.get_ref().path.parse::<SocketAddr>().is_ok();
        let profile = profile(if is_address { "" } else { host });
        let closed = self.doors.closed.clone();
        let end = stream::once(async move {
            closed.cancelled_owned().await;
            Err(Status::unavailable("namerd is shutting down"))
        });
        let one = stream::once(async { Ok(profile) });
        Ok(Response::new(one.chain(end).boxed()))
    }
}

fn profile(name: &str) -> v2::DestinationProfile {
    let (retry_ratio, min_retries_per_second, seconds) = RETRIES;
    v2::DestinationProfile {
        fully_qualified_name: name.to_owned(),
        retry_budget: Some(v2::RetryBudget {
            retry_ratio,
            min_retries_per_second,
            ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        }),
        ..v2::DestinationProfile::default()
    }
}
