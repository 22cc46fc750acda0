//! Which paths are served (node-proxy 2.4), and what pages of other sites may not ask for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Sight;
use crate::config::PageKind;

/// What a path is; each belongs to exactly one kind.
pub(super) fn kind(path: &str) -> PageKind {
    match path {
        "/admin/shutdown" | "/logging.json" | "/admin/tracing" => PageKind::Control,
        "/"
        | "/favicon.ico"
        | "/config.json"
        | "/delegator"
        | "/delegator.json"
        | "/requests"
        | "/admin/metrics.json" => PageKind::Ui,
        _ if path.starts_with("/files/") || path.starts_with("/ui/") => PageKind::Ui,
        _ => PageKind::Diagnostics,
    }
}

/// Lets through what may be answered. A path that is not served looks as if it did not exist.
pub(super) async fn check(
    State(sight): State<Arc<Sight>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !sight.config.admin.security.allows(path, kind(path)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read && is_foreign(request.headers()) {
        let why = "this comes from a page of another site\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// Whether a browser says that the request comes from a page of another site.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => !matches!(site, "same-origin" | "none"),
        // Older browsers.
        None => text(header::ORIGIN.as_str()).is_some_and(|origin| {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_none() || host != text(header::HOST.as_str())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_kind() {
        assert_eq!(kind("/admin/shutdown"), PageKind::Control);
        assert_eq!(kind("/ui/overview.json"), PageKind::Ui);
        assert_eq!(kind("/metrics"), PageKind::Diagnostics);
    }

    #[test]
    fn other_sites_change_nothing() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let each = pairs.iter().map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, axum::http::HeaderValue::from_static(value))
            });
            each.collect::<HeaderMap>()
        };
        assert!(!is_foreign(&headers(&[])));
        assert!(!is_foreign(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(is_foreign(&headers(&[("sec-fetch-site", "cross-site")])));
        let origin = |origin| headers(&[("host", "a:1"), ("origin", origin)]);
        assert!(is_foreign(&origin("http://b")) && is_foreign(&origin("null")));
        assert!(!is_foreign(&origin("http://a:1")));
    }
}
