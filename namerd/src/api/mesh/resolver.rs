//! `Resolver`: concrete ids to endpoints (control plane 4.4).

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use l5d_mesh::v1;
use l5d_mesh::v1::resolver_server::Resolver;
use l5d_naming::Replicas;
use tokio::time::{Duration, timeout};
use tonic::{Request, Response, Status};

use super::{Mesh, errors};
use crate::api::live::{Live as _, Sets, states};
use crate::store::Caller;

/// How long `GetReplicas` waits for what is pending.
const WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Service(pub(super) Mesh);

impl Service {
    /// `None`: no id was given.
    fn sets(&self, request: &v1::ReplicasReq) -> Result<Option<Sets>, Status> {
        let Some(id) = request.id.as_ref().filter(|id| !id.elems.is_empty()) else {
            return Ok(None);
        };
        let id = errors::path(id, self.0.path_bytes)?;
        let binding = self.0.binder.bind_id(&id, &Caller::default());
        let binding = binding.map_err(|e| Status::internal(e.to_string()))?;
        Ok(Some(Sets::new(binding)))
    }
}

#[tonic::async_trait]
impl Resolver for Service {
    async fn get_replicas(
        &self,
        request: Request<v1::ReplicasReq>,
    ) -> Result<Response<v1::Replicas>, Status> {
        let replicas = match self.sets(request.get_ref())? {
            Some(sets) => known(sets).await?,
            None => no_id(),
        };
        Ok(Response::new((&replicas).into()))
    }

    type StreamReplicasStream = BoxStream<'static, Result<v1::Replicas, Status>>;

    async fn stream_replicas(
        &self,
        request: Request<v1::ReplicasReq>,
    ) -> Result<Response<Self::StreamReplicasStream>, Status> {
        let replicas = match self.sets(request.get_ref())? {
            Some(sets) => states(sets, &self.0.doors),
            None => stream::once(async { Ok(no_id()) }).boxed(),
        };
        let told = replicas.map(|replicas| replicas.map(|replicas| (&replicas).into()));
        Ok(Response::new(Box::pin(told)))
    }
}

fn no_id() -> Replicas {
    Replicas::Failed("No ID provided".into())
}

/// The first state that is not pending, or pending if there is none for a while.
async fn known(mut sets: Sets) -> Result<Replicas, Status> {
    let known = async {
        loop {
            let replicas = sets.next().await?;
            if replicas != Replicas::Pending {
                return Ok(replicas);
            }
        }
    };
    let in_time = timeout(WAIT, known).map(|in_time| in_time.unwrap_or(Ok(Replicas::Pending)));
    in_time.await
}
