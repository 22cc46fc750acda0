//! `/api/1/history/<ns>`: the last versions of a dtab, and going back to one of them. Not in 1.x.
//!
//! | request | answers |
//! |---|---|
//! | GET, HEAD | 200, newest first; 404 unknown namespace; 501 the store keeps no history |
//! | POST `?version=<etag>` | 204 with the ETag of the new write; 400 no version; 404, 501 as above; 410 the store does not have that version (any more); 412 `If-Match` names another than the present one |
//!
//! JSON: `[{"version":"MTc=","written":"2026-11-27T18:00:00Z","dtab":[{"prefix":"/svc","dst":"/a"}]},...]`; `version` is as
//! in ETags, `written` is null where the store does not know. As text each version is a comment and the dtab in a line.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::IF_MATCH;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::Controller;
use super::dtab_forms::Form;
use super::etag::{condition, token, with_etag};
use crate::store::{PastDtab, StoreError};
use crate::web::{self, Body, Params, Refusal, json_text};

impl Controller {
    pub(super) async fn history(
        &self,
        namespace: &str,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        match *request.method() {
            Method::GET | Method::HEAD => {
                let form = Form::accepted(request.headers());
                let past = self.past(namespace).await?;
                Ok(web::document(form.content_type(), show(&past, form)))
            }
            Method::POST => self.restore(namespace, request).await,
            _ => Ok(web::not_allowed("GET, HEAD, POST")),
        }
    }

    async fn restore(
        &self,
        namespace: &str,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let params = Params::of_query(request.uri());
        // A plus sign that was not escaped has become a blank.
        let version = params.get("version").map(|text| text.replace(' ', "+"));
        let version = version.as_deref().filter(|text| !text.is_empty());
        let Some(wanted) = version.and_then(token) else {
            let why =
                "the parameter `version` must be a version as the history or an ETag shows it";
            return Err(Refusal::bad(why));
        };
        let past = self.past(namespace).await?;
        let Some(past) = past.into_iter().find(|past| past.version.token == wanted) else {
            let why = format!("the dtab store does not have this version of {namespace}");
            return Err(Refusal::new(StatusCode::GONE, why));
        };
        let must_match = condition(request.headers(), IF_MATCH);
        let written = self.put(namespace, past.version.dtab, must_match, None);
        Ok(with_etag(
            web::empty(StatusCode::NO_CONTENT),
            &written.await?,
        ))
    }

    async fn past(&self, namespace: &str) -> Result<Vec<PastDtab>, Refusal> {
        match self.store.history(namespace).await {
            // No such namespace can exist.
            Err(StoreError::BadName { name, .. }) => Err(StoreError::Missing(name).into()),
            other => Ok(other?),
        }
    }
}

fn show(past: &[PastDtab], form: Form) -> String {
    let versions = past.iter().map(|past| {
        let version = STANDARD.encode(&past.version.token.0);
        let written = past
            .written
            .and_then(|at| jiff::Timestamp::try_from(at).ok());
        (version, written, form.show(&past.version.dtab))
    });
    if form == Form::Json {
        let items: Vec<String> = versions
            .map(|(version, written, dtab)| {
                let version = json_text(&version);
                let written = written.map_or("null".to_owned(), |at| json_text(&at.to_string()));
                format!(r#"{{"version":{version},"written":{written},"dtab":{dtab}}}"#)
            })
            .collect();
        return format!("[{}]\n", items.join(","));
    }
    let mut text = String::new();
    for (version, written, dtab) in versions {
        let written = written.map_or_else(String::new, |at| format!(" written {at}"));
        let _infallible = writeln!(text, "# version {version}{written}\n{dtab}");
    }
    text
}
