//! Routes of delegations (control plane 7.6).

use http::{Request, Response};
use hyper::body::Incoming;

use super::Controller;
use crate::web::{Ask, Body, Refusal, explain};

impl Controller {
    /// With the namespace in the parameters, or none.
    pub(super) async fn delegate_any(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let ask = Ask::of(request).await?;
        explain(&self.binder, ask, self.waits.delegation).await
    }

    /// With the namespace in the path.
    pub(super) async fn delegate_in(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let ask = Ask {
            namespace: Some(namespace.to_owned()),
            ..Ask::of(request).await?
        };
        explain(&self.binder, ask, self.waits.delegation).await
    }
}
