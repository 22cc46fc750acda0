//! Connections in, requests to the handler, until the stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::prepare;
use super::reply::{Body, text};
use super::target::Lenient;
use crate::tls::{ClientNames, Gate};

/// Who sent a request; an extension of each.
#[derive(Clone, Debug)]
pub struct Client {
    /// From where.
    pub addr: SocketAddr,
    /// The names of the certificate, if one was shown.
    pub names: Option<Arc<ClientNames>>,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// One request. Dropped when the client goes away.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// Connections at one time; further ones wait in the backlog. Each may be an open watch.
const CONNECTIONS: usize = 10_000;
/// How long a client may take for a request's head, idle time of a kept connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest head, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// Wait after a failed accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`; then finishes the requests that are under way. Dropping the future cuts them off.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    gate: Arc<Gate>,
    handler: Arc<H>,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut fresh = pin!(gate.keep_fresh());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            () = fresh.as_mut() => continue,
            accepted = accept(&listener, &permits) => accepted,
            Some(_done) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, addr, permit)) => {
                let place = match gate.admit(addr.ip()) {
                    Ok(place) => place,
                    Err(crowded) => {
                        tracing::debug!(%addr, %crowded, "refused");
                        continue;
                    }
                };
                prepare(&stream, gate.options());
                let (gate, handler, stop) = (Arc::clone(&gate), Arc::clone(&handler), stop.clone());
                connections.spawn(async move {
                    connection(stream, addr, &gate, handler, stop).await;
                    drop((permit, place));
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, addr) = listener.accept().await?;
    Ok((stream, addr, permit))
}

async fn connection<H: Handler>(
    stream: TcpStream,
    addr: SocketAddr,
    gate: &Gate,
    handler: Arc<H>,
    stop: CancellationToken,
) {
    let socket = match stop.run_until_cancelled(gate.enter(stream)).await {
        Some(Ok(socket)) => socket,
        Some(Err(error)) => return tracing::debug!(%error, "a connection was not let in"),
        None => return,
    };
    let client = Client {
        addr,
        names: socket.client().map(Arc::new),
    };
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        let handler = Arc::clone(&handler);
        let allowed = gate.may_ask(addr.ip());
        async move {
            if let Err(wait) = allowed {
                return Ok(too_many(wait));
            }
            Ok::<_, std::convert::Infallible>(handler.handle(request).await)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Lenient::new(socket)), service);
    let mut connection = pin!(connection);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(e) = ended {
                    tracing::debug!(error = %e, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// More requests than one client may make.
fn too_many(wait: Duration) -> Response<Body> {
    let mut response = text(
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests from this address; limits.requestsPerSecond of the server says how many\n",
    );
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}
