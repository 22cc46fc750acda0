//! Dtabs written from the page. The store decides by the same rules as for any other door; there is no write without a
//! condition, so nobody's change is lost unseen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use l5d_naming::Dtab;

use super::{Admin, check};
use crate::store::DtabToken;
use crate::web::{self, Body, JSON, Params, Refusal, media_type, read_body};

impl Admin {
    /// Whether the page may write at all.
    pub(super) fn may_write(&self) -> bool {
        !self.security.read_only
    }

    /// `POST /ui/check.json`: the text of a dtab to what is wrong with it.
    pub(super) async fn check(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let text = text(request).await?;
        Ok(web::document(JSON, check::check(self, &text).to_string()))
    }

    /// `PUT` and `DELETE /ui/dtab.json?namespace=NAME`: `If-Match` with a version, or `If-None-Match: *` to create.
    pub(super) async fn write(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        if !self.may_write() {
            let why = "this page is read-only: admin.security.readOnly is set, or writing needs an identity that it cannot ask for";
            return Err(Refusal::new(StatusCode::FORBIDDEN, why));
        }
        let params = Params::of_query(request.uri());
        let name = params.get("namespace").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Refusal::bad("the parameter `namespace` is missing"))?;
        let name = name.to_owned();
        let is_delete = request.method() == Method::DELETE;
        let expected = expected(request.headers(), is_delete)?;
        if is_delete {
            return self.delete(&name, expected.as_ref()).await;
        }
        if !matches!(
            media_type(request.headers()).as_deref(),
            Some("application/dtab")
        ) {
            let why = "Content-Type must be application/dtab";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let text = text(request).await?;
        let dtab = Dtab::parse(&text).map_err(|e| Refusal::bad(format!("Invalid dtab: {e}")))?;
        let token = match &expected {
            Some(token) => self.store.update(&name, dtab, token).await?,
            None => self.store.create(&name, dtab).await?,
        };
        tracing::info!(namespace = name, "dtab written over the admin page");
        let mut response = web::empty(StatusCode::NO_CONTENT);
        if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(&token.0)) {
            response.headers_mut().insert(ETAG, value);
        }
        Ok(response)
    }

    /// Stores know no conditional delete, so the version is compared just before.
    async fn delete(
        &self,
        name: &str,
        expected: Option<&DtabToken>,
    ) -> Result<Response<Body>, Refusal> {
        if let crate::store::NamespaceState::Present(now) = &self.store.observe(name).get().1
            && Some(&now.token) != expected
        {
            let why = format!("dtab namespace {name} has another version");
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, why));
        }
        self.store.delete(name).await?;
        tracing::info!(
            namespace = name,
            "dtab namespace deleted over the admin page"
        );
        Ok(web::empty(StatusCode::NO_CONTENT))
    }
}

/// Whether the request comes from a page of another site: browsers say so. Others may not use a browser that can reach this
/// port as their hand.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match text(SITE) {
        Some(site) => !matches!(site, "same-origin" | "none"),
        // Older browsers.
        None => text(http::header::ORIGIN).is_some_and(|origin| {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_none() || host != text(http::header::HOST)
        }),
    }
}

async fn text(request: Request<Incoming>) -> Result<String, Refusal> {
    let body = read_body(request.into_body()).await?;
    let text = String::from_utf8(body.to_vec());
    text.map_err(|e| {
        Refusal::bad(format!(
            "the body is not UTF-8 at byte {}",
            e.utf8_error().valid_up_to()
        ))
    })
}

/// The version that is to be replaced; `None`: there is to be none yet.
fn expected(headers: &HeaderMap, is_delete: bool) -> Result<Option<DtabToken>, Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(version) = text(IF_MATCH) {
        let bare = version.trim().trim_start_matches("W/").trim_matches('"');
        let token = STANDARD
            .decode(bare)
            .map_err(|e| Refusal::bad(format!("If-Match is no version: {e}")))?;
        return Ok(Some(DtabToken(token.into())));
    }
    if !is_delete && text(IF_NONE_MATCH).is_some_and(|v| v.trim() == "*") {
        return Ok(None);
    }
    let why = "a condition is needed: If-Match with the version that is to be replaced, or If-None-Match: * to create";
    Err(Refusal::new(StatusCode::PRECONDITION_REQUIRED, why))
}
