//! Delegations (control plane 7.6): every step of a name, as both doors answer it.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use l5d_naming::{Dtab, Path};
use serde_json::Value;
use tokio::time::timeout;

use super::params::{Params, media_type, read_body};
use super::reply::{Body, JSON, Refusal, document};
use super::shapes::delegation;
use crate::bind::{BindKey, Binder, Transformers};
use crate::store::Caller;

/// What a delegation is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The dtab namespace; `None`: no stored dtab.
    pub namespace: Option<String>,
    /// Entries behind the stored ones.
    pub dtab: Dtab,
    /// The name.
    pub path: Path,
}

/// Explains a name.
pub async fn explain(binder: &Binder, ask: Ask, wait: Duration) -> Result<Response<Body>, Refusal> {
    let key = BindKey {
        root: ask.namespace.map(Into::into),
        router: Dtab::empty(),
        local: ask.dtab,
        path: ask.path,
        transformers: Transformers::default(),
    };
    match timeout(wait, binder.delegate(&key, &Caller::default())).await {
        Err(_) => Err(Refusal::timed_out()),
        Ok(Ok(tree)) => Ok(document(JSON, delegation(&tree))),
        Ok(Err(e)) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.message())),
    }
}

impl Ask {
    /// Reads GET parameters or a POST body; the caller has checked the method.
    pub async fn of(request: Request<Incoming>) -> Result<Self, Refusal> {
        if request.method() == Method::POST {
            return Self::of_json(request).await;
        }
        let (head, body) = request.into_parts();
        let params = Params::of_request(&head.uri, &head.headers, body).await?;
        Ok(Self {
            namespace: params.get("namespace").map(str::to_owned),
            dtab: params.dtab()?,
            path: params.path()?,
        })
    }

    async fn of_json(request: Request<Incoming>) -> Result<Self, Refusal> {
        if media_type(request.headers()).as_deref() != Some(JSON) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/json",
            ));
        }
        let body = read_body(request.into_body()).await?;
        let malformed = |why: String| Refusal::bad(format!("Malformed delegation request: {why}"));
        let value: Value = serde_json::from_slice(&body).map_err(|e| malformed(e.to_string()))?;
        let Value::Object(members) = value else {
            return Err(malformed("it must be an object".to_owned()));
        };
        let member = |key: &str| match members.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(malformed(format!("{key} must be text"))),
        };
        let need = |key: &str| member(key)?.ok_or_else(|| malformed(format!("{key} is missing")));
        let (dtab, path) = (need("dtab")?, need("path")?);
        Ok(Self {
            namespace: member("namespace")?,
            dtab: Dtab::parse(&dtab).map_err(|e| Refusal::bad(format!("Invalid dtab: {e}")))?,
            path: Path::parse(&path)
                .map_err(|e| Refusal::bad(format!("Invalid path: {path} / {e}")))?,
        })
    }
}
