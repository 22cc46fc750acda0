//! Routes of delegations (control plane 7.6).

use http::{Request, Response};
use hyper::body::Incoming;

use super::Controller;
use crate::web::{Ask, Body, explain};

impl Controller {
    /// With the namespace in the parameters, or none.
    pub(super) async fn delegate_any(&self, request: Request<Incoming>) -> Response<Body> {
        match Ask::of(request).await {
            Ok(ask) => explain(&self.binder, ask, self.waits.delegation).await,
            Err(response) => response,
        }
    }

    /// With the namespace in the path.
    pub(super) async fn delegate_in(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Response<Body> {
        match Ask::of(request).await {
            Ok(ask) => {
                let ask = Ask {
                    namespace: Some(namespace.to_owned()),
                    ..ask
                };
                explain(&self.binder, ask, self.waits.delegation).await
            }
            Err(response) => response,
        }
    }
}
