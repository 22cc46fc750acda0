//! Accepted connections: socket options, HTTP/2 with its limits or HTTP/1.1, the end of a connection.
//!
//! The way from the socket to the HTTP/2 library is in our hands: what must be read differently for old clients is put
//! between the two here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::authority::Tolerant;
use super::beside::{Beside, Orders};
use super::patience::Patience;
use super::web::Answers;
use crate::stream::MOVE_WITHIN;
use crate::tls::ClientNames;

/// The other end of a connection, for those who serve its requests.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    /// The names of its certificate.
    pub(super) client: Option<Arc<ClientNames>>,
    /// Ends the whole connection at once.
    pub(super) abort: CancellationToken,
    /// Cancelled when the connection is old.
    pub(super) aged: CancellationToken,
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
/// The head of a request of HTTP/1.1, which browsers speak grpc-web over.
const HEAD_BYTES: usize = 64 << 10;

/// Serves one connection, a socket or TLS over one, until it ends, or until `closing`, when open requests have `grace` to
/// end.
pub(super) async fn serve_connection<IO>(
    stream: IO,
    peer: Peer,
    age: Option<Duration>,
    answers: Answers,
    tasks: TaskTracker,
    closing: CancellationToken,
    grace: Duration,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (addr, abort, aged) = (peer.addr, peer.abort.clone(), peer.aged.clone());
    let asked = Arc::new(AtomicBool::new(false));
    let has_asked = Arc::clone(&asked);
    let service = answers.map_request(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer.clone());
        request
    });
    let beside = Beside::new(tasks);
    let mut http = auto::Builder::new(beside.clone());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_REQUEST)
        .max_buf_size(HEAD_BYTES);
    http.http2()
        .timer(Patience)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADER_BYTES);
    let connection = http.serve_connection(
        TokioIo::new(Tolerant::new(stream)),
        TowerToHyperService::new(service),
    );
    let connection = std::pin::pin!(connection);
    let orders = Orders::default();
    let served = orders
        .clone()
        .obeyed_by(connection, |connection| connection.graceful_shutdown());
    let heeded = async {
        let silent = async {
            tokio::time::sleep(FIRST_REQUEST).await;
            if has_asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = abort.cancelled() => {}
            () = silent => {}
            () = leave(&orders, grow_old(age, aged), closing, grace) => {}
        }
    };
    let lives: [BoxFuture<'_, _>; 2] = [
        Box::pin(async { Some(served.await) }),
        Box::pin(async {
            heeded.await;
            None
        }),
    ];
    let Some(ended) = beside.run(lives).await else {
        return;
    };
    if let Err(error) = ended {
        tracing::debug!(%addr, %error, "connection ended");
    }
}

/// Has the connection take nothing new when it is old or its port closes; ends when what is open has had its time.
async fn leave(
    orders: &Orders,
    old: impl Future<Output = ()>,
    closing: CancellationToken,
    grace: Duration,
) {
    tokio::select! {
        () = old => {
            // What is open ends by itself; what is new goes elsewhere.
            orders.leave();
            closing.cancelled().await;
        }
        () = closing.cancelled() => {}
    }
    orders.leave();
    tokio::time::sleep(grace).await;
}

/// Ends when no new requests are to come on this connection: after its age, give or take a tenth so that what was connected
/// at once does not move at once, and after those who follow had the time to move.
async fn grow_old(age: Option<Duration>, aged: CancellationToken) {
    let Some(age) = age else {
        return std::future::pending().await;
    };
    tokio::time::sleep(age.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    aged.cancel();
    tokio::time::sleep(MOVE_WITHIN).await;
}

/// Sets an accepted socket's options.
pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(SEND_BUFFER as u32)?;
    Ok(())
}
