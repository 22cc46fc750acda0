//! What is wrong with a request, as old clients know it (control plane 4.7), and the form of the answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use l5d_mesh::{BadMessage, v1};
use l5d_naming::{Dtab, Path};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

/// Where all of them begin.
const PACKAGE: &str = "/io.linkerd.mesh.";

/// A message without a meaning.
pub(super) fn bad(bad: &BadMessage) -> Status {
    Status::invalid_argument(bad.to_string())
}

/// The dtab namespace that a root stands for.
pub(super) fn namespace(root: Option<&v1::Path>) -> Result<String, Status> {
    let Some(root) = root else {
        return Err(Status::invalid_argument("No namespace specified"));
    };
    let root = Path::try_from(root).map_err(|e| bad(&e))?;
    match root.elems() {
        [name] => Ok(name.to_text().into_owned()),
        _ => Err(Status::invalid_argument(format!(
            "Invalid root: `{root}` must have exactly one segment"
        ))),
    }
}

/// A name that is asked for.
pub(super) fn name(name: Option<&v1::Path>, most: usize) -> Result<Path, Status> {
    let name = name.filter(|name| !name.elems.is_empty());
    let name = name.ok_or_else(no_name)?;
    path(name, most)
}

pub(super) fn no_name() -> Status {
    Status::not_found("No name given")
}

/// A path of at most so many bytes.
pub(super) fn path(path: &v1::Path, most: usize) -> Result<Path, Status> {
    let bytes: usize = path.elems.iter().map(|elem| elem.len() + 1).sum();
    if bytes > most {
        let why = format!("a path of {bytes} bytes: at most {most} are allowed");
        return Err(Status::invalid_argument(why));
    }
    Path::try_from(path).map_err(|e| bad(&e))
}

/// The request's own entries.
pub(super) fn dtab(dtab: Option<&v1::Dtab>) -> Result<Dtab, Status> {
    let dtab = dtab.map_or_else(|| Ok(Dtab::empty()), Dtab::try_from);
    dtab.map_err(|e| bad(&e))
}

/// Gives answers of the package the form that its clients understand: errors as headers and trailers in two frames, since
/// those before 1.7.2 do not read them from one, and the old content type.
#[derive(Clone, Debug)]
pub(in crate::api) struct Manners<S>(pub(in crate::api) S);

impl<S, B> Service<Request<B>> for Manners<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        if !path.starts_with(PACKAGE) {
            return Box::pin(self.0.call(request));
        }
        if request.method() != Method::POST {
            return Box::pin(async { Ok(not_a_call()) });
        }
        let path = path.to_owned();
        let response = self.0.call(request);
        Box::pin(async move { Ok(in_two_frames(response.await?, &path)) })
    }
}

fn not_a_call() -> Response<Body> {
    let status = Status::unknown("gRPC calls are POST requests");
    let mut response = in_two_frames(status.into_http(), "");
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

fn in_two_frames(response: Response<Body>, path: &str) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let old = HeaderValue::from_static("application/grpc+proto");
    head.headers.insert(header::CONTENT_TYPE, old);
    let Some(mut status) = Status::from_header_map(&head.headers) else {
        return Response::from_parts(head, body);
    };
    if status.code() == Code::Unimplemented && status.message().is_empty() {
        // What 1.x says of a method that it does not have.
        status = Status::unimplemented(path);
    }
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        head.headers.remove(name);
    }
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("13"));
    }
    Response::from_parts(head, Body::new(Trailers(Some(trailers))))
}

/// A body of nothing but trailers.
struct Trailers(Option<HeaderMap>);

impl http_body::Body for Trailers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
