//! `/api/1/dtabs`: listing, reading and writing (control plane 7.3).

use std::sync::Arc;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use l5d_naming::Dtab;
use tokio::time::timeout;

use super::Controller;
use super::dtab_forms::Form;
use super::etag::{Condition, condition, with_etag};
use super::sources::{Dtabs, Names};
use super::watch::watch;
use crate::store::{DtabToken, NamespaceState, StoreError, VersionedDtab};
use crate::web::{self, Body, JSON, Params, Refusal, json_text, read_body};

/// Tries of a write that others got in between.
const TRIES: usize = 5;

impl Controller {
    pub(super) async fn list(
        &self,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let names = self.store.list();
        if Params::of_query(request.uri()).is_true("watch") {
            return Ok(watch(JSON, Names::new(names), &self.stop));
        }
        let known = timeout(self.waits.name, names.wait_for(Option::is_some)).await;
        let known = known.map_err(|_| Refusal::timed_out())?;
        let names = known.1.iter().flat_map(|names| names.iter());
        Ok(web::document(JSON, format!("{}\n", json_names(names))))
    }

    pub(super) async fn dtab(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        match *request.method() {
            Method::GET | Method::HEAD => self.read(namespace, &request).await,
            Method::POST | Method::PUT => self.write(namespace, request).await,
            Method::DELETE => {
                self.store.delete(namespace).await?;
                Ok(web::empty(StatusCode::NO_CONTENT))
            }
            _ => Ok(web::empty(StatusCode::NOT_FOUND)),
        }
    }

    async fn write(
        &self,
        namespace: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let form = Form::given(&head.headers).map_err(Refusal::bad)?;
        let body = read_body(body).await?;
        let dtab = form.read(&body).map_err(Refusal::bad)?;
        let token = if head.method == Method::POST {
            self.store.create(namespace, dtab).await?
        } else {
            let must_match = condition(&head.headers, IF_MATCH);
            let must_not = condition(&head.headers, IF_NONE_MATCH);
            self.put(namespace, dtab, must_match, must_not).await?
        };
        Ok(with_etag(web::empty(StatusCode::NO_CONTENT), &token))
    }

    async fn read(
        &self,
        namespace: &str,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let form = Form::accepted(request.headers());
        let is_get = request.method() == Method::GET;
        if is_get && Params::of_query(request.uri()).is_true("watch") {
            let source = Dtabs::new(self.store.observe(namespace), form);
            return Ok(watch(form.content_type(), source, &self.stop));
        }
        let now = self.known(namespace).await.ok_or_else(Refusal::timed_out)?;
        let Some(VersionedDtab { dtab, token }) = now? else {
            return Ok(web::empty(StatusCode::NOT_FOUND));
        };
        let has_it = condition(request.headers(), IF_NONE_MATCH).is_some_and(|c| c.matches(&token));
        let response = if has_it {
            web::empty(StatusCode::NOT_MODIFIED)
        } else {
            // Canonical text rounds weights; who writes back what was read asks for all digits.
            let shown = match Params::of_query(request.uri()).is_true("exact") {
                true => form.show_exact(&dtab),
                false => form.show(&dtab),
            };
            web::document(form.content_type(), format!("{shown}\n"))
        };
        Ok(with_etag(response, &token))
    }

    /// The namespace's dtab, if it has one, as soon as the store has answered; `None`: it did not in time.
    async fn known(&self, namespace: &str) -> Option<Result<Option<VersionedDtab>, StoreError>> {
        let cell = self.store.observe(namespace);
        let is_known = |state: &NamespaceState| *state != NamespaceState::Pending;
        let known = timeout(self.waits.name, cell.wait_for(is_known))
            .await
            .ok()?;
        match &known.1 {
            NamespaceState::Present(dtab) => Some(Ok(Some(dtab.clone()))),
            NamespaceState::Pending | NamespaceState::Absent => Some(Ok(None)),
            NamespaceState::Unreadable(reason) => Some(Err(StoreError::Unreadable {
                name: namespace.to_owned(),
                reason: Arc::clone(reason),
            })),
        }
    }

    pub(super) async fn put(
        &self,
        namespace: &str,
        dtab: Dtab,
        must_match: Option<Condition>,
        must_not: Option<Condition>,
    ) -> Result<DtabToken, StoreError> {
        let mismatch = || StoreError::VersionMismatch(namespace.to_owned());
        match (must_match, must_not) {
            (None, None) => self.store.put(namespace, dtab).await,
            (None, Some(Condition::Any)) => match self.store.create(namespace, dtab).await {
                Err(StoreError::Exists(_)) => Err(mismatch()),
                other => other,
            },
            // The store knows best: a version that was written elsewhere may not have come here yet.
            (Some(Condition::These(one)), None) if one.len() == 1 => {
                self.store.update(namespace, dtab, &one[0]).await
            }
            (must_match, must_not) => {
                for _ in 0..TRIES {
                    let now = self.known(namespace).await.ok_or_else(|| {
                        StoreError::Unavailable("it has not answered in time".to_owned())
                    })?;
                    let Some(now) = now? else {
                        return match must_match {
                            Some(_) => Err(StoreError::Missing(namespace.to_owned())),
                            None => self.store.create(namespace, dtab).await,
                        };
                    };
                    let is_wanted = must_match.as_ref().is_none_or(|c| c.matches(&now.token))
                        && !must_not.as_ref().is_some_and(|c| c.matches(&now.token));
                    if !is_wanted {
                        return Err(mismatch());
                    }
                    match self.store.update(namespace, dtab.clone(), &now.token).await {
                        Err(StoreError::VersionMismatch(_)) => {}
                        other => return other,
                    }
                }
                Err(mismatch())
            }
        }
    }
}

/// A list of names as JSON.
pub(super) fn json_names(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| json_text(n.as_ref())).collect();
    format!("[{}]", names.join(","))
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Exists(_) => StatusCode::CONFLICT,
            StoreError::Missing(_) => StatusCode::NOT_FOUND,
            StoreError::VersionMismatch(_) => StatusCode::PRECONDITION_FAILED,
            StoreError::BadName { .. } => StatusCode::BAD_REQUEST,
            StoreError::Forbidden(_) => StatusCode::FORBIDDEN,
            StoreError::NoHistory(_) => StatusCode::NOT_IMPLEMENTED,
            StoreError::Unreadable { .. } | StoreError::Unavailable(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}
