//! Opening a connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{ConnectionCounts, Stream};
use crate::config::SocketOptions;

/// An open connection to an endpoint; counted while it is open.
#[derive(Debug)]
pub struct Connection {
    /// Where bytes go and come from.
    pub stream: Stream,
    opened: Instant,
    counts: Arc<ConnectionCounts>,
}

/// No connection could be opened; the destination has seen nothing of the request.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Refused, unreachable, reset, no local resources.
    #[error("cannot connect to {addr}: {source}")]
    Failed {
        /// Where to.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Connected, and no TLS with who is there.
    #[error("no TLS with {addr}, expected {expected}: {reason}")]
    Handshake {
        /// Where to.
        addr: SocketAddr,
        /// Who should be there.
        expected: String,
        /// What is wrong.
        reason: String,
    },
    /// No answer within the limit.
    #[error("cannot connect to {addr}: no answer within {limit:?}")]
    TimedOut {
        /// Where to.
        addr: SocketAddr,
        /// The limit (node-proxy 13.10).
        limit: Duration,
    },
}

/// Connects, with `TCP_NODELAY`, within `limit`; `counts` has the connection from then on. Cancel safe: a dropped attempt
/// leaves nothing behind.
pub async fn dial(
    addr: SocketAddr,
    limit: Duration,
    counts: &Arc<ConnectionCounts>,
) -> Result<Connection, ConnectError> {
    match tokio::time::timeout(limit, open_socket(addr)).await {
        Ok(Ok(tcp)) => Ok(Connection::new(Stream::plain(tcp), counts)),
        Ok(Err(source)) => Err(ConnectError::Failed { addr, source }),
        Err(_) => Err(ConnectError::TimedOut { addr, limit }),
    }
}

/// Connects, with `TCP_NODELAY`, for as long as it takes. Cancel safe.
pub async fn open_socket(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection {
    /// Counts `stream`, and its bytes, in `counts` until it is dropped.
    pub fn new(stream: Stream, counts: &Arc<ConnectionCounts>) -> Self {
        counts.opened();
        Self {
            stream: stream.counted(counts.clone()),
            opened: Instant::now(),
            counts: counts.clone(),
        }
    }

    /// Gives its socket the client's `socketOptions` (node-proxy 4.2).
    ///
    /// # Errors
    /// Of the system.
    pub fn tune(&self, options: &SocketOptions) -> io::Result<()> {
        let Some(tcp) = self.stream.tcp() else {
            return Ok(());
        };
        if !options.no_delay {
            tcp.set_nodelay(false)?;
        }
        let socket = SockRef::from(tcp);
        if let Some(is_on) = options.keep_alive {
            socket.set_keepalive(is_on)?;
        }
        // While the server takes nothing, bytes to it stay unacknowledged.
        if options.write_timeout.is_some() {
            socket.set_tcp_user_timeout(options.write_timeout)?;
        }
        Ok(())
    }

    /// Where it is counted.
    pub fn counts(&self) -> &Arc<ConnectionCounts> {
        &self.counts
    }

    /// When it was opened.
    pub fn opened(&self) -> Instant {
        self.opened
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counts.closed(self.opened.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_clients_socket_has_its_options() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let limit = Duration::from_secs(60);
        let plain = dial(addr, limit, &Arc::default()).await.unwrap();
        let tuned = dial(addr, limit, &Arc::default()).await.unwrap();
        plain.tune(&SocketOptions::default()).unwrap();
        let options = SocketOptions {
            no_delay: false,
            keep_alive: Some(true),
            write_timeout: Some(Duration::from_secs(7)),
            ..SocketOptions::default()
        };
        tuned.tune(&options).unwrap();
        let told = |connection: &Connection| {
            let socket = SockRef::from(connection.stream.tcp().unwrap());
            (
                socket.tcp_nodelay().unwrap(),
                socket.keepalive().unwrap(),
                socket.tcp_user_timeout().unwrap(),
            )
        };
        assert_eq!(told(&plain), (true, false, None));
        assert_eq!(told(&tuned), (false, true, options.write_timeout));
    }
}
