//! What `kubectl proxy` is to a cluster: plain HTTP in front of the real API server, for programs without its credentials.
//!
//! Pods on loopback cannot be listed under their own addresses, since the API server refuses those. So they are listed under
//! others, and the front writes the true ones back into what it hands on. Reads only.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::client::{ApiClient, Lines};
use crate::port::HeldPort;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A running front; dropping it ends it.
#[derive(Debug)]
pub struct Front {
    port: HeldPort,
    _stop: DropGuard,
}

/// What stands in the API, and what is handed on instead.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite {
    /// The beginning of a quoted text.
    pub from: &'static str,
    /// Its replacement.
    pub to: &'static str,
}

impl Front {
    /// Serves on a loopback port what the client is answered.
    pub fn start(client: ApiClient, rewrite: Rewrite) -> io::Result<Self> {
        let port = HeldPort::take([127, 0, 0, 1].into())?;
        let stop = CancellationToken::new();
        let serve = accept(port.listen()?, client, rewrite, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
        Ok(Self {
            port,
            _stop: stop.drop_guard(),
        })
    }

    /// Where.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }
}

async fn accept(
    listener: TcpListener,
    client: ApiClient,
    rewrite: Rewrite,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let client = client.clone();
        let service = service_fn(move |request| {
            let client = client.clone();
            async move { Ok::<_, Infallible>(answer(&client, rewrite, request).await) }
        });
        let serve = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            // A peer that went away is no fault of ours.
            let _ = serve.await;
        }));
    }
}

async fn answer(
    client: &ApiClient,
    rewrite: Rewrite,
    request: Request<Incoming>,
) -> Response<Body> {
    match forward(client, rewrite, &request).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = Response::new(whole(format!("{error:#}")));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

async fn forward(
    client: &ApiClient,
    rewrite: Rewrite,
    request: &Request<Incoming>,
) -> anyhow::Result<Response<Body>> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or("*/*");
    let headers = [("accept", accept)];
    if request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch="))
    {
        let lines = client.lines(path, &headers).await?;
        let mut response = Response::new(Body::default());
        *response.status_mut() = lines.status;
        *response.body_mut() = stream_body(lines, rewrite);
        return Ok(response);
    }
    let answer = client.send(Method::GET, path, &headers, None).await?;
    let text = String::from_utf8_lossy(&answer.body);
    let mut response = Response::new(whole(rewrite.apply(&text)));
    *response.status_mut() = answer.status;
    if let Some(kind) = answer.headers.get(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}

fn stream_body(lines: Lines, rewrite: Rewrite) -> Body {
    let frames = stream::try_unfold(lines, move |mut lines| async move {
        match lines.next().await {
            Ok(Some(line)) => {
                let line = rewrite.apply(&format!("{line}\n"));
                Ok(Some((Frame::data(Bytes::from(line)), lines)))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

impl Rewrite {
    fn apply(self, text: &str) -> String {
        text.replace(&format!("\"{}", self.from), &format!("\"{}", self.to))
    }
}
