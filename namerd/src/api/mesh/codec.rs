//! `Codec`: reads and prints dtabs and paths for clients without a parser (control plane 4.6).

use l5d_mesh::v1;
use l5d_mesh::v1::codec_server::Codec;
use l5d_naming::{Dtab, Path};
use tonic::{Request, Response, Status};

use super::errors;

#[derive(Debug)]
pub(super) struct Service;

#[tonic::async_trait]
impl Codec for Service {
    async fn read_dtab(
        &self,
        request: Request<v1::ReadDtabReq>,
    ) -> Result<Response<v1::ReadDtabRsp>, Status> {
        let text = request.into_inner().text.unwrap_or_default();
        let dtab = Dtab::parse(&text).map_err(|e| Status::invalid_argument(e.to_string()))?;
        Ok(Response::new(v1::ReadDtabRsp {
            dtab: Some((&dtab).into()),
        }))
    }

    async fn show_dtab(
        &self,
        request: Request<v1::ShowDtabReq>,
    ) -> Result<Response<v1::ShowDtabRsp>, Status> {
        let dtab = request.into_inner().dtab;
        let dtab = dtab.as_ref().map(Dtab::try_from).transpose();
        let dtab = dtab.map_err(|e| errors::bad(&e))?;
        Ok(Response::new(v1::ShowDtabRsp {
            text: dtab.map(|dtab| dtab.to_string()),
        }))
    }

    async fn read_path(
        &self,
        request: Request<v1::ReadPathReq>,
    ) -> Result<Response<v1::ReadPathRsp>, Status> {
        let path = match request.into_inner().text {
            None => Path::root(),
            Some(text) => {
                Path::parse(&text).map_err(|e| Status::invalid_argument(e.to_string()))?
            }
        };
        Ok(Response::new(v1::ReadPathRsp {
            path: Some((&path).into()),
        }))
    }

    async fn show_path(
        &self,
        request: Request<v1::ShowPathReq>,
    ) -> Result<Response<v1::ShowPathRsp>, Status> {
        let path = request.into_inner().path;
        let path = path.as_ref().map(Path::try_from).transpose();
        let path = path.map_err(|e| errors::bad(&e))?;
        Ok(Response::new(v1::ShowPathRsp {
            text: path.map(|path| path.to_string()),
        }))
    }
}
