//! `Interpreter`: names to trees of concrete ids (control plane 4.3).

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use l5d_mesh::v1;
use l5d_mesh::v1::interpreter_server::Interpreter;
use l5d_naming::{BoundTree, Dtab};
use tonic::{Request, Response, Status};

use super::{Mesh, errors};
use crate::api::live::{Trees, once, states};
use crate::bind::{BindKey, Transformers};
use crate::store::Caller;

#[derive(Debug)]
pub(super) struct Service(pub(super) Mesh);

impl Service {
    fn trees(&self, request: &v1::BindReq) -> Result<Trees, Status> {
        let key = BindKey {
            root: Some(errors::namespace(request.root.as_ref())?.into()),
            router: Dtab::empty(),
            path: errors::name(request.name.as_ref(), self.0.path_bytes)?,
            local: errors::dtab(request.dtab.as_ref())?,
            transformers: Transformers::default(),
        };
        let binding = self.0.binder.bind(&key, &Caller::default());
        let binding = binding.map_err(|e| Status::internal(e.to_string()))?;
        Ok(Trees::new(binding))
    }
}

#[tonic::async_trait]
impl Interpreter for Service {
    async fn get_bound_tree(
        &self,
        request: Request<v1::BindReq>,
    ) -> Result<Response<v1::BoundTreeRsp>, Status> {
        let trees = self.trees(request.get_ref())?;
        Ok(Response::new(told(&once(trees, "the name").await?)))
    }

    type StreamBoundTreeStream = BoxStream<'static, Result<v1::BoundTreeRsp, Status>>;

    async fn stream_bound_tree(
        &self,
        request: Request<v1::BindReq>,
    ) -> Result<Response<Self::StreamBoundTreeStream>, Status> {
        let trees = states(self.trees(request.get_ref())?, &self.0.doors);
        let told = trees.map(|tree| tree.map(|tree| told(&tree)));
        Ok(Response::new(Box::pin(told)))
    }
}

fn told(tree: &BoundTree) -> v1::BoundTreeRsp {
    v1::BoundTreeRsp {
        tree: Some(tree.into()),
    }
}
