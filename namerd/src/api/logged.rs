//! Every request of a gRPC port in its access log, if it has one, when its answer begins; refused ones too.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response, Version, header};
use l5d_accesslog::{AccessLog, Entry};
use tonic::body::Body;
use tower::Service;

use super::accept::Peer;

/// Logs what is asked and how the answer begins.
#[derive(Clone, Debug)]
pub(super) struct Logged<S> {
    inner: S,
    log: AccessLog,
}

impl<S> Logged<S> {
    pub(super) fn new(inner: S, log: AccessLog) -> Self {
        Self { inner, log }
    }
}

impl<S, B> Service<Request<B>> for Logged<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let log = self.log.clone();
        let asked = Asked::of(&request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            asked.log(&log, answer.status().as_u16());
            Ok(answer)
        })
    }
}

/// What is known before the answer.
struct Asked {
    entry: Entry<'static>,
    host: String,
    method: http::Method,
    target: String,
    referer: Vec<u8>,
    user_agent: Vec<u8>,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let field = |name| headers.get(name).map(|v| v.as_bytes().to_vec());
        let host = || Some(String::from_utf8_lossy(headers.get(header::HOST)?.as_bytes()).into());
        let host = uri.authority().map(ToString::to_string).or_else(host);
        let target = uri.path_and_query().map(|target| target.as_str());
        Self {
            entry: Entry {
                remote: request.extensions().get::<Peer>().map(|p| p.addr.ip()),
                // Browsers' grpc-web.
                version: (request.version() != Version::HTTP_2).then_some("HTTP/1.1"),
                ..Entry::default()
            },
            host: host.unwrap_or_default(),
            method: request.method().clone(),
            target: target.unwrap_or_default().to_owned(),
            referer: field(header::REFERER).unwrap_or_default(),
            user_agent: field(header::USER_AGENT).unwrap_or_default(),
        }
    }

    fn log(&self, log: &AccessLog, status: u16) {
        log.log(&Entry {
            host: self.host.as_bytes(),
            method: self.method.as_str(),
            target: self.target.as_bytes(),
            referer: &self.referer,
            user_agent: &self.user_agent,
            status,
            ..self.entry
        });
    }
}
