//! Who may do what a request wants.

use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::Route;
use crate::auth::{Access, CallerGuard, Denied};
use crate::web::{self, Body, Client};

/// `Err`: the answer to somebody who may not.
pub(super) async fn check(
    guard: &CallerGuard,
    route: Route<'_>,
    request: &Request<Incoming>,
) -> Result<(), Response<Body>> {
    let client = request.extensions().get::<Client>();
    let names = client.and_then(|client| client.names.as_deref());
    let shown = request.headers().get(AUTHORIZATION);
    let shown = shown.map(HeaderValue::as_bytes);
    let access = access(route, request.method());
    let allowed = guard.allow(names, shown, &access).await;
    allowed.map_err(|denied| refusal(&denied))
}

/// As Kubernetes would call it, were the dtab an object of its own.
fn access(route: Route<'_>, method: &Method) -> Access {
    let (verb, name) = match route {
        Route::Dtab(name) => {
            let verb = match *method {
                Method::POST => "create",
                Method::PUT => "update",
                Method::DELETE => "delete",
                _ => "get",
            };
            (verb, Some(name))
        }
        Route::History(name) if *method == Method::POST => ("update", Some(name)),
        Route::History(name)
        | Route::Bind(name)
        | Route::Resolve(name)
        | Route::Delegate(Some(name)) => ("get", Some(name)),
        Route::List | Route::Addr | Route::Delegate(None) | Route::BoundNames => ("list", None),
    };
    let name = name.map(str::to_owned);
    Access { verb, name }
}

fn refusal(denied: &Denied) -> Response<Body> {
    let with = |status, name, value| {
        let mut response = web::text(status, format!("{denied}\n"));
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
        response
    };
    match denied {
        Denied::Unproven(_) => with(StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, "Bearer"),
        Denied::Forbidden(_) => web::text(StatusCode::FORBIDDEN, format!("{denied}\n")),
        Denied::Unchecked(_) => with(StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, "1"),
    }
}
