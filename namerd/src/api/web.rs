//! Browsers: grpc-web on the gRPC port, and which pages may use it.
//!
//! Calls over HTTP/1.1 or HTTP/2 whose content type is one of grpc-web are translated, others pass. A `Follow` needs both
//! directions at once, which no browser has; tools' calls work.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::Layer as _;
use tower::util::BoxCloneSyncService;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::ask::Asked;
use super::logged::Logged;
use super::measure::Measured;
use super::mesh::Manners;
use super::serve::Api;

/// What answers the requests of a port.
pub(super) type Answers = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// How long a browser may keep the answer to whether it may ask.
const MAY_ASK_FOR: Duration = Duration::from_secs(3600);
/// What pages may send and read (the protocol of grpc-web).
const SENT: [&str; 5] = [
    "content-type",
    "x-grpc-web",
    "x-user-agent",
    "grpc-timeout",
    "authorization",
];
const READ: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// The routes in the manners of all their clients, open to pages of these origins.
pub(super) fn answers(routes: Routes, origins: &[String], api: &Api) -> Answers {
    let asked = Asked::new(routes, api);
    let service = GrpcWebLayer::new().layer(Manners(Measured::new(asked, Arc::clone(&api.meter))));
    let service = match origins.is_empty() {
        true => BoxCloneSyncService::new(service),
        false => BoxCloneSyncService::new(cors(origins).layer(service)),
    };
    match &api.access_log {
        None => service,
        Some(log) => BoxCloneSyncService::new(Logged::new(service, log.clone())),
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let values = origins.iter().filter_map(|o| HeaderValue::from_str(o).ok());
        AllowOrigin::list(values)
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::POST])
        .allow_headers(SENT.map(HeaderName::from_static))
        .expose_headers(READ.map(HeaderName::from_static))
        .vary([header::ORIGIN])
        .max_age(MAY_ASK_FOR)
}
