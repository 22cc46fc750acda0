//! Every gRPC call counted, timed and put into a span.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;
use tracing::{Instrument as _, Span};

use super::methods::{self, Use};
use crate::meter::{Meter, OpenOne};
use crate::web::spans;

/// Measures what a port's routes answer.
#[derive(Clone, Debug)]
pub(super) struct Measured<S> {
    inner: S,
    meter: Arc<Meter>,
}

/// A call under way; counted when it is dropped.
struct Call {
    meter: Arc<Meter>,
    method: &'static str,
    /// Counted as open, if it is a stream.
    _open: Option<OpenOne>,
    code: Option<Code>,
    span: Span,
}

/// The body of an answer, whose trailers have the code.
struct Watched {
    inner: Body,
    call: Call,
}

impl<S> Measured<S> {
    pub(super) fn new(inner: S, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<S, B> Service<Request<B>> for Measured<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, what) = methods::of(request.uri().path());
        let span = spans::call(request.headers(), method);
        let streams = &self.meter.grpc_streams;
        let began = Instant::now();
        let answer = self.inner.call(request).instrument(span.clone());
        let mut call = Call {
            meter: Arc::clone(&self.meter),
            method,
            _open: (what == Use::Stream).then(|| streams.one(method)),
            code: None,
            span,
        };
        Box::pin(async move {
            let (head, body) = answer.await?.into_parts();
            call.see(&head.headers);
            let seconds = &call.meter.grpc_seconds;
            seconds.record(call.method, began.elapsed());
            let body = Body::new(Watched { inner: body, call });
            Ok(Response::from_parts(head, body))
        })
    }
}

impl Call {
    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without a code the client has left first.
        let code = format!("{:?}", self.code.unwrap_or(Code::Cancelled));
        self.meter.grpc.count([self.method, &code]);
        let is_error = !matches!(self.code, None | Some(Code::Ok | Code::Cancelled));
        spans::ended(&self.span, &code, is_error);
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.call.see(trailers);
                }
            }
            Some(Err(status)) => self.call.code = Some(status.code()),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn ask(meter: &Arc<Meter>, path: &'static str, status: Option<Status>) {
        let inner = service_fn(move |_: Request<()>| {
            let status = status.clone();
            async move {
                Ok::<_, Infallible>(match status {
                    Some(status) => status.into_http(),
                    None => Response::new(Body::empty()),
                })
            }
        });
        let request = Request::builder().uri(path).body(()).expect("a request");
        let answer = Measured::new(inner, Arc::clone(meter))
            .oneshot(request)
            .await;
        let body = answer.expect("cannot fail").into_body();
        body.collect().await.map(drop).expect("a body");
    }

    #[tokio::test]
    async fn calls_are_counted_by_method_and_code_and_made_up_methods_are_one() {
        let meter = Arc::<Meter>::default();
        let path = "/io.linkerd.mesh.Codec/ReadDtab";
        ask(&meter, path, Some(Status::ok(""))).await;
        ask(&meter, path, Some(Status::not_found("x"))).await;
        ask(&meter, path, None).await;
        for path in ["/x", "/y", "/z/z"] {
            ask(&meter, path, Some(Status::unimplemented(""))).await;
        }
        let counts = meter.grpc.all();
        let counts: Vec<_> = counts
            .iter()
            .map(|([m, c], n)| (m.as_str(), c.as_str(), *n))
            .collect();
        assert_eq!(
            counts,
            [
                ("io.linkerd.mesh.Codec/ReadDtab", "Cancelled", 1),
                ("io.linkerd.mesh.Codec/ReadDtab", "NotFound", 1),
                ("io.linkerd.mesh.Codec/ReadDtab", "Ok", 1),
                ("other", "Unimplemented", 3),
            ]
        );
        assert_eq!(meter.grpc_seconds.all().len(), 2);
    }
}
