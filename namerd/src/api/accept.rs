//! Accepted connections: socket options, HTTP/2 with its limits, the end of a connection.
//!
//! The way from the socket to the HTTP/2 library is in our hands: what must be read differently for old clients is put
//! between the two here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tower::ServiceExt;

use super::authority::Tolerant;
use super::mesh::Manners;

/// The other end of a connection, for those who serve its requests.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    /// Ends the whole connection at once.
    pub(super) abort: CancellationToken,
}

/// Both ends notice a peer that is gone without a word within 30 s (RES-14).
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WAIT: Duration = Duration::from_secs(10);
/// A connection on which nobody asks for anything is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// What a stream may send up before it is read.
const STREAM_WINDOW: u32 = 64 << 10;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes in the send buffer of a stream, and in the kernel before it asks for more (5.3).
const SEND_BUFFER: usize = 16 << 10;
/// Old clients have one for each name and one for each id that they use: two for each of the 1,000 paths that a router
/// keeps (control plane 13), and as many to spare.
const STREAMS: u32 = 4_096;
const FRAME_BYTES: u32 = 16 << 10;
const HEADER_BYTES: u32 = 16 << 10;

/// Tasks of the HTTP/2 library, counted so that shutdown can wait for them.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Serves one connection, a socket or TLS over one, until it ends, or until `closing`, when open requests have `grace` to
/// end.
pub(super) async fn serve_connection<IO>(
    stream: IO,
    addr: SocketAddr,
    routes: Routes,
    tasks: TaskTracker,
    closing: CancellationToken,
    grace: Duration,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Peer {
        addr,
        abort: CancellationToken::new(),
    };
    let abort = peer.abort.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let has_asked = Arc::clone(&asked);
    let service = Manners(routes).map_request(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        request
    });
    let connection = http2::Builder::new(Tracked(tasks))
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADER_BYTES)
        .serve_connection(
            TokioIo::new(Tolerant::new(stream)),
            TowerToHyperService::new(service),
        );
    let mut connection = std::pin::pin!(connection);
    let silent = async {
        tokio::time::sleep(FIRST_REQUEST).await;
        if has_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = abort.cancelled() => return,
        () = silent => return,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(grace, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%addr, %error, "connection ended");
    }
}

/// Sets an accepted socket's options.
pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(SEND_BUFFER as u32)?;
    Ok(())
}
